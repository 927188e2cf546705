"""The processes of one training run: alone, or started by torchrun on one machine or several.

Every process holds all weights, takes its share of each batch's micro-batches and adds its
gradients to those of the others. The first process alone reads and writes checkpoints.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from mcofa.errors import McofaError

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
        """Return what ``compute`` gives in the first process; an error it raises is raised in all.

        Raises:
            McofaError: that error.
        """
        if self.size == 1:
            return compute()
        box: list[T | tuple[str, str] | None] = [None, None]
        if self.first:
            try:
                box[0] = compute()
            except McofaError as error:
                box[1] = (error.problem, error.next_step)
        dist.broadcast_object_list(box, device=self.device)
        if isinstance(box[1], tuple):
            raise McofaError(*box[1])
        result: T = box[0]  # type: ignore[assignment]
        return result

    @contextlib.contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """Let the first process leave the block before the others enter it: it may download."""
        if self.size > 1 and not self.first:
            dist.barrier()
        yield
        if self.size > 1 and self.first:
            dist.barrier()


def is_first_process() -> bool:
    """Return whether torchrun started this process as its first, or did not start it at all."""
    return os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def joined() -> Iterator[World]:
    """Join the processes that torchrun started; on a machine with GPUs, each takes one."""
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World(0, 1, device)
        return
    if device.type == "cuda":
        dist.init_process_group("nccl", timeout=_LONGEST_WAIT, device_id=device)
    else:
        dist.init_process_group("gloo", timeout=_LONGEST_WAIT)
    try:
        yield World(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
