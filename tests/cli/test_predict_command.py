"""`mcofa fit-predictor`, as a user types it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcofa.accuracy.predictor import load_predictor
from mcofa.cli import main
from mcofa.files.resources import data_folder
from mcofa.space.arch_table import Measured, read_measured, write_measured
from mcofa.space.search_space import load_space

SPACE = load_space("mcofa-micro")


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """Made-up accuracies, by resolution and depths, with an offset for each of two batches."""
    rng = np.random.default_rng(0)
    genomes = SPACE.sample(80, rng)
    batch = rng.integers(0, 2, 80)
    top1 = 85 + genomes[:, :4].sum(1) / 4 + batch + rng.normal(0, 0.1, 80)
    write_measured(tmp_path / "all.csv", SPACE, Measured(genomes, top1, tuple(map(str, batch))))
    lines = (tmp_path / "all.csv").read_text().splitlines(keepends=True)
    (tmp_path / "some.csv").write_text("".join(lines[:61]))
    (tmp_path / "rest.csv").write_text("".join(lines[:1] + lines[61:]))
    return tmp_path


def fit(folder: Path, *more: str) -> int:
    table, out = str(folder / "some.csv"), str(folder / "fitted.npz")
    return main(["fit-predictor", table, "--space", "mcofa-micro", "--out", out, *more])


def test_fits_and_tries_the_predictor_on_other_records(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(measured, "--held-out", str(measured / "rest.csv"), "--note", "made up", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    known = load_predictor(measured / "fitted.npz", SPACE).provenance
    assert (known.measured_archs, known.measured_on, known.batches) == (60, "made up", ("0", "1"))
    assert found["rmse_points"] == known.rmse_points
    held_out = found["held_out"]
    assert held_out["archs"] == 20
    assert held_out["rmse_points_in_batch"] < 0.4 < held_out["rmse_points"] < 0.9
    assert held_out["kendall_tau_in_batch"] > held_out["kendall_tau"] > 0.3


def test_says_how_good_the_predictor_is(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(measured, "--held-out", str(measured / "rest.csv")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "60 archs; cross-validated: RMSE 0." in lines[0]
    assert "(2 batches)" in lines[1]
    assert "rest.csv: 20 archs; RMSE 0." in lines[2]


def test_a_table_of_another_space_is_refused(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(measured, "--space", "ofa-micro") == 1
    said = capsys.readouterr().err
    assert f"was measured in the space {SPACE.fingerprint}, ofa-micro is" in said
    assert not (measured / "fitted.npz").exists()


def test_accuracies_before_and_after_fine_tuning_are_kept_apart(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = read_measured(measured / "some.csv", SPACE)
    write_measured(measured / "some.csv", SPACE, replace(table, finetune_epochs=2))
    assert fit(measured) == 0
    assert "60 archs after 2 epochs of fine-tuning; cross-validated" in capsys.readouterr().out
    assert load_predictor(measured / "fitted.npz", SPACE).provenance.finetune_epochs == 2
    assert fit(measured, "--held-out", str(measured / "rest.csv")) == 1
    said = capsys.readouterr().err
    assert "rest.csv: was measured after 0 epochs of fine-tuning" in said
    assert "some.csv after 2\n  next: name tables that were measured alike" in said
    text = (measured / "some.csv").read_text()
    (measured / "some.csv").write_text(text.replace(",2\n", ",some\n"))
    assert fit(measured) == 1
    assert "finetune_epochs some, expected a number of epochs" in capsys.readouterr().err


def test_a_folder_in_place_of_the_table_is_named_as_such(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit-predictor", str(measured), "--out", str(measured / "fitted.npz")]) == 1
    said = capsys.readouterr().err
    assert f"{measured}: is a folder, expected a CSV of archs\n  next: name a file in it" in said


def test_a_changed_copy_of_a_space_does_not_take_the_shipped_predictor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    changed = SPACE.model_copy(update={"classes": 5})
    Path("copy.yaml").write_text(json.dumps(changed.model_dump()))
    Path("arch.json").write_text(json.dumps(SPACE.smallest().to_json()))
    assert main(["search", "--space", "copy.yaml"]) == 1
    said = capsys.readouterr().err
    assert f"fitted on the space mcofa-micro ({SPACE.fingerprint}), not on mcofa-micro (" in said
    assert "name it with --predictor" in said
    cost = ["cost", "--arch", "arch.json", "--json", "--space"]
    for space, predicted in (("mcofa-micro", True), ("copy.yaml", False)):
        assert main([*cost, space]) == 0
        assert ("predicted_top1_percent" in json.loads(capsys.readouterr().out)) == predicted
    zoo = str(data_folder("zoo") / "mcofa-micro.npz")
    assert main([*cost, "copy.yaml", "--predictor", zoo]) == 1
    assert "fitted on the space mcofa-micro" in capsys.readouterr().err


def test_costs_say_what_an_accuracy_is_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    for name, arch in (("smallest", SPACE.smallest()), ("largest", SPACE.largest())):
        Path(f"{name}.json").write_text(json.dumps(arch.to_json()))
    cost = ["cost", "--space", "mcofa-micro", "--arch"]
    finetuned = ["--predictor", str(data_folder("zoo") / "mcofa-micro-finetuned.npz")]
    assert main([*cost, "largest.json"]) == 0
    said = capsys.readouterr().out
    assert "predicted_top1_percent" in said
    assert "fine-tuning" not in said
    assert main([*cost, "largest.json", *finetuned]) == 0
    assert "after 10 epochs of fine-tuning" in capsys.readouterr().out
    assert main([*cost, "smallest.json", *finetuned]) == 0
    assert "after 10 epochs of fine-tuning, OUTSIDE what was measured" in capsys.readouterr().out
    assert main([*cost, "smallest.json", *finetuned, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["predictor_finetune_epochs"], found["outside_measured_range"]) == (10, True)


def test_without_records_nothing_is_written(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(measured, "--held-out", str(measured / "none.csv")) == 1
    assert "CSV of archs not found" in capsys.readouterr().err
    lines = (measured / "some.csv").read_text().splitlines(keepends=True)
    (measured / "some.csv").write_text("".join(lines[:6]))
    assert fit(measured) == 1
    assert "5 distinct archs measured, at least 6 are needed" in capsys.readouterr().err
    assert not (measured / "fitted.npz").exists()
