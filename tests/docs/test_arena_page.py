"""docs/arena.md says what the code computes: its blocks, its equations and every other number."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import evidence
import pytest
from test_cli import mcofa
from test_offline_plan import HEADS
from test_promise import EXPORTED_PER_SPACE, GENERATED_PER_SPACE, SPACES
from test_tflm import chain

from mcofa.boards import core_named, core_names, load_board
from mcofa.cost.arch_cost import cost
from mcofa.draw.timeline import timeline_svg
from mcofa.draw.timeline_text import timeline_text
from mcofa.engines.aot.timeline import aot_timeline
from mcofa.engines.tflm import account, structs, target, target_names
from mcofa.engines.tflm.engine import COEFFICIENTS_FILE
from mcofa.engines.tflm.timeline import tflm_timeline
from mcofa.graph import Graph, OpKind
from mcofa.lowering import lower
from mcofa.memory.plan import aligned
from mcofa.memory.timeline import Timeline
from mcofa.ops import OPERATORS
from mcofa.ops.target import KernelSet, Target
from mcofa.space.search_space import load_space

FOLDER = Path(__file__).resolve().parents[2] / "docs"
PAGE = (FOLDER / "arena.md").read_text(encoding="utf-8")
M7 = target("cortex-m7", "cmsis-nn")
X86 = target("x86-64", "reference")
BOARD = "stm32f746"
COLUMNS = 100
MEASURED_ROWS, MEASURED_NUMBERS = 80, 306


def example() -> Graph:
    space = load_space("mcofa-micro")
    return lower(space, space.smallest())


def table(rows: Iterable[Iterable[object]]) -> str:
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def spaced(size: int | None) -> str:
    return "–" if size is None else f"{size:,}"


def op_counts() -> str:
    return table(Counter(op.kind for op in example().ops).items())


def command_output() -> str:
    return timeline_text(tflm_timeline(example(), M7), COLUMNS).rstrip()


def generated_c_output() -> str:
    return timeline_text(aot_timeline(example(), M7), COLUMNS).rstrip()


def summary() -> str:
    """The example on the board's core and on the host."""
    names = ("head_bytes", "tail_bytes", "recording_tail_bytes", "arena_used_bytes", "minimum_bytes")
    arenas = [account(example(), on) for on in (M7, X86)]
    return table((f"`{name}`", *(spaced(getattr(arena, name)) for arena in arenas)) for name in names)


def buffers() -> str:
    """Where every buffer lies, and between which ops it is live."""
    return table(
        (
            buffer.what,
            buffer.first_step - 1 if buffer.first_step else "input",
            buffer.last_step - 1,
            spaced(buffer.bytes),
            spaced(buffer.offset_bytes),
        )
        for buffer in tflm_timeline(example(), M7).buffers
    )


def offline_plans() -> str:
    def cells(before: int, after: int) -> Iterator[str]:
        saved = f"{(before - after) / before * 100:.1f} %" if after < before else "–"
        yield from (spaced(before), spaced(after), saved)

    return table((model, *cells(*on_x86), *cells(*on_m7)) for model, on_x86, on_m7 in HEADS)


def latency_errors() -> str:
    cores = json.loads(COEFFICIENTS_FILE.read_text(encoding="utf-8"))["cores"]

    def cells(core: str, measured_as: str, kernels: str) -> Iterator[str]:
        if measured_as != core:
            yield from (f"not measured, takes the {measured_as}'s coefficients", "–")
        else:
            entry = cores[core][kernels]
            yield from (f"{100 * entry[f'leave_one_out_{kind}_error']:.1f} %" for kind in ("largest", "rms"))

    return table(
        (core, kernels, *cells(core, measured_as, kernels))
        for core in core_names()
        for kernels, measured_as in sorted(core_named(core).measured_as.latency.items())
    )


def supported_ops() -> str:
    return table(
        (kind, *(size for size, _ in record.tflm.builtin_data), *record.tflm.op_data)
        for kind, record in OPERATORS.items()
    )


