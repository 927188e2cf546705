"""Importing the supernet weights that MIT OFA and its successors published.

A published file is what ``torch.save`` makes of the state dict of a network of
mit-han-lab/once-for-all (ofa/imagenet_classification/elastic_nn/networks/ofa_mbv3.py at
f03b267) or MaximeGirard/memory-optimized-once-for-all (ofa/classification/elastic_nn/
networks/ofa_mbv3_ct_v1.py to _v3.py and ofa_mbv3_compound.py at db7c247). There a state
dict is one flat row of blocks, the fixed first block being number 0.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mcofa import __version__
from mcofa.errors import FileFormatError
from mcofa.files.read import require_file
from mcofa.space.search_space import SearchSpace, load_space, space_names
from mcofa.supernet.network.checkpoint import Header, save_checkpoint
from mcofa.supernet.network.supernet import UNEXPANDED, Supernet

_MISFITS_SHOWN = 10

# Earlier releases wrapped every layer in a dynamic one, which doubled the last part of its name.
_OLDER_NAMES = {
    ".mobile_inverted_conv.": ".conv.",
    ".bn.bn.": ".bn.",
    ".conv.conv.weight": ".conv.weight",
    ".linear.linear.": ".linear.",
}
_BLOCK_PARTS = {
    "expand": "inverted_bottleneck",
    "depthwise": "depth_conv",
    "squeeze_excite": "depth_conv.se.fc",
    "project": "point_linear",
}
_OTHER_PARTS = {
    "stem": "first_conv",
    "final_expand": "final_expand_layer",
    "feature_mix": "feature_mix_layer.conv",
    "classifier": "classifier.linear",
}


def import_checkpoint(published: Path, space: SearchSpace, checkpoint: Path) -> Header:
    """Write the weights of a published file as a checkpoint.

    Raises:
        MissingFileError: there is no such file.
        FileFormatError: the file is damaged, or does not fit the space.
        DiskWriteError: the checkpoint could not be written.
    """
    supernet = import_ofa(published, space)
    with published.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    header = Header(
        space=space,
        origin=f"{published.name} (sha256 {digest})",
        step=0,
        seconds=0.0,
        mcofa_version=__version__,
        torch_version=torch.__version__,
        hardware="",
        validation_top1_percent={},
    )
    save_checkpoint(checkpoint, header, supernet.state_dict())
    return header


def import_ofa(published: Path, space: SearchSpace) -> Supernet:
    """Return the supernet of ``space`` with the weights of a published file.

    Batch norm statistics are left behind, as every subnet gets its own. Where the space fixes a
    stage's kernel size, its kernels are made from the published 7×7 ones.

    Raises:
        MissingFileError: there is no such file.
        FileFormatError: the file is damaged, the space does not pad symmetrically as the
            published networks do, or a key or a shape does not fit the space.
    """
    found = _read(published)
    if space.padding != "symmetric":
        raise FileFormatError(
            published,
            f"its network pads symmetrically, the space {space.name} has padding {space.padding}",
            "choose a space with padding symmetric (`mcofa spaces`)",
        )
    kinds = {stage.block for stage in space.stages} - {"mbconv"}
    if kinds:
        raise FileFormatError(
            published,
            f"its network has blocks of kind mbconv, the space {space.name} also {', '.join(sorted(kinds))}",
            "choose a space of inverted residuals (`mcofa spaces`)",
        )
    misfits = _misfits(found, space)
    if misfits:
        raise _refusal(published, space, misfits, found)
    with torch.device("meta"):
        whole, supernet = Supernet(space.uncoupled()), Supernet(space)
    names = _published_names(whole)
    weights = {
        name: found[names[name]].float().reshape(parameter.shape).contiguous()
        for name, parameter in whole.named_parameters()
        if name in names
    }
    whole.load_state_dict(weights, assign=True)
    with torch.no_grad():
        largest = whole.weights(space.largest())
        shared = {f"shared.{name.replace('.', '/')}": weight.contiguous() for name, weight in largest.items()}
    supernet.load_state_dict(
        {name: shared.get(name, weights[name]) for name, _ in supernet.named_parameters() if name in names},
        assign=True,
    )
    return supernet


def _read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of the file under their present names."""
    step = "take the file as it was published: a state dict saved by torch.save, nothing else in it"
    require_file(path, "file with published weights", "download it from where it was published")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # On damaged files the unpickler fails in whatever way the bytes lead to.
        reason = str(error).partition("\n")[0]
        raise FileFormatError(path, f"no file of tensors that torch reads: {reason}", step) from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise FileFormatError(path, "holds no state dict (a table of names and tensors)", step)
    tensors = {_present_name(str(key)): value for key, value in state.items()}
    if len(tensors) < len(state):
        raise FileFormatError(path, "holds the same tensor under an older and a newer name", step)
    return tensors


