from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcofa.arch import Arch
from mcofa.errors import FileFormatError, MissingFileError
from mcofa.fit_predictor import TooFewArchsError, fit_predictor
from mcofa.predictor import Predictor, features, load_predictor, save_predictor
from mcofa.space import SearchSpace, load_space

Measured = list[tuple[Arch, float]]


def same(one: Predictor, other: Predictor) -> bool:
    arrays = ("mean_features", "weights", "covariance")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays) and (
        (one.provenance, one.intercept, one.noise_points)
        == (other.provenance, other.intercept, other.noise_points)
    )


# Features and fit


def test_features_by_hand(tiny_space: SearchSpace) -> None:
    genomes = tiny_space.encode([Arch(16, ((5,), (3, 5)), ((1,), (2, 1)))])
    assert features(tiny_space, genomes).tolist() == [
        [
            *(0, 1),  # resolution 12, 16
            *(1, 0, 0, 1),  # depths 1, 2 of both stages
            *(0, 1, 0, 0, 1, 0, 0, 1),  # kernel sizes 3, 5 of all blocks; the second one is inactive
            *(1, 0, 0, 0, 0, 1, 1, 0),  # expand ratios 1, 2 likewise
        ]
    ]


def test_features_tell_all_archs_apart(tiny_space: SearchSpace) -> None:
    genomes = np.unique(tiny_space.sample(20_000, np.random.default_rng(0)), axis=0)
    assert len(np.unique(features(tiny_space, genomes), axis=0)) == tiny_space.count()


def test_prediction_equals_scikit_learn(
    tiny_space: SearchSpace, measured_tiny_archs: Measured, synthetic_predictor: Predictor
) -> None:
    from sklearn.linear_model import BayesianRidge

    inputs = features(tiny_space, tiny_space.encode([arch for arch, _ in measured_tiny_archs]))
    model = BayesianRidge().fit(inputs - inputs.mean(0), [top1 for _, top1 in measured_tiny_archs])
    genomes = tiny_space.sample(100, np.random.default_rng(1))
    mean, std = model.predict(features(tiny_space, genomes) - inputs.mean(0), return_std=True)

    prediction = synthetic_predictor.predict(tiny_space, genomes)
    provenance = synthetic_predictor.provenance
    inside = (mean > provenance.lowest_top1_percent) & (mean < provenance.highest_top1_percent)
    assert inside.sum() > 80
    np.testing.assert_allclose(prediction.top1_percent[inside], mean[inside], rtol=1e-9)
    np.testing.assert_allclose(prediction.std_points, std, rtol=1e-9)


def test_fit_finds_the_noise_of_linear_accuracies(
    measured_tiny_archs: Measured, synthetic_predictor: Predictor
) -> None:
    provenance = synthetic_predictor.provenance
    accuracies = [top1 for _, top1 in measured_tiny_archs]
    assert provenance.measured_archs == len(accuracies)
    assert (provenance.lowest_top1_percent, provenance.highest_top1_percent) == (
        min(accuracies),
        max(accuracies),
    )
    assert provenance.measured_on == "made-up accuracies"
    assert 0.1 < synthetic_predictor.noise_points < 0.3
    assert 0.1 < provenance.rmse_points < 0.4
    assert provenance.kendall_tau > 0.9


def test_accuracies_without_pattern_are_not_predicted(tiny_space: SearchSpace) -> None:
    rng = np.random.default_rng(4)
    archs = [tiny_space.decode(genome) for genome in tiny_space.sample(100, rng)]
    predictor = fit_predictor(tiny_space, [(arch, rng.normal(80, 2)) for arch in archs], "noise")
    assert predictor.provenance.rmse_points == pytest.approx(2, abs=0.6)
    assert abs(predictor.provenance.kendall_tau) < 0.3


@pytest.mark.parametrize("factor", [100, -100])
def test_predictions_stay_near_what_was_measured(
    tiny_space: SearchSpace, synthetic_predictor: Predictor, factor: float
) -> None:
    wild = dataclasses.replace(synthetic_predictor, weights=factor * synthetic_predictor.weights)
    predicted = wild.predict(tiny_space, tiny_space.sample(500, np.random.default_rng(0))).top1_percent
    provenance, noise = wild.provenance, wild.noise_points
    assert predicted.min() == provenance.lowest_top1_percent - noise
    assert predicted.max() == provenance.highest_top1_percent + noise


def test_predictions_are_percentages(tiny_space: SearchSpace, synthetic_predictor: Predictor) -> None:
    genomes = tiny_space.sample(500, np.random.default_rng(0))
    for lowest, highest, shift, bound in ((0.1, 40, -99, 0), (60, 99.9, 99, 100)):
        provenance = dataclasses.replace(
            synthetic_predictor.provenance, lowest_top1_percent=lowest, highest_top1_percent=highest
        )
        intercept = synthetic_predictor.intercept + shift
        shifted = dataclasses.replace(synthetic_predictor, provenance=provenance, intercept=intercept)
        assert (shifted.predict(tiny_space, genomes).top1_percent == bound).any()
        assert not (np.abs(shifted.predict(tiny_space, genomes).top1_percent - 50) > 50).any()


