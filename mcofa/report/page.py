"""A run as one HTML page that needs nothing else: no scripts, no fonts, no network.

What the page shows depends on which commands have run: every part appears when its numbers
are there.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcofa.cost.arch_cost import op_macs
from mcofa.draw.timeline import timeline_svg
from mcofa.engines.arenas import EngineArena
from mcofa.engines.engine import load_engine
from mcofa.graph import Graph
from mcofa.memory.timeline import Timeline
from mcofa.report.accuracy import accuracy_steps, weights_note
from mcofa.report.front import PageFront
from mcofa.report.rows import arena_words
from mcofa.runs.manifest import SECTIONS, Manifest, SearchSection, Section
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace
from mcofa.space.topology import STEM, describe

_TEMPLATE = "page.html.jinja"


@dataclass(frozen=True)
class Bar:
    """A value out of a limit, with its words."""

    name: str
    words: str
    percent: float


@dataclass(frozen=True)
class Part:
    """A stage of the network: what it puts out, and its blocks."""

    name: str
    output: str
    blocks: tuple[str, ...]


@dataclass(frozen=True)
class OpRow:
    """One op of the graph: its output, its constants and its share of the work."""

    number: int
    kind: str
    output: str
    constant_bytes: int
    output_bytes: int
    live_bytes: int
    macs: int
    macs_percent: float
    at_peak: bool


def report_page(
    folder: Path,
    manifest: Manifest,
    arch: Arch,
    graph: Graph,
    memory: Timeline,
    front: PageFront,
    space: SearchSpace | None,
    arenas: Sequence[EngineArena] = (),
) -> str:
    """Return the page for the run in ``folder``.

    ``graph`` is the network as exported, or as predicted before the export; ``memory`` is where the
    run's engine keeps it; ``space`` is what was searched, None where it is not at hand any more;
    ``arenas`` are those of the network with every engine, on the board that was searched for.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    searched = manifest.search
    commands, unrecorded = _commands(manifest)
    ops = op_rows(graph, memory)
    return environment.get_template(_TEMPLATE).render(
        name=folder.name,
        searched=searched,
        arch=str(arch),
        parts=_parts(space, arch),
        budgets=_budgets(searched),
        counted=load_engine(searched.engine).counted if searched.engine else "",
        front=front,
        memory=memory,
        timeline_svg=timeline_svg(memory),
        arenas=[(one.title, arena_words(one, manifest)) for one in arenas],
        ops=ops,
        macs=sum(op.macs for op in ops),
        sizes=_sizes(manifest),
        accuracies=_accuracies(manifest),
        weights_note=weights_note(manifest, str(folder)),
        drawn=_drawn(manifest, memory),
        commands=commands,
        unrecorded=unrecorded,
        version=manifest.mcofa_version,
    )


def op_rows(graph: Graph, memory: Timeline) -> tuple[OpRow, ...]:
    """Return what each op holds and computes."""
    macs = [op_macs(graph, op) for op in graph.ops]
    total = sum(macs) or 1
    rows = []
    for i, op in enumerate(graph.ops):
        output = graph.tensors[op.outputs[0]]
        rows.append(
            OpRow(
                number=i,
                kind=str(op.kind),
                output="×".join(map(str, output.shape)),
                constant_bytes=sum(graph.tensors[t].bytes for t in op.inputs if graph.tensors[t].constant),
                output_bytes=output.bytes,
                live_bytes=memory.rows[i].live_bytes,
                macs=macs[i],
                macs_percent=100 * macs[i] / total,
                at_peak=memory.peak_op in memory.span_of(i),
            )
        )
    return tuple(rows)


def _budgets(searched: SearchSection) -> list[Bar]:
    predicted, limits = searched.predicted, searched.budget
    if predicted is None:
        return []
    wanted = (
        ("arena", predicted.arena_bytes, limits.arena_bytes, "{:,.0f} of {:,.0f} B"),
        ("flash", predicted.flash_bytes, limits.flash_bytes, "{:,.0f} of {:,.0f} B"),
        ("model file", predicted.model_bytes, limits.model_bytes, "{:,.0f} of {:,.0f} B"),
        ("latency (estimate)", predicted.latency_ms_estimate, limits.latency_ms, "{:,.1f} of {:,.1f} ms"),
        ("peak items", predicted.peak_items, limits.peak_items, "{:,.0f} of {:,.0f}"),
    )
    return [
        Bar(name, words.format(used, limit), 100 * used / limit)
        for name, used, limit, words in wanted
        if used is not None and limit is not None
    ]


