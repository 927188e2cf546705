"""Fine-tuned weights of one subnet: tensors and a JSON header in one safetensors file."""

from __future__ import annotations

import json
from typing import Any

import pydantic
from safetensors import SafetensorError
from safetensors.torch import load, save

from mcofa.errors import FileFormatError
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace
from mcofa.supernet.network.fake_quantize import Ranges
from mcofa.supernet.network.subnet import Subnet

FILE_NAME = "finetuned.safetensors"
_HEADER_KEY = "mcofa_finetuned"


class FinetunedHeader(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What the file says of itself.

    ``activation_ranges`` are those that the weights were trained for; None without
    quantization-aware training.
    """

    arch: dict[str, Any]
    space_fingerprint: str
    checkpoint_sha256: str
    settings: dict[str, Any]
    activation_ranges: Ranges | None
    mcofa_version: str
    torch_version: str


def to_bytes(header: FinetunedHeader, subnet: Subnet) -> bytes:
    """Return the file that holds ``subnet``."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in subnet.state_dict().items()}
    data: bytes = save(tensors, metadata={_HEADER_KEY: header.model_dump_json()})
    return data


def from_bytes(data: bytes, space: SearchSpace, arch: Arch, source: str) -> tuple[FinetunedHeader, Subnet]:
    """Return header and subnet, in eval mode, of the file ``source``.

    Raises:
        FileFormatError: the file is damaged, or holds another arch or space than is asked for.
    """
    step = "fine-tune again with `mcofa finetune RUN`"
    try:
        tensors = load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        header = FinetunedHeader.model_validate_json(metadata[_HEADER_KEY])
    except (SafetensorError, ValueError, KeyError) as error:
        raise FileFormatError(source, f"not fine-tuned weights, or damaged: {error}", step) from error
    if (header.arch, header.space_fingerprint) != (arch.to_json(), space.fingerprint):
        raise FileFormatError(source, f"holds another network than the run's ({arch})", step)
    subnet = Subnet(space, arch)
    try:
        subnet.load_state_dict(tensors)
    except RuntimeError as error:
        raise FileFormatError(source, f"weights do not fit the arch {arch}: {error}", step) from error
    return header, subnet.eval()
