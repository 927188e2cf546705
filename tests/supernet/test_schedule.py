"""Which archs a phase trains, and at which learning rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_training import SHRINKING, config, tiny_space

from mcofa.cost.peak_items import macs
from mcofa.errors import McofaError
from mcofa.files.resources import data_folder
from mcofa.space.search_space import SearchSpace, load_space
from mcofa.supernet.training.config import TrainConfig, load_config
from mcofa.supernet.training.recipes import draw_archs
from mcofa.supernet.training.schedule import allowed_archs, check_recipe, schedule
from mcofa.supernet.training.training_compute import planned_macs, step_macs

pytestmark = pytest.mark.torch

CONFIGS = data_folder("configs")


def read(name: str) -> TrainConfig:
    return load_config(CONFIGS / f"{name}.yaml")


@pytest.mark.parametrize(
    ("phase", "kernel_sizes", "depths", "expand_ratios"),
    [
        ("kernel-1", {3, 5, 7}, {4}, {6}),
        ("depth-1", {3, 5, 7}, {3, 4}, {6}),
        ("depth-2", {3, 5, 7}, {2, 3, 4}, {6}),
        ("expand-1", {3, 5, 7}, {2, 3, 4}, {4, 6}),
        ("expand-2", {3, 5, 7}, {2, 3, 4}, {3, 4, 6}),
    ],
)
def test_options_grow_as_published(
    phase: str, kernel_sizes: set[int], depths: set[int], expand_ratios: set[float]
) -> None:
    """``ks_list``, ``depth_list`` and ``expand_list`` in train_ofa_net.py of MIT OFA at f03b267."""
    archs = drawn("ofa", phase)
    assert {kernel for arch in archs for stage in arch.kernel_sizes for kernel in stage} == kernel_sizes
    assert {depth for arch in archs for depth in arch.depths} == depths
    assert {ratio for arch in archs for stage in arch.expand_ratios for ratio in stage} == expand_ratios
    assert {arch.resolution for arch in archs} == {128, 160, 192, 224}


def drawn(name: str, phase: str, steps: int = 40) -> list[Any]:
    train_config = read(name)
    space, index = load_space(train_config.space), train_config.phase_names.index(phase)
    allowed = allowed_archs(space, train_config, index)
    archs = []
    for step in range(steps):
        of_step = draw_archs(allowed, train_config.phases[index], np.random.default_rng(step))
        assert len(of_step) == train_config.phases[index].subnets
        assert len({arch.resolution for arch in of_step}) == 1
        archs += of_step
    for arch in archs:
        space.check(arch)
    return archs


def test_the_teacher_is_the_largest_arch_at_every_resolution() -> None:
    largest = load_space("ofa").largest()
    archs = drawn("ofa", "teacher")
    assert {(arch.kernel_sizes, arch.expand_ratios) for arch in archs} == {
        (largest.kernel_sizes, largest.expand_ratios)
    }
    assert {arch.resolution for arch in archs} == {128, 160, 192, 224}


@pytest.mark.parametrize("phase", ["depth-1", "depth-2"])
def test_a_coupled_space_opens_depths_and_expand_ratios_together(phase: str) -> None:
    archs = drawn("compofa", phase)
    pairs = {
        (depth, *set(ratios))
        for arch in archs
        for depth, ratios in zip(arch.depths, arch.expand_ratios, strict=True)
    }
    assert pairs == {(2, 3), (3, 4), (4, 6)}


def test_a_sandwich_has_both_ends_each_at_its_own_resolution() -> None:
    space, train_config = load_space("ofa"), read("mcofa-micro")
    archs = draw_archs(space, train_config.phases[0], np.random.default_rng(0))
    assert archs[:2] == [space.largest(), space.smallest()]
    assert len(archs) == 4


@pytest.mark.parametrize("subnets", [3, 4, 5])
def test_small_and_large_archs_are_as_frequent_as_middling_ones(subnets: int) -> None:
    """Of archs whose options are drawn all at once, a tenth lies outside of these two percentiles."""
    space = load_space("mcofa-micro")
    phase = read("mcofa-micro").phases[0].model_copy(update={"subnets": subnets})
    low, high = np.percentile(macs(space, space.sample(2000, np.random.default_rng(0))), [5, 95])
    steps = [draw_archs(space, phase, np.random.default_rng(step)) for step in range(300)]
    drawn_macs = macs(space, space.encode([arch for archs in steps for arch in archs[2:]]))
    assert np.mean(drawn_macs < low) > 0.2
    assert np.mean(drawn_macs > high) > 0.2
    assert np.mean((drawn_macs > low) & (drawn_macs < high)) > 0.2


def test_a_recipe_that_does_not_fit_the_space_is_refused() -> None:
    with pytest.raises(McofaError, match="compofa couples expand ratios to depths"):
        check_recipe(read("ofa"), load_space("compofa"))
    with pytest.raises(McofaError, match="has no step expand, so ofa would keep untrained"):
        check_recipe(read("compofa"), load_space("ofa"))
    for name in ("ofa", "compofa", "mcofa-micro"):
        check_recipe(read("mcofa-micro"), load_space(name))


def test_a_shift_out_of_the_image_is_refused(tmp_path: Path) -> None:
    space = tiny_space().model_copy(update={"resolutions": (8, 12)})
    check_recipe(config(tmp_path, shift_pixels=7), space)
    with pytest.raises(McofaError, match=r"shift_pixels 8 would shift .* the smallest 8 pixels wide"):
        check_recipe(config(tmp_path, shift_pixels=8), space)


def test_warm_up_comes_on_top_and_the_cosine_ends_at_zero() -> None:
    train_config = config(Path(), epochs=3, warmup_epochs=0.5, base_learning_rate=0.02, batch_size=128)
    plan = schedule(train_config, train_config.phases[0], 1_300)
    assert (plan.steps_per_epoch, plan.warmup_steps, plan.steps) == (10, 5, 35)
    rates = [plan.learning_rate(step) for step in range(plan.steps)]
    assert rates[:6] == pytest.approx([0.008, 0.016, 0.024, 0.032, 0.04, 0.04])
    assert rates[5 + 15] == pytest.approx(0.02)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert 0 < rates[-1] < 2e-4
    assert [step for step in range(1, 36) if plan.epoch_ends_at(step)] == [10, 20, 30, 35]


def test_macs_of_a_step_by_hand(tiny_space: SearchSpace) -> None:
    """A trained arch costs three forward passes, a teacher's answer one."""
    largest, smallest = tiny_space.largest(), tiny_space.smallest()
    big, small = (step_macs(tiny_space, "sandwich", [arch]) // 3 for arch in (largest, smallest))
    assert small < big
    assert step_macs(tiny_space, "sandwich", [largest, smallest]) == 3 * (big + small)
    at_12 = step_macs(tiny_space, "sandwich", [tiny_space.uniform(12, 2, 5, 2)]) // 3
    assert step_macs(tiny_space, "kernel", [smallest, smallest]) == 6 * small + at_12


def test_the_two_micro_recipes_take_the_same_computing() -> None:
    space = load_space("ofa-micro")
    sandwich, shrinking = (
        planned_macs(read(name), space, 55_000) for name in ("ofa-micro", "ofa-micro-progressive")
    )
    assert shrinking == pytest.approx(sandwich, rel=0.03)


def test_planned_macs_of_a_teacher_are_exact(tiny_space: SearchSpace) -> None:
    train_config = config(Path(), phases=SHRINKING)
    one = train_config.model_copy(update={"phases": train_config.phases[:1]})
    per_resolution = [
        step_macs(tiny_space, "teacher", [tiny_space.uniform(side, 2, 5, 2)]) for side in (12, 16)
    ]
    planned = planned_macs(one, tiny_space, 160)
    assert 160 * min(per_resolution) < planned < 160 * max(per_resolution)
