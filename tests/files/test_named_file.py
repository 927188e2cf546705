"""Words that name a board or a space: something that comes with mcofa, or a file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mcofa import space
from mcofa.boards import load_board
from mcofa.errors import MissingFileError, UnknownNameError
from mcofa.files.resources import data_folder
from mcofa.space.search_space import load_space

LOADERS: list[tuple[Callable[[str], object], Path]] = [
    (load_board, data_folder("boards") / "stm32f746.yaml"),
    (load_space, Path(space.__file__).parent / "named" / "mcofa-micro.yaml"),
]
each = pytest.mark.parametrize(("load", "shipped"), LOADERS, ids=["board", "space"])


@each
@pytest.mark.parametrize("name", ["own.yaml", "own.yml", "own.YAML", "folder/own"])
def test_a_file_is_one_under_any_of_its_names(
    load: Callable[[str], object], shipped: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    shutil.copy(shipped, name)
    assert load(name) == load(shipped.stem)


@each
@pytest.mark.parametrize("name", ["gone.yaml", "gone.yml", "gone/stm32f746", "../spaces/mcofa-micro"])
def test_a_file_that_is_gone_is_not_an_unknown_name(
    load: Callable[[str], object], shipped: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingFileError, match=f"file not found: {name}"):
        load(name)


@each
def test_a_name_that_is_unknown_is_no_file(load: Callable[[str], object], shipped: Path) -> None:
    with pytest.raises(UnknownNameError, match="nosuch"):
        load("nosuch")


@each
def test_a_file_may_be_a_pipe(load: Callable[[str], object], shipped: Path) -> None:
    read, write = os.pipe()
    os.write(write, shipped.read_bytes())
    os.close(write)
    try:
        assert load(f"/dev/fd/{read}") == load(shipped.stem)
    finally:
        os.close(read)
