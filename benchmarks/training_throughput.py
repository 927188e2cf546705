"""Training throughput against MIT OFA's published scheme, in one run, and where the time goes.

Every line trains on the same random batches, and every scheme but the sandwich on the same archs:
four random subnets an update that learn from labels and teacher, as in the published step expand
(train_ofa_net.py and progressive_shrinking.py of mit-han-lab/once-for-all at f03b267). "published"
does what costs time in that code, written anew: NCHW memory order, contiguous copies of the sliced
weights, a teacher of its own in training mode. "progressive" is mcofa's progressive shrinking,
"sandwich" its one-phase recipe, which needs no teacher's forward pass. The schemes take turns, so a
busy machine slows them alike; the median of each scheme's updates counts.

    python benchmarks/training_throughput.py [SPACE] [BATCH] [PIXELS]     default: ofa 32 64
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace, load_space
from mcofa.supernet.network.supernet import Supernet
from mcofa.supernet.training.recipes import learn_from_the_largest, learn_from_the_teacher
from mcofa.supernet.training.training_compute import step_macs

SUBNETS = 4
UPDATES = 12
LABEL_SMOOTHING = 0.1
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# Kernels by what they do; the first word that a kernel's name contains decides.
GROUPS = {
    "convolution, backward": ("convolution_backward",),
    "convolution": ("convolution", "thnn_conv", "addmm", "mm"),
    "batch norm, backward": ("batch_norm_backward",),
    "batch norm": ("batch_norm",),
    "activations": ("hardswish", "hardsigmoid", "relu", "threshold"),
    "memory: copies, sums, slices": ("copy", "add", "fill", "zero", "slice", "clone", "contiguous", "mul"),
}


class PublishedSupernet(Supernet):
    """The same weights, sliced as the published dynamic layers do."""

    def weights(self, arch: Arch) -> dict[str, Tensor]:
        """Return contiguous copies of the slices."""
        return {name: weight.contiguous() for name, weight in super().weights(arch).items()}


class Scheme:
    """One way to train, with weights of its own."""

    def __init__(self, name: str, space: SearchSpace, supernet: Supernet, memory_format: torch.memory_format):
        self.name, self.space, self.memory_format = name, space, memory_format
        self.supernet = supernet.to(DEVICE).to(memory_format=memory_format)
        self.teacher = type(supernet)(space).to(DEVICE).to(memory_format=memory_format)
        self.optimizer = torch.optim.SGD(
            self.supernet.parameters(), lr=1e-3, momentum=0.9, nesterov=True, weight_decay=3e-5
        )
        self.seconds: list[float] = []
        self.macs: list[int] = []

    def archs(self, drawn: Sequence[Arch]) -> list[Arch]:
        """Return what an update trains."""
        if self.name == "sandwich":
            return [self.space.largest(), self.space.smallest(), *drawn[2:]]
        return list(drawn)

    def update(self, images: Tensor, targets: Tensor, drawn: Sequence[Arch]) -> None:
        """Train one batch."""
        archs = self.archs(drawn)
        images = images.contiguous(memory_format=self.memory_format)
        self.optimizer.zero_grad()

        def forward(arch: Arch) -> Tensor:
            logits: Tensor = self.supernet(images, arch)
            return logits

        if self.name == "sandwich":
            learn_from_the_largest(forward, archs, targets, LABEL_SMOOTHING, 1.0)
        else:
            with torch.no_grad():
                answers = self.teacher(images, self.space.largest()).softmax(1)
            learn_from_the_teacher(forward, archs, targets, LABEL_SMOOTHING, 1.0, answers)
        self.optimizer.step()

    def timed_update(self, images: Tensor, targets: Tensor, drawn: Sequence[Arch]) -> None:
        """Train one batch and remember the time."""
        started = time.perf_counter()
        self.update(images, targets, drawn)
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - started)
        step = "sandwich" if self.name == "sandwich" else "expand"
        at_224 = [replace(arch, resolution=self.space.resolutions[-1]) for arch in self.archs(drawn)]
        self.macs.append(step_macs(self.space, step, at_224))


def batches(space: SearchSpace, batch: int, side: int) -> Callable[[], tuple[Tensor, Tensor, list[Arch]]]:
    """Return what draws a batch and its archs."""
    rng = np.random.default_rng(0)

    def draw() -> tuple[Tensor, Tensor, list[Arch]]:
        images = torch.randn(batch, space.input_channels, side, side, device=DEVICE)
        targets = torch.randint(space.classes, (batch,), device=DEVICE)
        return images, targets, [space.decode(genome) for genome in space.sample(SUBNETS, rng)]

    return draw


def where_the_time_goes(scheme: Scheme, update: tuple[Tensor, Tensor, list[Arch]]) -> dict[str, float]:
    """Return the share of each group of kernels in one update's time, in percent."""
    cuda = DEVICE.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    started = time.perf_counter()
    with profile(activities=activities) as profiler:
        scheme.update(*update)
    total = 1e6 * (time.perf_counter() - started)
    shares = dict.fromkeys(GROUPS, 0.0)
    for event in profiler.key_averages():
        used = event.self_device_time_total if cuda else event.self_cpu_time_total
        group = next(
            (name for name, words in GROUPS.items() if any(w in event.key.lower() for w in words)), None
        )
        if group is not None:
            shares[group] += 100 * used / total
    return {**shares, "the rest: Python, autograd, other kernels": 100 - sum(shares.values())}


def main() -> None:
    name, batch, side = (*sys.argv[1:], *("ofa", "32", "64")[len(sys.argv) - 1 :])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    space = load_space(name)
    schemes = [
        Scheme("published", space, PublishedSupernet(space), torch.contiguous_format),
        Scheme("progressive", space, Supernet(space), torch.channels_last),
        Scheme("sandwich", space, Supernet(space), torch.channels_last),
    ]
    draw = batches(space, int(batch), int(side))
    for scheme in schemes:
        scheme.update(*draw())
    for _ in range(UPDATES):
        update = draw()
        for scheme in schemes:
            scheme.timed_update(*update)
    print(f"{name}, batch {batch}, {side} pixels, {SUBNETS} subnets an update, {DEVICE}, one thread")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    print("scheme       images/s  ratio  MACs an update, relative")
    medians = {scheme.name: statistics.median(scheme.seconds) for scheme in schemes}
    for scheme in schemes:
        speed = int(batch) / medians[scheme.name]
        ratio = medians["published"] / medians[scheme.name]
        macs = sum(scheme.macs) / sum(schemes[0].macs)
        print(f"{scheme.name:11s}  {speed:8.1f}  {ratio:5.2f}  {macs:5.2f}")
    print("\nwhere the time goes, %")
    update = draw()
    tables = [where_the_time_goes(scheme, update) for scheme in schemes]
    for group in tables[0]:
        print(f"{group:42s}" + "".join(f"{table[group]:13.0f}" for table in tables))


if __name__ == "__main__":
    main()