def _parts(space: SearchSpace | None, arch: Arch) -> list[Part]:
    """The arch stage by stage; without outputs where its space is not at hand any more."""
    if space is None:
        stages = len(arch.kernel_sizes)
        return _stage_parts(arch, [""] * stages, [True] * stages)
    topology = describe(space, arch)
    outputs = {}
    for block in topology:
        *_, last = block.convolutions
        outputs[block.part[0]] = "×".join(map(str, (*last.output_size, last.width)))
    stem = [layer for block in topology if block.part == STEM for layer in block.convolutions]
    head = [layer for layer in topology[-1].convolutions if not layer.biased]
    windows = tuple(f"{layer.kernel}×{layer.kernel}" for layer in stem if layer.kernel > 1)
    return [
        Part("stem", outputs[STEM[0]], windows),
        *_stage_parts(arch, [outputs[stage] for stage in range(len(space.stages))], space.expands.tolist()),
        Part("head", f"{space.classes} classes", tuple(f"1×1, {layer.width}" for layer in head)),
    ]


def _stage_parts(arch: Arch, outputs: Sequence[str], expands: Sequence[bool]) -> list[Part]:
    return [
        Part(
            f"stage {number}",
            output,
            tuple(
                f"{kernel}×{kernel}, ×{ratio:g}" if expanding else f"{kernel}×{kernel}"
                for kernel, ratio in zip(kernels, ratios, strict=True)
            ),
        )
        for number, (kernels, ratios, output, expanding) in enumerate(
            zip(arch.kernel_sizes, arch.expand_ratios, outputs, expands, strict=True), 1
        )
    ]


def _sizes(manifest: Manifest) -> list[tuple[str, int, int | None]]:
    """What was predicted and, where it was, measured."""
    rows: list[tuple[str, int, int | None]] = []
    predicted = manifest.search.predicted
    if manifest.export and predicted and predicted.model_bytes is not None:
        plan = manifest.export.offline_plan
        growth = plan.growth_bytes if plan and plan.used else 0
        rows.append(("model file", predicted.model_bytes + growth, manifest.export.tflite.bytes))
    if check := manifest.arena_check:
        rows += [
            (f"arena, {one.place}, {one.part}", one.predicted_bytes, one.measured_bytes)
            for one in check.compared
        ]
        rows.append((f"arena, {check.board} ({check.core})", check.arena_bytes, None))
    return rows


def _accuracies(manifest: Manifest) -> list[Bar]:
    """The accuracy at each step of the chain, drawn from just below the lowest."""
    steps = accuracy_steps(manifest)
    lowest = min((step.top1_percent for step in steps), default=0) - 1
    span = max((step.top1_percent for step in steps), default=0) - lowest
    return [Bar(step.name, step.words, 100 * (step.top1_percent - lowest) / span) for step in steps]


def _drawn(manifest: Manifest, memory: Timeline) -> str:
    """Of what the memory is drawn, and how that differs from what the search predicted."""
    if manifest.export is None:
        return "Drawn is the network as the search knows it."
    predicted = manifest.search.predicted
    words = f"Drawn is the exported file: {memory.arena_bytes:,} B"
    if predicted is None or predicted.arena_bytes in (None, memory.arena_bytes):
        return f"{words}."
    return f"{words}, where the search predicted {predicted.arena_bytes:,} B by the engine's own memory plan."


def _commands(manifest: Manifest) -> tuple[list[str], list[str]]:
    """The shell commands that made the run, and the names of those that were not recorded."""
    done: dict[str, Section] = {name: found for name in SECTIONS if (found := getattr(manifest, name))}
    typed = [shlex.join(section.command) for section in done.values() if section.command is not None]
    unknown = [name.replace("_", "-") for name, section in done.items() if section.command is None]
    return typed, unknown
