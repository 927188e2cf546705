"""What size is worth: accuracy after fine-tuning against MACs, parameters and hidden channels.

The archs are the picks of docs/zoo-table.csv and those that the predictors for fine-tuned archs were
fitted on (zoo/*-finetuned.csv); their accuracies are those on the validation images. First how well
the picks were predicted that no predictor had seen. Then least squares over all archs, in points for a
doubling, and over the int8 accuracies of the picks on the test images: an offset for a space says
whether its archs are worth more or less than ofa-micro's of the same size; ``inherited``, in points a
point, what the predicted accuracy with the supernet's weights adds to size.

Then what size allows: by the fit to MACs and parameters, the best of 200,000 random archs of each space
within each limit, in points above ofa-micro's best; in brackets above the pick of the space itself.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from space_designs import Sample, hidden_channels, print_by_limit, sample
from zoo_rows import SPACES, Limit, Pick, Row, read_rows

from mcofa.accuracy.features import sizes
from mcofa.accuracy.predictor import load_predictor
from mcofa.errors import McofaError
from mcofa.files.resources import data_folder
from mcofa.space.arch import Arch
from mcofa.space.arch_table import read_measured
from mcofa.space.search_space import Genomes, SearchSpace, load_space

Floats = npt.NDArray[np.float64]

TABLE = Path(__file__).resolve().parent.parent / "docs" / "zoo-table.csv"
ZOO = data_folder("zoo")


@dataclass(frozen=True)
class Tuned:
    """Fine-tuned archs of a space, (archs, genes), and their accuracies, (archs,).

    ``predicted_top1_percent`` is what the table predicted of a pick, nan for archs that the predictor was
    fitted on; ``int8_top1_percent`` is that of a pick on the test images, nan for archs that are none.
    """

    space: SearchSpace
    genomes: Genomes
    top1_percent: Floats
    predicted_top1_percent: Floats
    int8_top1_percent: Floats

    @property
    def inherited_top1_percent(self) -> Floats:
        """The predicted accuracies with the supernet's weights, (archs,)."""
        predictor = load_predictor(ZOO / f"{self.space.name}.npz", self.space)
        return predictor.predict(self.space, self.genomes).top1_percent


def tuned_archs(space: SearchSpace, rows: Mapping[Limit, Row]) -> Tuned:
    """Return the archs listed in the zoo and the table's picks, each once."""
    listed = read_measured(ZOO / f"{space.name}-finetuned.csv", space)
    found = {
        bytes(row): [top1, np.nan, np.nan]
        for row, top1 in zip(listed.genomes, listed.top1_percent.tolist(), strict=True)
    }
    for row in rows.values():
        if isinstance(row, Pick):
            new = [row.finetuned_validation_top1_percent, row.predicted_top1_percent, np.nan]
            found.setdefault(bytes(genome(space, row)), new)[-1] = row.int8_top1_percent
    genomes = np.array([np.frombuffer(key, listed.genomes.dtype) for key in found])
    return Tuned(space, genomes, *np.array(list(found.values())).T)


def genome(space: SearchSpace, pick: Pick) -> Genomes:
    deepest = space.depths[-1]
    depths = [int(depth) for depth in pick.depths.split()]
    kernels, ratios = iter(map(int, pick.kernel_sizes.split())), iter(map(float, pick.expand_ratios.split()))
    arch = Arch(
        int(pick.image_size),
        tuple(tuple(islice(kernels, deepest))[:depth] for depth in depths),
        tuple(tuple(islice(ratios, deepest))[:depth] for depth in depths),
    )
    return space.encode([arch])[0]


def fit(columns: Mapping[str, Floats], accuracy: Floats) -> Floats:
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


def print_predictions(archs: list[Tuned]) -> None:
    for of in archs:
        error = (of.predicted_top1_percent - of.top1_percent)[~np.isnan(of.predicted_top1_percent)]
        if len(error):
            print(
                f"{of.space.name}: {len(error)} new picks, predicted {error.mean():+.2f} points too high, "
                f"RMSE {np.sqrt(np.mean(error**2)):.2f} points"
            )


def main() -> None:
    table = read_rows(TABLE)
    archs = [tuned_archs(load_space(name), table.get(name, {})) for name in SPACES]
    print_predictions(archs)
    size = np.concatenate([sizes(of.space, of.genomes) for of in archs]).astype(np.float64)
    hidden = np.concatenate([hidden_channels(of.space, of.genomes) for of in archs])
    names = np.repeat([of.space.name for of in archs], [len(of.genomes) for of in archs])
    both = {"MACs": size[:, 0], "parameters": size[:, 1]}
    channels = {"hidden channels": np.log2(hidden)}
    spaces = {name: (names == name).astype(np.float64) for name in SPACES[1:]}
    inherited = {"inherited": np.concatenate([of.inherited_top1_percent for of in archs])}
    top1 = np.concatenate([of.top1_percent for of in archs])
    print(f"validation, {len(top1)} archs")
    slopes = fit(both, top1)
    for columns in (both | spaces, both | inherited, channels, channels | spaces, inherited):
        fit(columns, top1)
    int8 = np.concatenate([of.int8_top1_percent for of in archs])
    picked = ~np.isnan(int8)
    print(f"test, int8, {picked.sum()} picks")
    for columns in (both, both | spaces, both | inherited):
        fit({name: column[picked] for name, column in columns.items()}, int8[picked])

    drawn = {name: sample(load_space(name)) for name in SPACES}

    def worth(of: Sample) -> Floats:
        return np.asarray(slopes @ np.log2([of.macs, of.params]))

    def best(name: str, limit: Limit) -> float:
        return float(worth(drawn[name])[drawn[name].within(limit)].max())

    def cell(name: str, limit: Limit) -> str:
        above, row = best(name, limit) - best(SPACES[0], limit), table.get(name, {}).get(limit)
        if not isinstance(row, Pick):
            return f"{above:+.2f}"
        space = load_space(name)
        pick = float(slopes @ sizes(space, genome(space, row)[None])[0])
        return f"{above:+.2f} ({best(name, limit) - pick:+.2f})"

    print_by_limit({name: partial(cell, name) for name in SPACES})


if __name__ == "__main__":
    try:
        main()
    except McofaError as error:
        sys.exit(f"Error: {error}")
