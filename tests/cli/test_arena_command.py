"""`mcofa arena` as a user meets it: every figure, every target, the drawing, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from test_cli import mcofa, refused
from tiny_models import ModelBuilder, small_network

from export.tflite.parse import parse_tflite
from mcofa.engines.aot.plan import plan_aot
from mcofa.engines.tflm import account, default_kernels, kernel_sets, target, target_names
from mcofa.tflm_versions.load import DEFAULT_VERSION

SETS = [("x86-64", "reference")]
SETS += [(name, k) for name in target_names()[1:] for k in kernel_sets(name) if k != "cmsis-nn-speed"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.tflite"
    path.write_bytes(small_network())
    return path


def arena_json(model: Path, *words: str | Path) -> dict[str, Any]:
    done = mcofa("arena", model, *words, "--json", cwd=model.parent)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("core", "kernels"), SETS)
def test_every_figure_on_every_target(model: Path, core: str, kernels: str) -> None:
    predicted = account(parse_tflite(small_network(), "small"), target(core, kernels))
    cause = predicted.minimum_cause
    assert arena_json(model, "--target", core, "--kernels", kernels) == {
        "model": str(model),
        "target": core,
        "kernels": kernels,
        "engine": "tflm",
        "tflm": DEFAULT_VERSION,
        "head_bytes": predicted.head_bytes,
        "tail_bytes": predicted.tail_bytes,
        "recording_tail_bytes": predicted.recording_tail_bytes,
        "arena_used_bytes": predicted.arena_used_bytes,
        "minimum_bytes": predicted.minimum_bytes,
        "minimum_cause": None if cause is None else cause.value,
        "breakdown": predicted.breakdown,
    }


def test_figures_of_a_board_add_up(model: Path) -> None:
    found = arena_json(model, "--target", "cortex-m4")
    assert found["kernels"] == "cmsis-nn"
    assert sum(found["breakdown"].values()) == found["arena_used_bytes"]
    assert found["head_bytes"] + found["tail_bytes"] == found["arena_used_bytes"] <= found["minimum_bytes"]
    assert found["tail_bytes"] < found["recording_tail_bytes"]
    assert found["minimum_bytes"] % 16 == 0


@pytest.mark.parametrize("core", ["x86-64", "cortex-m4", "cortex-m55"])
def test_generated_code_has_no_tail(model: Path, core: str) -> None:
    found = arena_json(model, "--target", core, "--engine", "aot")
    on = target(core, default_kernels(core))
    assert (found["engine"], found["target"], found["kernels"]) == ("aot", core, on.kernels)
    assert found["arena_bytes"] == plan_aot(parse_tflite(small_network(), "small"), on).arena_bytes
    done = mcofa("arena", model, "--target", core, "--engine", "aot", cwd=model.parent)
    assert f"{found['arena_bytes']:,} B" in done.stdout
    assert "tail" not in done.stdout


@pytest.mark.parametrize("options", [(), ("--stream-input",)])
def test_spans_and_both_arenas_of_generated_code(model: Path, options: tuple[str, ...]) -> None:
    """Counted by hand in ``tests/draw/test_timeline.py``."""
    found = arena_json(model, "--target", "cortex-m7", "--engine", "aot", *options)
    streams_input = bool(options)
    image = [{"tensor": 0, "kept_rows": 3, "rows": 8}] if streams_input else []
    arena_bytes = 384 if streams_input else 400
    assert found == {
        "model": str(model),
        "target": "cortex-m7",
        "kernels": "cmsis-nn",
        "engine": "aot",
        "arena_bytes": arena_bytes,
        "streams_input": streams_input,
        "arena_bytes_resident": 400,
        "arena_bytes_by_rows": 384,
        "not_by_rows": "",
        "ops_at_once": [],
        "spans": [
            {
                "first_op": 0,
                "last_op": 3,
                "kinds": ["CONV_2D", "DEPTHWISE_CONV_2D", "HARD_SWISH", "MEAN"],
                "row_by_row": True,
                "bytes": arena_bytes,
                "rings": [
                    *image,
                    {"tensor": 1, "kept_rows": 5, "rows": 8},
                    {"tensor": 2, "kept_rows": 1, "rows": 8},
                    {"tensor": 3, "kept_rows": 1, "rows": 8},
                ],
            },
            {
                "first_op": 4,
                "last_op": 4,
                "kinds": ["FULLY_CONNECTED"],
                "row_by_row": False,
                "bytes": 32,
                "rings": [],
            },
        ],
    }


def test_an_image_without_rows_cannot_arrive_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(one_op("RELU"))
    found = arena_json(path, "--engine", "aot")
    assert (found["arena_bytes_resident"], found["arena_bytes_by_rows"]) == (16, None)
    assert found["not_by_rows"] == "the input, 1×4, has no rows that could be given one by one"
    done = mcofa("arena", path, "--engine", "aot", "--stream-input", cwd=tmp_path)
    refused(done, found["not_by_rows"], "leave out --stream-input")


def test_the_host_measures_what_was_predicted(model: Path) -> None:
    found = arena_json(model, "--measure")
    assert (found["target"], found["kernels"]) == ("x86-64", "reference")
    assert found["tail_bytes"] is found["arena_used_bytes"] is found["minimum_bytes"] is None
    assert found["measured"] == {
        "head_bytes": found["head_bytes"],
        "recording_tail_bytes": found["recording_tail_bytes"],
        "total_bytes": sum(found["breakdown"].values()),
    }
    assert found["measured"]["total_bytes"] == 2_720


def test_the_text_names_the_peak_and_what_was_measured(model: Path) -> None:
    done = mcofa("arena", model, "--measure", cwd=model.parent)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    (peak,) = [line for line in lines if line.endswith("◄ peak")]
    assert peak.split()[:4] == ["1", "DEPTHWISE_CONV_2D", "768", "B"]
    assert "peak     768 B live in op 1 DEPTHWISE_CONV_2D:" in lines
    assert "head     768 B planned, which no plan can beat" in lines
    assert "minimum  not known on x86-64; head and tail are 2,720 B" in lines
    assert lines[-3:] == [
        "measured head_bytes: 768 B",
        "measured recording_tail_bytes: 1,952 B",
        "measured total_bytes: 2,720 B",
    ]


def test_the_text_names_what_decides_the_minimum(model: Path) -> None:
    found = arena_json(model, "--target", "cortex-m55")
    done = mcofa("arena", model, "--target", "cortex-m55", cwd=model.parent)
    words = f"minimum  {found['minimum_bytes']:,} B, decided by: {found['minimum_cause']}"
    assert words in done.stdout.splitlines()


def test_the_drawing_is_whole_and_the_same_each_time(model: Path) -> None:
    drawings = [model.parent / name for name in ("one.svg", "two.svg")]
    for drawing in drawings:
        arena_json(model, "--target", "cortex-m7", "--svg", drawing)
    root = ET.fromstring(drawings[0].read_bytes())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "cortex-m7, cmsis-nn kernels" in (root.findtext("{*}title") or "")
    assert drawings[0].read_bytes() == drawings[1].read_bytes()
    assert sorted(path.name for path in model.parent.iterdir()) == ["one.svg", "small.tflite", "two.svg"]


def test_a_drawing_that_cannot_be_written_leaves_nothing_behind(model: Path) -> None:
    folder = model.parent / "taken.svg"
    folder.mkdir()
    refused(mcofa("arena", model, "--svg", folder, cwd=model.parent), "taken.svg")
    assert sorted(path.name for path in model.parent.iterdir()) == ["small.tflite", "taken.svg"]
    assert list(folder.iterdir()) == []


def test_a_refused_model_leaves_the_last_drawing(model: Path) -> None:
    drawing = model.parent / "memory.svg"
    arena_json(model, "--svg", drawing)
    before = drawing.read_bytes()
    model.write_bytes(small_network()[:500])
    refused(mcofa("arena", model, "--svg", drawing, cwd=model.parent), "small.tflite")
    assert drawing.read_bytes() == before


def one_op(name: str, dtype: str = "int8", subgraphs: int = 1) -> bytes:
    m = ModelBuilder()
    scales = 0 if dtype == "float32" else 1
    x, y = m.tensor((1, 4), dtype, scales=scales), m.tensor((1, 4), dtype, scales=scales)
    m.op(name, [x], [y])
    return m.build([x], [y], subgraphs=subgraphs)


REFUSED = {
    "unsigned": (one_op("RELU", "uint8"), "TFLM does not run RELU (uint8)"),
    "subgraphs": (one_op("RELU", subgraphs=2), "subgraph 1 of 2 is never called"),
    "unsupported": (one_op("BUCKETIZE"), "no memory rule for: BUCKETIZE"),
    "truncated": (small_network()[:700], "model.tflite: corrupt or truncated"),
    "empty": (b"", "model.tflite: not a .tflite file: 0 bytes"),
    "text": (b"not a model at all, but long enough", "model.tflite: not a .tflite file"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("options", [(), ("--json", "--measure")], ids=["text", "json"])
def test_a_model_that_cannot_be_accounted_for(case: str, options: tuple[str, ...], tmp_path: Path) -> None:
    data, message = REFUSED[case]
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    refused(mcofa("arena", path, *options, cwd=tmp_path), message)


def test_what_is_no_file(tmp_path: Path) -> None:
    refused(mcofa("arena", tmp_path, cwd=tmp_path), str(tmp_path))
    refused(mcofa("arena", tmp_path / "none.tflite", cwd=tmp_path), "not found", "none.tflite")


def test_unknown_targets_and_kernels(model: Path) -> None:
    done = mcofa("arena", model, "--target", "cortex-m44", cwd=model.parent)
    refused(done, "unknown target 'cortex-m44' (did you mean cortex-m4?)")
    done = mcofa("arena", model, "--kernels", "cmsis-nn", cwd=model.parent)
    refused(done, "unknown kernel set on x86-64 'cmsis-nn'", "known: reference")


@pytest.mark.parametrize(
    "words",
    [("--measure", "--target", "cortex-m7"), ("--kernels", "fast"), ("--target",)],
)
def test_wrong_usage(model: Path, words: tuple[str, ...]) -> None:
    done = mcofa("arena", model, *words, cwd=model.parent)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert "Error: " in done.stderr


def test_several_models_in_one_arena(model: Path) -> None:
    found = arena_json(model, model, "--target", "cortex-m7")
    alone = account(parse_tflite(small_network(), "small"), target("cortex-m7", "cmsis-nn"))
    assert found["models"] == [str(model), str(model)]
    assert found["shared_bytes"] == alone.head_bytes
    assert found["own_bytes"][0] == alone.tail_bytes > found["own_bytes"][1]
    used_bytes = found["shared_bytes"] + sum(found["own_bytes"])
    assert found["arena_bytes"] >= used_bytes
    shown = mcofa("arena", model, model, "--target", "cortex-m7", cwd=model.parent).stdout
    assert f"{found['arena_bytes']:,} B" in shown


@pytest.mark.parametrize("option", [("--measure",), ("--svg", "arena.svg")])
def test_what_is_for_one_model_only(model: Path, option: tuple[str, ...]) -> None:
    done = mcofa("arena", model, model, *option, cwd=model.parent)
    assert done.returncode == 2
    assert "one model only" in done.stderr
    assert not (model.parent / "arena.svg").exists()
