from __future__ import annotations

import copy
import functools
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import click
import pytest
from recorded_sections import export_section, manifest_of

from mcofa.boards import load_board
from mcofa.cli import main
from mcofa.cli.options import open_run
from mcofa.cli.search import search
from mcofa.cost.arch_cost import cost, graph_macs
from mcofa.engines.aot.plan import plan_aot
from mcofa.engines.arenas import EngineArena
from mcofa.engines.tflm import account, target
from mcofa.engines.tflm.targets import board_target
from mcofa.engines.tflm.timeline import tflm_timeline
from mcofa.files.resources import data_folder
from mcofa.lowering import lower
from mcofa.report.front import PageFront
from mcofa.report.page import op_rows, report_page
from mcofa.report.rows import report_rows
from mcofa.runs.run import Run, artefact
from mcofa.search.recorded_front import recorded_front
from mcofa.space.arch import Arch, arch_from_json
from mcofa.space.search_space import load_space

SPACE = load_space("mcofa-micro")
ON = target("cortex-m7", "cmsis-nn")
FRONT = PageFront("", "Not drawn.")
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
        "space_fingerprint": SPACE.fingerprint,
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
            "outside_measured_range": True,
        },
    }


def _page(arch: Arch, **sections: Any) -> _Page:
    manifest = manifest_of({"search": _searched(arch), **sections})
    graph = lower(SPACE, arch)
    page = _Page(report_page(Path("runs/x"), manifest, arch, graph, tflm_timeline(graph, ON), FRONT, SPACE))
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
    assert "Not recorded: how search was called; search with seed 3." in text
    assert "90.10 ± 0.20 % of validation images, the supernet's weights; OUTSIDE what was measured" in text
    assert "Predicted and measured" not in text


def test_later_commands_add_their_parts() -> None:
    arch = SPACE.smallest()
    model_bytes = _searched(arch)["predicted"]["model_bytes"]
    verified = {
        "split": "validation",
        "images": 5_000,
        "ranked_by": "int8",
        "candidates": [{"int8_top1_percent": 89.5, "standard_error_points": 0.4}],
    }
    text = _page(
        arch,
        search=_searched(arch) | {"verified": verified},
        finetune={
            "validation_images": 5_000,
            "validated_as": "int8",
            "validation_top1_percent": {"before": 89.6, "after": 91.2},
        },
        export={
            "weights": "finetuned",
            "tflite": {"bytes": model_bytes},
            "offline_plan": {"used": False, "growth_bytes": 0},
        },
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
            "command": ["mcofa", "arena-check", "runs/my x", "--board", "my boards/x.yaml"],
        },
    ).text
    assert f"model file {model_bytes:,} {model_bytes:,} equal" in text
    assert "arena, x86-64, head 7,008 7,009 differs" in text
    assert "verified, int8 89.50 ± 0.40 % of 5,000 validation images, the supernet's weights" in text
    assert "before fine-tuning 89.60 % of 5,000 validation images (int8), the supernet's weights" in text
    assert "fine-tuned 91.20 % of 5,000 validation images (int8), fine-tuned weights" in text
    assert "float 90.25 % of 10,000 test images, fine-tuned weights" in text
    assert "0 differ from LiteRT" in text
    assert "mcofa arena-check 'runs/my x' --board 'my boards/x.yaml'" in text
    assert "Not recorded: how search, finetune, export, evaluate were called" in text


