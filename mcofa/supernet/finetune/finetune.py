"""Fine-tuning one subnet, in float or for int8 (quantization-aware).

Plain supervised training on the training split, with the supernet's augmentation at its largest
resolution, and then scaled to the subnet's; on a GPU if there is one. Quantization-aware
fine-tuning ends with epochs in which the int8 graph's rounding is simulated and batch norm is frozen.
After each epoch the subnet is measured on the validation split, in the arithmetic it is tuned for, and
the best is kept, the one before the first epoch included: fine-tuning never lowers that accuracy.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from mcofa.errors import FileFormatError, McofaError
from mcofa.runs.run import Run, artefact
from mcofa.space.arch import Arch
from mcofa.supernet.data.batches import Batches, train_images
from mcofa.supernet.data.datasets import ImageData, load_data_for
from mcofa.supernet.data.splits import scaled_to
from mcofa.supernet.finetune.finetuned import FILE_NAME, FinetunedHeader, to_bytes
from mcofa.supernet.finetune.searched import load_searched
from mcofa.supernet.measure.evaluate import CALIBRATION_IMAGES, calibrate, top1_percent
from mcofa.supernet.network.fake_quantize import FakeQuantizedSubnet, Ranges
from mcofa.supernet.network.subnet import Subnet
from mcofa.supernet.network.supernet import Supernet
from mcofa.supernet.training.config import TrainConfig
from mcofa.supernet.training.distributed import World, own_device
from mcofa.supernet.training.schedule import Schedule

_RANGE_IMAGES = 128
_QUANTIZED_LEARNING_RATE = 0.1


@dataclass(frozen=True)
class FinetuneSettings:
    """How to fine-tune: SGD with Nesterov momentum, its learning rate falling to 0 along a cosine.

    With ``qat``, a third as many epochs follow, at least one, in which int8 is simulated; they have
    a cosine of their own, from a tenth of ``learning_rate``.
    """

    epochs: int = 5
    qat: bool = False
    learning_rate: float = 0.05
    batch_size: int = 128
    momentum: float = 0.9
    weight_decay: float = 4e-5
    label_smoothing: float = 0.1
    seed: int = 0

    @property
    def quantized_epochs(self) -> int:
        """Epochs in which int8 is simulated, after ``epochs`` in float."""
        return max(1, round(self.epochs / 3)) if self.qat else 0

    def learning_rates(self, steps_per_epoch: int) -> list[float]:
        """Return the learning rate of every step."""
        return [
            *_cosine(self.learning_rate, steps_per_epoch * self.epochs),
            *_cosine(_QUANTIZED_LEARNING_RATE * self.learning_rate, steps_per_epoch * self.quantized_epochs),
        ]


@dataclass(frozen=True)
class Progress:
    """Where fine-tuning stands; the validation accuracy is the best one so far."""

    step: int
    steps: int
    loss: float
    validation_top1_percent: float


def finetune(
    run: Run,
    checkpoint: Path,
    settings: FinetuneSettings,
    report: Callable[[Progress], None] = lambda _: None,
) -> dict[str, Any]:
    """Fine-tune the arch that the search chose; return (and record) the manifest's finetune section.

    It starts from the weights in the supernet of ``checkpoint``. The run changes at the end alone: an
    interrupt leaves it as it was. ``report`` is called after every step.

    Raises:
        RunError: the run holds no search result.
        MissingFileError: checkpoint or data set missing.
        FileFormatError: the checkpoint is damaged, of another space, imported, or has not come to the arch
            yet; or the data do not fit.
        McofaError: the loss is no longer finite.
        DiskWriteError: the result could not be written.
    """
    searched = load_searched(run, checkpoint)
    header = searched.header
    data = load_data_for(header.space, header.data, header.fit)
    assert header.config is not None
    _check_count(data, settings)
    started = time.monotonic()
    tuning = _Tuning(searched.supernet, searched.arch, data, header.config, settings)
    best = tuning.train(report)
    section: dict[str, Any] = {
        "checkpoint": searched.provenance,
        "arch": searched.arch.to_json(),
        "data": header.data,
        "settings": asdict(settings),
        "validation_images": len(data.validation),
        "validated_as": "int8, simulated" if settings.qat else "float",
        "validation_top1_percent": {
            "before": tuning.history[0],
            "after": best.top1_percent,
            "epochs": tuning.history[1:],
        },
        "kept_epoch": best.epoch,
        "seconds": round(time.monotonic() - started, 1),
    }
    tuned = FinetunedHeader(
        arch=searched.arch.to_json(),
        space_fingerprint=header.space.fingerprint,
        checkpoint_sha256=searched.checkpoint_sha256,
        settings=asdict(settings),
        activation_ranges=best.ranges,
        mcofa_version=version("mcofa"),
        torch_version=torch.__version__,
    )
    weights = to_bytes(tuned, best.subnet)
    section["weights"] = artefact(FILE_NAME, weights)
    run.record("finetune", section, {FILE_NAME: weights})
    return section


def finetuned_top1_percent(
    supernet: Supernet, arch: Arch, data: ImageData, config: TrainConfig, settings: FinetuneSettings
) -> float:
    """Return the validation accuracy of an arch as ``finetune`` would keep it; ``supernet`` stays as it is.

    ``config`` is that of the supernet's training.

    Raises:
        FileFormatError: the data are fewer images than a batch.
        McofaError: the loss is no longer finite.
    """
    _check_count(data, settings)
    return _Tuning(supernet, arch, data, config, settings).train(lambda _: None).top1_percent


@dataclass(frozen=True)
class _Candidate:
    """The subnet, in eval mode, as it was after an epoch (0: before the first)."""

    epoch: int
    subnet: Subnet
    ranges: Ranges | None
    top1_percent: float


class _Tuning:
    """The subnet while it is being trained, and the best it has been."""

    def __init__(
        self,
        supernet: Supernet,
        arch: Arch,
        data: ImageData,
        config: TrainConfig,
        settings: FinetuneSettings,
    ) -> None:
        self.settings, self.resolution = settings, arch.resolution
        device = own_device()
        self.preprocessing = data.preprocessing
        used = data.train.spread(CALIBRATION_IMAGES), data.train.spread(_RANGE_IMAGES), data.validation
        self.calibration, self.range_images, self.validation = (
            split.resized(self.resolution, data.preprocessing.fit).to(device) for split in used
        )
        self.subnet = supernet.extract(arch).to(device).to(memory_format=torch.channels_last)
        self.model: Subnet | FakeQuantizedSubnet = self.subnet
        decayed = [parameter for parameter in self.subnet.parameters() if parameter.ndim > 1]
        kept = [parameter for parameter in self.subnet.parameters() if parameter.ndim <= 1]
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": settings.weight_decay},
            {"params": kept},
        ]
        self.optimizer = torch.optim.SGD(groups, momentum=settings.momentum, nesterov=True)
        steps_per_epoch = train_images(data) // settings.batch_size
        self.learning_rates = settings.learning_rates(steps_per_epoch)
        self.plan = Schedule(steps_per_epoch, 0, len(self.learning_rates), settings.learning_rate)
        sizes = {"batch_size": settings.batch_size, "micro_batch_size": settings.batch_size}
        augmentation = config.model_copy(update={**sizes, "seed": settings.seed})
        world = World(0, 1, device)
        self.batches = Batches(augmentation, data, 0, self.plan, world).start(0)
        self.epoch, self.step = 0, 0
        self.best = self._candidate()
        self.history = [self.best.top1_percent]

    def train(self, report: Callable[[Progress], None]) -> _Candidate:
        """Train to the end; return the best."""
        for _ in range(self.settings.epochs + self.settings.quantized_epochs):
            self._train_epoch(report)
        return self.best

    def _train_epoch(self, report: Callable[[Progress], None]) -> None:
        """Train on every image once, then measure."""
        if self.epoch == self.settings.epochs:
            self.model = self._quantized(calibrate(self.subnet, self.calibration, self.preprocessing))
        self.model.train()
        for _ in range(self.plan.steps_per_epoch):
            loss = self._advance()
            report(Progress(self.step, self.plan.steps, loss, self.best.top1_percent))
        self.epoch += 1
        candidate = self._candidate()
        self.history.append(candidate.top1_percent)
        if candidate.top1_percent > self.best.top1_percent:
            self.best = candidate

    def _advance(self) -> float:
        images, targets = next(self.batches)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rates[self.step]
        smoothing = self.settings.label_smoothing
        logits = self.model(scaled_to(images, self.resolution, self.preprocessing.fit))
        loss = functional.cross_entropy(logits, targets, label_smoothing=smoothing)
        if not torch.isfinite(loss):
            raise McofaError(
                f"the loss is {loss.item()} at step {self.step} of {self.plan.steps} "
                f"(learning rate {self.settings.learning_rate:g})",
                "lower --learning-rate; the run is unchanged",
            )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.step += 1
        return loss.item()

    def _candidate(self) -> _Candidate:
        model = copy.deepcopy(self.model).eval()
        if isinstance(model, Subnet):
            model = calibrate(model, self.calibration, self.preprocessing)
            if self.settings.qat:
                model = self._quantized(model)
        top1 = round(top1_percent(model, self.validation, self.preprocessing), 2)
        if isinstance(model, FakeQuantizedSubnet):
            return _Candidate(self.epoch, model.subnet, model.ranges, top1)
        return _Candidate(self.epoch, model, None, top1)

    def _quantized(self, subnet: Subnet) -> FakeQuantizedSubnet:
        return FakeQuantizedSubnet(subnet, self.preprocessing.normalise(self.range_images.images))


def _cosine(peak: float, steps: int) -> list[float]:
    return [peak * 0.5 * (1 + math.cos(math.pi * step / steps)) for step in range(steps)]


def _check_count(data: ImageData, settings: FinetuneSettings) -> None:
    if train_images(data) < settings.batch_size:
        raise FileFormatError(
            data.name,
            f"{train_images(data)} training images are fewer than one batch of {settings.batch_size}",
            "add images, or lower --batch-size",
        )
