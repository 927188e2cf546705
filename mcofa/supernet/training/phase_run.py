"""The state of one training phase: its weights and optimizer, one step at a time."""

from __future__ import annotations

import contextlib
import math
import platform
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor, nn

from mcofa.errors import DivergedError
from mcofa.space.arch import Arch
from mcofa.supernet.data.batches import Batches, train_images
from mcofa.supernet.data.datasets import ImageData
from mcofa.supernet.data.splits import scaled_to
from mcofa.supernet.measure.evaluate import CALIBRATION_IMAGES, calibrate, top1_percent
from mcofa.supernet.network.checkpoint import MOMENTUM, Header, save_checkpoint, weights_of
from mcofa.supernet.network.sort_channels import sort_channels
from mcofa.supernet.network.supernet import Supernet
from mcofa.supernet.training.distributed import World
from mcofa.supernet.training.phases import PhaseFiles
from mcofa.supernet.training.recipes import (
    draw_archs,
    learn_from_the_largest,
    learn_from_the_teacher,
    teaching_arch,
)
from mcofa.supernet.training.schedule import allowed_archs, schedule
from mcofa.supernet.training.training_compute import step_macs


class PhaseRun:
    """One phase in this process: resumed from its checkpoint, or begun where the phase before ended.

    Raises:
        FileFormatError: a checkpoint is damaged, belongs to another run, or is finished already; or the
            data set does not fit the configuration.
        MissingFileError: the phase before has not been trained.
    """

    def __init__(self, files: PhaseFiles, index: int, data: ImageData, world: World) -> None:
        config = self.config = files.config
        self.files, self.index, self.data, self.world = files, index, data, world
        self.path, self.space, self.phase = files.path(index), files.space, config.phases[index]
        self.allowed = allowed_archs(self.space, config, index)
        self.plan = schedule(config, self.phase, train_images(data))
        self.batches = Batches(config, data, index, self.plan, world)
        torch.manual_seed(config.seed)
        self.supernet = _on(world.device, Supernet(self.space))
        self.optimizer = torch.optim.SGD(
            _parameter_groups(self.supernet, config.weight_decay),
            lr=self.plan.peak_learning_rate,
            momentum=config.momentum,
            nesterov=True,
        )
        self.mixed_precision = config.mixed_precision and _has_bfloat16(world.device)
        self.step, self.training_macs, self.seconds = 0, 0, 0.0
        state = world.from_first(lambda: files.unfinished(index))
        if state is not None:
            self._resume(*state)
        elif index > 0:
            self._begin()
        self.teacher = self._load_teacher() if index > 0 else None
        self._clock = time.monotonic()

    def advance(self, batches: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
        """Train one step; return this process's share of the first arch's loss, and its right answers."""
        archs = draw_archs(
            self.allowed, self.phase, np.random.default_rng((self.config.seed, self.index, self.step))
        )
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.learning_rate(self.step)
        self.optimizer.zero_grad()
        share = self.config.micro_batch_size / self.config.batch_size
        seen = torch.zeros(2, device=self.world.device)
        for _ in range(self.batches.per_step):
            images, targets = next(batches)
            logits, loss = self._backward(images, targets, archs, share)
            seen += torch.stack([share * loss, (logits.argmax(1) == targets).sum().to(loss.dtype)])
        self.world.add_up_gradients(self.supernet.parameters())
        if self.config.max_gradient_norm is not None:
            nn.utils.clip_grad_norm_(self.supernet.parameters(), self.config.max_gradient_norm)
        with _interrupt_waits():
            self.optimizer.step()
            self.step += 1
            self.training_macs += self.config.batch_size * step_macs(self.space, self.phase.step, archs)
        return seen

    def _backward(
        self, images: Tensor, targets: Tensor, archs: Sequence[Arch], share: float
    ) -> tuple[Tensor, Tensor]:
        smoothing = self.config.label_smoothing
        if self.phase.step == "sandwich":
            return learn_from_the_largest(
                lambda arch: self._logits(self.supernet, images, arch), archs, targets, smoothing, share
            )
        answers = None
        if self.teacher is not None:
            with torch.no_grad():
                answers = self._logits(self.teacher, images, teaching_arch(self.space, archs)).softmax(1)
        return learn_from_the_teacher(
            lambda arch: self._logits(self.supernet, images, arch), archs, targets, smoothing, share, answers
        )

    def _logits(self, supernet: Supernet, images: Tensor, arch: Arch) -> Tensor:
        """Return the logits of an arch for images resized to its resolution."""
        with torch.autocast(self.world.device.type, torch.bfloat16, enabled=self.mixed_precision):
            logits: Tensor = supernet(scaled_to(images, arch.resolution, self.data.preprocessing.fit), arch)
        return logits.float()

    def measure(self) -> dict[str, float]:
        """Return the validation accuracy, in percent, of the smallest and the largest allowed subnet."""
        device = self.world.device
        found = {}
        for name, arch in (("smallest", self.allowed.smallest()), ("largest", self.allowed.largest())):
            if name == "smallest" and self.phase.step == "teacher":
                continue
            data = replace(self.data, train=self.data.train.spread(CALIBRATION_IMAGES)).at(arch.resolution)
            subnet = self.supernet.extract(arch).to(device).to(memory_format=torch.channels_last)
            calibrated = calibrate(subnet, data.train.to(device), data.preprocessing)
            top1 = top1_percent(calibrated, data.validation.to(device), data.preprocessing)
            found[name] = round(top1, 2)
        return found

    def check_loss(self, loss: float) -> None:
        """Refuse to go on with a loss of the latest step that is no number.

        Raises:
            DivergedError: it is infinite or not a number.
        """
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss}")

    def check_weights(self) -> None:
        """Refuse to go on with weights that no training can come back from; to be called before ``save``.

        Raises:
            DivergedError: a weight is infinite or not a number.
        """
        finite = [tensor.isfinite().all() for tensor in self.supernet.state_dict().values()]
        if not torch.stack(finite).all():
            raise self._diverged("weights are no longer finite")

    def _diverged(self, symptom: str) -> DivergedError:
        rate = self.plan.learning_rate(self.step - 1)
        limit = self.config.max_gradient_norm
        aside = f", move {self.path} away" if self.path.exists() else ""
        return DivergedError(
            f"phase {self.phase.name} diverged: {symptom} at step {self.step} of {self.plan.steps} "
            f"(learning rate {rate:g})",
            f"lower base_learning_rate of the phase (now {self.phase.base_learning_rate:g}) or "
            f"max_gradient_norm (now {'null' if limit is None else f'{limit:g}'}){aside} "
            "and start the phase again; nothing that is not finite was saved",
        )

    def save(self, validation_top1_percent: dict[str, float]) -> Header:
        """Write the checkpoint; with the optimizer's momentum while the phase is unfinished."""
        now = time.monotonic()
        self.seconds, self._clock = self.seconds + now - self._clock, now
        header = Header(
            space=self.space,
            config=self.config,
            phase=self.phase.name,
            step=self.step,
            seconds=round(self.seconds, 1),
            training_macs=self.training_macs,
            mcofa_version=version("mcofa"),
            torch_version=torch.__version__,
            hardware=_hardware(self.world),
            validation_top1_percent=validation_top1_percent,
        )
        tensors = dict(self.supernet.state_dict())
        if not validation_top1_percent:
            for name, parameter in self.supernet.named_parameters():
                momentum = self.optimizer.state[parameter].get("momentum_buffer")
                if momentum is not None:
                    tensors[f"{MOMENTUM}{name}"] = momentum
        save_checkpoint(self.path, header, {name: t.cpu().contiguous() for name, t in tensors.items()})
        return header

    def _resume(self, header: Header, tensors: dict[str, Tensor]) -> None:
        self.supernet.load_state_dict(weights_of(tensors))
        for name, parameter in self.supernet.named_parameters():
            if (momentum := tensors.get(f"{MOMENTUM}{name}")) is not None:
                buffer = torch.empty_like(parameter).copy_(momentum)
                self.optimizer.state[parameter]["momentum_buffer"] = buffer
        self.step, self.training_macs, self.seconds = header.step, header.training_macs, header.seconds

    def _begin(self) -> None:
        """Start from the phase before; smaller expand ratios start from the most important channels."""
        header, tensors = self.world.from_first(lambda: self.files.finished(self.index - 1))
        self.supernet.load_state_dict(weights_of(tensors))
        self.training_macs, self.seconds = header.training_macs, header.seconds
        before = allowed_archs(self.space, self.config, self.index - 1)
        if self.allowed.expand_ratios != before.expand_ratios:
            sort_channels(self.supernet, before.expand_ratios)
            if self.space.expand_ratios[0] not in before.expand_ratios:
                self.supernet.start_unexpanded()

    def _load_teacher(self) -> Supernet:
        _, tensors = self.world.from_first(lambda: self.files.finished(0))
        teacher = Supernet(self.space)
        teacher.load_state_dict(weights_of(tensors))
        return _on(self.world.device, teacher)


def _on(device: torch.device, supernet: Supernet) -> Supernet:
    return supernet.to(device).to(memory_format=torch.channels_last)


def _has_bfloat16(device: torch.device) -> bool:
    """Return whether a device computes in bfloat16 itself; emulated, it would be slower than float32."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def _hardware(world: World) -> str:
    if world.device.type == "cuda":
        return f"{world.size} × {torch.cuda.get_device_name(world.device)}"
    return f"{world.size} × {platform.machine()} CPU, {torch.get_num_threads()} threads"


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
