"""`mcofa search --verify` as a user types it, on a space so small that measuring takes a moment."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_training import header, one_thread, randomised, tiny_space, untrained_checkpoint

from export.checks import verify_search
from mcofa.accuracy.fit import fit_predictor
from mcofa.accuracy.predictor import save_predictor
from mcofa.cli import main
from mcofa.search import runs
from mcofa.space.arch_table import Measured
from mcofa.supernet.network.checkpoint import save_checkpoint

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space, images, a supernet that knows nothing, and a predictor."""
    folder = tmp_path_factory.mktemp("made")
    untrained_checkpoint(folder)
    space = tiny_space()
    genomes = space.sample(120, np.random.default_rng(0))
    accuracies = 50 + genomes @ np.linspace(0.2, 2, genomes.shape[1])
    save_predictor(folder / "tiny.npz", fit_predictor(space, Measured(genomes, accuracies), "made up"))
    return folder


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def words(made: Path, *more: str, checkpoint: str = "supernet.safetensors") -> list[str]:
    return [
        "search", "--space", str(made / "tiny.yaml"), "--predictor", str(made / "tiny.npz"),
        "--checkpoint", str(made / checkpoint), "--max-peak-items", "100000", "--out", "run", *more,
    ]  # fmt: skip


def section() -> dict:
    found = json.loads(Path("run/manifest.json").read_text())["search"]
    assert isinstance(found, dict)
    return found


def test_the_most_accurate_on_validation_images_is_chosen(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(made, "--verify", "3")) == 0
    text = capsys.readouterr().out
    assert "measured (float, 12 validation images)" in text
    listed = section()["verified"]["candidates"]
    accuracies = [one["float_top1_percent"] for one in listed]
    assert len(accuracies) == 3
    assert accuracies == sorted(accuracies, reverse=True)
    assert listed[0]["arch"] == section()["arch"]


@pytest.mark.slow
def test_the_most_accurate_in_int8_is_chosen(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(made, "--verify", "2", "--int8", "--json")) == 0
    verified = json.loads(capsys.readouterr().out)["verified"]
    assert verified["ranked_by"] == "int8"
    first, second = (one["int8_top1_percent"] for one in verified["candidates"])
    assert first >= second


@pytest.mark.parametrize("last_is_best", [False, True])
def test_a_choice_that_is_not_the_best_predicted_is_not_called_proven(
    made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, last_is_best: bool
) -> None:
    accuracies = itertools.count(50, 1 if last_is_best else -1)
    monkeypatch.setattr(verify_search, "top1_percent", lambda *_: float(next(accuracies)))
    assert main(words(made, "--verify", "2")) == 0
    text = capsys.readouterr().out
    predicted = [one["predicted_top1_percent"] for one in section()["verified"]["candidates"]]
    assert (predicted[0] < predicted[1]) is last_is_best
    assert section()["exhaustive"] is not last_is_best
    assert section()["verified"]["exhaustive"]
    assert ("none is predicted to be" in text) is not last_is_best
    assert ("is predicted to be better than the 2 measured" in text) is last_is_best


def test_the_checkpoint_is_looked_at_before_anything_is_searched(
    made: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("searched")

    monkeypatch.setattr(runs, "search", fail)
    assert main(words(made, "--verify", "2", checkpoint="none.safetensors")) == 1
    message = capsys.readouterr().err
    assert "supernet of tiny not found" in message
    assert "--checkpoint" in message
    assert "mcofa import-ofa" in message
    assert main(["search", "--verify", "1", "--checkpoint", str(made / "supernet.safetensors")]) == 1
    assert "holds the space tiny" in capsys.readouterr().err
    assert not Path("run").exists()


def test_imported_weights_are_measured_on_the_images_named(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = tiny_space()
    imported = header(space, None, origin="published.pth")
    save_checkpoint(made / "imported.safetensors", imported, dict(randomised(space).state_dict()))
    verified = words(made, "--verify", "1", checkpoint="imported.safetensors")
    assert main(verified) == 1
    assert "name no data set" in capsys.readouterr().err
    assert main([*verified, "--data", str(made / "images")]) == 0
    assert section()["verified"]["images"] == 12
