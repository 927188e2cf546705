from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcofa.accuracy.features import OPTIONS_AND_SUMS, SIZES, features, options
from mcofa.accuracy.fit import EqualAccuraciesError, Quality, TooFewArchsError, fit_predictor, quality
from mcofa.accuracy.predictor import OtherSpaceError, Predictor, load_predictor, save_predictor
from mcofa.cost.peak_items import macs, params
from mcofa.errors import FileFormatError, McofaError, MissingFileError
from mcofa.files.resources import data_folder
from mcofa.space.arch import Arch
from mcofa.space.arch_table import Measured, read_measured
from mcofa.space.search_space import Genomes, SearchSpace, load_space

ARRAYS = ("mean_features", "quadratic", "linear", "constants", "spread")
PAPER_SPACES = ("ofa", "compofa", "mcofa-v3")


def same(one: Predictor, other: Predictor) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS) and (
        (one.provenance, np.float32(one.noise)) == (other.provenance, np.float32(other.noise))
    )


# Features


def test_features_by_hand(tiny_space: SearchSpace) -> None:
    genomes = tiny_space.encode([Arch(16, ((5,), (3, 5)), ((1,), (2, 1)))])
    one_hot = [
        *(0, 1),  # resolution 12, 16
        *(1, 0, 0, 1),  # depths 1, 2 of both stages
        *(0, 1, 0, 0, 1, 0, 0, 1),  # kernel sizes 3, 5 of all blocks; the second one is inactive
        *(1, 0, 0, 0, 0, 1, 1, 0),  # expand ratios 1, 2 likewise
    ]
    # Blocks, kernel sizes of 5, and expand ratios of 2 of both stages.
    assert features(tiny_space, genomes).tolist() == [[*one_hot, 1, 2, 1, 1, 0, 1]]
    assert options(tiny_space, genomes).tolist() == [one_hot]


def test_features_tell_all_archs_apart(tiny_space: SearchSpace) -> None:
    genomes = np.unique(tiny_space.sample(20_000, np.random.default_rng(0)), axis=0)
    assert len(np.unique(features(tiny_space, genomes), axis=0)) == tiny_space.count()


# Fit


def test_prediction_equals_scikit_learn(
    tiny_space: SearchSpace, measured_tiny_archs: Measured, synthetic_predictor: Predictor
) -> None:
    """The same kernel in scikit-learn: for one of the ridges it gives the same predictions."""
    from sklearn.kernel_ridge import KernelRidge

    raw = features(tiny_space, measured_tiny_archs.genomes).astype(np.float64)
    mean, one_hot = raw.mean(0), 22
    scale = np.ones(raw.shape[1])
    for group in (slice(one_hot), slice(one_hot, None)):
        scale[group] = np.sqrt(2 * ((raw - mean)[:, group] ** 2).sum(1).mean())
    roots = np.sqrt(100 - measured_tiny_archs.top1_percent)
    genomes = tiny_space.sample(100, np.random.default_rng(1))
    found = synthetic_predictor.predict(tiny_space, genomes).top1_percent
    known = synthetic_predictor.provenance
    inside = (found > known.lowest_top1_percent) & (found < known.highest_top1_percent)
    assert inside.sum() > 80
    differences = []
    for ridge in (0.09, 0.3, 0.9, 3, 9, 30, 90, 300):
        model = KernelRidge(alpha=ridge, kernel="poly", degree=2, gamma=1, coef0=30)
        model.fit((raw - mean) / scale, roots - roots.mean())
        predicted = model.predict((features(tiny_space, genomes) - mean) / scale) + roots.mean()
        differences.append(float(np.abs(100 - predicted**2 - found)[inside].max()))
    assert min(differences) < 1e-3
    assert max(differences) > 0.1


def test_fit_finds_the_noise_of_made_up_accuracies(
    measured_tiny_archs: Measured, synthetic_predictor: Predictor
) -> None:
    provenance, accuracies = synthetic_predictor.provenance, measured_tiny_archs.top1_percent
    assert provenance.measured_archs == len(np.unique(measured_tiny_archs.genomes, axis=0))
    assert provenance.lowest_top1_percent == accuracies.min()
    assert provenance.highest_top1_percent == accuracies.max()
    assert provenance.measured_on == "made-up accuracies"
    assert provenance.batches == ()
    assert 0.2 < provenance.rmse_points < 0.4
    assert provenance.kendall_tau > 0.9
    assert provenance.rmse_points_in_batch == provenance.rmse_points


