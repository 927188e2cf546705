"""A space of depthwise-separable blocks, as DS-CNN and MobileNetV1 have, and one stage that expands."""

from __future__ import annotations

from typing import Any

from mcofa.space.search_space import SearchSpace


def depthwise_separable_space(**keys: Any) -> SearchSpace:
    """Images of two shapes, no first block, no layers before and behind the average; ``keys`` change it."""
    ds = {"block": "ds", "squeeze_excite": False}
    space = {
        "name": "ds-tiny",
        "title": "Depthwise-separable blocks for small oblong images",
        "input_channels": 1,
        "classes": 10,
        "padding": "same",
        "resolutions": [[17, 12], [25, 20]],
        "kernel_sizes": [3, 5],
        "expand_ratios": [2, 4],
        "depths": [1, 2, 3],
        "stem": {"width": 8, "stride": 2, "activation": "relu"},
        "stages": [
            {**ds, "width": 16, "stride": 1, "activation": "relu"},
            {"width": 16, "stride": 2, "activation": "relu", "squeeze_excite": False},
            {**ds, "width": 24, "stride": 2, "activation": "hard_swish", "squeeze_excite": True},
        ],
        "head": {},
    }
    return SearchSpace.model_validate(space | keys)
