"""The space that the page on search spaces shows, and the limits that it states."""

from __future__ import annotations

import re
from pathlib import Path

from mcofa.lowering import lower
from mcofa.space.blocks import BLOCK_KINDS
from mcofa.space.search_space import load_space


def test_the_example_is_a_space(repo_root: Path, tmp_path: Path) -> None:
    page = (repo_root / "docs" / "spaces.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert example is not None
    (tmp_path / "keywords.yaml").write_text(example[1], encoding="utf-8")
    space = load_space(str(tmp_path / "keywords.yaml"))
    assert lower(space, space.largest()).tensors[0].shape == (1, 49, 10, 1)


def test_every_kind_of_block_has_a_row(repo_root: Path) -> None:
    page = (repo_root / "docs" / "spaces.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)`.*\| kernel size", page, re.MULTILINE)) == set(BLOCK_KINDS)