def test_unseen_options_are_less_certain(tiny_space: SearchSpace, measured_tiny_archs: Measured) -> None:
    small = [(arch, top1) for arch, top1 in measured_tiny_archs if arch.resolution == 12]
    predictor = fit_predictor(tiny_space, small, "resolution 12 only")
    std = predictor.predict(
        tiny_space, tiny_space.encode([tiny_space.smallest(), tiny_space.largest()])
    ).std_points
    assert std[1] > 1.5 * std[0] > 0


def test_no_archs_no_predictions(tiny_space: SearchSpace, synthetic_predictor: Predictor) -> None:
    none = tiny_space.sample(0, np.random.default_rng(0))
    assert synthetic_predictor.predict(tiny_space, none).top1_percent.shape == (0,)


def test_too_few_archs(tiny_space: SearchSpace, measured_tiny_archs: Measured) -> None:
    with pytest.raises(TooFewArchsError, match="29 measured archs, at least 30 are needed"):
        fit_predictor(tiny_space, measured_tiny_archs[:29], "")
    fit_predictor(tiny_space, measured_tiny_archs[:30], "")


# Files


@pytest.fixture
def saved(synthetic_predictor: Predictor, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.npz"
    save_predictor(path, synthetic_predictor)
    return path


@pytest.fixture(scope="module")
def saved_bytes(synthetic_predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("predictor") / "tiny.npz"
    save_predictor(path, synthetic_predictor)
    return path.read_bytes()


def test_round_trip(tiny_space: SearchSpace, synthetic_predictor: Predictor, saved: Path) -> None:
    assert same(load_predictor(saved, tiny_space), synthetic_predictor)
    assert list(saved.parent.iterdir()) == [saved]


def test_missing_file(tiny_space: SearchSpace, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="accuracy predictor of tiny not found"):
        load_predictor(tmp_path / "tiny.npz", tiny_space)
    with pytest.raises(MissingFileError):
        load_predictor(tmp_path, tiny_space)


@pytest.mark.parametrize("content", [b"", b"PK", b"no predictor\n", b"\x80\x04.", b"\x93NUMPY\x01\x00"])
def test_refuses_other_files(tiny_space: SearchSpace, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tiny.npz"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"tiny\.npz: not an accuracy predictor"):
        load_predictor(path, tiny_space)


def test_refuses_a_bare_array(tiny_space: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "tiny.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(FileFormatError, match="not an accuracy predictor"):
        load_predictor(path, tiny_space)


@settings(deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_refuses_a_truncated_file(
    tiny_space: SearchSpace,
    saved_bytes: bytes,
    tmp_path_factory: pytest.TempPathFactory,
    share: float,
) -> None:
    path = tmp_path_factory.getbasetemp() / "truncated.npz"
    path.write_bytes(saved_bytes[: int(share * len(saved_bytes))])
    with pytest.raises(FileFormatError):
        load_predictor(path, tiny_space)


@settings(max_examples=200, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_byte_is_refused_or_without_effect(
    tiny_space: SearchSpace,
    synthetic_predictor: Predictor,
    saved_bytes: bytes,
    tmp_path_factory: pytest.TempPathFactory,
    share: float,
    flip: int,
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.npz"
    data = bytearray(saved_bytes)
    data[int(share * len(data))] ^= flip
    path.write_bytes(data)
    try:
        loaded = load_predictor(path, tiny_space)
    except FileFormatError:
        return
    assert same(loaded, synthetic_predictor)


def rewrite(path: Path, **changes: Any) -> None:
    with np.load(path) as file:
        entries = dict(file) | changes
    np.savez(path, **{name: value for name, value in entries.items() if value is not None})


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": None},
        {"noise_points": None},
        {"provenance": np.array("{}")},
        {"provenance": np.array("no JSON")},
        {"provenance": np.array("[]")},
        {"weights": np.array(["a"] * 22)},
        {"weights": np.zeros((22, 22))},
        {"weights": np.full(22, np.nan)},
        {"weights": np.zeros(21)},
        {"mean_features": np.zeros(21)},
        {"covariance": np.zeros((22, 21))},
        {"covariance": np.zeros(22)},
        {"intercept": np.zeros(2)},
        {"noise_points": np.nan},
    ],
    ids=range(14),
)
def test_refuses_changed_contents(tiny_space: SearchSpace, saved: Path, changes: dict[str, Any]) -> None:
    rewrite(saved, **changes)
    with pytest.raises(FileFormatError, match=r"tiny\.npz"):
        load_predictor(saved, tiny_space)


def test_refuses_a_predictor_of_another_space(saved: Path) -> None:
    with pytest.raises(FileFormatError, match=r"fitted on the space tiny with .* not on mcofa-micro"):
        load_predictor(saved, load_space("mcofa-micro"))


def test_refuses_a_predictor_of_a_space_that_has_changed(tiny_space: SearchSpace, saved: Path) -> None:
    wider = SearchSpace.model_validate(tiny_space.model_dump() | {"resolutions": [12, 16, 20]})
    with pytest.raises(FileFormatError):
        load_predictor(saved, wider)
