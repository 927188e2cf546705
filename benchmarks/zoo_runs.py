"""The runs behind the zoo's table: searched, fine-tuned, exported and measured as the commands do it."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo_rows import ALL_LIMITS, Limit, Measured, Pick, Refusal, Row, Supernet

from export.checks.evaluate import evaluate_run
from export.convert.deploy import export_run
from mcofa.accuracy.predictor import Predictor, load_predictor
from mcofa.boards import load_board
from mcofa.cost.arch_cost import cost
from mcofa.engines.engine import DEFAULT_ENGINE
from mcofa.errors import BudgetError, MissingFileError
from mcofa.runs.run import Run
from mcofa.search import search
from mcofa.search.costs import CandidateCosts
from mcofa.search.smallest import least
from mcofa.space.arch import Arch, arch_from_json
from mcofa.space.arch_table import arch_cells
from mcofa.space.search_space import SearchSpace
from mcofa.supernet.finetune.finetune import FinetuneSettings, finetune
from mcofa.supernet.network.checkpoint import Header, load_checkpoint

BOARD = load_board("stm32f746")
SEED = 0


@dataclass(frozen=True)
class Zoo:
    """One space of the zoo, with its files and the folder of its runs."""

    space: SearchSpace
    checkpoint: Path
    predictor_file: Path
    work: Path
    tuning: FinetuneSettings

    @cached_property
    def predictor(self) -> Predictor:
        """The accuracy predictor."""
        return load_predictor(self.predictor_file, self.space)

    @cached_property
    def header(self) -> Header:
        """What the checkpoint says of itself."""
        return load_checkpoint(self.checkpoint)[0]

    @cached_property
    def sha256(self) -> str:
        """The hash of the checkpoint."""
        return hashlib.sha256(self.checkpoint.read_bytes()).hexdigest()

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits that this space is searched for.

        Those on the model file come tightest first: limits with the same pick share one export, which
        keeps within the first.
        """
        return tuple(sorted(ALL_LIMITS, key=lambda limit: limit.model_kb or math.inf))

    @cached_property
    def made_from(self) -> str:
        """Stands for everything that a row rests on."""
        return _key(self._chosen_from, self.tuning)

    @property
    def _chosen_from(self) -> str:
        predictor = hashlib.sha256(self.predictor_file.read_bytes()).hexdigest()
        return _key(self.space.fingerprint, self.sha256, predictor, SEED)

    def searched(self, limit: Limit) -> Run:
        """The run that holds what was chosen within a limit."""
        name = f"arena-{limit.arena_kb}-model-{limit.model_kb}-{self._chosen_from}"
        if limit.flash_kb:
            name = f"{limit.engine}-{limit.arena_kb}-flash-{limit.flash_kb}-{self._chosen_from}"
        return Run(self.work / self.space.name / name)

    def tuned(self, arch: Arch) -> Run:
        """The run in which an arch is fine-tuned and measured; several limits may share it."""
        key = _key(self.space.fingerprint, self.sha256, arch, self.tuning)
        return Run(self.work / self.space.name / f"arch-{key}")


def _key(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:12]


def _manifest(run: Run) -> dict[str, Any]:
    """What a run holds so far."""
    try:
        return run.manifest
    except MissingFileError:
        return {}


def choose(zoo: Zoo, limit: Limit) -> None:
    """Search within a limit, also where that was done: what archs take may have changed since."""
    run = zoo.searched(limit)
    shutil.rmtree(run.folder, ignore_errors=True)
    try:
        found = search(zoo.space, BOARD, limit.budget, zoo.predictor, SEED, engine=limit.engine)
    except BudgetError as error:
        costs = CandidateCosts(zoo.space, BOARD, {"arena_bytes"}, limit.engine)
        smallest = least(zoo.space, costs, "arena_bytes")
        run.record("refusal", {"problem": error.problem, "smallest_arena_bytes": int(smallest.value)})
        return
    run.record("search", found.to_json(zoo.space, BOARD, limit.budget, SEED, limit.engine))


