from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mcofa.arch import Arch
from mcofa.boards import load_board
from mcofa.cli import main
from mcofa.cost import cost, graph_macs
from mcofa.graph import lower
from mcofa.report_page import op_rows, report_page
from mcofa.space import load_space
from mcofa.tflm import target
from mcofa.timeline import timeline

SPACE = load_space("mcofa-micro")
ON = target("cortex-m7", "cmsis-nn")
VOID = {"meta", "br"}


class _Page(HTMLParser):
    """Checks that every tag is closed, and collects text and references to other documents."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.references: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.words.append(" ")

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def _searched(arch: Arch) -> dict[str, Any]:
    found = cost(SPACE, arch, load_board("stm32f746"))
    return {
        "space": "mcofa-micro",
        "board": "stm32f746",
        "core": "cortex-m7",
        "kernels": "cmsis-nn",
        "engine": "tflm",
        "budget": {"arena_bytes": 262_144, "flash_bytes": 1_048_576, "latency_ms": None},
        "seed": 3,
        "arch": arch.to_json(),
        "predicted": {
            "arena_bytes": found.arena_bytes,
            "model_bytes": found.model_bytes,
            "flash_bytes": found.flash_bytes,
            "top1_percent": 90.1,
            "top1_std_points": 0.2,
        },
    }


def _page(arch: Arch, **sections: Any) -> _Page:
    manifest = {"mcofa_version": "0", "search": _searched(arch), **sections}
    page = _Page(report_page(Path("runs/x"), manifest, lower(SPACE, arch), ON, ""))
    assert page.open == []
    assert all(reference.startswith("#") for reference in page.references)
    return page


@pytest.mark.parametrize("arch", [SPACE.smallest(), SPACE.largest()], ids=["smallest", "largest"])
def test_after_a_search_the_page_says_what_was_predicted(arch: Arch) -> None:
    text = _page(arch).text
    found = cost(SPACE, arch, load_board("stm32f746"))
    assert f"{found.arena_bytes:,} of 262,144 B" in text
    assert f"{found.flash_bytes:,} of 1,048,576 B" in text
    assert f"{found.macs:,} multiply-accumulates" in text
    assert str(arch) in text
    assert "mcofa search --board stm32f746 --space mcofa-micro --max-arena-bytes 262144" in text
    assert "Predicted and measured" not in text


def test_later_commands_add_their_parts() -> None:
    arch = SPACE.smallest()
    model_bytes = _searched(arch)["predicted"]["model_bytes"]
    text = _page(
        arch,
        export={"tflite": {"bytes": model_bytes}, "offline_plan": {"used": False, "growth_bytes": 0}},
        evaluate={
            "float_top1_percent": 90.25,
            "int8_top1_percent": 90.2,
            "tflm_top1_percent": 91.0,
            "test_images": 10_000,
            "tflm_images": 1_000,
            "tflm_images_that_differ_from_litert": 0,
        },
        arena_check={
            "board": "stm32f746",
            "core": "cortex-m7",
            "arena_bytes": 17_000,
            "x86_64_predicted_head_bytes": 7_008,
            "x86_64_measured_head_bytes": 7_009,
            "x86_64_predicted_tail_bytes": 5,
            "x86_64_measured_tail_bytes": 5,
        },
    ).text
    assert f"model file {model_bytes:,} {model_bytes:,} equal" in text
    assert "arena, x86-64, head 7,008 7,009 differs" in text
    assert "90.25 %" in text
    assert "0 differ from LiteRT" in text
    assert "mcofa arena-check runs/x --board stm32f746" in text


def test_the_ops_add_up() -> None:
    arch = SPACE.largest()
    graph = lower(SPACE, arch)
    memory = timeline(graph, ON)
    rows = op_rows(graph, memory)
    assert sum(row.macs for row in rows) == graph_macs(graph)
    assert sum(row.macs_percent for row in rows) == pytest.approx(100)
    assert sum(row.constant_bytes for row in rows) == sum(t.bytes for t in graph.tensors if t.constant)
    (peak,) = (row for row in rows if row.at_peak)
    assert peak.live_bytes == max(row.live_bytes for row in rows) == memory.arena.head_peak.live_bytes


def test_names_are_escaped() -> None:
    manifest = {"mcofa_version": "<b>", "search": _searched(SPACE.smallest())}
    html = report_page(Path("<script>"), manifest, lower(SPACE, SPACE.smallest()), ON, "")
    assert "<script>" not in html
    assert "mcofa &lt;b&gt;" in html


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert main(["search", "--board", "stm32f103", "--out", str(run), "--json"]) == 0
    capsys.readouterr()
    assert main(["report", str(run), "--json"]) == 0
    page = Path(json.loads(capsys.readouterr().out)["page"])
    assert page == run / "report.html"
    shown = _Page(page.read_text())
    assert shown.open == []
    assert "Pareto front" in shown.text


def test_a_folder_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 1
    assert "mcofa search" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
