from __future__ import annotations

import functools
import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from depthwise_separable import depthwise_separable_space
from hypothesis import given
from hypothesis import strategies as st

from mcofa.errors import FileFormatError, InvalidArchError, UnknownNameError
from mcofa.space.arch import Arch
from mcofa.space.blocks import hidden_width, round_width, squeeze_width
from mcofa.space.search_space import Genomes, SearchSpace, load_space, space_names

STAGE = {"width": 8, "stride": 1, "activation": "relu", "squeeze_excite": False}

seeds = st.integers(0, 2**32 - 1)


@functools.cache
def enumerate_archs(space: SearchSpace) -> list[Arch]:
    """Every arch, written without genomes."""
    blocks = list(itertools.product(space.kernel_sizes, space.expand_ratios))
    stages = [stage for depth in space.depths for stage in itertools.product(blocks, repeat=depth)]
    return [
        Arch(
            resolution,
            tuple(tuple(kernel for kernel, _ in stage) for stage in chosen),
            tuple(tuple(expand for _, expand in stage) for stage in chosen),
        )
        for resolution in space.resolutions
        for chosen in itertools.product(stages, repeat=len(space.stages))
    ]


def changed(space: SearchSpace, **keys: Any) -> SearchSpace:
    return SearchSpace.model_validate(space.model_dump() | keys)


def assert_canonical(space: SearchSpace, genomes: Genomes) -> None:
    archs = [space.decode(genome) for genome in genomes]
    for arch in archs:
        space.check(arch)
    np.testing.assert_array_equal(space.encode(archs), genomes)


# Counting and coding


def test_count_equals_enumeration(tiny_space: SearchSpace) -> None:
    archs = enumerate_archs(tiny_space)
    assert len(set(archs)) == len(archs) == tiny_space.count() == 800


def test_enumerate_gives_every_arch_once(tiny_space: SearchSpace) -> None:
    genomes = tiny_space.enumerate()
    assert len(genomes) == tiny_space.count()
    assert {tiny_space.decode(genome) for genome in genomes} == set(enumerate_archs(tiny_space))


def test_coupled_spaces_with_fixed_kernels_are_enumerated_and_sampled_alike() -> None:
    """CompOFA's fixed-kernel variant: 243 choices of depths at each of 4 resolutions."""
    space = load_space("compofa-fixed-kernel")
    archs = {space.decode(genome) for genome in space.enumerate()}
    assert len(archs) == space.count() == 4 * 243
    rng = np.random.default_rng(0)
    assert {space.decode(genome) for genome in space.sample(20_000, rng)} == archs
    for arch in archs:
        space.check(arch)
        for depth, kernels, expands, stage in zip(
            arch.depths, arch.kernel_sizes, arch.expand_ratios, space.stages, strict=True
        ):
            assert set(kernels) == {stage.kernel_size}
            assert set(expands) == {{2: 3.0, 3: 4.0, 4: 6.0}[depth]}


def test_mutation_and_crossover_keep_the_coupling() -> None:
    space, rng = load_space("compofa"), np.random.default_rng(1)
    first, second = space.sample(300, rng), space.sample(300, rng)
    for genome in [*space.mutate(first, 0.3, rng), *space.crossover(first, second, rng)]:
        space.check(space.decode(genome))


def test_large_spaces_are_not_enumerated() -> None:
    with pytest.raises(InvalidArchError, match="at most 2,000,000 can be enumerated"):
        load_space("ofa").enumerate()


def test_count_of_the_published_once_for_all_space(tiny_space: SearchSpace) -> None:
    """((3·3)² + (3·3)³ + (3·3)⁴)⁵ ≈ 2·10¹⁹ (Cai et al., arXiv 1908.09791, section 3)."""
    options = {
        "resolutions": [128],
        "kernel_sizes": [3, 5, 7],
        "expand_ratios": [3, 4, 6],
        "depths": [2, 3, 4],
    }
    stages = [tiny_space.stages[0].model_dump()] * 5
    assert changed(tiny_space, **options, stages=stages).count() == (9**2 + 9**3 + 9**4) ** 5


