"""The processes of one training run: alone, or started by torchrun on one machine or several.

Every process holds all weights, takes its share of each batch's micro-batches and adds its
gradients to those of the others. The first process alone reads and writes checkpoints.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from mcofa.errors import LostProcessError, McofaError, SharedError

T = TypeVar("T")

# The others wait while the first process measures accuracies.
_LONGEST_WAIT = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class World:
    """This process's place among all, and the device it computes on."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process prints and saves."""
        return self.rank == 0

    def add_up(self, values: Tensor) -> Tensor:
        """Return the sum of ``values`` over all processes, in all of them."""
        if self.size > 1:
            with _together():
                dist.all_reduce(values)
        return values

    def add_up_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the sum of all gradients; each must have used the same parameters."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = self.add_up(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, total in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(total.view_as(gradient))

    def from_first(self, compute: Callable[[], T]) -> T:
        """Return what ``compute`` gives in the first process, in all of them.

        Raises:
            SharedError: it failed there. A process alone raises its error as it is.
        """
        if self.size == 1:
            return compute()
        box = [self._agreed(compute) if self.first else self._agreed(lambda: None)]
        with _together():
            dist.broadcast_object_list(box, device=self.device)
        result: T = box[0]  # type: ignore[assignment]
        return result

    def in_each(self, compute: Callable[[], T]) -> T:
        """Return what ``compute`` gives in this process; the first goes first, as it may download.

        Raises:
            SharedError: it failed in a process, the first of which is quoted. A process alone raises its
                error as it is.
        """
        if self.size == 1:
            return compute()
        if self.first:
            found = self._agreed(compute)
            self._agreed(lambda: None)
            return found
        self._agreed(lambda: None)
        return self._agreed(compute)

    def _agreed(self, compute: Callable[[], T]) -> T:
        """Return what ``compute`` gives in this process; an error in one is raised in all."""
        failure: McofaError | None = None
        try:
            found = compute()
        except McofaError as error:
            failure = error
        outcomes: list[tuple[str, McofaError | None]] = [("", None)] * self.size
        with _together():
            dist.all_gather_object(outcomes, (platform.node(), failure))
        several_machines = len({machine for machine, _ in outcomes}) > 1
        for machine, failed in outcomes:
            if failed is not None:
                place = f"on {machine}: " if several_machines else ""
                raise SharedError(f"{place}{failed.problem}", failed.next_step)
        return found


ALONE = World(0, 1, torch.device("cpu"))


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """Talk to the other processes.

    Raises:
        LostProcessError: one of them is gone.
    """
    try:
        yield
    except RuntimeError as error:
        # gloo raises a bare RuntimeError, NCCL a DistError; those of CUDA are no news of a process.
        if type(error) is not RuntimeError and not isinstance(error, dist.DistError):
            raise
        raise LostProcessError from error


def own_device() -> torch.device:
    """Return the GPU of this process, by the number that torchrun gave it, or the CPU without a GPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


@contextlib.contextmanager
def joined() -> Iterator[World]:
    """Join the processes that torchrun started, if it did; on a machine with GPUs, each takes one."""
    device = own_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World(0, 1, device)
        return
    # Its functions have the group of the moment as default. Imported later, as by torchvision, they would
    # keep this one's threads alive until the interpreter ends, where these may abort the process.
    importlib.import_module("torch.distributed.nn")
    if device.type == "cuda":
        dist.init_process_group("nccl", timeout=_LONGEST_WAIT, device_id=device)
    else:
        dist.init_process_group("gloo", timeout=_LONGEST_WAIT)
    try:
        yield World(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
