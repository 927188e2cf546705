"""The CI gate: predicted equals measured, and the board's budgets are kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from xml.etree import ElementTree

from export.runtimes.tflm import measure
from export.tflite.parse import parse_tflite
from mcofa.boards import Board
from mcofa.engines.tflm import account, target
from mcofa.engines.tflm.runtime_code import graph_code_bytes
from mcofa.engines.tflm.targets import board_target
from mcofa.errors import ArenaCheckError


@dataclass(frozen=True)
class ArenaCheck:
    """What was predicted for the board, and predicted and measured on x86-64, in bytes.

    ``flash_bytes`` is the model, the runtime's code with the ops of the model, and what the
    board reserves for the firmware.
    """

    board: str
    core: str
    kernels: str
    arena_bytes: int
    arena_budget_bytes: int
    model_bytes: int
    flash_bytes: int
    flash_budget_bytes: int
    x86_64_predicted_head_bytes: int
    x86_64_predicted_tail_bytes: int
    x86_64_measured_head_bytes: int
    x86_64_measured_tail_bytes: int

    def cases(self) -> dict[str, str]:
        """Return what is checked, each with what is wrong, or "" where it is as it must be."""
        cases = {}
        for part in ("head", "tail"):
            predicted = getattr(self, f"x86_64_predicted_{part}_bytes")
            measured = getattr(self, f"x86_64_measured_{part}_bytes")
            differs = f"{part} on x86-64: predicted {predicted:,} B, TFLM measured {measured:,} B"
            cases[f"{part} predicted = measured (x86-64)"] = differs if predicted != measured else ""
        over = f"arena {self.arena_bytes:,} B exceeds {self.arena_budget_bytes:,} B on {self.board}"
        cases[f"arena fits {self.board}"] = over if self.arena_bytes > self.arena_budget_bytes else ""
        over = (
            f"flash {self.flash_bytes:,} B (model {self.model_bytes:,} B) exceeds "
            f"{self.flash_budget_bytes:,} B on {self.board}"
        )
        cases[f"flash fits {self.board}"] = over if self.flash_bytes > self.flash_budget_bytes else ""
        return cases

    def failures(self) -> list[str]:
        """Say what is not as it must be; empty when the check is met."""
        return [failure for failure in self.cases().values() if failure]

    def to_json(self) -> dict[str, Any]:
        """Return every figure and whether the check is met."""
        return {**asdict(self), "passed": not self.failures(), "failures": self.failures()}


def check_arena(data: bytes, board: Board, name: str) -> ArenaCheck:
    """Predict and measure the arena of the .tflite ``data``; nothing is judged here.

    Raises:
        FileFormatError: not a model that TFLM can load.
        UnsupportedOpError: an op that the accounting has no rule for.
    """
    graph = parse_tflite(data, name)
    on_board = account(graph, board_target(board))
    assert on_board.minimum_bytes is not None
    on_host = account(graph, target("x86-64", "reference"))
    measured = measure(data, name)
    return ArenaCheck(
        board=board.name,
        core=board.core,
        kernels=board.kernels,
        arena_bytes=on_board.minimum_bytes,
        arena_budget_bytes=board.arena_budget_bytes,
        model_bytes=len(data),
        flash_bytes=len(data) + graph_code_bytes(graph, board) + board.reserved.firmware_flash_bytes,
        flash_budget_bytes=board.flash_budget_bytes,
        x86_64_predicted_head_bytes=on_host.head_bytes,
        x86_64_predicted_tail_bytes=on_host.recording_tail_bytes,
        x86_64_measured_head_bytes=measured.head_bytes,
        x86_64_measured_tail_bytes=measured.recording_tail_bytes,
    )


def junit_xml(check: ArenaCheck, name: str) -> bytes:
    """Return the check of the model ``name`` as a JUnit XML report, one test case for each thing checked."""
    cases = check.cases()
    suite = ElementTree.Element(
        "testsuite",
        name=f"mcofa arena-check {name}",
        tests=str(len(cases)),
        failures=str(len(check.failures())),
        errors="0",
        skipped="0",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for key, value in asdict(check).items():
        ElementTree.SubElement(properties, "property", name=key, value=str(value))
    for title, failure in cases.items():
        case = ElementTree.SubElement(suite, "testcase", classname=f"{name} on {check.board}", name=title)
        if failure:
            ElementTree.SubElement(case, "failure", message=failure).text = failure
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    document: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def enforce(check: ArenaCheck) -> None:
    """Do nothing when the check is met.

    Raises:
        ArenaCheckError: lists every failure.
    """
    failures = check.failures()
    if failures:
        raise ArenaCheckError(
            "; ".join(failures),
            f"search again with `mcofa search --board {check.board}`, or choose a board with more memory "
            "(`mcofa boards`)",
        )
