"""The options that can be part of an arch within the budget, found before anything is sampled.

An option is ruled out when even the cheapest arch that holds it breaks a limit. What is left is,
for each resolution, a product of choices: a depth for each stage, and a kernel size with an expand
ratio for each block. It can be sampled without rejection, counted, and written out whole. For peak
items, a maximum of one number a block, it is exactly the set of archs within the budget. For
measures that add up over the blocks it holds that set and more.

A *choice* matrix has one arch a row: the resolution, one depth a stage, one option a block, where
option ``kernel gene · expand ratios + expand gene`` stands for both genes; −1 is not chosen yet.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mcofa.space.search_space import Genomes, SearchSpace

Booleans = npt.NDArray[np.bool_]
Choices = npt.NDArray[np.int16]

_FEW = 50_000


class Options:
    """What is left of a space within a budget.

    ``blocks`` says which options are left, (resolutions, stages, depths, blocks, options), ``depths``
    which depths are, (resolutions, stages, depths), ``resolutions`` which resolutions, (resolutions,).
    Blocks beyond a depth have the one option 0.
    """

    def __init__(self, space: SearchSpace, within: Callable[[Genomes], Booleans]) -> None:
        """Keep the options for which ``within`` holds; it is asked about genomes with −1 for any option."""
        self._space = space
        self.blocks = _left_of(space, within)
        self.depths = np.asarray(self.blocks.any(-1).all(-1))
        self.resolutions = np.asarray(self.depths.any(-1).all(-1))

    def count(self) -> int:
        """Return the number of archs in the product sets of all resolutions."""
        of_block = self.blocks.sum(-1).astype(object)
        return int(np.where(self.depths, of_block.prod(-1), 0).sum(-1).prod(-1).sum())

    @property
    def are_few(self) -> bool:
        """Whether all archs can be evaluated in a second or so."""
        return self.count() <= _FEW

    def every(self) -> Genomes:
        """Return all archs, (archs, genes); ``count`` says how many."""
        space = self._space
        choices = [np.zeros((0, 1 + len(space.stages) + space.blocks), np.int16)]
        for r in np.flatnonzero(self.resolutions):
            stages = [
                [
                    (depth, *blocks)
                    for depth in np.flatnonzero(self.depths[r, s])
                    for blocks in itertools.product(*map(np.flatnonzero, self.blocks[r, s, depth]))
                ]
                for s in range(len(space.stages))
            ]
            picks = np.indices([len(stage) for stage in stages]).reshape(len(stages), -1)
            by_stage = [np.array(stage, np.int16)[pick] for stage, pick in zip(stages, picks, strict=True)]
            depths = [stage[:, :1] for stage in by_stage]
            blocks = [stage[:, 1:] for stage in by_stage]
            resolution = np.full((len(depths[0]), 1), r, np.int16)
            choices.append(np.concatenate([resolution, *depths, *blocks], axis=1))
        return self._genomes(np.concatenate(choices))

    def sample(self, count: int, rng: np.random.Generator) -> Genomes:
        """Draw ``count`` archs: resolution, depths and blocks in turn, what is left equally likely."""
        stages = len(self._space.stages)
        return self._genomes(
            self._chosen(np.full((count, 1 + stages + self._space.blocks), -1, np.int16), rng)
        )

    def mutate(self, genomes: Genomes, probability: float, rng: np.random.Generator) -> Genomes:
        """Return archs in which each choice was drawn anew with ``probability``."""
        choices = self._choices(genomes)
        again = rng.random(choices.shape) < probability
        return self._genomes(self._chosen(np.where(again, np.int16(-1), choices), rng))

    def crossover(self, first: Genomes, second: Genomes, rng: np.random.Generator) -> Genomes:
        """Return archs whose choices come from one of two parents, each with equal chance."""
        one, other = self._choices(first), self._choices(second)
        return self._genomes(self._chosen(np.where(rng.random(one.shape) < 0.5, one, other), rng))

    def neighbours(self, genome: Genomes, rng: np.random.Generator) -> Genomes:
        """Return the archs that differ from ``genome``, (genes,), in one choice.

        A stage that becomes deeper is listed with each option for its new blocks.
        """
        space = self._space
        base = self._choices(genome[None])[0]
        resolution, depths = base[0], base[1 : 1 + len(space.stages)]
        found = [_with(base, 0, r) for r in np.flatnonzero(self.resolutions).tolist()]
        for s, depth in enumerate(depths):
            first_block = 1 + len(space.stages) + s * space.max_depth
            for other in np.flatnonzero(self.depths[resolution, s]).tolist():
                if space.depths[other] <= space.depths[depth]:
                    found.append(_with(base, 1 + s, other))
                    continue
                new = slice(first_block + space.depths[depth], first_block + space.depths[other])
                for option in range(self.blocks.shape[-1]):
                    found.append(_with(_with(base, 1 + s, other), new, option))
            for b in range(space.depths[depth]):
                for option in np.flatnonzero(self.blocks[resolution, s, depth, b]).tolist():
                    found.append(_with(base, first_block + b, option))
        distinct = np.unique(self._genomes(self._chosen(np.stack(found), rng)), axis=0)
        others: Genomes = distinct[(distinct != genome).any(1)]
        return others

    def settle(self, genomes: Genomes, rng: np.random.Generator) -> Genomes:
        """Return archs of these options: what ``genomes`` hold where it is left, else drawn."""
        return self._genomes(self._chosen(self._choices(genomes), rng))

    def _chosen(self, choices: Choices, rng: np.random.Generator) -> Choices:
        """Draw what is not chosen yet or not left."""
        space, expands = self._space, len(self._space.expand_ratios)
        stages = np.arange(len(space.stages))
        resolutions = np.broadcast_to(self.resolutions, (len(choices), len(self.resolutions)))
        resolution = _draw(resolutions, choices[:, 0], rng)
        depth = _draw(self.depths[resolution], choices[:, 1 : 1 + len(stages)], rng)
        left = self.blocks[resolution[:, None], stages, depth].reshape(len(choices), space.blocks, -1)
        blocks = _draw(left, choices[:, 1 + len(stages) :], rng, alike=expands)
        return np.concatenate([resolution[:, None], depth, blocks], axis=1)

    def _choices(self, genomes: Genomes) -> Choices:
        """Genomes as choices; blocks that an arch does not have are not chosen."""
        space = self._space
        options = space.kernel_genes(genomes).astype(np.int16) * len(space.expand_ratios)
        options = np.where(space.active(genomes), options + space.expand_genes(genomes), np.int16(-1))
        return np.concatenate(
            [genomes[:, : 1 + len(space.stages)], options.reshape(len(genomes), -1)], axis=1, dtype=np.int16
        )

    def _genomes(self, choices: Choices) -> Genomes:
        start = 1 + len(self._space.stages)
        kernels, expands = np.divmod(choices[:, start:], len(self._space.expand_ratios))
        return np.concatenate([choices[:, :start], kernels, expands], axis=1).astype(np.int8)


def _left_of(space: SearchSpace, within: Callable[[Genomes], Booleans]) -> Booleans:
    """Ask about the cheapest arch with each option, all other stages as shallow as they can be."""
    shape = (len(space.resolutions), len(space.stages), len(space.depths), space.max_depth)
    left = np.zeros((*shape, len(space.kernel_sizes) * len(space.expand_ratios)), bool)
    asked: list[tuple[int, ...]] = []
    for r, s, d in itertools.product(*map(range, shape[:3])):
        left[r, s, d, space.depths[d] :, 0] = True
        asked += [
            (r, s, d, b, kernel * len(space.expand_ratios) + expand)
            for b in range(space.depths[d])
            for kernel, expand in space.block_options(s, d)
        ]
    places = np.array(asked)
    resolution, stage, depth, block, option = places.T
    genomes = np.full((len(places), 1 + len(space.stages) + 2 * space.blocks), -1, np.int8)
    genomes[:, 0] = resolution
    space.depth_genes(genomes)[:] = 0
    every = np.arange(len(places))
    space.depth_genes(genomes)[every, stage] = depth
    space.kernel_genes(genomes)[every, stage, block] = option // len(space.expand_ratios)
    space.expand_genes(genomes)[every, stage, block] = option % len(space.expand_ratios)
    left[tuple(places.T)] = within(genomes)
    return left


def _draw(left: Booleans, chosen: Choices, rng: np.random.Generator, alike: int = 1) -> Choices:
    """Keep each choice (...) that is left among (..., options), and draw the others.

    ``alike`` options in a row are alike (they share the kernel size): one of those is drawn first.
    """
    options, wanted = np.arange(left.shape[-1]), chosen[..., None]
    liking = (options == wanted).astype(np.int8) + (options // alike == wanted // alike)
    drawn: Choices = (left * (1 - rng.random(left.shape) + liking)).argmax(-1).astype(np.int16)
    return drawn


def _with(base: Choices, place: int | slice, choice: int) -> Choices:
    changed = base.copy()
    changed[place] = choice
    return changed
