"""The CI gate: predicted equals measured, and the board's budgets are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from export.engines.comparison import Comparison
from export.engines.engine import device_engine
from export.tflite.model_file import ModelFile
from mcofa.boards import Board
from mcofa.engines.engine import load_engine
from mcofa.errors import ArenaCheckError

_REPORT = "report this as a bug of mcofa, with the model"


@dataclass(frozen=True)
class ArenaCheck:
    """What was predicted for the board with an engine, and predictions beside measurements, in bytes.

    ``flash_bytes`` is that of the whole program, test images apart. With ``streams_input`` the image arrives
    row by row. ``flash_uncounted`` are the ops whose code is not in it, as it was not measured.
    """

    board: str
    core: str
    kernels: str
    engine: str
    arena_bytes: int
    arena_budget_bytes: int
    model_bytes: int
    flash_bytes: int
    flash_budget_bytes: int
    comparisons: tuple[Comparison, ...]
    streams_input: bool = False
    flash_uncounted: tuple[str, ...] = ()

    @property
    def figures(self) -> dict[str, Any]:
        """Every figure, by name."""
        named = {name: getattr(self, name) for name in self.__match_args__ if name != "comparisons"}
        return named | {key: size for one in self.comparisons for key, size in one.to_json().items()}

    @property
    def not_measured(self) -> str:
        """Why nothing was measured, or ""."""
        return next((one.why_not for one in self.comparisons if one.why_not), "")

    @property
    def wrong(self) -> dict[str, str]:
        """What was predicted beside what was measured, each with what is wrong, or ""."""
        return {one.title: one.failure for one in self.comparisons if one.measured_bytes is not None}

    @property
    def over(self) -> dict[str, str]:
        """What must fit the board, each with by how much it does not, or ""."""
        arena = f"arena {self.arena_bytes:,} B exceeds {self.arena_budget_bytes:,} B on {self.board}"
        flash = (
            f"flash {self.flash_bytes:,} B (model {self.model_bytes:,} B) exceeds "
            f"{self.flash_budget_bytes:,} B on {self.board}"
        )
        return {
            f"arena fits {self.board}": arena if self.arena_bytes > self.arena_budget_bytes else "",
            f"flash fits {self.board}": flash if self.flash_bytes > self.flash_budget_bytes else "",
        }

    def cases(self) -> dict[str, str]:
        """Return what is checked, each with what is wrong, or "" where it is as it must be."""
        return self.wrong | self.over

    def failures(self) -> list[str]:
        """Say what is not as it must be; empty when the check is met."""
        return [failure for failure in self.cases().values() if failure]

    def to_json(self) -> dict[str, Any]:
        """Return every figure and whether the check is met."""
        told: dict[str, Any] = {"not_measured": self.not_measured} if self.not_measured else {}
        told |= {"comparisons": [one.sizes() for one in self.comparisons]}
        return {**self.figures, **told, "passed": not self.failures(), "failures": self.failures()}


def check_arena(model: ModelFile, board: Board, engine: str, streams_input: bool = False) -> ArenaCheck:
    """Predict and, where it can be, measure what ``model`` takes with ``engine``; nothing is judged here.

    Raises:
        FileFormatError: not a model that the engine can load.
        UnsupportedOpError: an op that the engine has no rule or no kernel for.
        UnstreamableInputError: the engine cannot take the input row by row.
        EmulationError: the engine's program fails its self-test in the emulator.
    """
    needs = load_engine(engine).needs(model.graph, board, len(model.data), streams_input=streams_input)
    return ArenaCheck(
        board=board.name,
        core=board.core,
        kernels=board.kernels,
        engine=engine,
        arena_bytes=needs.arena_bytes,
        arena_budget_bytes=board.arena_budget_bytes,
        model_bytes=len(model.data),
        flash_bytes=needs.flash.total_bytes,
        flash_budget_bytes=board.flash_budget_bytes,
        comparisons=tuple(device_engine(engine).measure(model, board, streams_input=streams_input)),
        streams_input=streams_input,
        flash_uncounted=needs.flash.uncounted,
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
    for key, value in check.figures.items():
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
    steps = []
    if any(check.wrong.values()):
        steps.append(_REPORT)
    if any(check.over.values()):
        how = f"--engine {check.engine}{' --stream-input' if check.streams_input else ''}"
        steps.append(
            f"search again with `mcofa search --board {check.board} {how}`, or choose a board with more "
            "memory (`mcofa boards`)"
        )
    if steps:
        raise ArenaCheckError("; ".join(check.failures()), "; ".join(steps))


def enforce_measured(comparisons: Sequence[Comparison]) -> None:
    """Do nothing when all was measured as predicted.

    Raises:
        ArenaCheckError: lists what was not.
    """
    if failures := [one.failure for one in comparisons if one.failure]:
        raise ArenaCheckError("; ".join(failures), _REPORT)