def test_every_arch_has_a_genome_of_its_own(tiny_space: SearchSpace) -> None:
    archs = enumerate_archs(tiny_space)
    genomes = tiny_space.encode(archs)
    assert len(np.unique(genomes, axis=0)) == len(archs)
    assert [tiny_space.decode(genome) for genome in genomes] == archs


@given(seeds)
def test_sampled_genomes_are_canonical(tiny_space: SearchSpace, seed: int) -> None:
    genomes = tiny_space.sample(8, np.random.default_rng(seed))
    assert genomes.shape[0] == 8
    assert_canonical(tiny_space, genomes)


def test_sampling_draws_every_option_equally_often(tiny_space: SearchSpace) -> None:
    genomes = tiny_space.sample(8_000, np.random.default_rng(1))
    resolution_and_depths = genomes[:, :3].mean(0)
    np.testing.assert_allclose(resolution_and_depths, 0.5, atol=0.03)
    first_blocks = tiny_space.kernel_genes(genomes)[:, :, 0]
    np.testing.assert_allclose(first_blocks.mean(0), 0.5, atol=0.03)


@given(seeds, st.floats(0, 1))
def test_mutants_are_canonical_and_leave_the_originals(
    tiny_space: SearchSpace, seed: int, probability: float
) -> None:
    rng = np.random.default_rng(seed)
    genomes = tiny_space.sample(8, rng)
    before = genomes.copy()
    assert_canonical(tiny_space, tiny_space.mutate(genomes, probability, rng))
    np.testing.assert_array_equal(genomes, before)
    np.testing.assert_array_equal(tiny_space.mutate(genomes, 0, rng), before)


