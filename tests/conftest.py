"""What several test modules share: where the checkout and the test data are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import evidence
import hypothesis
import numpy as np
import pytest

from mcofa.accuracy.fit import fit_predictor
from mcofa.accuracy.predictor import Predictor
from mcofa.space.arch_table import Measured
from mcofa.space.search_space import SearchSpace

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

_REPO_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return _REPO_ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of what others published: ``MCOFA_DATA``, or ``shared/data`` beside the checkout."""
    folder = evidence.outside_data()
    if not folder.is_dir():
        pytest.skip(f"no data of others at {folder}; point MCOFA_DATA at it")
    return folder


@pytest.fixture(scope="session")
def measured_model() -> Callable[[str], bytes]:
    """Returns a model whose arena was measured, by name; skips the test where it is not at hand."""
    files = evidence.measured_models()

    def read(name: str) -> bytes:
        if name not in files:
            pytest.skip(f"no {name}.tflite, which is not ours, in {evidence.outside_data()}: set MCOFA_DATA")
        return files[name].read_bytes()

    return read


@pytest.fixture(scope="session")
def tiny_space() -> SearchSpace:
    """A space of 800 archs: small enough to enumerate, with every feature that a space can have."""
    return SearchSpace.model_validate(
        {
            "name": "tiny",
            "title": "Two stages for 12 or 16 pixels",
            "input_channels": 1,
            "classes": 10,
            "padding": "same",
            "resolutions": [12, 16],
            "kernel_sizes": [3, 5],
            "expand_ratios": [1, 2],
            "depths": [1, 2],
            "stem": {
                "width": 8,
                "stride": 2,
                "activation": "relu",
                "first_block_width": 8,
                "first_block_activation": "relu",
            },
            "stages": [
                {"width": 8, "stride": 1, "activation": "relu", "squeeze_excite": False},
                {"width": 16, "stride": 2, "activation": "hard_swish", "squeeze_excite": True},
            ],
            "head": {"final_expand_width": 32, "feature_width": 16, "activation": "hard_swish"},
        }
    )


@pytest.fixture(scope="session")
def measured_tiny_archs(tiny_space: SearchSpace) -> Measured:
    """Archs of ``tiny_space`` and made-up accuracies: linear in the genes, with noise of 0.2 points."""
    rng = np.random.default_rng(7)
    genomes = tiny_space.sample(120, rng)
    gains = rng.uniform(0.2, 2, genomes.shape[1])
    return Measured(genomes, 70 + genomes @ gains + rng.normal(0, 0.2, len(genomes)))


@pytest.fixture(scope="session")
def synthetic_predictor(tiny_space: SearchSpace, measured_tiny_archs: Measured) -> Predictor:
    return fit_predictor(tiny_space, measured_tiny_archs, "made-up accuracies")
