"""The command line as a user meets it: the whole chain, and one clear error for each thing that is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcofa.files.resources import data_folder

CHECKPOINT = data_folder("zoo") / "mcofa-micro.safetensors"


def mcofa(*words: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "import sys; from mcofa.cli import main; sys.exit(main())", *map(str, words)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str], *fragments: str, status: int = 1) -> None:
    """One error with its next step on stderr, nothing on stdout, no traceback."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    steps = [line for line in done.stderr.splitlines() if line.startswith("  next: ")]
    assert len(errors) == len(steps) == 1, done.stderr
    for fragment in fragments:
        assert fragment in done.stderr


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which stm32f746 was searched and exported as `run`."""
    folder = tmp_path_factory.mktemp("chain")
    for words in (("search", "--board", "stm32f746", "--out", "run"), ("export", "run")):
        done = mcofa(*words, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 KB; only root can make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.torch
class TestChain:
    def test_predicted_equals_measured(self, exported: Path) -> None:
        done = mcofa("arena-check", "run", "--board", "stm32f746", "--json", cwd=exported)
        check = json.loads(done.stdout)
        assert done.returncode == 0
        assert check["passed"]
        for part in ("head", "tail"):
            assert check[f"x86_64_predicted_{part}_bytes"] == check[f"x86_64_measured_{part}_bytes"] > 0

    def test_search_predicts_the_exported_file(self, exported: Path) -> None:
        manifest = json.loads((exported / "run" / "manifest.json").read_text())
        predicted = manifest["search"]["predicted"]
        written, plan = manifest["export"], manifest["export"]["offline_plan"]
        assert predicted["arena_bytes"] - plan["saved_bytes"] == written["arena_bytes"]
        assert predicted["model_bytes"] + plan["growth_bytes"] * plan["used"] == written["tflite"]["bytes"]

    def test_accuracy_survives_quantization(self, exported: Path) -> None:
        done = mcofa("evaluate", "run", "--json", cwd=exported)
        measured = json.loads(done.stdout)
        assert measured["test_images"] == 10_000
        assert measured["int8_top1_percent"] >= 90
        assert measured["float_top1_percent"] - measured["int8_top1_percent"] <= 0.5
        assert measured["tflm_images_that_differ_from_litert"] == 0

    def test_arena_of_the_file(self, exported: Path) -> None:
        done = mcofa("arena", "run/network.tflite", "--measure", "--json", cwd=exported)
        found = json.loads(done.stdout)
        assert found["head_bytes"] == found["measured"]["head_bytes"]
        assert found["recording_tail_bytes"] == found["measured"]["recording_tail_bytes"]

    def test_firmware_holds_the_model(self, exported: Path) -> None:
        from export.convert.to_c import read_c_array

        done = mcofa("firmware", "run", "--board", "stm32f746", "--json", cwd=exported)
        section = json.loads(done.stdout)
        (source,) = [name for name in section["files"] if name.endswith("_model.cc")]
        array = (exported / section["folder"] / source).read_text()
        assert read_c_array(array) == (exported / "run" / "network.tflite").read_bytes()

    def test_the_runtimes_agree(self, exported: Path) -> None:
        done = mcofa("verify", "run", "--images", "20", "--json", cwd=exported)
        assert done.returncode == 0, done.stderr
        verified = json.loads(done.stdout)
        pairs = [(step["first"], step["second"]) for step in verified["steps"]]
        assert pairs == [("PyTorch", "ONNX"), ("ONNX", "LiteRT"), ("LiteRT", "TFLM")]
        to_onnx, _, to_tflm = verified["steps"]
        assert to_onnx["max_difference"] < 1e-3
        assert to_onnx["top1_agreement_percent"] == 100
        assert to_tflm["max_difference"] == to_tflm["images_that_differ"] == 0
        assert all(op["tflm_max_difference_steps"] == 0 for op in verified["ops"])
        recorded = json.loads((exported / "run" / "manifest.json").read_text())["verify"]
        assert recorded.pop("command") == ["mcofa", "verify", "run", "--images", "20", "--json"]
        assert {"run": "run", **recorded} == verified

    def test_verifying_with_other_weights_is_refused(self, exported: Path, tmp_path: Path) -> None:
        manifest = json.loads((exported / "run" / "manifest.json").read_text())
        manifest["export"]["checkpoint"]["sha256"] = "0" * 64
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        refused(mcofa("verify", tmp_path, cwd=exported), "zoo", "is no longer the checkpoint of the export")

    def test_the_manifest_is_complete(self, exported: Path) -> None:
        section = json.loads((exported / "run" / "manifest.json").read_text())["export"]
        sizes = section["sizes"]
        assert sizes["model_predicted_bytes"] == sizes["model_bytes"] == section["tflite"]["bytes"]
        for part in ("head", "tail"):
            assert sizes[f"x86_64_{part}_predicted_bytes"] == sizes[f"x86_64_{part}_bytes"] > 0
        assert section["onnx_against_pytorch"]["max_abs_error"] < 1e-3
        assert section["onnx_against_pytorch"]["top1_agreement_percent"] == 100
        assert len(section["calibration"]["sha256"]) == 64
        assert {"python", "torch", "tflite-micro"} < set(section["versions"])
        for artefact in (section["onnx"], section["tflite"], *section["c_arrays"]):
            data = (exported / "run" / artefact["file"]).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (artefact["bytes"], artefact["sha256"])

    def test_second_export_is_identical(self, exported: Path) -> None:
        before = {path: path.read_bytes() for path in (exported / "run").glob("network*")}
        assert mcofa("export", "run", cwd=exported).returncode == 0
        assert {path: path.read_bytes() for path in (exported / "run").glob("network*")} == before

    def test_without_a_name_the_newest_run_is_taken(self, exported: Path) -> None:
        folder = exported / "other"
        folder.mkdir(exist_ok=True)
        assert mcofa("search", "--board", "nrf52840", cwd=folder).returncode == 0
        done = mcofa("report", cwd=folder)
        assert "using the newest run, runs/nrf52840" in done.stderr
        assert "nrf52840" in done.stdout

    def test_over_budget_is_refused(self, exported: Path) -> None:
        done = mcofa("arena-check", "run", "--board", "stm32f103", cwd=exported)
        assert done.returncode == 1
        assert "exceeds 17,408 B on stm32f103" in done.stderr
        refused(mcofa("firmware", "run", "--board", "stm32f103", cwd=exported), "exceeds 17,408 B")
        assert not (exported / "run" / "firmware" / "stm32f103").exists()

    def test_changed_model_is_refused(self, exported: Path) -> None:
        model = exported / "run" / "network.tflite"
        whole = model.read_bytes()
        model.write_bytes(whole[:-1])
        try:
            refused(mcofa("evaluate", "run", cwd=exported), "network.tflite", "has changed")
        finally:
            model.write_bytes(whole)

    def test_truncated_checkpoint(self, exported: Path, tmp_path: Path) -> None:
        broken = tmp_path / "broken.safetensors"
        broken.write_bytes(CHECKPOINT.read_bytes()[:100_000])
        refused(mcofa("export", "run", "--checkpoint", broken, cwd=exported), str(broken), "100,000 B")

    def test_missing_data_set(self, exported: Path, tmp_path: Path) -> None:
        done = mcofa("evaluate", "run", cwd=exported, MCOFA_DATASETS=str(tmp_path))
        refused(done, "Fashion-MNIST", "dataset-fashion-mnist", "MCOFA_DATASETS")

    def test_full_disk(self, exported: Path, small_disk: Path) -> None:
        run = small_disk / "run"
        assert mcofa("search", "--board", "stm32f746", "--out", run, cwd=exported).returncode == 0
        before = sorted(path.name for path in run.iterdir())
        refused(mcofa("export", run, cwd=exported), "network.onnx", "No space left on device")
        assert sorted(path.name for path in run.iterdir()) == before


def test_unknown_board(tmp_path: Path) -> None:
    refused(mcofa("search", "--board", "stm32f74", cwd=tmp_path), "stm32f746?", "mcofa boards")
    assert not list(tmp_path.iterdir())


def test_board_file_with_a_typo(tmp_path: Path, repo_root: Path) -> None:
    text = (repo_root / "boards" / "nrf52840.yaml").read_text().replace("clock_hz:", "clock_hertz:")
    (tmp_path / "mine.yaml").write_text(text)
    refused(mcofa("search", "--board", "mine.yaml", cwd=tmp_path), "mine.yaml", "clock_hertz", "clock_hz")


@pytest.mark.parametrize(("option", "what"), [("--max-arena-bytes", "arena"), ("--max-flash-bytes", "flash")])
def test_budget_of_a_kilobyte(option: str, what: str, tmp_path: Path) -> None:
    done = mcofa("search", "--board", "stm32f746", option, "1024", cwd=tmp_path)
    refused(done, f"B of {what}, the budget is 1,024 B", "smallest arena 15,696 B")
    assert not list(tmp_path.iterdir())


def test_corrupt_model(tmp_path: Path) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes(b"\x1c\0\0\0TFL3" + bytes(range(256)))
    refused(mcofa("arena", model, cwd=tmp_path), "model.tflite")
    refused(mcofa("arena-check", model, "--board", "rp2040", cwd=tmp_path), "model.tflite")
    refused(mcofa("arena", tmp_path / "none.tflite", cwd=tmp_path), "none.tflite", "not found")


def test_damaged_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"search": {')
    refused(mcofa("export", tmp_path, cwd=tmp_path), "manifest.json", "not a manifest")


def test_steps_out_of_order(tmp_path: Path) -> None:
    refused(mcofa("export", tmp_path, cwd=tmp_path), "mcofa search")
    assert mcofa("search", "--board", "rp2040", "--out", "run", cwd=tmp_path).returncode == 0
    refused(mcofa("evaluate", "run", cwd=tmp_path), "mcofa export run")
    refused(mcofa("firmware", "run", "--board", "rp2040", cwd=tmp_path), "mcofa export run")


def test_usage_errors_exit_with_2(tmp_path: Path) -> None:
    for words in (
        ("nosuch",),
        ("search", "--seed", "x"),
        ("arena-check", "model.tflite"),
        ("search", "--max-arena-bytes", "0"),
    ):
        done = mcofa(*words, cwd=tmp_path)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_search_is_deterministic(tmp_path: Path) -> None:
    found = [
        json.loads(mcofa("search", "--board", "stm32f103", "--out", "run", "--json", cwd=tmp_path).stdout)
        for _ in range(2)
    ]
    assert found[0] == found[1]
    assert found[0]["predicted"]["arena_bytes"] <= found[0]["budget"]["arena_bytes"]