def test_the_ops_add_up() -> None:
    arch = SPACE.largest()
    graph = lower(SPACE, arch)
    memory = tflm_timeline(graph, ON)
    rows = op_rows(graph, memory)
    assert sum(row.macs for row in rows) == graph_macs(graph)
    assert sum(row.macs_percent for row in rows) == pytest.approx(100)
    assert sum(row.constant_bytes for row in rows) == sum(t.bytes for t in graph.tensors if t.constant)
    (peak,) = (row for row in rows if row.at_peak)
    assert peak.live_bytes == max(row.live_bytes for row in rows) == memory.lower_bound_bytes


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The search section of a run."""
    folder = tmp_path_factory.mktemp("searched")
    assert main(["search", "--board", "stm32f103", "--time-limit", "0.5", "--out", str(folder)]) == 0
    return Run(folder).section("search")


def _zoo_copy(folder: Path) -> Path:
    folder.mkdir()
    return Path(shutil.copy(data_folder("zoo") / "mcofa-micro.npz", folder))


def test_names_are_escaped() -> None:
    manifest = manifest_of({"mcofa_version": "<b>", "search": _searched(SPACE.smallest())})
    arch = SPACE.smallest()
    graph = lower(SPACE, arch)
    html = report_page(Path("<script>"), manifest, arch, graph, tflm_timeline(graph, ON), FRONT, SPACE)
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


def test_the_printed_search_is_the_one_that_was_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["--board", "mps3-an547", "--engine", "tflm", "--kernels", "reference", "--min-top1", "85"]
    typed += ["--time-limit", "1", "--predictor", str(_zoo_copy(tmp_path / "my zoo")), "--seed", "4"]
    typed += ["--out", str(tmp_path / "my run")]
    assert main(["search", *typed]) == 0
    assert main(["report", str(tmp_path / "my run")]) == 0
    shown = _Page((tmp_path / "my run" / "report.html").read_text())
    (printed,) = (line for line in "".join(shown.words).splitlines() if line.startswith("mcofa search"))
    options = search.make_context("search", shlex.split(printed)[2:]).params
    assert options == search.make_context("search", typed).params


@pytest.mark.parametrize(
    "options",
    [
        ["--board", "microbit", "--engine", "aot"],
        ["--board", "rp2040", "--kernels", "reference"],
        ["--board", "stm32f103", "--min-top1", "85"],
        ["--max-peak-items", "20000"],
    ],
    ids=" ".join,
)
def test_the_front_is_that_of_the_search(options: list[str], tmp_path: Path) -> None:
    assert main(["search", *options, "--time-limit", "1", "--out", str(tmp_path)]) == 0
    searched = Run(tmp_path).section("search")
    front, chosen = recorded_front(Run(tmp_path), seconds=0.01)
    assert chosen.arch == arch_from_json(searched["arch"], "")
    assert searched["predicted"].items() <= chosen.predicted().items()
    costs = {name: chosen.predicted()[name] for name in front.measures}
    assert any(
        all(
            point.predicted()[name] <= cost if name != "top1_percent" else point.predicted()[name] >= cost
            for name, cost in costs.items()
        )
        for point in front.points
    )


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("predictor", "nowhere.npz", "not found: nowhere.npz"),
        ("arch", SPACE.smallest().to_json(), "not those of the search"),
    ],
)
def test_a_front_that_cannot_be_drawn_does_not_cost_the_page(
    key: str, value: Any, why: str, searched: dict[str, Any], tmp_path: Path
) -> None:
    Run(tmp_path).record("search", {**searched, key: value})
    assert main(["report", str(tmp_path)]) == 0
    text = _Page((tmp_path / "report.html").read_text()).text
    assert "Not drawn: " in text
    assert why in text


def test_a_command_on_the_newest_run_is_recorded_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs" / "x"
    monkeypatch.chdir(tmp_path)
    Run(folder).record("search", {})

    @click.command()
    def note() -> None:
        open_run(None).record("note", {})

    note.main([], standalone_mode=False, obj=["note", "--json"])
    assert Run(folder).section("note")["command"] == ["mcofa", "note", "--json", "runs/x"]


def test_limits_that_a_run_does_not_have(
    searched: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = {"arena_bytes": 65_536, "flash_bytes": None, "model_bytes": 65_536}
    Run(tmp_path).record("search", {**searched, "budget": limits})
    assert main(["report", str(tmp_path)]) == 0
    assert f"{searched['predicted']['flash_bytes']:,} B, no limit" in capsys.readouterr().out


@pytest.mark.parametrize("section", [{}, None, [], {"board": None}])
def test_a_damaged_manifest_leaves_no_page(
    section: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"mcofa_version": "0", "search": section}))
    assert main(["report", str(tmp_path)]) == 1
    assert f"{tmp_path}/manifest.json: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("name", ["mine", SPACE.name])
def test_a_space_from_a_file(
    name: str, searched: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = SPACE.model_copy(update={"name": name, "classes": 7})
    searched = {**searched, "space": name, "space_fingerprint": space.fingerprint}
    Run(tmp_path).record("search", {**searched, "space_definition": space.model_dump(mode="json")})
    assert main(["report", str(tmp_path)]) == 0
    assert "head 7 classes" in _Page((tmp_path / "report.html").read_text()).text
    (tmp_path / "report.html").unlink()
    del searched["space_definition"]
    Run(tmp_path).record("search", searched)
    assert main(["report", str(tmp_path)]) == 1
    assert f"the space {name} ({space.fingerprint})" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_a_folder_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 1
    assert "mcofa search" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_front_is_drawn_anew_and_never_taken_from_a_picture(tmp_path: Path) -> None:
    """A run from elsewhere may hold any SVG: none of it reaches the page."""
    run = tmp_path / "run"
    options = ["--board", "stm32f746", "--pareto", "arena_bytes,latency_ms,top1_percent"]
    assert main(["search", *options, "--time-limit", "1", "--out", str(run)]) == 0
    searched = Run(run).section("search")
    script = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    searched["pareto"]["svg"] = artefact("pareto.svg", script)
    Run(run).record("search", searched, {"pareto.svg": script})
    assert main(["report", str(run)]) == 0
    html = (run / "report.html").read_text()
    assert "alert(1)" not in html
    points = len((run / "pareto.csv").read_text().splitlines()) - 1
    assert points > 10
    assert html.count('r="3"') + html.count('r="6"') in (points, points + 1)


@pytest.mark.parametrize("cell", ["<script>alert(1)</script>", "nan", "inf", "1e308", ""])
def test_a_front_file_that_holds_no_numbers_is_not_drawn(cell: str, tmp_path: Path) -> None:
    options = ["--board", "stm32f103", "--pareto", "arena_bytes,top1_percent"]
    assert main(["search", *options, "--time-limit", "1", "--out", str(tmp_path)]) == 0
    searched = Run(tmp_path).section("search")
    table = f"arena_bytes,top1_percent,arch\n{cell},90,<script>\n".encode()
    searched["pareto"]["csv"] = artefact("pareto.csv", table)
    Run(tmp_path).record("search", searched, {"pareto.csv": table})
    assert main(["report", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "pareto.csv: holds no Pareto front." in page
    assert "<script" not in page


def test_an_aot_run_shows_the_memory_of_the_generated_c(tmp_path: Path) -> None:
    assert main(["search", "--board", "stm32f103", "--engine", "aot", "--out", str(tmp_path)]) == 0
    assert main(["report", str(tmp_path)]) == 0
    arena_bytes = Run(tmp_path).section("search")["predicted"]["arena_bytes"]
    text = _Page((tmp_path / "report.html").read_text()).text
    assert f"Activations and scratch take {arena_bytes:,} B" in text
    assert "The generated C keeps nothing besides." in text


@pytest.mark.parametrize("engine", ["tflm", "aot"])
def test_the_arena_is_shown_with_every_engine(
    engine: str, searched: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_rows = engine == "aot"
    Run(tmp_path).record("search", {**searched, "engine": engine, "streams_input": by_rows})
    board, graph = load_board("stm32f103"), lower(SPACE, arch_from_json(searched["arch"], ""))
    resident_bytes, by_rows_bytes = (
        plan_aot(graph, board_target(board), streams_input).arena_bytes for streams_input in (False, True)
    )
    tflm_bytes = account(graph, board_target(board)).minimum_bytes
    assert main(["report", str(tmp_path)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    page = _Page((tmp_path / "report.html").read_text()).text
    for shown in (printed, page):
        assert f"engine tflm {tflm_bytes:,} of 17,408 B" in shown
        assert f"engine aot {resident_bytes:,} of 17,408 B" in shown
        assert f"engine aot, image row by row {by_rows_bytes:,} of 17,408 B" in shown
    assert ("minimum arena, board, predicted, image row by row" in printed) == by_rows
    assert ("generated C, the image row by row" in (tmp_path / "report.html").read_text()) == by_rows
    assert main(["report", str(tmp_path), "--json"]) == 0
    arenas = json.loads(capsys.readouterr().out)["arenas"]
    assert [one["arena_bytes"] for one in arenas] == [tflm_bytes, resident_bytes, by_rows_bytes]


@pytest.mark.parametrize("rotate_180", [False, True])
def test_a_network_that_reads_turned_images_needs_the_last_row_first(rotate_180: bool) -> None:
    export = export_section({"network.onnx": b"", "network.tflite": b""}, rotate_180=rotate_180)
    manifest = manifest_of({"search": _searched(SPACE.smallest()), "export": export})
    arenas = (EngineArena("aot", False, 1_000), EngineArena("aot", True, 900))
    rows = dict(report_rows(Path("runs/x"), manifest, SPACE.smallest(), arenas))
    assert rows["arena, engine aot"] == "1,000 of 262,144 B (0 %)"
    turned = "; the image's last row comes first" if rotate_180 else ""
    assert rows["arena, engine aot, image row by row"] == f"900 of 262,144 B (0 %){turned}"


def test_page_and_table_say_the_same_of_the_prediction_after_finetuning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--board", "stm32f103", "--finetuned", "--time-limit", "1"]
    assert main(["search", *options, "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["report", str(tmp_path)]) == 0
    page = _Page((tmp_path / "report.html").read_text()).text
    for shown in (page, " ".join(capsys.readouterr().out.split())):
        assert "of validation images, weights after 10 epochs of fine-tuning" in shown
        assert "before any fine-tuning" not in shown
        assert "the supernet's weights" not in shown


@pytest.mark.parametrize("name", ["[bold]run", "[red", ":smile:", "a]b[link=x]"])
def test_a_folder_name_is_text_in_the_table(
    name: str, searched: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Run(tmp_path / name).record("search", searched)
    assert main(["report", str(tmp_path / name)]) == 0
    assert name in capsys.readouterr().out.splitlines()[0]


HOSTILE = "<img src=x onerror=alert(1)>{{ 7 * 7 }}"


def _texts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where texts lie in a document."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(inner, (*path, key))


def test_no_text_of_a_manifest_is_markup(searched: dict[str, Any], tmp_path: Path) -> None:
    """A run may come from anybody: its texts are refused, or shown as they are."""
    shown = 0
    section = {**searched, "command": ["mcofa", "search"]}
    places = list(_texts(section))
    assert len(places) > 15
    for *path, last in places:
        hostile = copy.deepcopy(section)
        inner = functools.reduce(lambda part, key: part[key], path, hostile)
        inner[last] = HOSTILE
        Run(tmp_path).record("search", hostile)
        page = tmp_path / "report.html"
        page.unlink(missing_ok=True)
        if main(["report", str(tmp_path)]) == 0:
            html = page.read_text()
            assert "<img" not in html, (*path, last)
            shown += "&lt;img src=x onerror=alert(1)&gt;{{ 7 * 7 }}" in html
    assert shown > 0
