"""A GPU that computes on the CPU: tensors on it say so, and mixing them with others is an error.

What runs here and there alike has moved every tensor that it should. Real kernels are not tried.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

# Of the devices that torch knows, the one that needs no driver; what it does here is our own.
GPU = torch.device("meta")
_CPU = torch.device("cpu")

convolutions: Counter[torch.device] = Counter()
"""How many ran on which device since ``pretended_gpu`` began."""


class OnGpu(Tensor):
    """Holds a tensor of the CPU, and says that it is on the GPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnGpu:
        wrapper: OnGpu = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=GPU,
            requires_grad=held.requires_grad,
        )
        wrapper.held = held.detach()
        return wrapper

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _GpuMode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
    on_gpu = [isinstance(tensor, OnGpu) for tensor in tensors]
    if func.overloadpacket is torch.ops.aten.convolution:
        convolutions[GPU if any(on_gpu) else _CPU] += 1
    # A GPU copies from the CPU, and takes indices and numbers (tensors of no dimension) from it.
    mixing = (torch.ops.aten._to_copy, torch.ops.aten.copy_, torch.ops.aten.index)
    wanted = kwargs.get("device")
    needed = [here for here, tensor in zip(on_gpu, tensors, strict=True) if tensor.ndim]
    if func.overloadpacket not in mixing and any(on_gpu) and not all(needed):
        raise RuntimeError(f"{func}: tensors of two devices")
    result_on_gpu = any(on_gpu) if wanted is None else torch.device(wanted) == GPU
    if func.overloadpacket is torch.ops.aten.copy_:
        result_on_gpu = on_gpu[0]
    if wanted is not None:
        kwargs = {**kwargs, "device": _CPU}
    held_args, held_kwargs = tree_map(_held, (args, kwargs))
    with torch._C._DisableTorchDispatch():
        found = func(*held_args, **held_kwargs)
    # What an op changed in place is the tensor that it was given.
    given = {id(tensor.held): tensor for tensor in tensors if isinstance(tensor, OnGpu)}
    if not result_on_gpu:
        return found
    return tree_map(
        lambda leaf: given.get(id(leaf), OnGpu(leaf)) if isinstance(leaf, Tensor) else leaf, found
    )


def _held(leaf: Any) -> Any:
    return leaf.held if isinstance(leaf, OnGpu) else leaf


@contextlib.contextmanager
def pretended_gpu() -> Iterator[torch.device]:
    """Let ``GPU`` work as described above."""
    convolutions.clear()
    swap = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        # Tensors that hold others cannot be made in inference mode.
        with mock.patch("torch.inference_mode", torch.no_grad), _GpuMode():
            yield GPU
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swap)
