"""The kinds of files that people write: damaged ones, the commands that read them, and what to expect."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import yaml

from fuzzing.mutate import TEXTS, json_text, mutated_bytes, mutated_document, mutated_table, yaml_text
from fuzzing.sandbox import Outcome
from fuzzing.seeds import OUT, Case, Seeds, named, write
from mcofa.accuracy.predictor import load_predictor
from mcofa.space.arch import Arch, arch_from_json
from mcofa.space.search_space import SearchSpace, load_space

_TAGS = ("<script", "<img", "<iframe", "<object", 'onerror="')
_WAYS = (("--engine", "tflm"), ("--engine", "aot"), ("--engine", "aot", "--stream-input"))


# Boards


def _board_file(seeds: Seeds, rng: Random, folder: Path) -> str:
    document = mutated_document(rng, rng.choice(seeds.boards))
    return named(rng, folder, "board", rng.choice((".yaml", ".yaml", ".yml")), yaml_text(rng, document))


def _sane_board(outcome: Outcome) -> str:
    board = outcome.document
    spans = sorted((memory["address"], memory["address"] + memory["bytes"]) for memory in board["memories"])
    if any(start < 0 or end <= start or end > 1 << 32 for start, end in spans):
        return "a memory of no size or beyond 32 bits"
    if any(start < before for (_, before), (start, _) in itertools.pairwise(spans)):
        return "memories overlap"
    return "" if board["clock_hz"] > 0 else "no clock"


def board_show(seeds: Seeds, rng: Random, folder: Path) -> Case:
    return Case(("boards", "show", _board_file(seeds, rng, folder), "--json"), _sane_board)


def board_cost(seeds: Seeds, rng: Random, folder: Path) -> Case:
    space = seeds.spaces["mcofa-micro"]
    arch = write(folder, "arch.json", json.dumps(space.smallest().to_json()).encode())
    options = ("--arch", arch, "--board", _board_file(seeds, rng, folder), *rng.choice(_WAYS))
    return Case(
        ("cost", "--space", space.name, *options, "--json"), lambda outcome: _sane_cost(outcome, space)
    )


def board_search(seeds: Seeds, rng: Random, folder: Path) -> Case:
    options = ("--board", _board_file(seeds, rng, folder), *rng.choice(_WAYS))
    arguments = ("search", *options, "--time-limit", "0.2", "--out", OUT, "--json")
    return Case(arguments, lambda _: _sane_search(folder / OUT, seeds.spaces["mcofa-micro"]))


def board_design(seeds: Seeds, rng: Random, folder: Path) -> Case:
    options = ("--board", _board_file(seeds, rng, folder), "--data-shape", "8x8x1", "--classes", "2")
    return Case(
        ("design-space", *options, "--out", f"{OUT}.yaml", "--json"),
        lambda _: "" if load_space(str(folder / f"{OUT}.yaml")).count() > 0 else "an empty space",
    )


def board_firmware(seeds: Seeds, rng: Random, folder: Path) -> Case:
    model = write(folder, "model.tflite", seeds.model)
    options = ("--board", _board_file(seeds, rng, folder), *rng.choice(_WAYS))
    return Case(("firmware", model, *options, "--out", OUT, "--json"))


# Spaces and archs


def _space_file(seeds: Seeds, rng: Random, folder: Path) -> str:
    space = rng.choice(list(seeds.spaces.values()))
    document = mutated_document(rng, space.model_dump(mode="json", exclude_none=True))
    return named(rng, folder, "space", ".yaml", yaml_text(rng, document))


def _sane_space(outcome: Outcome) -> str:
    space = outcome.document
    return "" if space["archs"] > 0 and len(space["stage_memory"]["rows"]) > 2 else "an empty space"


def space_show(seeds: Seeds, rng: Random, folder: Path) -> Case:
    return Case(("spaces", "show", _space_file(seeds, rng, folder), "--json"), _sane_space)


def space_draw(seeds: Seeds, rng: Random, folder: Path) -> Case:
    options = ("--out", f"{OUT}.svg", "--json")
    file = _space_file(seeds, rng, folder)
    return Case(("spaces", "draw", file, *options), lambda _: _sane_markup(folder / f"{OUT}.svg"))


def space_cost(seeds: Seeds, rng: Random, folder: Path) -> Case:
    """The largest and the smallest arch of the damaged space, where it can be read."""
    file = _space_file(seeds, rng, folder)
    try:
        space = load_space(str(folder / file))
        arch = rng.choice((space.smallest, space.largest))()
        listed = space.decode(space.sample(1, _generator(rng))[0])
    except Exception:
        return Case(("spaces", "show", file, "--json"), fails_only=True)
    chosen = write(folder, "arch.json", json.dumps(rng.choice((arch, listed)).to_json()).encode())
    board = rng.choice(((), ("--board", "stm32f746")))
    return Case(("cost", "--space", file, "--arch", chosen, *board, "--json"), lambda o: _sane_cost(o, space))


def space_search(seeds: Seeds, rng: Random, folder: Path) -> Case:
    options = (
        "--max-peak-items",
        str(10 ** rng.randint(3, 7)),
        "--time-limit",
        "0.2",
        "--out",
        OUT,
        "--json",
    )
    return Case(("search", "--space", _space_file(seeds, rng, folder), *options))


def arch_cost(seeds: Seeds, rng: Random, folder: Path) -> Case:
    space = rng.choice(list(seeds.spaces.values()))
    arch = space.decode(space.sample(1, _generator(rng))[0])
    file = named(rng, folder, "arch", ".json", json_text(rng, mutated_document(rng, arch.to_json())))
    board = ("--board", "stm32f746") if space.padding == "same" and rng.random() < 0.5 else ()
    return Case(
        ("cost", "--space", space.name, "--arch", file, *board, "--json"), lambda o: _sane_cost(o, space)
    )


def _generator(rng: Random) -> Any:
    import numpy as np

    return np.random.default_rng(rng.randrange(1 << 32))


def _sane_cost(outcome: Outcome, space: SearchSpace) -> str:
    found = outcome.document
    problem = _in_space(arch_from_json(found["arch"], "cost"), space)
    sizes = [
        found[name]
        for name in ("peak_items", "macs", "params", "arena_bytes", "flash_bytes", "latency_ms")
        if name in found
    ]
    return problem or ("" if all(math.isfinite(size) and size > 0 for size in sizes) else f"sizes {sizes}")


def _in_space(arch: Arch, space: SearchSpace) -> str:
    return "" if space.decode(space.encode([arch])[0]) == arch else f"{arch} is not in the space"


def _sane_search(run: Path, space: SearchSpace) -> str:
    searched = json.loads((run / "manifest.json").read_bytes())["search"]
    predicted, budget = searched["predicted"], searched["budget"]
    for name in ("arena_bytes", "flash_bytes", "model_bytes", "peak_items"):
        if budget.get(name) is not None and predicted[name] > budget[name]:
            return f"{name} {predicted[name]} is over the budget {budget[name]}"
    return _in_space(arch_from_json(searched["arch"], "search"), space)


# Tables and predictors


def table_cost(seeds: Seeds, rng: Random, folder: Path) -> Case:
    file = named(rng, folder, "archs", ".csv", mutated_table(rng, rng.choice(seeds.tables)))
    board = rng.choice(((), ("--board", "microbit")))
    space = rng.choice(("mcofa-micro", "mcofa-micro", "ofa-micro"))
    return Case(("cost", "--space", space, "--archs", file, *board), _sane_table)


def _sane_table(outcome: Outcome) -> str:
    rows = list(csv.DictReader(io.StringIO(outcome.stdout)))
    costs = [row[name] for row in rows for name in ("peak_items", "macs", "arena_bytes") if name in row]
    return "" if rows and all(cost.isdigit() and int(cost) > 0 for cost in costs) else "costs that are none"


def table_fit(seeds: Seeds, rng: Random, folder: Path) -> Case:
    number = rng.randrange(len(seeds.tables))
    file = named(rng, folder, "measured", ".csv", mutated_table(rng, seeds.tables[number]))
    space = seeds.spaces["mcofa-micro"]
    arguments = ("fit-predictor", file, "--space", space.name, "--out", f"{OUT}.npz", "--json")
    return Case(arguments, lambda _: _sane_predictor(folder / f"{OUT}.npz", space))


def _sane_predictor(file: Path, space: SearchSpace) -> str:
    ends = space.encode([space.smallest(), space.largest()])
    predicted = load_predictor(file, space).predict(space, ends)
    values = [*predicted.top1_percent, *predicted.std_points]
    return "" if all(map(math.isfinite, values)) else f"predicts {values}"


def predictor_cost(seeds: Seeds, rng: Random, folder: Path) -> Case:
    space = seeds.spaces["mcofa-micro"]
    file = named(rng, folder, "predictor", ".npz", mutated_bytes(rng, seeds.predictor))
    arch = write(folder, "arch.json", json.dumps(space.smallest().to_json()).encode())
    return Case(
        ("cost", "--space", space.name, "--arch", arch, "--predictor", file, "--json"),
        lambda o: _sane_cost(o, space),
    )


# Runs


def _run(seeds: Seeds, rng: Random, folder: Path, damaged: str) -> str:
    for name, data in seeds.run.items():
        if name == damaged == "manifest.json":
            data = json_text(rng, mutated_document(rng, json.loads(data)))
        elif name == damaged:
            data = mutated_table(rng, list(csv.reader(io.StringIO(data.decode()))))
        write(folder, f"{OUT}/{name}", data)
    return OUT


def run_report(seeds: Seeds, rng: Random, folder: Path) -> Case:
    run = _run(
        seeds, rng, folder, rng.choice(("manifest.json", "manifest.json", "manifest.json", "pareto.csv"))
    )
    return Case(("report", run, "--json"), lambda _: _sane_markup(folder / run / "report.html"))


def run_command(seeds: Seeds, rng: Random, folder: Path) -> Case:
    """What needs an exported network, or a checkpoint that is not there: to be refused in any case."""
    run = _run(seeds, rng, folder, "manifest.json")
    absent = ("--checkpoint", "absent.safetensors")
    command = rng.choice(
        (
            ("export", run, *absent),
            ("finetune", run, *absent),
            ("evaluate", run),
            ("verify", run),
            ("arena-check", run),
            ("firmware", run, "--engine", "aot"),
        )
    )
    return Case((*command, "--json"), fails_only=True)


def _sane_markup(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    return next((f"{tag} in {page.name}" for tag in _TAGS if tag in text), "")


# Models, training, images


def _model_file(seeds: Seeds, rng: Random, folder: Path) -> str:
    """Mostly damaged near both ends, where the tables are; between them lie the weights."""
    data, end = seeds.model, rng.choice((512, 4_096, 20_000))
    match rng.randrange(3):
        case 0:
            data = mutated_bytes(rng, data[:end], 3) + data[end:]
        case 1:
            data = data[:-end] + mutated_bytes(rng, data[-end:], 3)
        case _:
            data = mutated_bytes(rng, data)
    return named(rng, folder, "model", ".tflite", data)


def model_arena(seeds: Seeds, rng: Random, folder: Path) -> Case:
    target = rng.choice(("x86-64", "cortex-m4", "cortex-m55", "cortex-m0plus"))
    return Case(("arena", _model_file(seeds, rng, folder), "--target", target, "--json"), _sane_arena)


def _sane_arena(outcome: Outcome) -> str:
    arena = outcome.document
    tail = arena["recording_tail_bytes"] if arena["tail_bytes"] is None else arena["tail_bytes"]
    parts = sum(arena["breakdown"].values())
    if parts != arena["head_bytes"] + tail or min(arena["breakdown"].values()) < 0:
        return "the parts do not add up"
    minimum = arena["minimum_bytes"]
    return "" if minimum is None or minimum >= parts else f"a minimum of {minimum:,} B for {parts:,} B"


def model_spans(seeds: Seeds, rng: Random, folder: Path) -> Case:
    options = (*rng.choice(_WAYS[1:]), "--svg", f"{OUT}.svg", "--json")
    return Case(
        ("arena", _model_file(seeds, rng, folder), *options),
        lambda outcome: _sane_spans(outcome) or _sane_markup(folder / f"{OUT}.svg"),
    )


def _sane_spans(outcome: Outcome) -> str:
    arena, ops = outcome.document, 0
    for span in arena["spans"]:
        if span["first_op"] != ops or not 0 <= span["bytes"] <= arena["arena_bytes"]:
            return f"a span of {span}"
        ops = span["last_op"] + 1
    both = (arena["arena_bytes_resident"], arena["arena_bytes_by_rows"])
    return "" if arena["arena_bytes"] == both[arena["streams_input"]] else "an arena that is neither"


def model_firmware(seeds: Seeds, rng: Random, folder: Path) -> Case:
    options = ("--board", "mps2-an500", "--engine", "aot", "--out", OUT, "--json")
    return Case(("firmware", _model_file(seeds, rng, folder), *options))


def config_train(seeds: Seeds, rng: Random, folder: Path) -> Case:
    """A configuration whose data are nowhere: it is refused, if not for its own sake."""
    document = mutated_document(rng, {**rng.choice(seeds.configs), "data": "nowhere"})
    file = named(rng, folder, "config", ".yaml", yaml_text(rng, document))
    return Case(("train", file, "--out", f"{OUT}/net.safetensors", "--json"), fails_only=True)


def images_train(seeds: Seeds, rng: Random, folder: Path) -> Case:
    """Fewer images than a batch: all are read, and then refused."""
    files = dict(seeds.images)
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(list(files))
        match rng.randrange(5):
            case 0:
                files[name.replace(rng.choice(("cat", "dog")), _folder_name(rng))] = files[name]
            case 1:
                files[f"{name}{rng.choice(('.heic', '.txt', '.PNG', '~', ' '))}"] = files[name]
            case 2:
                part = rng.choice(("train", "test", "val", "valid", "validation", ".hidden", "Train"))
                files = {key.replace("images/", f"images/{part}/", 1): data for key, data in files.items()}
            case _:
                files[name] = mutated_bytes(rng, files[name], 4)
    for name, data in files.items():
        write(folder, name, data)
    config = {**seeds.configs[0], "space": "mcofa-micro", "data": "images", "batch_size": 512}
    write(folder, "config.yaml", yaml.safe_dump(config).encode())
    return Case(("train", "config.yaml", "--out", f"{OUT}/net.safetensors", "--json"), fails_only=True)


def _folder_name(rng: Random) -> str:
    name = rng.choice(TEXTS)[:60].replace("\x00", "_").strip("/.~")
    return name.encode("utf-8", "replace").decode() or "x"


KINDS: dict[Callable[[Seeds, Random, Path], Case], float] = {
    board_show: 26,
    board_cost: 5,
    board_search: 0.4,
    board_design: 0.4,
    board_firmware: 0.1,
    space_show: 16,
    space_draw: 1,
    space_cost: 5,
    space_search: 0.5,
    arch_cost: 14,
    table_cost: 5,
    table_fit: 5,
    predictor_cost: 3,
    run_report: 4,
    run_command: 5,
    model_arena: 5,
    model_spans: 2,
    model_firmware: 0.1,
    config_train: 8,
    images_train: 2,
}
"""What damages which file, and how often of about 100 times; the slow ones are rare."""
