"""`mcofa search` as a user types it."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import pytest

from mcofa.accuracy.predictor import load_predictor, save_predictor
from mcofa.boards import board_names, load_board
from mcofa.cli import main
from mcofa.files.resources import data_folder
from mcofa.search import runs
from mcofa.space.search_space import load_space


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main(["search", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys: pytest.CaptureFixture[str], *words: str, status: int = 1) -> str:
    assert main(["search", *words]) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert not Path("runs").exists()
    return printed.err


def test_peak_items_need_no_board(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "--max-peak-items", "10000")
    assert found["run"] == "runs/mcofa-micro-10000"
    assert found["board"] is None
    assert found["predicted"]["peak_items"] <= 10_000
    assert isinstance(found["predicted"]["outside_measured_range"], bool)


def test_every_limit_holds_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    limits = {
        "arena-bytes": 30_000,
        "flash-bytes": 140_000,
        "model-bytes": 80_000,
        "latency-ms": 20,
        "peak-items": 14_000,
    }
    words = [word for name, limit in limits.items() for word in (f"--max-{name}", str(limit))]
    found = answer(capsys, "--board", "stm32f746", *words)
    predicted = found["predicted"]
    assert found["budget"]["model_bytes"] == 80_000
    assert predicted["model_bytes"] <= 80_000
    assert predicted["arena_bytes"] <= 30_000
    assert predicted["flash_bytes"] <= 140_000
    assert predicted["latency_ms_estimate"] <= 20
    assert predicted["peak_items"] <= 14_000


def test_kernels_change_the_arena(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "--board", "stm32f746", "--max-arena-bytes", "18000", "--kernels", "reference")
    assert found["kernels"] == "reference"


def test_one_row_a_board(capsys: pytest.CaptureFixture[str]) -> None:
    rows = answer(capsys, "--board", "all", "--max-arena-bytes", "16000", "--out", "fleet")["boards"]
    assert sorted(row["board"] for row in rows) == board_names()
    for row in rows:
        if "problem" in row:
            assert "the smallest needs" in row["problem"]
        else:
            manifest = json.loads(Path(row["run"], "manifest.json").read_text())
            assert manifest["search"]["arch"] == row["arch"]
            assert row["predicted"]["arena_bytes"] <= 16_000


def test_the_smallest_board_and_the_smallest_arena(capsys: pytest.CaptureFixture[str]) -> None:
    limit = ("--max-arena-bytes", "18000")
    found = answer(capsys, "--min-top1", "87", *limit)
    assert found["predicted"]["top1_percent"] >= 87
    assert found["min_top1_percent"] == 87
    for board in found["boards_too_small"]:
        message = refusal_of_board(capsys, board, *limit)
        assert "is predicted to reach 87" in message or "the smallest needs" in message
    smaller = str(found["predicted"]["arena_bytes"] - 1)
    assert main(["search", "--board", found["board"], "--min-top1", "87", "--max-arena-bytes", smaller]) == 1


def refusal_of_board(capsys: pytest.CaptureFixture[str], board: str, *limit: str) -> str:
    assert main(["search", "--board", board, "--min-top1", "87", *limit]) == 1
    return capsys.readouterr().err


def test_pareto_files_hold_the_front(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--board", "stm32f746", "--max-arena-bytes", "18000", "--pareto", "arena_bytes,top1_percent")
    front = answer(capsys, *words)["pareto"]
    with Path("runs/stm32f746/pareto.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == front["points"] > 1
    assert Path("runs/stm32f746", front["svg"]["file"]).read_text().startswith("<svg")
    assert set(front["reference"]) == {"arena_bytes", "top1_percent"}
    assert front["hypervolume"] > 0


def test_text_answers(capsys: pytest.CaptureFixture[str]) -> None:
    measures = ("--pareto", "arena_bytes,flash_bytes,top1_percent")
    assert main(["search", "--board", "stm32f103", "--max-arena-bytes", "18000", *measures]) == 0
    text = capsys.readouterr().out
    for fragment in ("hypervolume", "pareto.svg", "all that can be better", "measured", "mcofa export"):
        assert fragment in text
    assert main(["search", "--max-peak-items", "10000"]) == 0
    assert "of 10,000 items" in capsys.readouterr().out
    limits = ("--max-model-bytes", "65536", "--max-arena-bytes", "18000")
    assert main(["search", *limits, "--pareto", "model_bytes,top1_percent"]) == 0
    assert "of 65,536 B (.tflite file)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("--int8",), "--int8 needs --verify"),
        (("--pareto", "arena_bytes"), "two or three different measures"),
        (("--pareto", "arena_bytes,arena_bytes"), "two or three different measures"),
        (("--pareto", "arena_bytes,area"), "'area' is not one of arena_bytes"),
        (("--pareto", "macs,top1_percent", "--board", "all"), "--pareto goes with one board"),
        (("--pareto", "arena_bytes,macs", "--max-peak-items", "9"), "needs --board"),
        (("--max-peak-items", "20000", "--max-arena-bytes", "5"), "needs --board"),
        (("--max-peak-items", "20000", "--max-model-bytes", "5"), "needs --board"),
        (("--max-model-bytes", "0"), "--max-model-bytes"),
        (("--max-model-bytes", "65536", "--engine", "aot"), "no .tflite on the device"),
        (("--pareto", "model_bytes,top1_percent", "--engine", "aot"), "no .tflite on the device"),
        (("--max-peak-items", "20000", "--engine", "aot"), "--engine needs --board"),
        (("--checkpoint", "other.safetensors"), "--checkpoint needs --verify"),
        (("--data", "images"), "--data needs --verify"),
        (("--board", ""), "'' names no board"),
        (("--max-latency-ms", "nan"), "nan is not a finite number in the range x>0"),
        (("--max-latency-ms", "inf"), "inf is not a finite number in the range x>0"),
        (("--min-top1", "nan"), "nan is not a finite number in the range 0<x<=100"),
        (("--time-limit", "nan"), "'--time-limit': nan is not a finite number"),
        (("--min-top1", "101"), "--min-top1"),
        (("--time-limit", "0"), "--time-limit"),
        (("--verify", "0"), "--verify"),
    ],
)
def test_wrong_words(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], fragment: str) -> None:
    assert fragment in refusal(capsys, *words, status=2)


def test_impossible_budgets_say_what_is_the_least(capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(capsys, "--max-peak-items", "5")
    assert "9,440 peak items, the budget is 5" in message
    assert "--max-peak-items to 9440" in message
    message = refusal(capsys, "--max-model-bytes", "1024")
    assert "B of model file, the budget is 1,024 B" in message
    assert "raise --max-model-bytes to" in message
    message = refusal(capsys, "--board", "stm32f746", "--max-latency-ms", "1")
    assert "of estimated latency, the budget is 1.00 ms" in message


def test_the_least_latency_that_is_named_can_be_met(capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(capsys, "--board", "stm32f746", "--max-latency-ms", "1")
    least = message.split("--max-latency-ms to ")[1].split()[0]
    assert main(["search", "--board", "stm32f746", "--max-latency-ms", least]) == 0


def test_an_accuracy_that_no_board_reaches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("searched a board")

    monkeypatch.setattr(runs, "search", fail)
    for board in (("--board", "stm32f746"), ()):
        message = refusal(capsys, *board, "--min-top1", "99.9")
        assert "is predicted to reach 99.9 %, whatever the board" in message
        assert "the best reaches" in message
        assert "more memory" not in message


def test_one_time_limit_for_all_that_is_searched(capsys: pytest.CaptureFixture[str]) -> None:
    limits = ("--board", "stm32f746", "--max-arena-bytes", "52000", "--time-limit", "0.001")
    message = refusal(capsys, *limits, "--min-top1", "92")
    assert "the time limit of 0.001 s ended the search" in message
    assert "more memory" not in message
    assert "before" in refusal(capsys, "--board", "all", "--time-limit", "0.001")
    assert main(["search", *limits, "--pareto", "arena_bytes,top1_percent"]) == 0
    assert capsys.readouterr().out.count("stopped by the time limit") == 2
    assert json.loads(Path("runs/stm32f746/manifest.json").read_text())["search"]["pareto"]["stopped_early"]


def test_tables_mark_what_lies_outside_the_measured_range(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = load_space("mcofa-micro")
    known = load_predictor(data_folder("zoo") / "mcofa-micro.npz", space)
    stranger = dataclasses.replace(
        known, provenance=dataclasses.replace(known.provenance, lowest_macs=known.provenance.highest_macs)
    )
    save_predictor(Path("stranger.npz"), stranger)
    monkeypatch.setattr(runs, "fleet_boards", lambda: [load_board("stm32f746")])
    small = ("--max-arena-bytes", "16000")
    for words in (("--board", "all"), ("--pareto", "arena_bytes,top1_percent")):
        assert main(["search", *small, *words]) == 0
        text = capsys.readouterr().out
        assert " ± " in text.split("hypervolume")[0]
        assert "OUTSIDE" not in text
        assert main(["search", *small, *words, "--predictor", "stranger.npz"]) == 0
        text = capsys.readouterr().out
        assert "%*" in text
        assert "* OUTSIDE what was measured" in text
