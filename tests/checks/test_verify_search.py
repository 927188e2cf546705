"""Measuring candidates: supernet weights, validation images, and nothing of the test split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import one_thread, tiny_space, untrained_checkpoint

from export.checks.verify_search import Measured, ranked, verification_section, verify_candidates
from mcofa.errors import FileFormatError
from mcofa.search import Candidate
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace
from mcofa.supernet.data.datasets import load_data
from mcofa.supernet.data.image_files import ImageFiles
from mcofa.supernet.data.image_folder import ImageFolder
from mcofa.supernet.data.source import Part
from mcofa.supernet.network.checkpoint import load_supernet

pytestmark = pytest.mark.torch

SPACE = tiny_space()


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_checkpoint(tmp_path_factory.mktemp("verify"))


def candidate(arch: Arch, predicted: float = 50) -> Candidate:
    return Candidate(arch, None, 0, 0, predicted, 1, False)


def candidates(count: int) -> list[Candidate]:
    genomes = np.unique(SPACE.sample(50, np.random.default_rng(1)), axis=0)[:count]
    return [candidate(SPACE.decode(genome)) for genome in genomes]


def test_float_accuracy_is_that_on_the_validation_images(checkpoint: Path) -> None:
    done: list[int] = []
    measured = verify_candidates(checkpoint, SPACE, candidates(3), False, done.append)
    assert done == [1, 2, 3]
    assert [found.candidate for found in measured] == candidates(3)
    _, supernet = load_supernet(checkpoint)
    data = load_data(str(checkpoint.parent / "images"), 12, 1)
    for found in measured:
        subnet = supernet.extract(found.candidate.arch)
        for module in subnet.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0  # one batch, so the running averages are its statistics
        with torch.no_grad():
            subnet.train()(data.preprocessing.normalise(data.train.images))
            answers = subnet.eval()(data.preprocessing.normalise(data.validation.images)).argmax(1)
        expected = 100 * (answers == data.validation.targets).float().mean().item()
        assert found.float_top1_percent == pytest.approx(expected, abs=1e-4)
        assert (found.int8_top1_percent, found.images) == (None, len(data.validation))


@pytest.mark.slow
def test_int8_accuracy_is_measured_without_the_test_images(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ImageFolder.files

    def refuse_test(folder: ImageFolder, part: Part) -> ImageFiles:
        assert part == "train"
        return files(folder, part)

    monkeypatch.setattr(ImageFolder, "files", refuse_test)
    (found,) = verify_candidates(checkpoint, SPACE, candidates(1), True)
    assert found.int8_top1_percent is not None
    assert found.top1_percent == found.int8_top1_percent
    right = found.int8_top1_percent / 100 * found.images
    assert right == pytest.approx(round(right))
    # Of a dozen images, quantization changes the answer to few.
    assert abs(found.int8_top1_percent - found.float_top1_percent) <= 300 / found.images
    section = verification_section({"file": "zoo/x.safetensors", "sha256": "0" * 64}, [found])
    assert (section["split"], section["ranked_by"]) == ("validation", "int8")
    assert section["candidates"][0]["arch"] == found.candidate.arch.to_json()


def measurements() -> list[Measured]:
    archs = [one.arch for one in candidates(4)]
    accuracies = ((90.0, 89.0), (92.0, 88.0), (91.0, 90.0), (92.0, 90.0))
    return [
        Measured(candidate(arch), in_float, in_int8, 1_000)
        for arch, (in_float, in_int8) in zip(archs, accuracies, strict=True)
    ]


def test_the_most_accurate_in_int8_comes_first_of_equals_the_first_proposed() -> None:
    listed = measurements()
    assert list(ranked(listed, None)) == [listed[2], listed[3], listed[0], listed[1]]


def test_of_those_that_reach_the_accuracy_the_smallest_comes_first() -> None:
    listed = measurements()
    assert list(ranked(listed, 89)) == [listed[0], listed[2], listed[3], listed[1]]
    assert ranked(listed, 99) == ranked(listed, None)


def test_standard_error_is_binomial() -> None:
    assert Measured(candidate(SPACE.smallest()), 90, None, 10_000).standard_error_points == pytest.approx(0.3)


def test_a_checkpoint_of_another_space_is_refused(checkpoint: Path) -> None:
    other = SearchSpace.model_validate({**SPACE.model_dump(), "depths": [1]})
    with pytest.raises(FileFormatError, match="the search is about tiny"):
        verify_candidates(checkpoint, other, [candidate(other.smallest())], False)
