"""Training a supernet in one stage: sandwich rule with in-place distillation.

After Yu et al., BigNAS (arXiv 2003.11142). Every random choice is drawn from a
generator seeded with (seed, epoch or step), so a resumed run goes on exactly as
the uninterrupted one would have.
"""

from __future__ import annotations

import contextlib
import math
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mcofa.arch import Arch
from mcofa.errors import FileFormatError
from mcofa.space import SearchSpace, load_space
from mcofa.supernet.checkpoint import Header, load_checkpoint, save_checkpoint
from mcofa.supernet.config import TrainConfig
from mcofa.supernet.data import ImageData, load_data
from mcofa.supernet.evaluate import calibrate, top1_percent
from mcofa.supernet.supernet import Supernet

_SECONDS_BETWEEN_SAVES = 60.0


@dataclass(frozen=True)
class Progress:
    """Where a training run stands."""

    step: int
    steps: int
    loss: float
    images_per_second: float


def train(
    config: TrainConfig, checkpoint: Path, report: Callable[[Progress], None] = lambda _: None
) -> Header:
    """Train to the end and write ``checkpoint``; start from it when it holds an unfinished run.

    ``report`` is called after every step. An interrupt (Ctrl-C) saves the state first.

    Raises:
        FileFormatError: ``checkpoint`` is damaged, or belongs to another configuration; or the
            data set has other classes than the space, or fewer images than a batch.
        DiskWriteError: the checkpoint could not be written; the earlier one stays.
    """
    space = load_space(config.space)
    data = load_data(config.data, space.resolutions[-1], space.input_channels)
    if len(data.labels) != space.classes:
        raise FileFormatError(
            config.data,
            f"has {len(data.labels)} classes, the search space {space.name} has {space.classes}",
            "choose a space with that many classes (`mcofa spaces`)",
        )
    torch.manual_seed(config.seed)
    run = _Run(config, space, data, checkpoint)
    if checkpoint.exists():
        run.resume()
    saved_at = time.monotonic()
    try:
        while run.step < run.steps:
            started = time.monotonic()
            loss = run.advance()
            run.seconds += time.monotonic() - started
            speed = config.batch_size / (time.monotonic() - started)
            report(Progress(run.step, run.steps, loss, speed))
            if time.monotonic() - saved_at > _SECONDS_BETWEEN_SAVES:
                run.save({})
                saved_at = time.monotonic()
        return run.save(run.measure())
    except KeyboardInterrupt:
        run.save({})
        raise


