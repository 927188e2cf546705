from __future__ import annotations

import pytest
from test_offline_plan import chain_model

from export.convert.memory_plan import with_plan_if_it_fits
from export.tflite.model_file import ModelFile
from mcofa.boards import load_board
from mcofa.engines.tflm.runtime_code import graph_code_bytes
from mcofa.search import Budget

pytestmark = pytest.mark.torch


def test_a_memory_plan_keeps_within_the_limits_of_the_search() -> None:
    """The plan saves 1,024 bytes of arena, but makes the file larger."""
    board, tflite = load_board("stm32f746"), ModelFile(chain_model(), "chain")
    planned = with_plan_if_it_fits(tflite, board, Budget())
    assert planned.saved_bytes == 1_024
    model_bytes = len(planned.data)
    flash_bytes = model_bytes + graph_code_bytes(tflite.graph, board) + board.reserved.firmware_flash_bytes
    for enough, too_little in (
        (Budget(model_bytes=model_bytes), Budget(model_bytes=model_bytes - 1)),
        (Budget(flash_bytes=flash_bytes), Budget(flash_bytes=flash_bytes - 1)),
    ):
        assert with_plan_if_it_fits(tflite, board, enough) == planned
        refused = with_plan_if_it_fits(tflite, board, too_little)
        assert (refused.file, refused.saved_bytes) == (tflite, 0)
        assert refused.head_bytes_after == refused.head_bytes_before == planned.head_bytes_before