BLOCKS = (
    op_counts,
    command_output,
    generated_c_output,
    summary,
    buffers,
    offline_plans,
    latency_errors,
    supported_ops,
)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_blocks_are_what_is_computed(block: Callable[[], str]) -> None:
    assert f"\n{block()}\n" in PAGE


@pytest.mark.parametrize(
    ("name", "timeline"), [("arena-timeline.svg", tflm_timeline), ("arena-spans.svg", aot_timeline)]
)
def test_the_drawings_are_what_is_computed(name: str, timeline: Callable[[Graph, Target], Timeline]) -> None:
    drawing = (FOLDER / name).read_text(encoding="utf-8")
    assert drawing == timeline_svg(timeline(example(), M7))
    assert f"]({name})" in PAGE


EQUATION = re.compile(r"`([^`=]+) = ([\d,]+)`")


def value(expression: str) -> int:
    """What an equation's side comes to; ``up16`` rounds up to a multiple of 16."""
    for sign, python in ((",", ""), ("·", "*"), ("−", "-")):
        expression = expression.replace(sign, python)
    assert re.fullmatch(r"(up16|[\d+*() -])+", expression), expression
    found: int = eval(expression, {"__builtins__": {}, "up16": lambda size: aligned(size, 16)})
    return found


def test_every_equation_holds() -> None:
    equations = EQUATION.findall(PAGE)
    assert len(equations) > 30
    for expression, result in equations:
        assert value(expression) == value(result), expression


@pytest.mark.parametrize(("column", "on"), [(0, M7), (1, X86)], ids=["cortex-m7", "x86-64"])
def test_the_tail_is_followed_to_the_byte(column: int, on: Any) -> None:
    """Each category has a row whose equations end in its size, and the last row is their sum."""
    breakdown = account(example(), on).breakdown
    tail_bytes = sum(size for category, size in breakdown.items() if category != "head")
    for category, size in {**breakdown, "together": tail_bytes}.items():
        if category != "head":
            (row,) = re.findall(rf"^\| {category} \|(.*)\|$", PAGE, re.MULTILINE)
            (equation,) = EQUATION.findall(row.split(" | ")[column])
            assert equation[1] == spaced(size), category


def test_the_three_causes_are_followed_to_the_byte() -> None:
    arena = account(example(), M7)
    causes = (arena.resident_bytes, arena.planning_bytes, arena.preparing_bytes, arena.minimum_bytes)
    assert {spaced(size) for size in causes} <= {result for _, result in EQUATION.findall(PAGE)}


NAMES = re.compile(
    r"\]\(\S+\)|\w+/\S+|cortex-m\d+|Cortex-M\d*|\bM\d+|x86-64|stm32\w+|\w+_t\b|up16|int8|QEMU \S+"
    r"|(?:arm|riscv64)-\S+ \S+|commit \w+|mlpt_\w+|CMSIS-NN at \w+|`tflite_micro \S+`|\d+×\d+|\d+-bit"
)