def test_measurements_deviate_as_predicted(tiny_space: SearchSpace) -> None:
    """Of archs that were held out, 68 % lie within one standard deviation and 95 % within two."""
    rng = np.random.default_rng(5)
    genomes = tiny_space.sample(700, rng)
    accuracies = 70 + genomes @ rng.uniform(0.2, 2, genomes.shape[1]) + rng.normal(0, 0.2, 700)
    measured = Measured(genomes, accuracies)
    predictor = fit_predictor(tiny_space, measured.take(np.arange(200)), "200 archs")
    rest = measured.take(np.arange(200, 700))
    found = predictor.predict(tiny_space, rest.genomes)
    ratio = np.abs(rest.top1_percent - found.top1_percent) / found.std_points
    assert 0.6 < (ratio < 1).mean() < 0.76
    assert 0.92 < (ratio < 2).mean() < 0.98
    assert 0.18 < np.median(found.std_points) < 0.3


def test_batches_are_told_apart(tiny_space: SearchSpace, measured_tiny_archs: Measured) -> None:
    rng = np.random.default_rng(3)
    batch = rng.integers(0, 3, len(measured_tiny_archs))
    shifted = measured_tiny_archs.top1_percent + np.array([-1, 0, 1])[batch]
    measured = Measured(measured_tiny_archs.genomes, shifted, tuple(f"gpu {i}" for i in batch))
    predictor = fit_predictor(tiny_space, measured, "three batches")
    known = predictor.provenance
    assert known.batches == ("gpu 0", "gpu 1", "gpu 2")
    assert known.rmse_points > 0.7
    assert known.rmse_points_in_batch < 0.45
    genomes = tiny_space.sample(200, rng)
    average = predictor.predict(tiny_space, genomes).top1_percent
    low, middle, high, unknown = (
        predictor.predict(tiny_space, genomes, [name] * 200).top1_percent for name in (*known.batches, "none")
    )
    assert np.mean(high - low) == pytest.approx(2, abs=0.2)
    np.testing.assert_allclose((low + middle + high) / 3, average, atol=0.15)
    np.testing.assert_array_equal(unknown, average)
    mixed = [known.batches[i % 3] for i in range(200)]
    expected = np.choose(np.arange(200) % 3, [low, middle, high])
    np.testing.assert_allclose(predictor.predict(tiny_space, genomes, mixed).top1_percent, expected)


def test_accuracies_without_pattern_are_not_predicted(tiny_space: SearchSpace) -> None:
    rng = np.random.default_rng(4)
    measured = Measured(tiny_space.sample(100, rng), rng.normal(80, 2, 100))
    predictor = fit_predictor(tiny_space, measured, "noise")
    assert predictor.provenance.rmse_points == pytest.approx(2, abs=0.6)
    assert abs(predictor.provenance.kendall_tau) < 0.3


@pytest.mark.parametrize("ties", [False, True])
def test_quality_equals_scipy(ties: bool) -> None:
    from scipy.stats import kendalltau

    rng = np.random.default_rng(0)
    one = rng.normal(70, 1, 200)
    other = one + rng.normal(0, 1, 200)
    if ties:
        one, other = one.round(), other.round()
    expected = Quality(
        round(float(np.sqrt(np.mean((one - other) ** 2))), 4),
        round(float(kendalltau(one, other).statistic), 4),
    )
    assert quality(one, other) == expected


def test_too_few_archs(tiny_space: SearchSpace, measured_tiny_archs: Measured) -> None:
    with pytest.raises(TooFewArchsError, match="5 distinct archs measured, at least 6 are needed"):
        fit_predictor(tiny_space, measured_tiny_archs.take(np.arange(5)), "")
    for archs, encoding in ((6, SIZES), (29, SIZES), (30, OPTIONS_AND_SUMS)):
        fitted = fit_predictor(tiny_space, measured_tiny_archs.take(np.arange(archs)), "")
        assert fitted.provenance.encoding == encoding


