"""What a run found, predicted and measured, as rows of text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mcofa.engines.arenas import EngineArena
from mcofa.report.accuracy import accuracy_steps, weights_note
from mcofa.runs.manifest import ArenaCheckSection, ExportSection, Manifest, Predicted, SearchSection
from mcofa.space.arch import Arch


def report_rows(
    folder: Path, manifest: Manifest, arch: Arch, arenas: Sequence[EngineArena] = ()
) -> list[tuple[str, str]]:
    """Return (what, value) pairs for everything that the run's commands have recorded so far.

    ``arenas`` are those of the network with every engine, on the board that was searched for.
    """
    rows = _search_rows(manifest.search, arch)
    rows += [(f"accuracy, {step.name}", step.words) for step in accuracy_steps(manifest)]
    if note := weights_note(manifest, str(folder)):
        rows.append(("weights", note))
    if manifest.arena_check:
        rows += _arena_rows(manifest.arena_check)
    rows += [(f"arena, {one.title}", arena_words(one, manifest)) for one in arenas]
    if manifest.export:
        rows += _file_rows(manifest.export, folder)
    if manifest.firmware:
        rows.append(("firmware project", os.path.normpath(folder / manifest.firmware.folder)))
    return rows


def _search_rows(found: SearchSection, arch: Arch) -> list[tuple[str, str]]:
    rows = [("arch", str(arch))]
    if found.board is not None:
        rows.insert(0, ("board", f"{found.board} ({found.core}, {found.kernels})"))
    if (predicted := found.predicted) is None:
        return rows
    if predicted.arena_bytes is not None:
        arena = _of(predicted.arena_bytes, found.budget.arena_bytes)
        by_rows = ", image row by row" if found.streams_input else ""
        rows.append((f"minimum arena, board, predicted{by_rows}", arena))
    if predicted.flash_bytes is not None:
        rows.append(("flash, board, predicted", _of(predicted.flash_bytes, found.budget.flash_bytes)))
    if predicted.latency_ms_estimate is not None:
        rows.append(("latency, board, estimated", _latency(predicted)))
    return [*rows, ("MACs", f"{predicted.macs / 1e6:.2f} M")]


def arena_words(one: EngineArena, manifest: Manifest) -> str:
    """Write an arena beside the budget of the search, or why there is none; and which row comes first."""
    if one.arena_bytes is None:
        return one.why_not
    exported = manifest.export
    turned = one.streams_input and exported is not None and exported.input.rotate_180
    words = _of(one.arena_bytes, manifest.search.budget.arena_bytes)
    return f"{words}; the image's last row comes first" if turned else words


def _arena_rows(check: ArenaCheckSection) -> list[tuple[str, str]]:
    rows = [
        (
            f"arena, {one.place}, {one.part}",
            f"predicted {one.predicted_bytes:,} B, {_measured(one.measured_bytes)}",
        )
        for one in check.compared
    ]
    of_file = _of(check.arena_bytes, check.arena_budget_bytes)
    by_rows = ", image row by row" if check.streams_input else ""
    rows.append((f"minimum arena, {check.board}, of the file{by_rows}", of_file))
    verdict = "passed" if check.passed else "; ".join(check.failures)
    return [*rows, (f"arena check, {check.board}", verdict)]


def _measured(size_bytes: int | None) -> str:
    return "not measured" if size_bytes is None else f"measured {size_bytes:,} B"


def _file_rows(exported: ExportSection, folder: Path) -> list[tuple[str, str]]:
    artefacts = [exported.onnx, exported.tflite, *exported.c_arrays]
    return [("file", f"{folder / one.file} ({one.bytes:,} B)") for one in artefacts]


def _latency(predicted: Predicted) -> str:
    error = ""
    if predicted.latency_relative_error is not None:
        error = f" (± {100 * predicted.latency_relative_error:.0f} % in instructions, one a cycle assumed)"
    return f"{predicted.latency_ms_estimate:.1f} ms{error}"


def _of(used_bytes: int, budget_bytes: int | None) -> str:
    if budget_bytes is None:
        return f"{used_bytes:,} B, no limit"
    share = f" ({100 * used_bytes / budget_bytes:.0f} %)" if budget_bytes else ""
    return f"{used_bytes:,} of {budget_bytes:,} B{share}"
