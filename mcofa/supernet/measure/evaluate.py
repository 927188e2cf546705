"""Accuracy of subnets in float, with batch norm recalibrated for each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mcofa.supernet.data.splits import Preprocessing, Split
from mcofa.supernet.network.subnet import Subnet

CALIBRATION_IMAGES = 2_048
_BATCH = 512


def calibrate(subnet: Subnet, train: Split, preprocessing: Preprocessing) -> Subnet:
    """Set the batch norm statistics from 2,048 training images and leave the subnet in eval mode.

    Weight sharing makes the statistics of every subnet its own (Yu and Huang, arXiv 1903.05134).
    """
    for module in subnet.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    subnet.train()
    with torch.inference_mode():
        for batch in train.spread(CALIBRATION_IMAGES).images.split(_BATCH):
            subnet(preprocessing.normalise(batch))
    return subnet.eval()


def top1_percent(network: nn.Module, split: Split, preprocessing: Preprocessing) -> float:
    """Return the share of images whose largest logit is the right class, in percent."""
    return 100 * correct(network, split, preprocessing) / len(split)


def correct(network: nn.Module, split: Split, preprocessing: Preprocessing) -> int:
    """Return the number of images whose largest logit is the right class."""
    found = 0
    with torch.inference_mode():
        for images, targets in zip(split.images.split(_BATCH), split.targets.split(_BATCH), strict=True):
            found += int((network(preprocessing.normalise(images)).argmax(1) == targets).sum())
    return found


def logits(subnet: Subnet, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the subnet's logits (n, classes) for normalised ``images`` (n, channels, height, width)."""
    with torch.inference_mode():
        found: npt.NDArray[np.float32] = subnet(torch.from_numpy(images)).numpy()
    return found