class _Run:
    """The state of one training run."""

    def __init__(self, config: TrainConfig, space: SearchSpace, data: ImageData, path: Path) -> None:
        self.config, self.space, self.data, self.path = config, space, data, path
        self.supernet = Supernet(space).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            _parameter_groups(self.supernet, config.weight_decay),
            lr=config.learning_rate,
            momentum=config.momentum,
            nesterov=True,
        )
        self.steps_per_epoch = len(data.train) // config.batch_size
        if self.steps_per_epoch == 0:
            raise FileFormatError(
                config.data,
                f"{len(data.train)} training images are fewer than one batch of {config.batch_size}",
                "lower batch_size in the configuration",
            )
        self.steps = self.steps_per_epoch * config.epochs
        self.step = 0
        self.seconds = 0.0

    def advance(self) -> float:
        """Train one step and return the largest subnet's loss."""
        images, targets = self._batch()
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.optimizer.zero_grad()
        logits = self.supernet(images, self.space.largest())
        loss = functional.cross_entropy(logits, targets, label_smoothing=self.config.label_smoothing)
        loss.backward()
        teacher = logits.detach().softmax(1)
        for arch in self._students():
            functional.cross_entropy(self.supernet(images, arch), teacher).backward()
        nn.utils.clip_grad_norm_(self.supernet.parameters(), self.config.max_gradient_norm)
        with _interrupt_waits():
            self.optimizer.step()
            self.step += 1
        return loss.item()

    def _students(self) -> list[Arch]:
        rng = np.random.default_rng((self.config.seed, self.step))
        random = self.space.sample(self.config.random_subnets, rng)
        return [self.space.smallest(), *(self.space.decode(genome) for genome in random)]

    def _batch(self) -> tuple[Tensor, Tensor]:
        epoch, position = divmod(self.step, self.steps_per_epoch)
        order = torch.randperm(len(self.data.train), generator=_generator(self.config.seed, epoch, 0))
        size = self.config.batch_size
        batch = self.data.train.take(order[position * size : (position + 1) * size])
        images = _augment(batch.images, self.config, _generator(self.config.seed, self.step, 1))
        return self.data.preprocessing.normalise(images), batch.targets

    def _learning_rate(self) -> float:
        warmup = min(1.0, (self.step + 1) / max(1, self.config.warmup_steps))
        cosine = 0.5 * (1 + math.cos(math.pi * self.step / self.steps))
        return self.config.learning_rate * warmup * cosine

    def measure(self) -> dict[str, float]:
        """Return the validation accuracy, in percent, of the smallest and the largest subnet."""
        return {
            name: round(
                top1_percent(
                    calibrate(self.supernet.extract(arch), self.data.train, self.data.preprocessing),
                    self.data.validation,
                    self.data.preprocessing,
                ),
                2,
            )
            for name, arch in (("smallest", self.space.smallest()), ("largest", self.space.largest()))
        }

    def save(self, validation_top1_percent: dict[str, float]) -> Header:
        """Write the checkpoint; with the optimizer's momentum while the run is unfinished."""
        header = Header(
            space=self.space,
            config=self.config,
            step=self.step,
            seconds=round(self.seconds, 1),
            mcofa_version=version("mcofa"),
            torch_version=torch.__version__,
            hardware=f"{platform.machine()} CPU, {torch.get_num_threads()} threads",
            validation_top1_percent=validation_top1_percent,
        )
        tensors = {name: tensor.contiguous() for name, tensor in self.supernet.state_dict().items()}
        if not validation_top1_percent:
            for name, parameter in self.supernet.named_parameters():
                momentum = self.optimizer.state[parameter].get("momentum_buffer")
                if momentum is not None:
                    tensors[f"momentum.{name}"] = momentum.contiguous()
        save_checkpoint(self.path, header, tensors)
        return header

    def resume(self) -> None:
        """Take up the run that the checkpoint holds.

        Raises:
            FileFormatError: it belongs to another space or configuration, or is finished.
        """
        header, tensors = load_checkpoint(self.path)
        if header.config is None:
            raise FileFormatError(
                self.path, f"holds weights imported from {header.origin}", "choose another --out"
            )
        ours = {"space": self.space.model_dump(), **self.config.model_dump(exclude={"space"})}
        theirs = {"space": header.space.model_dump(), **header.config.model_dump(exclude={"space"})}
        different = [key for key in ours if ours[key] != theirs[key]]
        if different:
            values = ", ".join(
                key if key == "space" else f"{key} ({theirs[key]} there, {ours[key]} here)"
                for key in different
            )
            raise FileFormatError(
                self.path,
                f"belongs to a run with another configuration: {values}",
                "choose another --out, or move that file away",
            )
        if header.validation_top1_percent:
            raise FileFormatError(
                self.path,
                f"training is already finished ({header.step} steps)",
                "choose another --out, or move that file away",
            )
        self.supernet.load_state_dict(
            {name: tensor for name, tensor in tensors.items() if not name.startswith("momentum.")}
        )
        for name, parameter in self.supernet.named_parameters():
            if f"momentum.{name}" in tensors:
                self.optimizer.state[parameter]["momentum_buffer"] = tensors[f"momentum.{name}"]
        self.step, self.seconds = header.step, header.seconds


@contextlib.contextmanager
def _interrupt_waits() -> Iterator[None]:
    """Let Ctrl-C take effect only after the block, so that no half-done update is saved."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if received:
        signal.raise_signal(signal.SIGINT)


def _parameter_groups(supernet: Supernet, weight_decay: float) -> list[dict[str, object]]:
    decayed = [parameter for parameter in supernet.parameters() if parameter.ndim > 1]
    kept = [parameter for parameter in supernet.parameters() if parameter.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]


def _generator(seed: int, index: int, stream: int) -> torch.Generator:
    state = np.random.SeedSequence((seed, index, stream)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def _augment(images: Tensor, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """Mirror and shift a batch of uint8 images, each in its own way."""
    count, _, height, width = images.shape
    shift = config.shift_pixels
    padded = functional.pad(images, (shift, shift, shift, shift))
    offsets = torch.randint(0, 2 * shift + 1, (2, count, 1), generator=generator)
    rows = offsets[0] + torch.arange(height)
    columns = offsets[1] + torch.arange(width)
    if config.flip:
        mirrored = torch.rand(count, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    index = torch.arange(count)[:, None, None]
    return padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
