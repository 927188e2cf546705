"""What size is worth: fine-tuned accuracy of the zoo's picks against their MACs and model file.

Least squares over the distinct picks of docs/zoo-table.csv: accuracy on the validation images after
fine-tuning, and int8 accuracy on the test images, in points for a doubling of MACs and of the model
file, with an offset for each space against ofa-micro. An offset says whether a
space's archs are worth more or less than ofa-micro's of the same size. The second fit of each pair also
has the accuracy that the predictor gave, in points a point: what the supernet's opinion adds to size.

Then what size allows: by the first fit without offsets, the best of 200,000 random archs of each space
within each limit, in points above ofa-micro's best; in brackets above the pick of the space itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from zoo_rows import LIMITS, MORE_LIMITS, SPACES, Limit, Pick, read_rows

from mcofa.boards import load_board
from mcofa.errors import McofaError
from mcofa.population_cost import PopulationCosts
from mcofa.space import load_space

Floats = npt.NDArray[np.float64]

BOARD = load_board("stm32f746")
SAMPLED = 200_000
SEED = 0
TABLE = Path(__file__).resolve().parent.parent / "docs" / "zoo-table.csv"


def distinct_picks() -> list[tuple[str, Pick]]:
    """Return each pick once, whatever limits it was taken for, with its space."""
    picks: dict[tuple[str, str, str, str], Pick] = {}
    for space, of_space in read_rows(TABLE).items():
        for row in of_space.values():
            if isinstance(row, Pick):
                picks[space, row.kernel_sizes, row.expand_ratios, row.depths] = row
    return [(space, pick) for (space, *_), pick in picks.items()]


def fit(columns: dict[str, Floats], accuracy: Floats) -> Floats:
    """Print the coefficients with their standard errors and what is left; return the coefficients."""
    inputs = np.column_stack([np.ones(len(accuracy)), *columns.values()])
    coefficients, *_ = np.linalg.lstsq(inputs, accuracy, rcond=None)
    left = accuracy - inputs @ coefficients
    variance = left @ left / (len(accuracy) - inputs.shape[1])
    errors = np.sqrt(variance * np.diag(np.linalg.inv(inputs.T @ inputs)))
    terms = zip(columns, coefficients[1:], errors[1:], strict=True)
    print(", ".join(f"{name} {value:+.2f} ± {error:.2f}" for name, value, error in terms), end="; ")
    print(f"left {np.sqrt(variance):.2f} points")
    return np.asarray(coefficients[1:])


def best_within_limits(name: str, worth: Callable[[npt.ArrayLike, npt.ArrayLike], Floats]) -> dict[Limit, float]:
    """Return what the largest arch within each limit is worth."""
    space = load_space(name)
    genomes = space.sample(SAMPLED, np.random.default_rng(SEED))
    costs = PopulationCosts(space, BOARD)
    found, arena_bytes = costs.evaluate(genomes), costs.exact_arena_bytes(genomes)
    points = worth(found.macs, found.model_bytes)
    return {
        limit: float(
            points[(arena_bytes <= limit.arena_bytes) & (found.model_bytes <= limit.model_bytes)].max()
        )
        for limit in LIMITS + MORE_LIMITS
    }


def main() -> None:
    rows, found = read_rows(TABLE), distinct_picks()
    size = {
        "MACs doubled": np.log2([pick.macs for _, pick in found]),
        "file doubled": np.log2([pick.model_bytes for _, pick in found]),
        **{name: np.array([float(space == name) for space, _ in found]) for name in SPACES[1:]},
    }
    rated = size | {"predicted": np.array([pick.predicted_top1_percent for _, pick in found])}
    print(f"{len(found)} picks, validation, fine-tuned")
    tuned = np.array([pick.finetuned_validation_top1_percent for _, pick in found])
    of_macs, of_file, *_ = fit(size, tuned)
    fit(rated, tuned)
    print("test, int8")
    int8 = np.array([pick.int8_top1_percent for _, pick in found])
    fit(size, int8)
    fit(rated, int8)

    def worth(macs: npt.ArrayLike, model_bytes: npt.ArrayLike) -> Floats:
        return np.asarray(of_macs * np.log2(macs) + of_file * np.log2(model_bytes))

    best = {name: best_within_limits(name, worth) for name in SPACES}
    print(f"\n| arena / model | {' | '.join(SPACES)} |\n|---|{'---:|' * len(SPACES)}")
    for limit in LIMITS + MORE_LIMITS:
        cells = []
        for name in SPACES:
            above, row = best[name][limit] - best[SPACES[0]][limit], rows.get(name, {}).get(limit)
            if isinstance(row, Pick):
                left = best[name][limit] - worth(row.macs, row.model_bytes)
                cells.append(f"{above:+.2f} ({left:+.2f})")
            else:
                cells.append(f"{above:+.2f}")
        print(f"| {limit} | {' | '.join(cells)} |")


if __name__ == "__main__":
    try:
        main()
    except McofaError as error:
        sys.exit(f"Error: {error}")
