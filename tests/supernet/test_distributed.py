"""Several processes share a batch, and the weights come out as from one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from tiny_training import SHRINKING, config, names_in, one_thread, write_inputs

from mcofa.errors import LostProcessError
from mcofa.supernet.network.checkpoint import load_checkpoint
from mcofa.supernet.training.config import TrainConfig
from mcofa.supernet.training.distributed import World
from mcofa.supernet.training.train import train

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


# One of two machines; the disk is full, or the process dies, when the checkpoint is to be written. Says
# which of gloo's threads outlive the run: when the interpreter ends, they may abort the process.
PROCESS = """
import os, pathlib, platform, sys
platform.node = lambda: "machine-" + os.environ["RANK"]
import torch
torch.set_num_threads(1)
from mcofa.errors import DiskWriteError
from mcofa.supernet.training import phase_run
from mcofa.supernet.training import train
def full(path, *_):
    raise DiskWriteError(path, OSError(28, "No space left on device"))
def die(*_):
    os._exit(9)
if "SECONDS" in os.environ:
    phase_run.save_checkpoint = {"full": full, "die": die}[os.environ["SAVE"]]
    train._SECONDS_BETWEEN_SAVES = float(os.environ["SECONDS"])
from mcofa.cli import main
code = main(["train", *sys.argv[1:]])
threads = [task.read_text().strip() for task in pathlib.Path("/proc/self/task").glob("*/comm")]
print("left:", *[name for name in threads if "gloo" in name], file=sys.stderr)
sys.exit(code)
"""


def two_machines(
    configs: tuple[TrainConfig, TrainConfig], folder: Path, **environment: str
) -> list[tuple[int, str]]:
    """Start one process with each configuration; return the exit code and stderr of both."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = []
    for rank, train_config in enumerate(configs):
        config_file = folder / f"{rank}.yaml"
        config_file.write_text(yaml.safe_dump(train_config.model_dump(mode="json")))
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", PROCESS, str(config_file), "--out", str(folder / "out" / "net")],
                env={**os.environ, **common, **environment, "RANK": str(rank)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    errors = [process.communicate(timeout=300)[1] for process in processes]
    for process, error in zip(processes, errors, strict=True):
        assert process.returncode == 9 or error.endswith("left:\n"), error
    return [(process.returncode, error) for process, error in zip(processes, errors, strict=True)]


def errors_in(stderr: str) -> list[str]:
    assert "Traceback" not in stderr
    return [line for line in stderr.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize("missing", [(1,), (0, 1)], ids=["on one", "on both"])
def test_missing_data_are_told_once(tmp_path: Path, missing: tuple[int, ...]) -> None:
    write_inputs(tmp_path)
    here, nosuch = config(tmp_path, micro_batch_size=8), str(tmp_path / "nosuch")
    gone = here.model_copy(update={"data": nosuch})
    first, second = two_machines((gone if 0 in missing else here, gone), tmp_path)
    assert (first[0], second[0]) == (1, 1), first[1] + second[1]
    assert errors_in(first[1]) == [f"error: on machine-{missing[0]}: data set not found: {nosuch}"]
    assert "next: name `fashion-mnist`, `cifar-10`, or a folder" in first[1]
    assert errors_in(second[1]) == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seconds", ["0", "1000"], ids=["while training", "at the end"])
def test_a_full_disk_is_told_once(tmp_path: Path, seconds: str) -> None:
    write_inputs(tmp_path)
    shared = config(tmp_path, micro_batch_size=8)
    first, second = two_machines((shared, shared), tmp_path, SAVE="full", SECONDS=seconds)
    assert (first[0], second[0]) == (1, 1), first[1] + second[1]
    (problem,) = errors_in(first[1])
    assert f"cannot write {tmp_path / 'out' / 'net'}: No space left on device" in problem
    assert errors_in(second[1]) == []


def test_a_process_that_dies_is_told_by_the_other(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    shared = config(tmp_path, micro_batch_size=8)
    first, second = two_machines((shared, shared), tmp_path, SAVE="die", SECONDS="0")
    assert (first[0], second[0]) == (9, 1), first[1] + second[1]
    assert errors_in(second[1]) == ["error: another process of this run ended or does not answer"]


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        pytest.param(torch.distributed.DistBackendError, LostProcessError, id="NCCL"),
        pytest.param(torch.OutOfMemoryError, torch.OutOfMemoryError, id="the computation"),
    ],
)
def test_only_errors_of_the_connection_tell_of_a_lost_process(
    monkeypatch: pytest.MonkeyPatch, raised: type[Exception], told: type[Exception]
) -> None:
    def fail(_: torch.Tensor) -> None:
        raise raised("Connection closed by peer")

    monkeypatch.setattr(torch.distributed, "all_reduce", fail)
    with pytest.raises(told):
        World(0, 2, torch.device("cpu")).add_up(torch.zeros(2))


def test_a_run_that_diverges_says_so_once(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    shared = config(tmp_path, micro_batch_size=8, base_learning_rate=1e30)
    first, second = two_machines((shared, shared), tmp_path)
    assert (first[0], second[0]) == (1, 1), first[1] + second[1]
    (problem,) = errors_in(first[1])
    assert "phase sandwich diverged" in problem
    assert errors_in(second[1]) == []


def test_a_batch_that_cannot_be_shared_is_refused_once(tmp_path: Path, repo_root: Path) -> None:
    write_inputs(tmp_path)
    run = torchrun(config(tmp_path), tmp_path / "net.safetensors", repo_root)
    assert run.returncode == 1
    assert run.stderr.count("2 processes cannot share a batch of 1 micro-batches evenly") == 1
    assert "let 2 divide batch_size / micro_batch_size" in run.stderr
    assert not (tmp_path / "net.safetensors").exists()
