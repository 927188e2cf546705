"""Archs as CSV, measured or not.

Columns: ``kernel_sizes`` and ``expand_ratios`` (one number a block of the largest
network, apart by spaces, those of inactive blocks without meaning), ``depths`` (one
a stage), ``image_size`` (a side, or height x width as in ``40x24``); for measured archs
``top1_percent``, and where it is known the
``measurement_batch`` (any label), the ``checkpoint`` (a hash of its file), the ``space_fingerprint``
(``SearchSpace.fingerprint``), the ``data`` (``ImageData.fingerprint``), and after how many
``finetune_epochs`` of its own each arch was measured. Other columns are kept.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mcofa.errors import FileFormatError, InvalidArchError
from mcofa.files.atomic import write_atomic
from mcofa.files.read import read_file
from mcofa.space.arch import Arch
from mcofa.space.resolution import Resolution, parse_resolution, resolution_text
from mcofa.space.search_space import Genomes, SearchSpace

_ARCH_COLUMNS = ("kernel_sizes", "expand_ratios", "depths", "image_size")
_MEASURED_COLUMNS = (*_ARCH_COLUMNS, "top1_percent")
_OTHER_FILE = "name a table that `mcofa measure` wrote, or a new file to measure into"
_BATCH_COLUMN = "measurement_batch"
_CHECKPOINT_COLUMN = "checkpoint"
_SPACE_COLUMN = "space_fingerprint"
_DATA_COLUMN = "data"
_FINETUNE_COLUMN = "finetune_epochs"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """Measured archs: genomes (archs, genes) and top-1 accuracies in percent (archs,).

    Where the file says so, ``batches`` are the labels of the batches in which they were measured,
    ``checkpoint`` is the hash of the weights, and ``data`` that of the images. Each arch was fine-tuned
    for ``finetune_epochs`` before.
    """

    genomes: Genomes
    top1_percent: Floats
    batches: tuple[str, ...] | None = None
    checkpoint: str | None = None
    data: str | None = None
    finetune_epochs: int = 0

    def __len__(self) -> int:
        return len(self.genomes)

    def take(self, rows: npt.NDArray[np.intp]) -> Measured:
        """Return the archs in ``rows``."""
        batches = None if self.batches is None else tuple(self.batches[row] for row in rows)
        return replace(
            self, genomes=self.genomes[rows], top1_percent=self.top1_percent[rows], batches=batches
        )


def arch_cells(space: SearchSpace, genome: Genomes) -> dict[str, str]:
    """Return the cells that describe one genome, (genes,), by column."""
    kernels = [str(space.kernel_sizes[gene]) for gene in space.kernel_genes(genome[None]).flat]
    expands = [f"{ratio:g}" for ratio in space.expand_values(genome[None]).flat]
    depths = [str(space.depths[gene]) for gene in space.depth_genes(genome[None]).flat]
    cells = (
        " ".join(kernels),
        " ".join(expands),
        " ".join(depths),
        resolution_text(space.resolutions[genome[0]]),
    )
    return dict(zip(_ARCH_COLUMNS, cells, strict=True))


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    """Write rows with the same columns.

    Raises:
        DiskWriteError: the operating system refused to write.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue().encode())


def write_measured(path: Path, space: SearchSpace, measured: Measured) -> None:
    """Write archs of ``space`` and their accuracies.

    Raises:
        DiskWriteError: the operating system refused to write.
    """
    rows = []
    for i, genome in enumerate(measured.genomes):
        row = arch_cells(space, genome) | {"top1_percent": f"{measured.top1_percent[i]:.3f}"}
        if measured.batches is not None:
            row[_BATCH_COLUMN] = measured.batches[i]
        if measured.checkpoint is not None:
            row[_CHECKPOINT_COLUMN] = measured.checkpoint
        row[_SPACE_COLUMN] = space.fingerprint
        if measured.data is not None:
            row[_DATA_COLUMN] = measured.data
        if measured.finetune_epochs:
            row[_FINETUNE_COLUMN] = str(measured.finetune_epochs)
        rows.append(row)
    write_rows(path, rows)


