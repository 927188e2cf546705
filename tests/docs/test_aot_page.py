"""docs/aot.md says what engine aot plans and generates: its table of arenas, its picture, its C."""

from __future__ import annotations

import re
from pathlib import Path

import evidence
import pytest
import span_picture

from export.aot.render import generate
from export.tflite.parse import parse_tflite
from mcofa.engines.aot import flow, plan
from mcofa.engines.aot.flow import flow_of
from mcofa.engines.aot.plan import plan_aot
from mcofa.engines.aot.spans import SpanBytes
from mcofa.engines.tflm import account, target
from mcofa.graph import Graph
from mcofa.lowering import lower
from mcofa.space.search_space import load_space

FOLDER = Path(__file__).resolve().parents[2] / "docs"
PAGE = (FOLDER / "aot.md").read_text(encoding="utf-8")
M7 = target("cortex-m7", "cmsis-nn")
GENERATED_FROM = "mb_r48_k3_e3_d1_w025"
_COLUMNS = "| network | image | TFLM, Cortex-M7 | op by op | image in the arena | by rows |"


def rows() -> dict[str, list[int]]:
    """The table of arenas: bytes by network."""
    text = PAGE.split(_COLUMNS)[1].split("\n\n")[0]
    cells = [line.strip("| ").split(" | ") for line in text.splitlines()[2:]]
    return {name: [int(number.replace(",", "")) for number in numbers] for name, *numbers in cells}


def network(name: str) -> Graph:
    if name.endswith("`mcofa-micro`"):
        space = load_space("mcofa-micro")
        return lower(space, space.largest() if name.startswith("largest") else space.smallest())
    models = evidence.measured_models()
    if name not in models:
        pytest.skip(f"{name} is not at hand: set MCOFA_DATA")
    return parse_tflite(models[name].read_bytes(), name)


def op_by_op(spans: SpanBytes, _limit: int) -> list[range]:
    return [range(step, step + 1) for step, _ in enumerate(spans.up_to_each())]


@pytest.mark.parametrize("name", rows())
def test_arenas_are_what_is_planned(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network(name)
    resident, by_rows = (plan_aot(graph, M7, streams_input).arena_bytes for streams_input in (False, True))
    monkeypatch.setattr(plan, "best_cut", op_by_op)
    monkeypatch.setattr(flow, "over_input_bytes", lambda graph, op: None)
    whole = plan_aot(graph, M7).arena_bytes
    image = graph.tensors[graph.inputs[0]].bytes
    assert rows()[name] == [image, account(graph, M7).minimum_bytes, whole, resident, by_rows]


def test_what_it_saves_is_what_the_table_says() -> None:
    """The shares of the first paragraph."""
    shares = re.findall(r"is (\d+) to (\d+) % of .*?, and (\d+) to (\d+) % where", PAGE)
    resident = [round(100 * row[3] / row[2]) for row in rows().values()]
    by_rows = [round(100 * row[4] / row[2]) for row in rows().values()]
    assert [tuple(map(int, found)) for found in shares] == [
        (min(resident), max(resident), min(by_rows), max(by_rows))
    ]


def test_the_picture_is_what_is_drawn() -> None:
    assert (FOLDER / "span.svg").read_text(encoding="utf-8") == span_picture.draw()
    assert "](span.svg)" in PAGE


def test_the_picture_shows_what_convolutions_need() -> None:
    """Counted by hand: of stride 2, row 3 of B needs rows 6 to 8 of A, and row 8 of A needs rows 7 to 9."""
    assert span_picture.made_rows(flow_of(span_picture.network()), 3) == [10, 9, 4, 4]


def test_the_c_is_what_is_generated() -> None:
    data = evidence.measured_models()[GENERATED_FROM].read_bytes()
    files = generate(data, GENERATED_FROM, M7, streams_input=True).files
    maker, declaration = re.findall(r"```c\n(.*?)```", PAGE, re.DOTALL)
    assert maker in files["network.c"].decode()
    assert declaration in files["network.h"].decode()
    assert f"This one is from `{GENERATED_FROM}`" in PAGE
