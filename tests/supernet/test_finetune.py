"""Fine-tuning a run's subnet: better or unchanged, recorded whole or not at all, exported as trained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import (
    CLASSES,
    TINY,
    config,
    header,
    names_in,
    one_thread,
    randomised,
    tiny_space,
    untrained_checkpoint,
    write_image,
    write_inputs,
)

from export.convert.layers import read_layers
from export.convert.quantize import Range, activation_quantization
from export.convert.run_subnet import load_run_subnet
from export.convert.to_onnx import to_onnx
from export.convert.to_tflite import to_tflite
from export.tflite.parse import parse_tflite
from mcofa.cli import main
from mcofa.errors import FileFormatError, InvalidArchError, McofaError, MissingFileError, RunError
from mcofa.files.resources import data_folder
from mcofa.lowering import lower
from mcofa.runs.hold import LOCK
from mcofa.runs.run import Run
from mcofa.runs.sources import recorded_source
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace
from mcofa.supernet.data.datasets import load_data, load_test_split
from mcofa.supernet.data.splits import Preprocessing
from mcofa.supernet.finetune import finetuned
from mcofa.supernet.finetune.finetune import FinetuneSettings, Progress, finetune
from mcofa.supernet.finetune.searched import default_checkpoint
from mcofa.supernet.measure.evaluate import calibrate
from mcofa.supernet.network.checkpoint import save_checkpoint

pytestmark = pytest.mark.torch

SPACE = tiny_space()
ARCH = SPACE.decode(SPACE.sample(1, np.random.default_rng(5))[0])
SETTINGS = FinetuneSettings(epochs=6, batch_size=16)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_checkpoint(tmp_path_factory.mktemp("finetune"))


def searched_run(folder: Path, arch: Arch = ARCH) -> Run:
    run = Run(folder)
    run.record(
        "search",
        {
            "space": "tiny",
            "space_fingerprint": SPACE.fingerprint,
            "arch": arch.to_json(),
        },
    )
    return run


@pytest.fixture(scope="module")
def tuned(checkpoint: Path) -> Run:
    run = searched_run(checkpoint.parent / "tuned")
    finetune(run, checkpoint, SETTINGS)
    return run


@pytest.fixture(scope="module")
def tuned_for_int8(checkpoint: Path) -> Run:
    run = searched_run(checkpoint.parent / "tuned_for_int8")
    finetune(run, checkpoint, FinetuneSettings(epochs=6, qat=True, batch_size=16))
    return run


# What it does


@pytest.mark.parametrize("name", ["tuned", "tuned_for_int8"])
def test_the_best_epoch_is_kept_and_the_manifest_says_so(name: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(name)
    section = run.section("finetune")
    top1 = section["validation_top1_percent"]
    assert len(top1["epochs"]) == (8 if section["settings"]["qat"] else 6)
    assert top1["after"] == max(top1["before"], *top1["epochs"]) > top1["before"]
    assert [top1["before"], *top1["epochs"]][section["kept_epoch"]] == top1["after"]
    assert top1["after"] > 80
    assert section["validation_images"] == 12
    assert section["settings"]["epochs"] == 6
    assert section["arch"] == ARCH.to_json()
    assert section["seconds"] > 0
    assert names_in(run.folder) == [LOCK, finetuned.FILE_NAME, "manifest.json"]


def test_a_subnet_for_smaller_images_is_trained_for_them(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    space = SearchSpace.model_validate({**TINY, "resolutions": [8, 12]})
    path = tmp_path / "supernet.safetensors"
    save_checkpoint(path, header(space, config(tmp_path)), dict(randomised(space).state_dict()))
    arch = replace(ARCH, resolution=8)
    run = searched_run(tmp_path / "run", arch)
    run.record("search", run.section("search") | {"space_fingerprint": space.fingerprint})
    top1 = finetune(run, path, replace(SETTINGS, epochs=12))["validation_top1_percent"]
    assert top1["after"] > max(top1["before"], 80)
    data = load_run_subnet(run, path).data
    assert data.train.images.shape[-2:] == (8, 8)
    assert data.preprocessing == load_data(str(tmp_path / "images"), 12, 1).preprocessing


def test_the_same_seed_gives_the_same_file(checkpoint: Path, tmp_path: Path, tuned: Run) -> None:
    again = finetune(searched_run(tmp_path), checkpoint, SETTINGS)
    assert again["weights"] == tuned.section("finetune")["weights"]


def test_weights_stay_where_no_epoch_is_better(checkpoint: Path, tmp_path: Path) -> None:
    run = searched_run(tmp_path)
    section = finetune(run, checkpoint, FinetuneSettings(epochs=1, batch_size=16, learning_rate=1e-12))
    assert section["kept_epoch"] == 0
    source = load_run_subnet(run, checkpoint)
    expected = calibrate(randomised(SPACE).extract(ARCH), source.data.train, source.data.preprocessing)
    assert source.weights == "finetuned"
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(source.subnet.state_dict()[name], tensor, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("epochs", "qat", "expected"), [(5, False, 0), (1, True, 1), (3, True, 1), (5, True, 2), (6, True, 2)]
)
def test_int8_is_simulated_in_a_third_as_many_epochs_again(epochs: int, qat: bool, expected: int) -> None:
    assert FinetuneSettings(epochs=epochs, qat=qat).quantized_epochs == expected


def test_the_learning_rate_falls_along_one_cosine_a_phase() -> None:
    assert FinetuneSettings(epochs=2, learning_rate=0.4).learning_rates(2) == pytest.approx(
        [0.4, 0.2 + 0.2 / 2**0.5, 0.2, 0.2 - 0.2 / 2**0.5]
    )
    assert FinetuneSettings(epochs=1, learning_rate=0.4, qat=True).learning_rates(2) == pytest.approx(
        [0.4, 0.2, 0.04, 0.02]
    )


def test_test_images_are_never_read(checkpoint: Path, tmp_path: Path) -> None:
    """They are damaged here: who reads them, fails."""
    shutil.copytree(checkpoint.parent / "images", tmp_path / "images" / "train")
    for name in CLASSES:
        (tmp_path / "images" / "test" / name).mkdir(parents=True)
        (tmp_path / "images" / "test" / name / "0.png").write_bytes(b"damaged")
    path = tmp_path / "supernet.safetensors"
    save_checkpoint(path, header(SPACE, config(tmp_path)), dict(randomised(SPACE).state_dict()))
    section = finetune(searched_run(tmp_path), path, FinetuneSettings(epochs=1, qat=True, batch_size=16))
    assert section["validation_images"] == 15
    with pytest.raises(FileFormatError, match="cannot be read as"):
        load_test_split(section["data"], 12, 1, Preprocessing(0.0, 1.0)).spread(1)


def interrupt_at(step: int) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        assert progress.steps == 6 * 8
        if progress.step == step:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize("step", [1, 47])
def test_an_interrupt_leaves_the_run_as_it_was(checkpoint: Path, tmp_path: Path, step: int) -> None:
    run = searched_run(tmp_path)
    before = (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        finetune(run, checkpoint, SETTINGS, interrupt_at(step))
    assert names_in(tmp_path) == [LOCK, "manifest.json"]
    assert (tmp_path / "manifest.json").read_bytes() == before


# What is deployed


def test_the_fine_tuned_subnet_is_deployed(checkpoint: Path, tuned: Run) -> None:
    source = load_run_subnet(tuned, checkpoint)
    assert (source.weights, source.activation_ranges) == ("finetuned", None)
    assert not source.subnet.training
    validation = source.data.validation
    with torch.inference_mode():
        answers = source.subnet(source.data.preprocessing.normalise(validation.images)).argmax(1)
    top1 = 100 * (answers == validation.targets).float().mean().item()
    assert round(top1, 2) == tuned.section("finetune")["validation_top1_percent"]["after"]
    model = to_onnx(source.subnet, ARCH.resolution)
    images = source.data.preprocessing.normalise(source.data.train.images).numpy().copy(order="C")
    assert source.to_tflite(model, images).data == to_tflite(model, images).data


def test_the_file_has_the_ranges_that_were_trained(checkpoint: Path, tuned_for_int8: Run) -> None:
    source = load_run_subnet(tuned_for_int8, checkpoint)
    assert source.activation_ranges is not None
    model = to_onnx(source.subnet, ARCH.resolution)
    assert parse_tflite(source.to_tflite(model, np.zeros((0, 1, 12, 12), np.float32)).data, "test") == lower(
        SPACE, ARCH
    )
    found = source.to_tflite(model, np.zeros((0, 1, 12, 12), np.float32))
    ranges = [Range(*found) for found in source.activation_ranges.values()]
    assert found.input_quantization == activation_quantization(ranges[0])
    assert found.output_quantization == activation_quantization(ranges[-1])
    assert len(read_layers(model).layers) > len(ranges) - 1


def test_a_run_that_was_not_fine_tuned_has_the_supernets_weights(checkpoint: Path, tmp_path: Path) -> None:
    source = load_run_subnet(searched_run(tmp_path), checkpoint)
    assert (source.weights, source.activation_ranges) == ("supernet", None)


def test_another_checkpoint_or_arch_has_the_supernets_weights(
    checkpoint: Path, tmp_path: Path, tuned: Run
) -> None:
    run = Run(Path(shutil.copytree(tuned.folder, tmp_path / "run")))
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, header(SPACE, config(checkpoint.parent)), dict(randomised(SPACE, 1).state_dict()))
    assert default_checkpoint(run).samefile(checkpoint)
    assert load_run_subnet(run, default_checkpoint(run)).weights == "finetuned"
    assert load_run_subnet(run, other).weights == "supernet"
    searched_run(run.folder, SPACE.largest())
    assert "finetune" not in run.manifest
    assert load_run_subnet(Run(run.folder), checkpoint).weights == "supernet"


# What goes wrong


def test_a_run_without_a_search_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    Run(tmp_path).record("other", {})
    with pytest.raises(RunError, match=r"has no search result\n  next: first `mcofa search`"):
        finetune(Run(tmp_path), checkpoint, SETTINGS)


def test_a_checkpoint_of_another_space_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    run = searched_run(tmp_path)
    run.record("search", {**run.section("search"), "space": "ofa", "space_fingerprint": "0123"})
    with pytest.raises(FileFormatError, match=r"holds the space tiny .*, the search is about ofa \(0123\)"):
        finetune(run, checkpoint, SETTINGS)


def test_an_arch_that_is_not_in_the_space_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    run = searched_run(tmp_path)
    run.record("search", {**run.section("search"), "arch": {**ARCH.to_json(), "resolution": 28}})
    with pytest.raises(InvalidArchError, match="resolution 28"):
        finetune(run, checkpoint, SETTINGS)


def test_the_checkpoint_is_the_one_that_the_search_was_verified_with(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = searched_run(tmp_path / "run")
    assert default_checkpoint(run) == data_folder("zoo") / "tiny.safetensors"
    mine = Path(shutil.copy(checkpoint, tmp_path / "mine.safetensors"))
    verified = {
        "checkpoint": recorded_source(mine, run.folder),
        "split": "validation",
        "images": 12,
        "ranked_by": "float",
        "candidates": [{"float_top1_percent": 80.0, "standard_error_points": 1.0}],
    }
    run.record("search", {**run.section("search"), "verified": verified})
    monkeypatch.chdir("/")
    assert default_checkpoint(run).samefile(mine)
    mine.write_bytes(b"other weights")
    with pytest.raises(FileFormatError, match="is no longer the checkpoint that the run was verified with"):
        default_checkpoint(run)
    mine.unlink()
    with pytest.raises(MissingFileError, match="checkpoint that the run was verified with not") as refusal:
        default_checkpoint(run)
    assert "--checkpoint" in refusal.value.next_step


def test_missing_files_are_named(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"supernet of tiny not found: .*nosuch"):
        finetune(searched_run(tmp_path), tmp_path / "nosuch.safetensors", SETTINGS)
    path = tmp_path / "lonely.safetensors"
    save_checkpoint(path, header(SPACE, config(tmp_path)), dict(randomised(SPACE).state_dict()))
    with pytest.raises(MissingFileError, match=r"data set not found: .*images"):
        finetune(searched_run(tmp_path), path, SETTINGS)


def test_imported_weights_name_no_data(tmp_path: Path, checkpoint: Path) -> None:
    path = tmp_path / "imported.safetensors"
    imported = header(SPACE, config(tmp_path), config=None, origin="published.pth")
    save_checkpoint(path, imported, dict(randomised(SPACE).state_dict()))
    with pytest.raises(FileFormatError, match=r"published\.pth: imported weights"):
        finetune(searched_run(tmp_path), path, SETTINGS)


def test_a_batch_larger_than_the_split_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="138 training images are fewer than one batch of 200"):
        finetune(searched_run(tmp_path), checkpoint, FinetuneSettings(batch_size=200))


def test_data_with_other_classes_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        for index in range(12):
            write_image(tmp_path / "images" / name / f"{index}.png", np.full((12, 12), index, np.uint8))
    path = tmp_path / "supernet.safetensors"
    save_checkpoint(path, header(SPACE, config(tmp_path)), dict(randomised(SPACE).state_dict()))
    with pytest.raises(FileFormatError, match="has 2 classes, the search space tiny has 3"):
        finetune(searched_run(tmp_path), path, FinetuneSettings(batch_size=4))


def test_a_loss_that_is_not_finite_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    settings = FinetuneSettings(epochs=2, batch_size=16, learning_rate=1e30)
    with pytest.raises(McofaError, match=r"the loss is (nan|inf).*learning rate 1e\+30"):
        finetune(searched_run(tmp_path), checkpoint, settings)
    assert names_in(tmp_path) == [LOCK, "manifest.json"]


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_changed_weights_are_refused(checkpoint: Path, tmp_path: Path, tuned: Run, length: int) -> None:
    run = Run(Path(shutil.copytree(tuned.folder, tmp_path / "run")))
    path = run.folder / finetuned.FILE_NAME
    contents = path.read_bytes()[:length]
    path.write_bytes(contents)
    with pytest.raises(FileFormatError, match=r"has changed since .*\n  next: finetune again with"):
        load_run_subnet(run, checkpoint)
    with pytest.raises(FileFormatError, match="not fine-tuned weights, or damaged"):
        finetuned.from_bytes(contents, SPACE, ARCH, str(path))
    path.unlink()
    with pytest.raises(MissingFileError, match=finetuned.FILE_NAME):
        load_run_subnet(run, checkpoint)


def test_other_files_and_networks_are_refused(checkpoint: Path, tuned: Run) -> None:
    with pytest.raises(FileFormatError, match="not fine-tuned weights"):
        finetuned.from_bytes(checkpoint.read_bytes(), SPACE, ARCH, "file")
    contents = (tuned.folder / finetuned.FILE_NAME).read_bytes()
    with pytest.raises(FileFormatError, match="holds another network than the run's"):
        finetuned.from_bytes(contents, SPACE, SPACE.largest(), "file")


# The command


def test_the_command_prints_what_it_reached(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    searched_run(tmp_path)
    words = [
        "finetune",
        str(tmp_path),
        "--checkpoint",
        str(checkpoint),
        "--batch-size",
        "16",
        "--epochs",
        "2",
    ]
    assert main([*words, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    recorded = Run(tmp_path).section("finetune")
    assert recorded.pop("command") == ["mcofa", *words, "--json"]
    assert printed == {"run": str(tmp_path), **recorded}
    assert main([*words, "--qat"]) == 0
    assert "(int8, simulated, 12 images)" in capsys.readouterr().out


def test_the_command_refuses_in_one_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Run(tmp_path).record("other", {})
    assert main(["finetune", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: run ")
    assert main(["finetune", str(tmp_path), "--epochs", "0"]) == 2
    searched_run(tmp_path)
    assert main(["finetune", str(tmp_path), "--checkpoint", str(tmp_path / "nosuch")]) == 1
    assert "error: supernet of tiny not found" in capsys.readouterr().err
