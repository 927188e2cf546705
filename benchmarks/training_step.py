"""What one training step of a supernet costs: largest, smallest and random subnets.

Each line is a process of its own with one thread: forward pass, cross-entropy, backward pass and
an SGD step with momentum. "dynamic" runs the subnet on slices of the shared weights, "extracted"
is the same subnet with weights of its own. Memory is the peak beyond what the process held before
the network was built. Names of spaces may be given; without them `ofa` and `mcofa-micro` run.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace, load_space
from mcofa.supernet.network.supernet import Supernet

SPACES = ("ofa", "mcofa-micro")
BATCH = 32
LARGEST_SIDE = 64
SECONDS = 3.0
MIN_STEPS = 3


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    space: str
    subnet: str
    weights: str
    channels_last: bool


@dataclass(frozen=True)
class Measured:
    """What a case gave: the median of the steps, and the peak memory."""

    images_per_second: float
    peak_bytes: int


def archs(space: SearchSpace, subnet: str) -> Iterator[Arch]:
    """Yield the subnet of each step."""
    rng = np.random.default_rng(0)
    fixed = {"largest": space.largest, "smallest": space.smallest}
    random = space.decode(space.sample(1, rng)[0])
    while True:
        if subnet == "another each step":
            random = space.decode(space.sample(1, rng)[0])
        yield fixed[subnet]() if subnet in fixed else random


def process_bytes(field: str) -> int:
    """Return what Linux says of this process: VmRSS (now) or VmHWM (peak)."""
    status = Path("/proc/self/status").read_text()
    match = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    assert match is not None
    return 1_024 * int(match[1])


def measure(case: Case) -> Measured:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    before_bytes = process_bytes("VmRSS")
    space = load_space(case.space)
    subnets = archs(space, case.subnet)
    memory_format = torch.channels_last if case.channels_last else torch.contiguous_format
    supernet = Supernet(space)
    network: torch.nn.Module = supernet
    answer: Callable[[Tensor], Tensor] = lambda images: supernet(images, next(subnets))  # noqa: E731
    if case.weights == "extracted":
        network = answer = supernet.extract(next(subnets)).train()
        del supernet
    network.to(memory_format=memory_format)
    side = min(LARGEST_SIDE, space.resolutions[-1])
    images = torch.randn(BATCH, space.input_channels, side, side).to(memory_format=memory_format)
    targets = torch.randint(space.classes, (BATCH,))
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)

    def step() -> float:
        started = time.perf_counter()
        optimizer.zero_grad()
        functional.cross_entropy(answer(images), targets).backward()
        optimizer.step()
        return time.perf_counter() - started

    step()
    seconds: list[float] = []
    while len(seconds) < MIN_STEPS or sum(seconds) < SECONDS:
        seconds.append(step())
    return Measured(BATCH / statistics.median(seconds), process_bytes("VmHWM") - before_bytes)


def cases(space: str) -> Iterator[Case]:
    for subnet in ("largest", "smallest", "random"):
        for weights in ("dynamic", "extracted"):
            for channels_last in (False, True):
                yield Case(space, subnet, weights, channels_last)
    yield Case(space, "another each step", "dynamic", True)


def main() -> None:
    print(
        f"batch {BATCH}, at most {LARGEST_SIDE} pixels, one thread; "
        f"load of the machine at the start: {os.getloadavg()[0]:.1f}"
    )
    print("space         subnet             weights    channels_last  images/s  peak MiB")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name in sys.argv[1:] or SPACES:
            for case in cases(name):
                measured = pool.apply(measure, (case,))
                print(
                    f"{case.space:12s}  {case.subnet:17s}  {case.weights:9s}  "
                    f"{'yes' if case.channels_last else 'no':13s}  {measured.images_per_second:8.1f}  "
                    f"{measured.peak_bytes / 2**20:8.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
