"""Measured archs as CSV.

Columns: ``kernel_sizes`` and ``expand_ratios`` (one number a block of the largest
network, apart by spaces, those of inactive blocks without meaning), ``depths`` (one
a stage), ``image_size``, ``top1_percent``.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from mcofa.arch import Arch
from mcofa.errors import FileFormatError, InvalidArchError, MissingFileError
from mcofa.files import write_atomic
from mcofa.space import SearchSpace

_COLUMNS = ("kernel_sizes", "expand_ratios", "depths", "image_size", "top1_percent")


def write_measured(path: Path, space: SearchSpace, measured: list[tuple[Arch, float]]) -> None:
    """Write archs of ``space`` and their accuracies in percent.

    Raises:
        DiskWriteError: the operating system refused to write.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for arch, top1_percent in measured:
        writer.writerow(
            [
                " ".join(_padded(arch.kernel_sizes, space.kernel_sizes[0], space.max_depth)),
                " ".join(_padded(arch.expand_ratios, space.expand_ratios[0], space.max_depth)),
                " ".join(map(str, arch.depths)),
                arch.resolution,
                f"{top1_percent:.2f}",
            ]
        )
    write_atomic(path, text.getvalue().encode())


def _padded(stages: tuple[tuple[float, ...], ...], filler: float, max_depth: int) -> list[str]:
    return [f"{value:g}" for stage in stages for value in (*stage, *[filler] * (max_depth - len(stage)))]


def read_measured(path: Path, space: SearchSpace) -> list[tuple[Arch, float]]:
    """Read what ``write_measured`` wrote.

    Raises:
        MissingFileError: there is no such file.
        FileFormatError: a column is missing, or a row is no arch of ``space``.
    """
    step = f"measure archs with `mcofa measure CHECKPOINT --out {path}`"
    if not path.is_file():
        raise MissingFileError(path, "CSV of measured archs", step)
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), restval=""))
        if not rows or set(_COLUMNS) - set(rows[0]):
            raise FileFormatError(
                path, f"expected the columns {', '.join(_COLUMNS)} and at least one row", step
            )
        return [_read_row(row, space) for row in rows]
    except (UnicodeDecodeError, csv.Error, ValueError, TypeError, IndexError, InvalidArchError) as error:
        detail = error.problem if isinstance(error, InvalidArchError) else str(error)
        raise FileFormatError(path, f"not a table of archs of {space.name}: {detail}", step) from error


def _read_row(row: dict[str, str], space: SearchSpace) -> tuple[Arch, float]:
    depths = [int(depth) for depth in row["depths"].split()]
    kernels = [int(kernel) for kernel in row["kernel_sizes"].split()]
    expands = [float(expand) for expand in row["expand_ratios"].split()]
    if not len(kernels) == len(expands) == space.blocks or len(depths) != len(space.stages):
        raise ValueError(f"{len(kernels)} blocks in {len(depths)} stages, expected {space.blocks}")
    starts = range(0, space.blocks, space.max_depth)
    arch = Arch(
        int(row["image_size"]),
        tuple(tuple(kernels[i : i + d]) for i, d in zip(starts, depths, strict=True)),
        tuple(tuple(expands[i : i + d]) for i, d in zip(starts, depths, strict=True)),
    )
    if arch.depths != tuple(depths):
        raise ValueError(f"depths {row['depths']}, at most {space.max_depth}")
    space.check(arch)
    top1_percent = float(row["top1_percent"])
    if not 0 <= top1_percent <= 100:
        raise ValueError(f"top1_percent {top1_percent}, expected 0 to 100")
    return arch, top1_percent