@given(seeds)
def test_children_are_canonical_and_take_every_resolution_and_depth_from_a_parent(
    tiny_space: SearchSpace, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    first, second = tiny_space.sample(8, rng), tiny_space.sample(8, rng)
    children = tiny_space.crossover(first, second, rng)
    assert_canonical(tiny_space, children)
    taken = (children == first) | (children == second)
    assert taken[:, : 1 + len(tiny_space.stages)].all()
    np.testing.assert_array_equal(tiny_space.crossover(first, first, rng), first)


def differences(space: SearchSpace, one: Arch, other: Arch) -> int:
    """In how many genes two archs differ; blocks that only one of them has do not count."""
    count = (one.resolution != other.resolution) + sum(
        a != b for a, b in zip(one.depths, other.depths, strict=True)
    )
    for ours, theirs in ((one.kernel_sizes, other.kernel_sizes), (one.expand_ratios, other.expand_ratios)):
        for our_stage, their_stage in zip(ours, theirs, strict=True):
            count += sum(a != b for a, b in zip(our_stage, their_stage, strict=False))
    return count


@given(seeds)
def test_neighbours_are_all_the_archs_one_gene_away(tiny_space: SearchSpace, seed: int) -> None:
    genome = tiny_space.sample(1, np.random.default_rng(seed))[0]
    neighbours = tiny_space.neighbours(genome)
    assert_canonical(tiny_space, neighbours)
    arch = tiny_space.decode(genome)
    # A block that a greater depth adds starts with the smallest options, as canonical genomes have it.
    expected = {
        other
        for other in enumerate_archs(tiny_space)
        if differences(tiny_space, arch, other) == 1
        and all(
            set(kernels[depth:]) <= {3} and set(expands[depth:]) <= {1}
            for depth, kernels, expands in zip(
                arch.depths, other.kernel_sizes, other.expand_ratios, strict=True
            )
        )
    }
    assert {tiny_space.decode(row) for row in neighbours} == expected
    assert len(neighbours) == len(expected)


def test_an_arch_without_alternatives_has_no_neighbours(tiny_space: SearchSpace) -> None:
    alone = changed(tiny_space, resolutions=[12], kernel_sizes=[3], expand_ratios=[2], depths=[1])
    assert alone.count() == 1
    assert len(alone.neighbours(alone.sample(1, np.random.default_rng(0))[0])) == 0


def test_a_copy_with_other_options_draws_from_them(tiny_space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    assert set(tiny_space.sample(100, rng)[:, 0]) == {0, 1}
    for resolutions in ((12,), (8, 12, 16)):
        copy = tiny_space.model_copy(update={"resolutions": resolutions})
        assert set(copy.sample(100, rng)[:, 0]) == set(range(len(resolutions)))


def test_smallest_and_largest(tiny_space: SearchSpace) -> None:
    assert tiny_space.smallest() == Arch(12, ((3,), (3,)), ((1,), (1,)))
    assert tiny_space.largest() == Arch(16, ((5, 5), (5, 5)), ((2, 2), (2, 2)))
    archs = enumerate_archs(tiny_space)
    assert {tiny_space.smallest(), tiny_space.largest()} <= set(archs)


# Refusals


@pytest.mark.parametrize(
    ("arch", "complaint"),
    [
        (Arch(13, ((3,), (3,)), ((1,), (1,))), "resolution 13 is not in tiny; options: [12, 16]"),
        (Arch(12, ((3,),), ((1,),)), "stage count 1 is not in tiny; options: [2]"),
        (Arch(12, ((3,), (3, 3, 3)), ((1,), (1, 1, 1))), "stage 2: depth 3 is not in tiny; options: [1, 2]"),
        (Arch(12, ((), (3,)), ((), (1,))), "stage 1: depth 0 is not in tiny; options: [1, 2]"),
        (Arch(12, ((3,), (3, 7)), ((1,), (1, 1))), "stage 2: kernel size 7 is not in tiny; options: [3, 5]"),
        (
            Arch(12, ((3,), (3,)), ((1.5,), (1,))),
            "stage 1: expand ratio 1.5 is not in tiny; options: [1.0, 2.0]",
        ),
        (
            Arch(12, ((3,), (3, 3)), ((1,), (1,))),
            "expand ratios per stage (1, 1) is not in tiny; options: [(1, 2)]",
        ),
        (Arch(12, ((3,), (3,)), ((1,),)), "expand ratios per stage (1,) is not in tiny; options: [(1, 1)]"),
    ],
)
def test_refuses_an_arch_outside_the_space(tiny_space: SearchSpace, arch: Arch, complaint: str) -> None:
    with pytest.raises(InvalidArchError) as refusal:
        tiny_space.check(arch)
    assert refusal.value.problem == complaint
    with pytest.raises(InvalidArchError):
        tiny_space.encode([tiny_space.smallest(), arch])


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ({"resolution": [28]}, "unknown key 'resolution' (did you mean 'resolutions'?)"),
        ({"kernel_sizes": [3, 4]}, "kernel_sizes must be odd"),
        ({"kernel_sizes": [5, 3]}, "kernel_sizes must ascend"),
        ({"expand_ratios": [2, 2]}, "expand_ratios must ascend"),
        ({"depths": [0, 1]}, "depths.0 is 0: Input should be greater than 0"),
        ({"resolutions": []}, "resolutions"),
        ({"resolutions": "28"}, "resolutions"),
        ({"classes": 1}, "classes"),
        ({"padding": "valid"}, "padding"),
        ({"global_average": "max_pool"}, "global_average is 'max_pool': Input should be"),
        ({"stages": []}, "stages"),
        ({"stages": [STAGE | {"stride": 3}]}, "stages.0.stride is 3: Input"),
        ({"stages": [STAGE | {"activation": "gelu"}]}, "stages.0.activation"),
        ({"stages": [STAGE, STAGE | {"squeeze": True}]}, "stages.1.squeeze' (did you mean 'squeeze_excite'"),
        ({"head": {"activation": "relu"}}, "head: activation is that of"),
        ({"stages": [STAGE | {"block": "mb"}]}, "no kind of block is called 'mb'; kinds: mbconv, ds"),
        ({"stages": [STAGE | {"block": "ds"}], "coupled": True}, "couples expand ratios"),
        ({"name": "../up"}, "name is '../up'"),
        ({"title": "a\nb"}, "title holds the character"),
        ({"resolutions": [28, [28, 28]]}, "without repetition"),
        ({"resolutions": [[40, 24], [24, 40]]}, "ascend in height and width"),
        ({"resolutions": [[40, 24, 1]]}, "neither a side in pixels nor [height, width]"),
        ({"resolutions": [True]}, "True is neither"),
        ({"head": {"final_expand_width": 8, "feature_width": 8}}, "head: activation is that of"),
    ],
)  # fmt: skip
def test_refuses_a_damaged_space_file(
    tiny_space: SearchSpace, tmp_path: Path, damage: dict[str, Any], complaint: str
) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(tiny_space.model_dump(mode="json") | damage))
    with pytest.raises(FileFormatError) as refusal:
        load_space(str(path))
    assert refusal.value.problem.startswith(f"{path}: ")
    assert complaint in refusal.value.problem


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ({"stages": [STAGE | {"width": 10**12}]}, "width is 1000000000000: Input should be less than"),
        ({"resolutions": [10**6]}, "a side of 1000000 pixels; 1 to 2,048 can be used"),
        ({"resolutions": [[24, 10**6]]}, "a side of 1000000 pixels"),
        ({"classes": 10**9}, "classes is 1000000000: Input should be less than"),
        ({"input_channels": 10**9}, "input_channels is 1000000000: Input should be less than"),
        ({"kernel_sizes": [3, 10**5 + 1]}, "kernel_sizes.1 is 100001: Input should be less than"),
        ({"depths": [1, 10**6]}, "depths.1 is 1000000: Input should be less than"),
        ({"expand_ratios": [1, 1e9]}, "expand_ratios.1 is 1000000000.0: Input should be less than"),
        ({"expand_ratios": [float("nan")]}, "no finite number"),
        ({"stages": [dict(STAGE) for _ in range(33)]}, "at most 32 items"),
        ({"resolutions": list(range(8, 136))}, "at most 127 items"),
        ({"resolutions": [*range(8, 128)], "kernel_sizes": [*range(1, 32, 2)],
          "expand_ratios": [*range(1, 17)]},
         "122,880 options of blocks"),
    ],
)  # fmt: skip
def test_numbers_have_limits_that_are_named(
    tiny_space: SearchSpace, tmp_path: Path, damage: dict[str, Any], complaint: str
) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(tiny_space.model_dump(mode="json") | damage))
    with pytest.raises(FileFormatError) as refusal:
        load_space(str(path))
    assert complaint in refusal.value.problem