def test_few_archs_are_told_apart_by_their_sizes(tiny_space: SearchSpace, tmp_path: Path) -> None:
    """Against scikit-learn's least squares, and against the noise that the data were made with."""
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(6)
    genomes = tiny_space.sample(512, rng)
    logarithms = np.log2(np.stack([macs(tiny_space, genomes), params(tiny_space, genomes)], axis=1))
    roots = 9 - 0.2 * logarithms[:, 0] - 0.1 * logarithms[:, 1] + rng.normal(0, 0.01, 512)
    measured = Measured(genomes, 100 - roots**2, finetune_epochs=10)
    few = measured.take(np.arange(12))
    save_predictor(tmp_path / "sizes.npz", fit_predictor(tiny_space, few, "12 archs"))
    predictor = load_predictor(tmp_path / "sizes.npz", tiny_space)
    known = predictor.provenance
    found = predictor.predict(tiny_space, genomes)
    inside = (found.top1_percent > known.lowest_top1_percent) & (
        found.top1_percent < known.highest_top1_percent
    )
    assert inside.sum() > 200
    regression = LinearRegression().fit(logarithms[:12], roots[:12])
    expected = 100 - regression.predict(logarithms) ** 2
    np.testing.assert_allclose(found.top1_percent[inside], expected[inside], atol=1e-3)
    assert known.rmse_points < 0.15
    error = found.top1_percent[inside] - measured.top1_percent[inside]
    assert np.sqrt(np.mean((error / found.std_points[inside]) ** 2)) == pytest.approx(1, abs=0.4)
    beyond = (macs(tiny_space, genomes) > known.highest_macs) | (
        macs(tiny_space, genomes) < known.lowest_macs
    )
    np.testing.assert_array_equal(found.extrapolates, beyond)


def test_repeats_are_no_further_archs(tiny_space: SearchSpace, measured_tiny_archs: Measured) -> None:
    _, first = np.unique(measured_tiny_archs.genomes, axis=0, return_index=True)
    repeated = measured_tiny_archs.take(np.resize(np.sort(first)[:29], 60))
    assert fit_predictor(tiny_space, repeated, "").provenance.encoding == SIZES


def test_repeated_measurements_do_not_make_a_predictor_look_better(tiny_space: SearchSpace) -> None:
    """Accuracies without pattern: who has seen an arch's other rows knows its accuracy, nobody else does."""
    rng = np.random.default_rng(4)
    genomes = np.unique(tiny_space.sample(150, rng), axis=0)
    measured = Measured(genomes, rng.normal(80, 2, len(genomes)))
    order = rng.permutation(np.tile(np.arange(len(genomes)), 4))
    known = fit_predictor(tiny_space, measured.take(order), "each four times").provenance
    assert known.measured_archs == len(genomes)
    assert known.rmse_points > 1.7
    assert abs(known.kendall_tau) < 0.3


@pytest.mark.parametrize("different", [0, 1])
def test_equal_accuracies_are_refused(
    tiny_space: SearchSpace, measured_tiny_archs: Measured, different: int
) -> None:
    accuracies = np.full(len(measured_tiny_archs), 81.25)
    accuracies[:different] = 80
    measured = dataclasses.replace(measured_tiny_archs, top1_percent=accuracies)
    with pytest.raises(EqualAccuraciesError, match=r"have the same top-1 accuracy, 81.25 %"):
        fit_predictor(tiny_space, measured, "")


