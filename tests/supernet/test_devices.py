"""What trains or measures does so where the GPU is, all of it, and gives what it gives on the CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pretended_gpu import GPU, convolutions, pretended_gpu
from test_finetune import ARCH, SPACE, searched_run
from tiny_training import config, header, one_thread, randomised, write_inputs

from mcofa.boards import load_board
from mcofa.supernet.finetune import finetune as finetune_module
from mcofa.supernet.finetune import finetuned
from mcofa.supernet.finetune.finetune import FinetuneSettings, finetune
from mcofa.supernet.measure import evaluate_checkpoint as evaluate_module
from mcofa.supernet.measure import measure as measure_module
from mcofa.supernet.measure.evaluate_checkpoint import evaluate_checkpoint
from mcofa.supernet.measure.measure import measure
from mcofa.supernet.network.checkpoint import save_checkpoint
from mcofa.supernet.training.distributed import own_device

pytestmark = pytest.mark.torch

CPU = torch.device("cpu")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    write_inputs(tmp_path)
    path = tmp_path / "supernet.safetensors"
    save_checkpoint(path, header(SPACE, config(tmp_path)), dict(randomised(SPACE).state_dict()))
    return path


def on_cpu_and_gpu(compute: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """Return what ``compute`` gives on the CPU and on the pretended GPU, where all convolutions must run."""
    with one_thread():
        expected = compute()
        for module in (finetune_module, evaluate_module, measure_module):
            monkeypatch.setattr(module, "own_device", lambda: GPU)
        with pretended_gpu():
            found = compute()
    assert convolutions[GPU] > 0
    assert convolutions[CPU] == 0
    return expected, found


@pytest.mark.parametrize("qat", [False, True], ids=["float", "int8"])
def test_finetuning(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qat: bool) -> None:
    settings = FinetuneSettings(epochs=2, qat=qat, batch_size=16)
    folders = iter(("cpu", "gpu"))

    def tuned() -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        run = searched_run(tmp_path / next(folders))
        section = finetune(run, checkpoint, settings)
        content = (run.folder / finetuned.FILE_NAME).read_bytes()
        _, subnet = finetuned.from_bytes(content, SPACE, ARCH, "the file")
        return {key: section[key] for key in ("validation_top1_percent", "kept_epoch")}, subnet.state_dict()

    (expected, weights), (found, weights_on_gpu) = on_cpu_and_gpu(tuned, monkeypatch)
    assert found == expected
    assert weights_on_gpu.keys() == weights.keys()
    for name, weight in weights_on_gpu.items():
        assert weight.device == CPU
        assert torch.equal(weight, weights[name]), name


def test_evaluation(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = functools.partial(evaluate_checkpoint, checkpoint, "largest", 0)
    expected, found = on_cpu_and_gpu(compute, monkeypatch)
    assert found == expected


@pytest.mark.parametrize("epochs", [0, 1])
def test_measuring(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    tables = iter(("cpu.csv", "gpu.csv"))

    def compute() -> list[float]:
        out = tmp_path / next(tables)
        measured = measure(checkpoint, 2, 0, load_board("stm32f746"), out, finetune_epochs=epochs)
        assert measured is not None
        found: list[float] = measured.top1_percent.tolist()
        return found

    expected, found = on_cpu_and_gpu(compute, monkeypatch)
    assert found == expected


def test_each_process_has_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert own_device() == (torch.device("cuda", 3) if torch.cuda.is_available() else CPU)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert own_device() == torch.device("cuda", 3)
    monkeypatch.delenv("LOCAL_RANK")
    assert own_device() == torch.device("cuda", 0)