def read_measured(path: Path, space: SearchSpace) -> Measured:
    """Read measured archs, as ``write_measured`` writes them.

    Raises:
        MissingFileError: there is no such file.
        FileFormatError: a column is missing, or a row is no arch of ``space``, was measured in another
            space, has no accuracy, or comes from another checkpoint, other data or other fine-tuning than
            the first.
    """
    step = _OTHER_FILE if path.exists() else f"measure archs with `mcofa measure CHECKPOINT --out {path}`"
    table = _read_table(path, space, _MEASURED_COLUMNS, step)
    for row, fingerprint in enumerate(table.column(_SPACE_COLUMN) or ()):
        if fingerprint != space.fingerprint:
            raise FileFormatError(
                path,
                f"row {row + 1} (line {table.lines[row]}) was measured in the space {fingerprint}, "
                f"{space.name} is {space.fingerprint}",
                "choose another table, or the space in which this one was measured",
            )
    genomes = _genomes(table, space)
    accuracies = _numbers(table, "top1_percent", 1)[:, 0]
    for row in np.flatnonzero(~((accuracies >= 0) & (accuracies <= 100))).tolist():
        raise table.refused(row, f"top1_percent {accuracies[row]}, expected 0 to 100")
    checkpoint, data = _only(table, _CHECKPOINT_COLUMN), _only(table, _DATA_COLUMN)
    finetune_epochs = _only(table, _FINETUNE_COLUMN) or "0"
    if not finetune_epochs.isdecimal():
        raise table.refused(0, f"{_FINETUNE_COLUMN} {finetune_epochs}, expected a number of epochs")
    batches = table.column(_BATCH_COLUMN)
    return Measured(genomes, accuracies, batches, checkpoint, data, int(finetune_epochs))


def _only(table: _Table, column: str) -> str | None:
    """Return what all rows of a column hold, None where the file has no such column."""
    cells = table.column(column)
    if cells is None:
        return None
    for row, cell in enumerate(cells):
        if cell != cells[0]:
            raise table.refused(row, f"measured on {column} {cell}, row 1 on {cells[0]}")
    return cells[0]


def read_archs(path: Path, space: SearchSpace) -> tuple[list[dict[str, str]], Genomes]:
    """Read archs of ``space``: the rows as they stand, a cell by its column, and genomes (rows, genes).

    ``top1_percent`` need not be there.

    Raises:
        MissingFileError: there is no such file.
        FileFormatError: a column is missing, or a row is no arch of ``space``.
    """
    step = f"see what {space.name} holds with `mcofa spaces show {space.name}`"
    table = _read_table(path, space, _ARCH_COLUMNS, step)
    return table.rows, _genomes(table, space)


@dataclass(frozen=True, slots=True)
class _Table:
    """The rows of a file of archs, and the line on which each of them ends."""

    path: Path
    space: str
    step: str
    rows: list[dict[str, str]]
    lines: list[int]

    def refused(self, row: int, detail: str) -> FileFormatError:
        """Return the error that says what is wrong in a row, counted from 0."""
        return self.damaged(f"row {row + 1} (line {self.lines[row]}): {detail}")

    def column(self, name: str) -> tuple[str, ...] | None:
        """Return the cells of a column, None where the file has no such column."""
        return tuple(row[name] for row in self.rows) if name in self.rows[0] else None

    def damaged(self, detail: object) -> FileFormatError:
        return FileFormatError(self.path, f"not a table of archs of {self.space}: {detail}", self.step)