def _present_name(key: str) -> str:
    name = key.removeprefix("module.")
    for older, present in _OLDER_NAMES.items():
        name = name.replace(older, present)
    return name


def _published_names(supernet: Supernet) -> dict[str, str]:
    """Return the published name of each parameter of a supernet that has one, by its own name."""
    space = supernet.space
    names = {}
    for key in filter(_is_published, supernet.shared):
        names[f"shared.{key}"] = _published_name(key, space.max_depth)
    for key in filter(_is_published, supernet.kernel_transforms):
        weight, _, size = key.rpartition("/")
        larger = space.kernel_sizes[space.kernel_sizes.index(int(size)) + 1]
        convolution = _published_name(weight, space.max_depth).removesuffix("weight")
        names[f"kernel_transforms.{key}"] = f"{convolution}{larger}to{size}_matrix"
    return names


def _is_published(key: str) -> bool:
    """Return whether published networks have these weights: in theirs, every block expands."""
    return not key.startswith(UNEXPANDED)


def _published_name(key: str, blocks_per_stage: int) -> str:
    match key.split("/"):
        case ["first_block", part, *rest]:
            prefix = f"blocks.0.conv.{_BLOCK_PARTS[part]}"
        case ["stages", stage, block, part, *rest]:
            prefix = f"blocks.{1 + int(stage) * blocks_per_stage + int(block)}.conv.{_BLOCK_PARTS[part]}"
        case [part, *rest]:
            prefix = _OTHER_PARTS[part]
    return ".".join([prefix, *("bn" if layer == "norm" else layer for layer in rest)])


@functools.cache
def _published_shapes(space: SearchSpace) -> dict[str, torch.Size]:
    with torch.device("meta"):
        supernet = Supernet(space.uncoupled())
    names = _published_names(supernet)
    shapes = {
        names[name]: parameter.shape for name, parameter in supernet.named_parameters() if name in names
    }
    shapes["classifier.linear.weight"] = shapes["classifier.linear.weight"][:2]
    for name in [name for name in shapes if name.endswith(".bn.weight")]:
        norm = name.removesuffix("weight")
        shapes |= {f"{norm}running_mean": shapes[name], f"{norm}running_var": shapes[name]}
        shapes[f"{norm}num_batches_tracked"] = torch.Size()
    return shapes


def _misfits(found: Mapping[str, Tensor], space: SearchSpace) -> list[str]:
    """Return one sentence for each key that is missing, unexpected or misshaped."""
    expected = _published_shapes(space)
    return [
        *(f"missing {name} {tuple(shape)}" for name, shape in expected.items() if name not in found),
        *(f"unexpected {name} {tuple(found[name].shape)}" for name in found if name not in expected),
        *(
            f"{name} has shape {tuple(found[name].shape)}, expected {tuple(shape)}"
            for name, shape in expected.items()
            if name in found and found[name].shape != shape
        ),
    ]


def _refusal(
    path: Path, space: SearchSpace, misfits: list[str], found: Mapping[str, Tensor]
) -> FileFormatError:
    more = len(misfits) - _MISFITS_SHOWN
    shown = misfits[:_MISFITS_SHOWN] + ([f"and {more} more"] if more > 0 else [])
    others = [load_space(name) for name in space_names()]
    fitting = [other.name for other in others if other.padding == "symmetric" and not _misfits(found, other)]
    return FileFormatError(
        path,
        f"{len(misfits)} keys or shapes do not fit the space {space.name}:\n    " + "\n    ".join(shown),
        f"its keys and shapes are those of {', '.join(fitting)}: give --space {fitting[0]}"
        if fitting
        else "write a space file with its widths, expand ratios and classes, and give it with --space",
    )
