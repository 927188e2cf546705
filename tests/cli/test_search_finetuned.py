"""`mcofa search --finetuned` as a user types it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from mcofa.accuracy.features import SIZES
from mcofa.accuracy.fit import fit_predictor
from mcofa.accuracy.predictor import load_predictor
from mcofa.cli import main
from mcofa.files.resources import data_folder
from mcofa.space.arch_table import read_measured
from mcofa.space.search_space import load_space

ZOO = data_folder("zoo")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_says_what_the_accuracy_is_of_and_what_comes_next(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["search", "--finetuned", "--max-arena-bytes", "24576", "--out", "run"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "% top-1 (predicted after 10 epochs of fine-tuning, within what was measured)" in printed
    assert "next: mcofa finetune run --epochs 10" in printed
    section = json.loads(Path("run/manifest.json").read_text())["search"]
    assert section["predictor_finetune_epochs"] == 10
    assert section["predictor"]["file"] == "zoo/mcofa-micro-finetuned.npz"
    assert main(["report", "run"]) == 0
    assert "of validation images, weights after 10 epochs of fine-tuning" in capsys.readouterr().out


def test_larger_networks_are_chosen_than_with_the_supernets_weights() -> None:
    # Fine-tuning pays more for larger networks: docs/training.md.
    limits = ["--max-arena-bytes", "24576", "--max-model-bytes", "131072"]
    found = {}
    for name, more in (("tuned", ["--finetuned"]), ("inherited", [])):
        assert main(["search", *limits, *more, "--out", name]) == 0
        found[name] = json.loads(Path(name, "manifest.json").read_text())["search"]["predicted"]
    assert found["tuned"]["macs"] > found["inherited"]["macs"]
    assert found["tuned"]["arena_bytes"] <= 24_576


def test_every_board_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["search", "--finetuned", "--board", "all", "--max-arena-bytes", "16384", "--time-limit", "9"])
        == 0
    )
    assert capsys.readouterr().out.count("top-1 predicted after 10 epochs of fine-tuning") == 1


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (
            ["--verify", "2"],
            1,
            "predicts accuracies after 10 epochs of fine-tuning\n  next: leave --verify out",
        ),
        (["--predictor", "other.npz"], 2, "leave --predictor out"),
        (["--space", "compofa"], 1, "compofa-finetuned.npz"),
    ],
)
def test_what_does_not_go_with_it_is_refused(
    words: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", "--finetuned", *words]) == status
    assert said in capsys.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.parametrize("name", ["ofa-micro", "compofa-micro", "mcofa-micro"])
def test_the_zoos_predictors_are_fitted_on_the_archs_that_it_lists(name: str) -> None:
    space = load_space(name)
    shipped = load_predictor(ZOO / f"{name}-finetuned.npz", space)
    measured = read_measured(ZOO / f"{name}-finetuned.csv", space)
    fitted = fit_predictor(space, measured, shipped.provenance.measured_on)
    assert shipped.provenance.finetune_epochs == 10
    assert shipped.provenance.encoding == SIZES
    checkpoint = (ZOO / f"{name}.safetensors").read_bytes()
    assert measured.checkpoint == hashlib.sha256(checkpoint).hexdigest()[:16]
    archs = space.sample(100, np.random.default_rng(0))
    np.testing.assert_allclose(
        shipped.predict(space, archs).top1_percent, fitted.predict(space, archs).top1_percent, atol=1e-3
    )
    error = shipped.predict(space, measured.genomes).top1_percent - measured.top1_percent
    assert np.sqrt(np.mean(error**2)) < 0.15
