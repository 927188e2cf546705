"""What a run found, predicted and measured, as rows of text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mcofa.report.accuracy import accuracy_steps, weights_note
from mcofa.report.compared import compared
from mcofa.space.arch import arch_from_json


def report_rows(folder: Path, manifest: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (what, value) pairs for everything that the run's commands have recorded so far."""
    rows = _search_rows(manifest["search"], folder)
    rows += [(f"accuracy, {step.name}", step.words) for step in accuracy_steps(manifest)]
    if note := weights_note(manifest, str(folder)):
        rows.append(("weights", note))
    for section, describe in (
        ("arena_check", _arena_rows),
        ("export", _file_rows),
        ("firmware", lambda firmware, _: [("firmware project", firmware["folder"])]),
    ):
        if section in manifest:
            rows += describe(manifest[section], folder)
    return rows


def _search_rows(found: dict[str, Any], folder: Path) -> list[tuple[str, str]]:
    budget, predicted = found["budget"], found["predicted"]
    rows = [("arch", str(arch_from_json(found["arch"], str(folder))))]
    if found["board"] is not None:
        rows = [
            ("board", f"{found['board']} ({found['core']}, {found['kernels']})"),
            *rows,
            ("minimum arena, board, predicted", _of(predicted["arena_bytes"], budget["arena_bytes"])),
            ("flash, board, predicted", _of(predicted["flash_bytes"], budget["flash_bytes"])),
            ("latency, board, estimated", _latency(predicted)),
        ]
    return [*rows, ("MACs", f"{predicted['macs'] / 1e6:.2f} M")]


def _arena_rows(check: dict[str, Any], _: Path) -> list[tuple[str, str]]:
    rows = [
        (f"arena, {place}, {part}", f"predicted {predicted:,} B, {_measured(measured)}")
        for place, part, predicted, measured in compared(check)
    ]
    of_file = _of(check["arena_bytes"], check["arena_budget_bytes"])
    rows.append((f"minimum arena, {check['board']}, of the file", of_file))
    verdict = "passed" if check["passed"] else "; ".join(check["failures"])
    return [*rows, (f"arena check, {check['board']}", verdict)]


def _measured(size_bytes: int | None) -> str:
    return "not measured" if size_bytes is None else f"measured {size_bytes:,} B"


def _file_rows(exported: dict[str, Any], folder: Path) -> list[tuple[str, str]]:
    artefacts = [exported["onnx"], exported["tflite"], *exported["c_arrays"]]
    return [("file", f"{folder / a['file']} ({a['bytes']:,} B)") for a in artefacts]


def _latency(predicted: dict[str, Any]) -> str:
    error = 100 * predicted["latency_relative_error"]
    return f"{predicted['latency_ms_estimate']:.1f} ms (± {error:.0f} % in instructions, one a cycle assumed)"


def _of(used_bytes: int, budget_bytes: int | None) -> str:
    if budget_bytes is None:
        return f"{used_bytes:,} B, no limit"
    return f"{used_bytes:,} of {budget_bytes:,} B ({100 * used_bytes / budget_bytes:.0f} %)"