def _read_table(path: Path, space: SearchSpace, needed: tuple[str, ...], step: str) -> _Table:
    if path.is_dir():
        raise FileFormatError(path, "is a folder, expected a CSV of archs", "name a file in it")
    table = _Table(path, space.name, step, [], [])
    content = read_file(path, "CSV of archs", step)
    try:
        # Spreadsheets write a byte order mark, which utf-8-sig skips.
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        header = next(reader, [])
        if len(set(header)) < len(header):
            raise table.damaged(f"a column appears twice: {', '.join(header)}")
        for cells in filter(None, reader):
            table.lines.append(reader.line_num)
            table.rows.append(dict(zip(header, cells, strict=False)))
            if len(cells) != len(header):
                raise table.refused(len(table.rows) - 1, f"{len(cells)} cells, expected {len(header)}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise table.damaged(error) from error
    if set(needed) - set(header) or not table.rows:
        raise table.damaged(f"expected the columns {', '.join(needed)} and at least one row")
    return table


def _genomes(table: _Table, space: SearchSpace) -> Genomes:
    by_block = (-1, len(space.stages), space.max_depth)
    resolutions = _resolutions(table)
    depths = _numbers(table, "depths", len(space.stages))
    kernels = _numbers(table, "kernel_sizes", space.blocks).reshape(by_block)
    expands = _numbers(table, "expand_ratios", space.blocks).reshape(by_block)

    depth_genes = _indices(depths, space.depths)
    for row, s in np.argwhere(depth_genes < 0).tolist():
        options = f"options: {list(space.depths)}"
        raise table.refused(row, f"stage {s + 1}: depth {depths[row, s]:g} is not in {space.name}; {options}")
    active = np.arange(space.max_depth) < depths[..., None]
    kernel_genes = np.where(active, _indices(kernels, space.kernel_sizes), 0)
    expand_genes = np.where(active & space.expands[:, None], _indices(expands, space.expand_ratios), 0)
    genomes = np.concatenate(
        [
            _resolution_genes(resolutions, space)[:, None],
            depth_genes,
            kernel_genes.reshape(-1, space.blocks),
            expand_genes.reshape(-1, space.blocks),
        ],
        axis=1,
    )

    fixed = np.array([stage.kernel_size or 0 for stage in space.stages])[:, None]
    forbidden = (fixed != 0) & (kernels != fixed) | ~space.expands[:, None] & (expands != 1)
    if space.coupled:
        forbidden |= expand_genes != depth_genes[..., None]
    for row in np.flatnonzero((genomes < 0).any(1) | (forbidden & active).any((1, 2))).tolist():
        try:
            space.check(_arch(resolutions[row], kernels[row], expands[row], active[row]))
        except InvalidArchError as error:
            raise table.refused(row, error.problem) from error
    return genomes


def _resolutions(table: _Table) -> list[Resolution]:
    found = []
    for number, row in enumerate(table.rows):
        try:
            found.append(parse_resolution(row["image_size"].strip()))
        except ValueError as error:
            raise table.refused(number, f"image_size {error}") from error
    return found


def _resolution_genes(resolutions: list[Resolution], space: SearchSpace) -> Genomes:
    genes = {resolution: gene for gene, resolution in enumerate(space.resolutions)}
    return np.array([genes.get(resolution, -1) for resolution in resolutions], np.int8)


def _numbers(table: _Table, column: str, count: int) -> Floats:
    """Read ``count`` numbers from each cell of a column, (rows, count)."""
    cells = [row[column].split() for row in table.rows]
    for number, cell in enumerate(cells):
        if len(cell) != count:
            raise table.refused(number, f"{column} {' '.join(cell)!r}: {len(cell)} numbers, expected {count}")
    try:
        return np.array(cells, np.float64)
    except ValueError:
        for number, cell in enumerate(cells):
            try:
                np.array(cell, np.float64)
            except ValueError as error:
                raise table.refused(number, f"{column} {' '.join(cell)!r}: {error}") from error
        raise


def _indices(values: Floats, options: tuple[float, ...]) -> Genomes:
    """Return which option each value is, −1 where it is none."""
    nearest = np.minimum(np.searchsorted(options, values), len(options) - 1)
    return np.where(np.array(options)[nearest] == values, nearest, -1).astype(np.int8)


def _arch(resolution: Resolution, kernels: Floats, expands: Floats, active: npt.NDArray[np.bool_]) -> Arch:
    return Arch(
        resolution,
        tuple(tuple(map(_plain, stage[mask])) for stage, mask in zip(kernels, active, strict=True)),
        tuple(tuple(map(_plain, stage[mask])) for stage, mask in zip(expands, active, strict=True)),
    )


def _plain(value: float) -> Any:
    """Return a whole number as int, so that errors quote it as the file does."""
    return int(value) if float(value).is_integer() else float(value)
