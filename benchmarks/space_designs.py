"""Designs of a search space, compared before training: the largest networks within each limit.

Of 200,000 random archs of each space, as many MACs, and as many hidden channels, as any has whose
arena (TFLM's own memory plan on stm32f746) and model file keep the limit. Hidden channels are
those between the two 1×1 convolutions of a block, added up over the blocks: of all sizes the one that
accuracy follows best by itself (``what_size_is_worth.py``, docs/training.md).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from zoo_rows import LIMITS, MORE_LIMITS, Limit

from mcofa.boards import load_board
from mcofa.cost.arch_cost import cost
from mcofa.cost.peak_items import params
from mcofa.cost.population import PopulationCosts
from mcofa.errors import McofaError
from mcofa.space.blocks import hidden_width
from mcofa.space.search_space import Genomes, SearchSpace, load_space

Integers = npt.NDArray[np.int64]

BOARD = load_board("stm32f746")
SAMPLED = 200_000
SEED = 0


def hidden_channels(space: SearchSpace, genomes: Genomes) -> Integers:
    """Return the hidden channels of archs, added up over their blocks, (archs,)."""
    active, expands = space.active(genomes), space.expand_genes(genomes)
    channels = np.zeros(len(genomes), np.int64)
    inputs = space.stem.first_block_width
    for s, stage in enumerate(space.stages):
        for block in range(space.depths[-1]):
            options = np.array([hidden_width(inputs, ratio) for ratio in space.expand_ratios])
            channels += options[expands[:, s, block]] * active[:, s, block]
            inputs = stage.width
    return channels


@dataclass(frozen=True)
class Sample:
    """The sizes of random archs of a space, (archs,) each; arena and model file in bytes."""

    macs: Integers
    params: Integers
    hidden_channels: Integers
    arena_bytes: Integers
    model_bytes: Integers

    def within(self, limit: Limit) -> npt.NDArray[np.bool_]:
        """Return which archs keep a limit."""
        return (self.arena_bytes <= limit.arena_bytes) & (self.model_bytes <= limit.model_bytes)


def sample(space: SearchSpace) -> Sample:
    """Draw archs, always the same."""
    genomes = space.sample(SAMPLED, np.random.default_rng(SEED))
    costs = PopulationCosts(space, BOARD)
    found = costs.evaluate(genomes)
    return Sample(
        macs=found.macs,
        params=params(space, genomes),
        hidden_channels=hidden_channels(space, genomes),
        arena_bytes=costs.exact_arena_bytes(genomes),
        model_bytes=found.model_bytes,
    )


def print_by_limit(columns: Mapping[str, Callable[[Limit], str]]) -> None:
    """Print a table with a row for each limit; ``columns`` give a space's cells."""
    print(f"\n| arena / model | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for limit in LIMITS + MORE_LIMITS:
        print(f"| {limit} | {' | '.join(cell(limit) for cell in columns.values())} |")


def largest_within(drawn: Sample, limit: Limit) -> str:
    fits = drawn.within(limit)
    if not fits.any():
        return "nothing fits"
    return f"{drawn.macs[fits].max() / 1e6:.2f} M, {drawn.hidden_channels[fits].max()}"


def described(space: SearchSpace) -> str:
    widths, ratios = [stage.width for stage in space.stages], space.expand_ratios
    largest = cost(space, space.largest(), BOARD)
    return (
        f"{space.name}: stages {listed(widths)}, expand ratios {listed(ratios)}; the largest subnet "
        f"{largest.arena_bytes:,} B of arena, {largest.model_bytes:,} B, {largest.macs / 1e6:.2f} M MACs"
    )


def listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("spaces", nargs="+", metavar="SPACE", help="name or space file")
    spaces = [load_space(name) for name in parser.parse_args().spaces]
    print("\n".join(map(described, spaces)))
    print_by_limit({space.name: partial(largest_within, sample(space)) for space in spaces})


if __name__ == "__main__":
    try:
        main()
    except McofaError as error:
        sys.exit(f"Error: {error}")