def measure(zoo: Zoo, limit: Limit, written: Iterable[Row]) -> None:
    """Fine-tune, export and measure the arch that was chosen, if any, as far as that is not done.

    What is ``written`` of the same arch needs not be measured again. The file does not depend on the engine:
    it is exported for TFLM.
    """
    searched = _manifest(zoo.searched(limit)).get("search")
    if searched is None or read_row(zoo, limit, written):
        return
    searched = searched | {"engine": DEFAULT_ENGINE}
    run = zoo.tuned(arch_from_json(searched["arch"], "search"))
    done = _manifest(run)
    if not done:
        run.record("search", searched)
    if "finetune" not in done:
        finetune(run, zoo.checkpoint, zoo.tuning)
    if "export" not in done:
        export_run(run, zoo.checkpoint)
    if "evaluate" not in done:
        evaluate_run(run)


def read_row(zoo: Zoo, limit: Limit, written: Iterable[Row] = ()) -> Row | None:
    """Return a row, None if it is not complete; accuracies may come from one ``written`` of the same arch."""
    chosen = _manifest(zoo.searched(limit))
    if "refusal" in chosen:
        return Refusal(zoo.made_from, **chosen["refusal"])
    if "search" not in chosen:
        return None
    arch = arch_from_json(chosen["search"]["arch"], "search")
    cells = arch_cells(zoo.space, zoo.space.encode([arch])[0])
    done = _manifest(zoo.tuned(arch))
    measured = _measured(done) if "evaluate" in done else _written(zoo, cells, written)
    if measured is None:
        return None
    predicted = chosen["search"]["predicted"]
    return Pick(
        made_from=zoo.made_from,
        **cells,
        arena_bytes=predicted["arena_bytes"],
        model_bytes=predicted["model_bytes"],
        flash_bytes=cost(zoo.space, arch, BOARD, limit.engine).flash_bytes,
        macs=predicted["macs"],
        predicted_top1_percent=predicted["top1_percent"],
        predicted_std_points=predicted["top1_std_points"],
        outside_measured_range=predicted["outside_measured_range"],
        **asdict(measured),
    )


def _measured(done: dict[str, Any]) -> Measured:
    """What a run that was fine-tuned, exported and evaluated says of its arch."""
    tuned, exported, evaluated = done["finetune"], done["export"], done["evaluate"]
    return Measured(
        validation_images=tuned["validation_images"],
        validation_top1_percent=tuned["validation_top1_percent"]["before"],
        finetuned_validation_top1_percent=tuned["validation_top1_percent"]["after"],
        exported_arena_bytes=exported["arena_bytes"],
        exported_model_bytes=exported["tflite"]["bytes"],
        test_images=evaluated["test_images"],
        float_top1_percent=evaluated["float_top1_percent"],
        int8_top1_percent=evaluated["int8_top1_percent"],
    )


def _written(zoo: Zoo, cells: dict[str, str], written: Iterable[Row]) -> Measured | None:
    """What a row made from the same files says of the arch with these cells; None if there is none."""
    for row in written:
        known = asdict(row)
        if row.made_from == zoo.made_from and cells.items() <= known.items():
            return Measured(**{field.name: known[field.name] for field in fields(Measured)})
    return None


def supernet_of(zoo: Zoo) -> Supernet:
    config, fitted = zoo.header.config, zoo.predictor.provenance
    assert config is not None
    phases = config.phases[: config.phase_names.index(zoo.header.phase) + 1]
    return Supernet(
        phases=", ".join(phase.name for phase in phases),
        epochs=round(sum(phase.warmup_epochs + phase.epochs for phase in phases), 2),
        batch_size=config.batch_size,
        seed=config.seed,
        hours=zoo.header.seconds / 3600,
        training_macs=zoo.header.training_macs,
        hardware=f"{zoo.header.hardware}, torch {zoo.header.torch_version}",
        validation_top1_percent=zoo.header.validation_top1_percent,
        measured_archs=fitted.measured_archs,
        rmse_points=fitted.rmse_points,
        kendall_tau=fitted.kendall_tau,
    )
