"""Every file that a command names may be a pipe, as bash's ``<(…)`` makes them: read once, start to end."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import small_network

import mcofa.space
from mcofa.cli import main
from mcofa.files.resources import data_folder
from mcofa.space.arch_table import Measured, write_measured
from mcofa.space.search_space import load_space

SPACE = load_space("mcofa-micro")
SHIPPED = data_folder("boards") / "stm32f746.yaml"


@contextlib.contextmanager
def piped(content: bytes) -> Iterator[str]:
    """Yield the name of a pipe that gives ``content`` once."""
    assert len(content) < 1 << 16, "what a pipe holds without a reader"
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    try:
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A small one of each kind, by its kind."""
    found = {
        name: tmp_path / f"{name}{suffix}"
        for name, suffix in {
            "model": ".tflite",
            "arch": ".json",
            "archs": ".csv",
            "space": ".yaml",
            "board": ".yaml",
            "predictor": ".npz",
        }.items()
    }
    found["model"].write_bytes(small_network())
    found["arch"].write_text(json.dumps(SPACE.smallest().to_json()))
    genomes = SPACE.sample(40, np.random.default_rng(0))
    write_measured(found["archs"], SPACE, Measured(genomes, 50 + np.arange(40) / 4))
    named = Path(mcofa.space.__file__).parent / "named" / "mcofa-micro.yaml"
    found["space"].write_bytes(named.read_bytes())
    found["board"].write_bytes(SHIPPED.read_bytes())
    found["predictor"].write_bytes((data_folder("zoo") / "mcofa-micro.npz").read_bytes())
    return found


COMMANDS = [
    ["arena", "{model}"],
    ["arena-check", "{model}", "--board", "stm32f746"],
    ["cost", "--space", "mcofa-micro", "--arch", "{arch}"],
    ["cost", "--space", "mcofa-micro", "--archs", "{archs}"],
    ["cost", "--space", "{space}", "--arch", "{arch}", "--board", "{board}", "--predictor", "{predictor}"],
    ["boards", "show", "{board}"],
    ["spaces", "show", "{space}"],
    ["design-space", "--board", "{board}", "--data-shape", "28x28x1", "--classes", "10", "--out", "s.yaml"],
    ["fit-predictor", "{archs}", "--out", "p.npz", "--note", "n"],
    ["search", "--board", "{board}", "--space", "{space}", "--predictor", "{predictor}", "--out", "found"],
    ["firmware", "{model}", "--board", "{board}", "--engine", "aot", "--out", "project"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_pipe_is_read_like_the_file(
    command: list[str],
    files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = answer([word.format_map(files) for word in command], capsys)
    with contextlib.ExitStack() as stack:
        pipes = {name: stack.enter_context(piped(path.read_bytes())) for name, path in files.items()}
        found = answer([word.format_map(pipes) for word in command], capsys)
    assert without_names(found) == without_names(expected)


def answer(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    code = main([*words, "--json"])
    output = capsys.readouterr()
    assert (code, output.err if code else "") == (0, "")
    document: dict[str, Any] = json.loads(output.out)
    return document


def without_names(document: Any) -> Any:
    """Leave out what says from which file, when and how fast."""
    if not isinstance(document, dict):
        return document
    names = ("model", "predictor", "command", "created", "seconds", "source", "sha256")
    return {key: without_names(value) for key, value in document.items() if key not in names}


@pytest.mark.torch
@pytest.mark.parametrize("what", ["held-out", "arch of a checkpoint", "configuration"])
def test_further_pipes(
    what: str,
    files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    commands: dict[str, Callable[[], tuple[list[str], bytes]]] = {
        "held-out": lambda: (
            ["fit-predictor", str(files["archs"]), "--out", "p.npz", "--held-out"],
            files["archs"].read_bytes(),
        ),
        "arch of a checkpoint": _arch_of_a_checkpoint,
        "configuration": lambda: (["train", "--out", "c.safetensors"], _configuration(tmp_path)),
    }
    words, content = commands[what]()
    with piped(content) as pipe:
        answer([*words, pipe], capsys)


def _arch_of_a_checkpoint() -> tuple[list[str], bytes]:
    from tiny_training import tiny_space, untrained_checkpoint

    checkpoint = untrained_checkpoint(Path())
    arch = json.dumps(tiny_space().smallest().to_json()).encode()
    return ["evaluate", str(checkpoint), "--arch"], arch


def _configuration(folder: Path) -> bytes:
    import yaml
    from tiny_training import config, write_inputs

    write_inputs(folder)
    return yaml.safe_dump(config(folder, epochs=0.1, warmup_epochs=0).model_dump(mode="json")).encode()


@pytest.mark.torch
def test_weights_must_be_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with piped(b"weights") as pipe:
        assert main(["evaluate", pipe]) == 1
    assert f"error: {pipe}: is a pipe or a device" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["arena", "{}"], ["cost", "--space", "mcofa-micro", "--archs", "{}"]])
def test_a_folder_and_a_missing_file_are_named(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (tmp_path, tmp_path / "no"):
        assert main([word.format(path) for word in words]) == 1
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert str(path) in said