def test_as_many_options_as_genes_can_tell_apart(tiny_space: SearchSpace) -> None:
    space = changed(tiny_space, resolutions=[*range(8, 135)])
    assert space.encode([space.largest()])[0, 0] == 126
    assert {space.decode(genome).resolution for genome in space.sample(5_000, np.random.default_rng(0))} == {
        *range(8, 135)
    }


def test_blocks_that_do_not_expand_have_one_expand_ratio() -> None:
    space = depthwise_separable_space()
    per_stage = (2 + 4 + 8, 4 + 16 + 64, 2 + 4 + 8)
    assert space.count() == len(np.unique(space.enumerate(), axis=0)) == 2 * math.prod(per_stage)
    genomes = space.sample(500, np.random.default_rng(0))
    assert_canonical(space, genomes)
    archs = [space.decode(genome) for genome in genomes]
    for s, ratios in enumerate([{1}, {2, 4}, {1}]):
        assert {ratio for arch in archs for ratio in arch.expand_ratios[s]} == ratios
    outside = replace(archs[0], expand_ratios=tuple((2.0,) * len(stage) for stage in archs[0].kernel_sizes))
    with pytest.raises(InvalidArchError, match=r"stage 1: expand ratio 2\.0 is not in ds-tiny; options: \[1"):
        space.check(outside)