def test_every_other_number_is_a_fact() -> None:
    text = PAGE
    for block in BLOCKS:
        text = text.replace(block(), "")
    text = NAMES.sub("", EQUATION.sub("", text))
    numbers = {int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\d|\d", text)}
    assert {number for number in numbers if number > 16} - facts() == set()


def facts() -> set[int | None]:
    """Every number over 16 that the page states outside blocks and equations."""
    space, board = load_space("mcofa-micro"), load_board(BOARD)
    graph, shown, on_board = example(), tflm_timeline(example(), M7), cost(space, space.smallest(), board)
    arena, host = account(graph, M7), account(graph, X86)
    wide = account(
        chain(
            (OpKind.CONV_2D, (1, 1, 1, 2048)),
            (OpKind.CONV_2D, (1, 1, 1, 10)),
            (OpKind.SOFTMAX, (1, 1, 1, 10)),
            source=(1, 1, 1, 8),
        ),
        target("cortex-m7", "reference"),
    )
    convolutions = sum("CONV" in op.kind for op in graph.ops)
    sizes = structs("arm32")
    return {
        COLUMNS,
        *(len(graph.tensors), len(graph.ops), convolutions, len(shown.buffers)),
        sum(not tensor.constant for tensor in graph.tensors),
        *(tensor for buffer in shown.buffers for tensor in buffer.tensors),
        *(buffer.bytes for buffer in shown.buffers),
        *(buffer.offset_bytes for buffer in shown.buffers),
        *(record.tflm.builtin_data.arm32[0] for record in OPERATORS.values()),
        *(sizes.tensor, sizes.planner_buffer),
        *(arena.breakdown["fixed"], arena.tail_bytes, arena.recording_tail_bytes, arena.minimum_bytes),
        *(host.head_bytes, host.recording_tail_bytes, wide.arena_used_bytes, wide.minimum_bytes, 2048),
        *(on_board.model_bytes, on_board.flash_bytes),
        *(on_board.needs.flash.code_bytes, board.reserved.firmware_flash_bytes),
        144,  # programs that benchmarks/measure_runtime_code.py links: 12 for each core and kernel set
        *HEADS[-1][1],
        *(GENERATED_PER_SPACE * len(SPACES), EXPORTED_PER_SPACE * len(SPACES)),
        *(MEASURED_ROWS, MEASURED_NUMBERS),
    }


def test_what_was_verified() -> None:
    """The table of measured networks, and how many rows and numbers that is."""
    rows = evidence.measured_arenas()
    assert len(rows) == MEASURED_ROWS
    assert sum(len(row.figures) for row in rows) == MEASURED_NUMBERS
    counts = Counter((row.core, row.kernels) for row in rows)
    assert f"\n{table(_verified_rows(counts))}\n" in PAGE


def _verified_rows(counts: Counter[tuple[str, str]]) -> Iterator[tuple[object, ...]]:
    for core in target_names():
        yield core, *(counts[core, kernels] or "–" for kernels in KernelSet)


def test_how_many_models_latency_was_fitted_to() -> None:
    cores = json.loads(COEFFICIENTS_FILE.read_text(encoding="utf-8"))["cores"]
    fitted = [
        entry["error_per_model"] for sets in cores.values() for entry in sets.values() if len(entry) > 1
    ]
    assert Counter(map(len, fitted)) == {7: 7, 6: 2}
    assert "fitted to seven models for each core and kernel set (six for two of them)" in PAGE


@pytest.mark.torch
@pytest.mark.slow
def test_the_commands_make_the_example(tmp_path: Path) -> None:
    """The commands of the page, run as they are shown, give its figures and its drawing."""
    commands = re.findall(r"^\$ mcofa (.+)$", PAGE, re.MULTILINE)[:3]
    assert [command.split()[0] for command in commands] == ["search", "export", "arena"]
    printed = []
    for command in commands:
        done = mcofa(*command.split(), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    space = load_space("mcofa-micro")
    predicted = cost(space, space.smallest(), load_board(BOARD))
    assert printed[0].splitlines()[0] == str(space.smallest())
    assert f"{predicted.flash_bytes:,} of " in printed[0]
    assert command_output().splitlines()[-1] in printed[2].splitlines()
    drawing = tmp_path / "docs" / "arena-timeline.svg"
    assert drawing.read_bytes() == (FOLDER / "arena-timeline.svg").read_bytes()
    done = mcofa("arena", "runs/smallest/network.tflite", "--measure", "--json", cwd=tmp_path)
    measured, host = json.loads(done.stdout)["measured"], account(example(), X86)
    assert measured["head_bytes"] == host.head_bytes
    assert measured["recording_tail_bytes"] == host.recording_tail_bytes
    file = tmp_path / "runs" / "smallest" / "network.tflite"
    assert file.stat().st_size == predicted.model_bytes