@pytest.mark.parametrize("change", [{"noise": np.nan}, {"spread": np.full((28, 28), np.inf)}])
def test_numbers_that_are_not_finite_are_never_saved(
    synthetic_predictor: Predictor, tmp_path: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(McofaError, match="not finite"):
        save_predictor(tmp_path / "tiny.npz", dataclasses.replace(synthetic_predictor, **change))
    assert list(tmp_path.iterdir()) == []


# Beyond what was measured


@pytest.mark.parametrize("factor", [100, -100])
def test_predictions_stay_near_what_was_measured(
    tiny_space: SearchSpace, synthetic_predictor: Predictor, factor: float
) -> None:
    wild = dataclasses.replace(synthetic_predictor, linear=factor * synthetic_predictor.linear)
    errors = 100 - wild.predict(tiny_space, tiny_space.sample(500, np.random.default_rng(0))).top1_percent
    provenance = wild.provenance
    assert errors.min() == pytest.approx(0.9 * (100 - provenance.highest_top1_percent))
    assert errors.max() < 1.12 * (100 - provenance.lowest_top1_percent)


def test_predictions_are_percentages(tiny_space: SearchSpace, synthetic_predictor: Predictor) -> None:
    genomes = tiny_space.sample(500, np.random.default_rng(0))
    for lowest, highest in ((0, 40), (60, 100)):
        provenance = dataclasses.replace(
            synthetic_predictor.provenance, lowest_top1_percent=lowest, highest_top1_percent=highest
        )
        for shift in (-1e6, 1e6):
            constants = synthetic_predictor.constants + np.float32(shift)
            shifted = dataclasses.replace(synthetic_predictor, provenance=provenance, constants=constants)
            found = shifted.predict(tiny_space, genomes)
            assert (np.abs(found.top1_percent - 50) <= 50).all()
            assert np.isfinite(found.std_points).all()


def test_the_order_of_archs_survives_the_bounds(
    tiny_space: SearchSpace, synthetic_predictor: Predictor
) -> None:
    """A search among archs beyond the best measured one still goes uphill."""
    genomes = tiny_space.sample(300, np.random.default_rng(2))
    provenance = dataclasses.replace(
        synthetic_predictor.provenance, lowest_top1_percent=70, highest_top1_percent=72
    )
    bounded = dataclasses.replace(synthetic_predictor, provenance=provenance)
    free = synthetic_predictor.predict(tiny_space, genomes).top1_percent
    order = np.argsort(free)
    assert (np.diff(bounded.predict(tiny_space, genomes).top1_percent[order]) >= -1e-4).all()


def test_unseen_options_are_marked_and_less_certain(
    tiny_space: SearchSpace, measured_tiny_archs: Measured
) -> None:
    small = measured_tiny_archs.take(np.flatnonzero(measured_tiny_archs.genomes[:, 0] == 0))
    predictor = fit_predictor(tiny_space, small, "resolution 12 only")
    genomes = tiny_space.sample(500, np.random.default_rng(6))
    found = predictor.predict(tiny_space, genomes)
    assert found.extrapolates[genomes[:, 0] == 1].all()
    seen = (genomes[:, 0] == 0) & ~found.extrapolates
    assert seen.sum() > 100
    assert found.std_points[genomes[:, 0] == 1].min() > 1.5 * np.median(found.std_points[seen])


def test_archs_with_other_macs_are_marked(tiny_space: SearchSpace, measured_tiny_archs: Measured) -> None:
    amounts = macs(tiny_space, measured_tiny_archs.genomes)
    middle = np.flatnonzero((amounts > np.quantile(amounts, 0.2)) & (amounts < np.quantile(amounts, 0.8)))
    predictor = fit_predictor(tiny_space, measured_tiny_archs.take(middle), "the middle")
    found = predictor.predict(tiny_space, measured_tiny_archs.genomes).extrapolates
    assert not found[middle].any()
    assert found[amounts > amounts[middle].max()].all()
    assert found[amounts < amounts[middle].min()].all()


def test_no_archs_no_predictions(tiny_space: SearchSpace, synthetic_predictor: Predictor) -> None:
    none = tiny_space.sample(0, np.random.default_rng(0))
    assert synthetic_predictor.predict(tiny_space, none).top1_percent.shape == (0,)


def test_many_archs_are_predicted_as_one_by_one(
    tiny_space: SearchSpace, synthetic_predictor: Predictor
) -> None:
    genomes: Genomes = tiny_space.sample(5_000, np.random.default_rng(0))
    together = synthetic_predictor.predict(tiny_space, genomes)
    for row in (0, 2_047, 2_048, 4_999):
        alone = synthetic_predictor.predict(tiny_space, genomes[row : row + 1])
        assert alone.top1_percent[0] == pytest.approx(together.top1_percent[row], abs=1e-3)


# The predictors that come with mcofa


@pytest.mark.parametrize(
    ("name", "rmse_points", "rmse_points_in_batch", "kendall_tau"),
    [("ofa", 0.34, 0.22, 0.89), ("compofa", 0.45, 0.31, 0.89), ("mcofa-v3", 0.35, 0.30, 0.94)],
)
def test_the_paper_spaces_are_predicted_well(
    name: str, rmse_points: float, rmse_points_in_batch: float, kendall_tau: float
) -> None:
    known = load_predictor(data_folder("zoo") / f"{name}.npz", load_space(name)).provenance
    assert known.rmse_points <= rmse_points
    assert known.rmse_points_in_batch <= rmse_points_in_batch
    assert known.kendall_tau >= kendall_tau


def test_every_shipped_predictor_is_of_the_space_that_comes_with_it() -> None:
    files = sorted(data_folder("zoo").glob("*.npz"))
    assert {"mcofa-micro", *PAPER_SPACES} <= {path.stem for path in files}
    for path in files:
        name = path.stem.removesuffix("-finetuned")
        known = load_predictor(path, load_space(name)).provenance
        assert (known.space, known.finetune_epochs > 0) == (name, path.stem != name)


@pytest.mark.parametrize("name", PAPER_SPACES)
def test_shipped_predictors_know_the_measured_archs(name: str, shared_data: Path) -> None:
    space = load_space(name)
    measured = read_measured(shared_data / "imagenet_subnets" / f"{name.replace('-', '_')}.csv", space)
    predictor = load_predictor(data_folder("zoo") / f"{name}.npz", space)
    assert predictor.provenance.measured_archs == len(measured)
    found = predictor.predict(space, measured.genomes, measured.batches)
    assert not found.extrapolates.any()
    assert quality(found.top1_percent, measured.top1_percent).rmse_points < 0.22


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rmse_points", "rmse_points_in_batch", "kendall_tau"),
    [("ofa", 0.34, 0.22, 0.89), ("compofa", 0.45, 0.31, 0.89), ("mcofa-v3", 0.35, 0.30, 0.94)],
)
def test_records_kept_aside_are_predicted(
    shared_data: Path, name: str, rmse_points: float, rmse_points_in_batch: float, kendall_tau: float
) -> None:
    space = load_space(name)
    measured = read_measured(shared_data / "imagenet_subnets" / f"{name.replace('-', '_')}.csv", space)
    order = np.random.default_rng(11).permutation(len(measured))
    aside = measured.take(order[: len(order) // 5])
    predictor = fit_predictor(space, measured.take(order[len(order) // 5 :]), "four fifths")
    anywhere = predictor.predict(space, aside.genomes)
    found = quality(anywhere.top1_percent, aside.top1_percent)
    in_batch = quality(
        predictor.predict(space, aside.genomes, aside.batches).top1_percent, aside.top1_percent
    )
    assert found.rmse_points <= rmse_points
    assert found.kendall_tau >= kendall_tau
    assert in_batch.rmse_points <= rmse_points_in_batch
    ratio = np.abs(anywhere.top1_percent - aside.top1_percent) / anywhere.std_points
    assert 0.6 < (ratio < 1).mean() < 0.76
    assert 0.92 < (ratio < 2).mean() < 0.985


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


@settings(max_examples=200)
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
        {"quadratic": None},
        {"noise": None},
        {"provenance": np.array("{}")},
        {"provenance": np.array("no JSON")},
        {"provenance": np.array("[]")},
        {"quadratic": np.array([["a"] * 28] * 28)},
        {"quadratic": np.zeros(28)},
        {"quadratic": np.full((28, 28), np.nan)},
        {"mean_features": np.zeros(27)},
        {"spread": np.zeros((28, 27))},
        {"linear": np.zeros((2, 28))},
        {"linear": np.zeros(28)},
        {"constants": np.zeros(2)},
        {"constants": np.zeros(())},
        {"noise": np.nan},
        {"noise": np.zeros(2)},
    ],
    ids=range(16),
)
def test_refuses_changed_contents(tiny_space: SearchSpace, saved: Path, changes: dict[str, Any]) -> None:
    rewrite(saved, **changes)
    with pytest.raises(FileFormatError, match=r"tiny\.npz"):
        load_predictor(saved, tiny_space)


def test_refuses_a_predictor_of_another_space(tiny_space: SearchSpace, saved: Path) -> None:
    with pytest.raises(OtherSpaceError) as refusal:
        load_predictor(saved, load_space("mcofa-micro"))
    assert refusal.value.problem == (
        f"{saved}: was fitted on the space tiny ({tiny_space.fingerprint}), "
        f"not on mcofa-micro ({load_space('mcofa-micro').fingerprint})"
    )
    assert "`mcofa fit-predictor" in refusal.value.next_step
    assert "--predictor" in refusal.value.next_step


@pytest.mark.parametrize("change", [{"resolutions": [12, 16, 20]}, {"classes": 5}])
def test_refuses_a_predictor_of_a_space_that_has_changed(
    tiny_space: SearchSpace, saved: Path, change: dict[str, Any]
) -> None:
    changed = SearchSpace.model_validate(tiny_space.model_dump() | change)
    with pytest.raises(OtherSpaceError, match=r"fitted on the space tiny \(.*\), not on tiny \("):
        load_predictor(saved, changed)