def test_a_square_is_one_number(tiny_space: SearchSpace) -> None:
    space = changed(tiny_space, resolutions=[[12, 12], [16, 20]])
    assert space.resolutions == (12, (16, 20))
    assert changed(tiny_space, resolutions=[[12, 12], 16]).fingerprint == tiny_space.fingerprint
    assert space.model_dump(mode="json")["resolutions"] == [12, [16, 20]]


def test_global_average_changes_the_fingerprint_only_where_it_is_no_pool(tiny_space: SearchSpace) -> None:
    """Checkpoints from before there was a choice do not say it, and still are of the same space."""
    assert tiny_space.fingerprint == "ee8ea23e06fb4cd0"
    unsaid = tiny_space.model_dump(mode="json", exclude={"global_average"})
    assert SearchSpace.model_validate(unsaid) == tiny_space
    mean = SearchSpace.model_validate({**unsaid, "global_average": "mean"})
    assert mean.fingerprint != tiny_space.fingerprint


@pytest.mark.parametrize("content", [b"", b"a: [1", b"- 1\n", b"\xff\xfe\x00", b"\x00\x01", b"name: tiny\n"])
def test_refuses_what_is_no_space_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "space.yaml"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"space\.yaml: "):
        load_space(str(path))


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"'mcofa-mirco' \(did you mean mcofa-micro\?\)"):
        load_space("mcofa-mirco")


def test_reads_the_file_it_is_given(tiny_space: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(yaml.safe_dump(tiny_space.model_dump(mode="json")))
    assert load_space(str(path)) == tiny_space


def test_the_spaces_that_come_with_mcofa_load() -> None:
    assert "mcofa-micro" in space_names()
    for name in space_names():
        space = load_space(name)
        assert space.name == name
        assert space.count() >= 972


# Widths


def test_round_width_by_hand() -> None:
    cases = {1: 8, 8: 8, 11: 16, 12: 16, 18: 24, 19: 24, 36: 40, 44: 48, 57.6: 56, 67.2: 64, 94.5: 96}
    assert {value: round_width(value) for value in cases} == cases


@given(st.floats(1, 5_000))
def test_round_width_keeps_its_promise(value: float) -> None:
    width = round_width(value)
    assert width % 8 == 0
    assert width >= 0.9 * value
    assert abs(width - value) <= max(8, 0.1 * value + 4)


@pytest.mark.parametrize(("hidden", "squeezed"), [(72, 24), (120, 32), (480, 120), (672, 168), (960, 240)])
def test_squeeze_widths_of_mobilenet_v3(hidden: int, squeezed: int) -> None:
    """torchvision's mobilenet_v3_large has these convolutions."""
    assert squeeze_width(hidden) == squeezed


def test_memory_constant_rule_gives_the_published_widths() -> None:
    """Expand ratio 4, from 24 channels at side 56: half the side at each step, keep the memory.

    A step's depthwise takes ``2ecA + 49ec`` items, its expand ``cA + ec² + ecA``; the next
    stage's width is the largest that stays within the larger of the two.
    """
    expand, width, side, widths = 4, 24, 56.0, []
    for _ in range(6):
        area = side * side
        depthwise = 2 * expand * width * area + 49 * expand * width
        widening = width * area + expand * width**2 + expand * width * area
        by_depthwise = 2 * width * (area + 49) / (area / 2 + 49)
        linear = area / 4 * (1 + expand)
        by_expand = (math.sqrt(linear**2 + 4 * expand * max(depthwise, widening)) - linear) / (2 * expand)
        width = round_width(min(by_depthwise, by_expand) if depthwise > widening else by_expand)
        widths.append(width)
        side /= 2
    assert widths == [96, 288, 360, 384, 392, 392]


@pytest.mark.parametrize(("width", "expand", "hidden"), [(8, 1, 8), (20, 1, 20), (8, 1.5, 16), (24, 6, 144)])
def test_hidden_width(width: int, expand: float, hidden: int) -> None:
    assert hidden_width(width, expand) == hidden
