"""Several processes share a batch, and the weights come out as from one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from tiny_training import SHRINKING, config, names_in, one_thread, write_inputs

from mcofa.supernet.checkpoint import load_checkpoint
from mcofa.supernet.config import TrainConfig
from mcofa.supernet.train import train

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def torchrun(train_config: TrainConfig, path: Path, repo_root: Path) -> subprocess.CompletedProcess[str]:
    config_file = path.with_suffix(".yaml")
    config_file.write_text(yaml.safe_dump(train_config.model_dump(mode="json")))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*launcher, "train.py", str(config_file), "--out", str(path)],
        cwd=repo_root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_two_processes_train_the_same_weights_as_one(tmp_path: Path, repo_root: Path) -> None:
    """Two micro-batches a batch: one process takes them one after the other, or two take one each."""
    write_inputs(tmp_path)
    shared = config(tmp_path, phases=SHRINKING, micro_batch_size=8)
    two, one = tmp_path / "two" / "net.safetensors", tmp_path / "one" / "net.safetensors"
    two.parent.mkdir()
    run = torchrun(shared, two, repo_root)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("validation top-1") == 1
    with one_thread():
        train(shared, one)
    assert names_in(one.parent) == [name for name in names_in(two.parent) if name != "net.yaml"]
    for name in ("net-teacher", "net-kernel-1", "net"):
        header, tensors = load_checkpoint(two.with_name(f"{name}.safetensors"))
        alone, expected = load_checkpoint(one.with_name(f"{name}.safetensors"))
        assert header.training_macs == alone.training_macs
        for key, tensor in expected.items():
            torch.testing.assert_close(tensors[key], tensor, rtol=1e-3, atol=1e-4, msg=key)


def test_a_batch_that_cannot_be_shared_is_refused_once(tmp_path: Path, repo_root: Path) -> None:
    write_inputs(tmp_path)
    run = torchrun(config(tmp_path), tmp_path / "net.safetensors", repo_root)
    assert run.returncode == 1
    assert run.stderr.count("2 processes cannot share a batch of 1 micro-batches evenly") == 1
    assert "let 2 divide batch_size / micro_batch_size" in run.stderr
    assert not (tmp_path / "net.safetensors").exists()
