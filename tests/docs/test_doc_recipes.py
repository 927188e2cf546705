"""Every console block of README and docs, executed: a recipe that fails as written fails here.

The pages of a chain share a folder, and run in order; commands that cannot run here say why.
Chains of ``LONGEST`` run by ``make recipes`` only.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import evidence
import numpy as np
import pytest
from PIL import Image
from recipes import Command, Sandbox, commands, pages, prints
from tiny_models import small_network

_IMAGENET = "trains on ImageNet for weeks"
_BOARD = "writes to a board"
NOT_HERE = {
    "make test": "is what is running",
    "mcofa train configs/ofa.yaml --step teacher": _IMAGENET,
    "mcofa train configs/ofa.yaml --step kernel --phase 1": _IMAGENET,
    "torchrun --nproc-per-node 8 train.py configs/ofa.yaml": _IMAGENET,
    "tensorboard --logdir runs/train": "a server that goes on until it is stopped",
    "make flash BOARD=stm32f746 ENGINE=aot": _BOARD,
}


def _model(folder: Path) -> None:
    (folder / "model.tflite").write_bytes(small_network())


def _photos(folder: Path) -> None:
    """The images and the configurations that docs/own-images.md asks for, few of them."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 12)):
        for shade, name in ((60, "bag"), (120, "shirt"), (180, "shoe")):
            target = folder / "photos" / split / name
            target.mkdir(parents=True)
            for number in range(count):
                middle = rng.normal(shade, 40)  # classes overlap, so that no network tells all apart
                pixels = np.clip(rng.normal(middle, 30, (48, 60)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(target / f"{number}.png")
    config = (folder / "configs" / "mcofa-micro.yaml").read_text()
    for key, value in (("space", "photos.yaml"), ("data", "photos"), ("flip", "false")):
        lines = [line for line in config.splitlines() if line.startswith(f"{key}:")]
        assert len(lines) == 1
        config = config.replace(lines[0], f"{key}: {value}")
    (folder / "photos-config.yaml").write_text(config)
    (folder / "camera-config.yaml").write_text(config.replace("space: photos.yaml", "space: camera.yaml"))


def _zoo_to_make(folder: Path) -> None:
    """The published archs, and no supernet: one that is there would be another training."""
    (folder / "zoo" / "mcofa-micro.safetensors").unlink()
    archs = evidence.outside_data() / "imagenet_subnets"
    if not archs.is_dir():
        pytest.skip(f"no measured archs, which are not ours, at {archs}: set MCOFA_DATA")
    for path in archs.glob("*.csv"):
        shutil.copy(path, folder)


def _nothing(folder: Path) -> None:
    """Prepare nothing."""


Chain = tuple[tuple[str, ...], Callable[[Path], None]]
QUICK: list[Chain] = [
    (("docs/ci.md",), _model),
    (("docs/tflm-versions.md",), _model),
    (("docs/spaces.md",), _nothing),
]
SLOW: list[Chain] = [
    (("README.md", "docs/firmware.md"), _model),
    (("docs/aot.md",), _model),
    (("docs/arena.md",), _nothing),
]
LONGEST: list[Chain] = [
    (("docs/own-images.md", "docs/finetune.md"), _photos),
    (("docs/training.md",), _nothing),
    (("docs/zoo-table.md",), _nothing),
    (("zoo/README.md",), _zoo_to_make),
]


def _run(chain: Chain, root: Path, folder: Path) -> None:
    names, prepare = chain
    sandbox = Sandbox(root, folder)
    prepare(folder)
    for command in (each for name in names for each in commands(root, name)):
        if command.words in NOT_HERE:
            continue
        done = sandbox.run(command)
        said = f"{command.page}: $ {command.words}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, said
        assert prints(command.printed, done.stdout), said


@pytest.mark.parametrize("chain", QUICK, ids=lambda chain: " ".join(chain[0]))
def test_the_commands_of_a_page_work(chain: Chain, repo_root: Path, tmp_path: Path) -> None:
    _run(chain, repo_root, tmp_path)


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.emulator
@pytest.mark.parametrize(
    "chain",
    [*SLOW, *(pytest.param(chain, marks=pytest.mark.recipe) for chain in LONGEST)],
    ids=lambda chain: " ".join(chain[0]),
)
def test_the_commands_of_a_long_page_work(chain: Chain, repo_root: Path, tmp_path: Path) -> None:
    _run(chain, repo_root, tmp_path)


def test_every_page_is_in_a_chain(repo_root: Path) -> None:
    assert sorted(name for names, _ in (*QUICK, *SLOW, *LONGEST) for name in names) == sorted(
        pages(repo_root)
    )


def test_what_cannot_run_here_is_on_a_page(repo_root: Path) -> None:
    shown = {command.words for name in pages(repo_root) for command in commands(repo_root, name)}
    assert shown >= NOT_HERE.keys()


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ((), True),
        (("a", "b"), True),
        (("a",), False),
        (("b",), False),
        (("…", "b"), True),
        (("a", "…"), True),
        (("…", "c"), False),
        (("…", "b", "a"), False),
    ],
)
def test_printed_lines_are_compared(shown: tuple[str, ...], expected: bool) -> None:
    assert prints(shown, "a\nb\n") is expected


def test_commands_are_read_with_what_they_print(tmp_path: Path) -> None:
    text = "x\n```console\n$ one --two   # why\n…\nprinted\n$ three\n```\n```text\n$ no\n```\n"
    (tmp_path / "page.md").write_text(text)
    found = [Command("page.md", "one --two", ("…", "printed")), Command("page.md", "three", ())]
    assert commands(tmp_path, "page.md") == found
