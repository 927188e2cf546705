"""The engines by name."""

from __future__ import annotations

from export.convert.to_c import DeployedModel
from export.firmware.aot_engine import aot_engine
from export.firmware.engines import Engine
from export.firmware.tflm_engine import tflm_engine
from mcofa.boards import Board


def prepare_engine(name: str, board: Board, model: DeployedModel) -> Engine:
    """Return the engine ``name`` for ``model`` on ``board``.

    Raises:
        UnsupportedOpError: the engine has no kernel for an op of the model.
        FileFormatError: ``model.data`` is not a .tflite file.
    """
    return {"tflm": tflm_engine, "aot": aot_engine}[name](board, model)
