"""Engine ``tflm`` for building and checking: the x86-64 wheel measures what was predicted for it."""

from __future__ import annotations

from export.convert.to_c import DeployedModel
from export.engines.comparison import Comparison
from export.engines.tflm.firmware import tflm_part
from export.firmware.engine_part import EnginePart
from export.runtimes.tflm import MeasuredArena, measure
from export.tflite.model_file import ModelFile
from mcofa.boards import Board
from mcofa.engines.tflm import account, target


class TflmDeviceEngine:
    """TensorFlow Lite Micro."""

    def firmware(self, board: Board, model: DeployedModel) -> EnginePart:
        """Return the interpreter, from a library that the user built."""
        return tflm_part(board, model)

    def measure(
        self, model: ModelFile, board: Board, *, streams_input: bool = False
    ) -> tuple[Comparison, ...]:
        """Return head and tail on x86-64, where TFLM itself runs."""
        return measured_on_host(model)[1]


def measured_on_host(model: ModelFile) -> tuple[MeasuredArena, tuple[Comparison, ...]]:
    """Return what TFLM uses on x86-64, and head and tail beside what was predicted.

    Raises:
        FileFormatError: not a model that TFLM can load.
        UnsupportedOpError: an op that the accounting has no rule for.
    """
    predicted = account(model.graph, target("x86-64", "reference"))
    measured = measure(model.data, model.name)
    return measured, (
        Comparison("x86-64", "head", predicted.head_bytes, measured.head_bytes, by="TFLM"),
        Comparison(
            "x86-64", "tail", predicted.recording_tail_bytes, measured.recording_tail_bytes, by="TFLM"
        ),
    )


ENGINE = TflmDeviceEngine()
