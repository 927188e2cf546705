"""From a folder of images to a checked run, for networks that no space of mcofa's has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from depthwise_separable import depthwise_separable_space
from tiny_training import config, one_thread, write_inputs

from export.tflite.parse import parse_tflite
from mcofa.cli import main
from mcofa.lowering import lower
from mcofa.space.arch import arch_from_json
from mcofa.supernet.training.train import train

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def document(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    """What a command prints as JSON; it must succeed."""
    capsys.readouterr()
    code = main([*map(str, words), "--json"])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    return json.loads(printed.out)


def test_depthwise_separable_networks_for_oblong_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_inputs(tmp_path)
    file, weights, run = tmp_path / "ds.yaml", tmp_path / "ds.safetensors", tmp_path / "run"
    space = depthwise_separable_space(classes=3, resolutions=[[12, 9], [12, 10]])
    file.write_text(yaml.safe_dump(space.model_dump(mode="json")))
    with one_thread():
        train(config(tmp_path, space=str(file)), weights, lambda _: None)
        table, predictor = tmp_path / "measured.csv", tmp_path / "predictor.npz"
        document(capsys, "measure", weights, "--count", 8, "--out", table)
        document(capsys, "fit-predictor", table, "--space", file, "--out", predictor)
        to_search = ("--board", "stm32f103", "--space", file, "--predictor", predictor, "--out", run)
        searched = document(capsys, "search", *to_search)
        document(capsys, "finetune", run, "--checkpoint", weights, "--epochs", 1)
        document(capsys, "export", run, "--checkpoint", weights)
    arch = arch_from_json(searched["arch"], "run")
    height, width = lower(space, arch).tensors[0].shape[1:3]
    assert (height, width) in space.resolutions
    assert parse_tflite((run / "network.tflite").read_bytes(), "network.tflite") == lower(space, arch)
    checked = document(capsys, "arena-check", run)
    assert checked["arena_bytes"] == searched["predicted"]["arena_bytes"]
    *_, on_device = document(capsys, "verify", run)["steps"]
    assert (on_device["second"], on_device["max_difference"]) == ("TFLM", 0)
    document(capsys, "report", run)
    assert f"{height // 2 + height % 2}×{width // 2 + width % 2}×8" in (run / "report.html").read_text()
