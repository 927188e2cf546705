"""What size is worth: fine-tuned accuracy of the zoo's picks against MACs, model file and hidden channels.

Least squares over the distinct picks of docs/zoo-table.csv: accuracy on the validation images after
fine-tuning, and int8 accuracy on the test images, in points for a doubling. An offset for a space says
whether its archs are worth more or less than ofa-micro's of the same size; ``predicted`` is the
accuracy that the predictor gave, in points a point: what the supernet's opinion adds to size.

Then what size allows: by the first fit without offsets, the best of 200,000 random archs of each space
within each limit, in points above ofa-micro's best; in brackets above the pick of the space itself.
"""

from __future__ import annotations

import sys
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from space_designs import hidden_channels, print_by_limit, sample
from zoo_rows import SPACES, Limit, Pick, read_rows

from mcofa.arch import Arch
from mcofa.errors import McofaError
from mcofa.space import load_space

Floats = npt.NDArray[np.float64]

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


def pick_hidden_channels(name: str, pick: Pick) -> int:
    space = load_space(name)
    kernels, ratios = iter(map(int, pick.kernel_sizes.split())), iter(map(float, pick.expand_ratios.split()))
    depths = [int(depth) for depth in pick.depths.split()]
    deepest = space.depths[-1]
    arch = Arch(
        int(pick.image_size),
        tuple(tuple(islice(kernels, deepest))[:depth] for depth in depths),
        tuple(tuple(islice(ratios, deepest))[:depth] for depth in depths),
    )
    return int(hidden_channels(space, space.encode([arch]))[0])


def main() -> None:
    rows, found = read_rows(TABLE), distinct_picks()
    size = {
        "MACs": np.log2([pick.macs for _, pick in found]),
        "file": np.log2([pick.model_bytes for _, pick in found]),
    }
    hidden = {"hidden channels": np.log2([pick_hidden_channels(name, pick) for name, pick in found])}
    spaces = {name: np.array([float(space == name) for space, _ in found]) for name in SPACES[1:]}
    predicted = {"predicted": np.array([pick.predicted_top1_percent for _, pick in found])}
    tuned = np.array([pick.finetuned_validation_top1_percent for _, pick in found])
    int8 = np.array([pick.int8_top1_percent for _, pick in found])
    print(f"{len(found)} picks, validation, fine-tuned")
    of_macs, of_file, *_ = fit(size | spaces, tuned)
    for columns in (size | spaces | predicted, size, hidden | spaces, hidden):
        fit(columns, tuned)
    print("test, int8")
    for columns in (size | spaces, size | spaces | predicted, size, hidden | spaces, hidden):
        fit(columns, int8)

    def worth(macs: npt.ArrayLike, model_bytes: npt.ArrayLike) -> Floats:
        return np.asarray(of_macs * np.log2(macs) + of_file * np.log2(model_bytes))

    drawn = {name: sample(load_space(name)) for name in SPACES}

    def best(name: str, limit: Limit) -> float:
        of_space = drawn[name]
        return float(worth(of_space.macs, of_space.model_bytes)[of_space.within(limit)].max())

    def cell(name: str, limit: Limit) -> str:
        above, row = best(name, limit) - best(SPACES[0], limit), rows.get(name, {}).get(limit)
        if not isinstance(row, Pick):
            return f"{above:+.2f}"
        return f"{above:+.2f} ({best(name, limit) - worth(row.macs, row.model_bytes):+.2f})"

    print_by_limit({name: partial(cell, name) for name in SPACES})


if __name__ == "__main__":
    try:
        main()
    except McofaError as error:
        sys.exit(f"Error: {error}")
