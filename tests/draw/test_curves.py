"""The curves of a run: kept over interruptions, readable by TensorBoard, drawn at the end."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from mcofa.errors import DiskWriteError, FileFormatError
from mcofa.supernet.training.curve_picture import curve_picture
from mcofa.supernet.training.curves import Curves, Point

pytestmark = pytest.mark.torch

POINTS = [
    Point(1, learning_rate=0.1, loss=2.3, train_top1_percent=10.0, images_per_second=100.0),
    Point(2, learning_rate=0.05, loss=1.1, train_top1_percent=60.0, images_per_second=90.5),
    Point(2, smallest_top1_percent=40.25, largest_top1_percent=70.0),
]


def test_a_resumed_run_keeps_the_points_up_to_its_step(tmp_path: Path) -> None:
    path = tmp_path / "net.csv"
    curves = Curves(path, 0)
    for point in (*POINTS, Point(3, loss=0.5), Point(4, loss=0.4)):
        curves.add(point)
    curves.save()
    resumed = Curves(path, 2)
    assert resumed.points == POINTS
    assert Curves(path, 0).points == []


def test_tensorboard_reads_each_value_once(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    path = tmp_path / "net.csv"
    curves = Curves(path, 0)
    for point in (*POINTS, Point(3, loss=9.0)):
        curves.add(point)
    curves.save()
    Curves(path, 2).add(Point(3, loss=0.5))
    (file,) = (tmp_path / "net.tensorboard").iterdir()
    read = [
        (
            event.step,
            value.tag,
            round(value.tensor.float_val[0] if value.tensor.float_val else value.simple_value, 4),
        )
        for event in accumulator.LegacyEventFileLoader(str(file)).Load()
        for value in event.summary.value
    ]
    assert [(step, value) for step, tag, value in read if tag == "loss"] == [(1, 2.3), (2, 1.1), (3, 0.5)]
    assert (2, "smallest_top1_percent", 40.25) in read


@pytest.mark.parametrize("content", ["something else\n1\n", "step,loss\nx,1\n", "step,accuracy\n1,2\n"])
def test_a_file_that_holds_no_curves_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "net.csv").write_text(content)
    with pytest.raises(FileFormatError, match=r"net.csv: no curves of a training run"):
        Curves(tmp_path / "net.csv", 5)


def test_a_folder_that_cannot_be_made_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "net.tensorboard").write_text("a file")
    with pytest.raises(DiskWriteError, match=r"net.tensorboard"):
        Curves(tmp_path / "net.csv", 0)


def test_the_picture_shows_every_curve_within_its_frame() -> None:
    root = ET.fromstring(curve_picture("tiny on stripes", POINTS))
    lines = [element for element in root if element.tag.endswith("polyline")]
    assert len(lines) == 4
    width, height = (float(root.attrib[key]) for key in ("width", "height"))
    for line in lines:
        for pair in line.attrib["points"].split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height
    words = [element.text for element in root if element.tag.endswith("text")]
    assert "validation, smallest subnet, %" in words


def test_no_points_give_an_empty_picture() -> None:
    root = ET.fromstring(curve_picture("nothing", []))
    assert not [element for element in root if element.tag.endswith("polyline")]
