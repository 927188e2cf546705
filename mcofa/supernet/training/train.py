"""Training a supernet, phase by phase: the one loop that every recipe and every number of processes share.

Every random choice is drawn from a generator seeded with (seed, phase, epoch or step), so a resumed
run goes on exactly as the uninterrupted one would have.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mcofa.errors import McofaError
from mcofa.files.atomic import write_atomic
from mcofa.space.search_space import load_space
from mcofa.supernet.data.batches import check_batches
from mcofa.supernet.data.datasets import ImageData, load_data_for
from mcofa.supernet.network.checkpoint import Header
from mcofa.supernet.training.config import TrainConfig
from mcofa.supernet.training.curve_picture import curve_picture
from mcofa.supernet.training.curves import CSV, CURVE_SUFFIXES, SVG, Curves, Point
from mcofa.supernet.training.distributed import ALONE, World
from mcofa.supernet.training.phase_run import PhaseRun
from mcofa.supernet.training.phases import PhaseFiles
from mcofa.supernet.training.schedule import check_recipe

_SECONDS_BETWEEN_SAVES = 60.0
_MOST_POINTS = 2_000
# Reading the loss waits for the device, so a GPU is asked less often; a long run reports less often still.
_STEPS_BETWEEN_LOOKS = {"cpu": 1, "cuda": 10}


@dataclass(frozen=True)
class Progress:
    """Where a phase stands; loss and accuracy are those of the latest batch."""

    phase: str
    step: int
    steps: int
    loss: float
    top1_percent: float
    images_per_second: float


Report = Callable[[Progress], None]


def train(
    config: TrainConfig,
    checkpoint: Path,
    report: Report = lambda _: None,
    phase: str | None = None,
    world: World = ALONE,
) -> Header:
    """Train all phases that are not finished, or the one named; write ``checkpoint`` (see ``PhaseFiles``).

    An unfinished phase goes on where it stopped. ``report`` is called after every step, after every few
    on a GPU or in a long run. An interrupt (Ctrl-C) saves the state first. Every process of ``world``
    (see ``joined``) calls this, and the first one reports, measures and saves; what goes wrong with that,
    or in any of them before a phase starts, is a SharedError in all.

    Raises:
        McofaError: the configuration has no such phase, or its recipe does not fit the space; or
            ``checkpoint`` is a folder or one of the files for curves.
        FileFormatError: a checkpoint is damaged, finished already, or belongs to another configuration;
            or the data set has other classes than the space, or fewer images than a batch.
        MissingFileError: the phase before has not been trained.
        DivergedError: loss or weights are no longer finite; the checkpoint stays as last saved.
        DiskWriteError: the checkpoint could not be written; the earlier one stays.
    """
    world.from_first(lambda: _check_name(checkpoint))
    files = world.in_each(lambda: _open(config, checkpoint, phase))
    chosen = world.from_first(lambda: _left(files) if phase is None else [config.phase_names.index(phase)])
    world.from_first(lambda: _check_start(files, chosen[0]))
    data = world.in_each(lambda: _load(files, world))
    for index in chosen:
        header = _train_phase(PhaseRun(files, index, data, world), report)
    return header


def _open(config: TrainConfig, checkpoint: Path, phase: str | None) -> PhaseFiles:
    space = load_space(config.space)
    check_recipe(config, space)
    if phase is not None and phase not in config.phase_names:
        raise McofaError(
            f"the configuration has no phase {phase}; it has {', '.join(config.phase_names)}",
            "choose another --step and --phase, or add the phase to the configuration",
        )
    return PhaseFiles(config, space, checkpoint)


def _left(files: PhaseFiles) -> list[int]:
    """Return the phases that are still to be trained; the last one at least."""
    last = len(files.config.phases) - 1
    return [index for index in range(last) if not files.is_finished(index)] + [last]


def _check_name(checkpoint: Path) -> None:
    """Refuse a checkpoint where a folder is, or the curves are to be."""
    if checkpoint.is_dir():
        raise McofaError(
            f"{checkpoint} is a folder, a checkpoint is a file",
            f"name a file in it, as in --out {checkpoint / 'supernet.safetensors'}",
        )
    if checkpoint.suffix in CURVE_SUFFIXES:
        raise McofaError(
            f"{checkpoint} is where the run's curves go ({', '.join(CURVE_SUFFIXES)})",
            f"choose another ending, as in --out {checkpoint.with_suffix('.safetensors')}",
        )


def _check_start(files: PhaseFiles, index: int) -> None:
    """Refuse before the data are loaded what would be refused after."""
    files.unfinished(index)
    if index > 0:
        files.finished(index - 1)


def _load(files: PhaseFiles, world: World) -> ImageData:
    data = load_data_for(files.space, files.config.data, files.config.fit)
    check_batches(files.config, data, world)
    return data


def _train_phase(run: PhaseRun, report: Report) -> Header:
    world, plan = run.world, run.plan
    pause = _STEPS_BETWEEN_LOOKS[world.device.type]
    watch = world.in_each(lambda: _Watch(run, report, pause) if world.first else None)
    batches = run.batches.start(run.step)
    try:
        while run.step < plan.steps:
            seen = run.advance(batches)
            if run.step % pause == 0 or plan.epoch_ends_at(run.step):
                _look_at(run, watch, seen)
        return world.from_first(lambda: _the(watch).end())
    except KeyboardInterrupt:
        if watch is not None:
            watch.save({})
        raise


def _look_at(run: PhaseRun, watch: _Watch | None, seen: Tensor) -> None:
    """Let the first process show, measure and save what a step gave; an error there is raised in all."""
    loss, correct = run.world.add_up(seen).tolist()
    run.check_loss(loss)
    run.world.from_first(lambda: _the(watch).after_step(loss, correct))


def _the(watch: _Watch | None) -> _Watch:
    assert watch is not None
    return watch


class _Watch:
    """What the first process shows, draws and saves while a phase runs."""

    def __init__(self, run: PhaseRun, report: Report, pause: int) -> None:
        self.run, self.report = run, report
        self.curves = Curves(run.path.with_suffix(CSV), run.step)
        self.interval = pause * math.ceil(run.plan.steps / (pause * _MOST_POINTS))
        self.saved_at = time.monotonic()
        self._restart_clock()

    def _restart_clock(self) -> None:
        self.clock, self.clock_step = time.monotonic(), self.run.step

    def after_step(self, loss: float, correct: float) -> None:
        """Report the batch's loss and right answers; measure after an epoch; save in time."""
        run = self.run
        if run.step % self.interval == 0 or run.step == run.plan.steps:
            self._show(loss, correct)
        if run.plan.epoch_ends_at(run.step) and run.step < run.plan.steps:
            self._measure()
            self._restart_clock()
        if time.monotonic() - self.saved_at > _SECONDS_BETWEEN_SAVES:
            self.save({})
            self.saved_at = time.monotonic()

    def _show(self, loss: float, correct: float) -> None:
        run = self.run
        images = (run.step - self.clock_step) * run.config.batch_size
        progress = Progress(
            phase=run.phase.name,
            step=run.step,
            steps=run.plan.steps,
            loss=loss,
            top1_percent=100 * correct / run.config.batch_size,
            images_per_second=images / (time.monotonic() - self.clock),
        )
        self._restart_clock()
        self.curves.add(
            Point(
                run.step,
                learning_rate=run.plan.learning_rate(run.step - 1),
                loss=loss,
                train_top1_percent=progress.top1_percent,
                images_per_second=round(progress.images_per_second, 1),
            )
        )
        self.report(progress)

    def _measure(self) -> dict[str, float]:
        measured = self.run.measure()
        named = {f"{name}_top1_percent": top1 for name, top1 in measured.items()}
        self.curves.add(Point(self.run.step, **named))
        return measured

    def save(self, validation_top1_percent: dict[str, float]) -> Header:
        """Write curves and checkpoint, unless the weights are no longer finite."""
        self.run.check_weights()
        self.curves.save()
        return self.run.save(validation_top1_percent)

    def end(self) -> Header:
        """Measure, draw the curves and save the finished phase."""
        self.run.check_weights()
        measured = self._measure()
        title = f"{self.run.space.name} on {self.run.data.name}, {self.run.phase.name}"
        write_atomic(self.run.path.with_suffix(SVG), curve_picture(title, self.curves.points).encode())
        return self.save(measured)
