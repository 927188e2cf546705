"""The curves of a training phase: a CSV file that survives interruptions, and TensorBoard scalars."""

from __future__ import annotations

import csv
import io
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from mcofa.errors import DiskWriteError, FileFormatError
from mcofa.files.atomic import write_atomic

CURVE_SUFFIXES = CSV, SVG, _TENSORBOARD = (".csv", ".svg", ".tensorboard")
"""Of what lies beside a checkpoint: the points, their drawing, and TensorBoard's folder."""


@dataclass(frozen=True)
class Point:
    """What was seen at one step; a measured accuracy is that of the smallest or largest subnet."""

    step: int
    learning_rate: float | None = None
    loss: float | None = None
    train_top1_percent: float | None = None
    images_per_second: float | None = None
    smallest_top1_percent: float | None = None
    largest_top1_percent: float | None = None


_COLUMNS = [field.name for field in fields(Point)]


class Curves:
    """The points of a phase so far, kept in ``path`` (CSV) and in a folder for TensorBoard beside it."""

    def __init__(self, path: Path, resumed_step: int) -> None:
        """Take up the points that ``path`` holds up to ``resumed_step``.

        Raises:
            FileFormatError: ``path`` holds something else.
            DiskWriteError: TensorBoard's earlier file could not be removed.
        """
        self._path = path
        self.points = [point for point in _read(path) if point.step <= resumed_step]
        self._scalars = _Scalars(path.with_suffix(_TENSORBOARD))
        for point in self.points:
            self._scalars.add(point)

    def add(self, point: Point) -> None:
        """Add a point; ``save`` writes it."""
        self.points.append(point)
        self._scalars.add(point)

    def save(self) -> None:
        """Write all points; to be called before the checkpoint is saved, so that none is missing there.

        Raises:
            DiskWriteError: the file could not be written; the earlier one stays.
        """
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(point) for point in self.points)
        write_atomic(self._path, text.getvalue().encode())


def _read(path: Path) -> list[Point]:
    if not path.is_file():
        return []
    try:
        return [
            Point(
                int(row.pop("step")), **{key: float(value) if value else None for key, value in row.items()}
            )
            for row in csv.DictReader(path.read_text().splitlines())
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise FileFormatError(path, f"no curves of a training run: {error}", "move that file away") from error


class _Scalars:
    """An event file that TensorBoard reads; nothing without the package tensorboard.

    Written through tensorboard's own record format, as torch.utils.tensorboard would load all of
    tensorflow where that is installed.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "events.out.tfevents.0"
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            raise DiskWriteError(self._file, error) from error

    def add(self, point: Point) -> None:
        """Append the values of a point.

        Raises:
            DiskWriteError: the file could not be written.
        """
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ModuleNotFoundError:
            return
        event = Event(wall_time=time.time(), step=point.step)
        for name, value in asdict(point).items():
            if name != "step" and value is not None:
                event.summary.value.add(tag=name, simple_value=value)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab") as file:
                RecordWriter(file).write(event.SerializeToString())
        except OSError as error:
            raise DiskWriteError(self._file, error) from error
