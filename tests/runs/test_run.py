from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from mcofa import __version__
from mcofa.errors import DiskWriteError, FileFormatError, McofaError, MissingFileError, RunError
from mcofa.runs.hold import LOCK
from mcofa.runs.manifest import Artefact
from mcofa.runs.run import Run, artefact, newest_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "runs" / "first")


def test_records_sections_and_version(run: Run) -> None:
    run.record("search", {"seed": 0})
    run.record("note", {"text": "Größe"})
    assert run.manifest == {"mcofa_version": __version__, "search": {"seed": 0}, "note": {"text": "Größe"}}
    assert run.section("search") == {"seed": 0}
    assert Run(run.folder).manifest == run.manifest


@pytest.mark.parametrize(
    ("recorded", "kept"),
    [
        ("search", set()),
        ("export", {"search"}),
        ("evaluate", {"search", "export", "verify", "arena_check", "firmware"}),
        ("verify", {"search", "export", "evaluate", "arena_check", "firmware"}),
        ("arena_check", {"search", "export", "evaluate", "verify", "firmware"}),
        ("firmware", {"search", "export", "evaluate", "verify", "arena_check"}),
    ],
)
def test_what_a_command_makes_outdated(run: Run, recorded: str, kept: set[str]) -> None:
    for name in ("search", "export", "evaluate", "verify", "arena_check", "firmware"):
        run.record(name, {"round": 1})
    run.record(recorded, {"round": 2})
    assert set(run.manifest) == {"mcofa_version", recorded, *kept}
    assert run.section(recorded) == {"round": 2}
    assert all(run.section(name) == {"round": 1} for name in kept)


def test_missing_section_names_the_command(run: Run) -> None:
    run.record("search", {})
    with pytest.raises(RunError, match="has no arena-check result") as refusal:
        run.section("arena_check")
    assert refusal.value.next_step == f"first `mcofa arena-check {run.folder}`"


def test_no_run(run: Run) -> None:
    for look in (lambda: run.manifest, lambda: run.section("search")):
        with pytest.raises(MissingFileError, match="run not found"):
            look()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"", "not a manifest: E"), (b'{"search": ', "not a manifest: E"), (b"\xff\xff", "not a manifest: e"),
     (b"[]", "not a manifest: holds a list"), (b"null", "not a manifest: holds a NoneType")],
)  # fmt: skip
def test_refuses_a_damaged_manifest(run: Run, content: bytes, complaint: str) -> None:
    run.record("search", {})
    path = run.folder / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=complaint):
        run.section("search")
    with pytest.raises(FileFormatError):
        run.record("export", {})
    assert path.read_bytes() == content


def test_a_refused_write_leaves_the_earlier_manifest(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.record("search", {"seed": 0})

    def full_disk(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full_disk)
        with pytest.raises(DiskWriteError):
            run.record("search", {"seed": 1})
    assert run.section("search") == {"seed": 0}
    assert {path.name for path in run.folder.iterdir()} == {LOCK, "manifest.json"}


# Artefacts


MODEL = {"model.tflite": b"TFL3"}
MODEL_ARTEFACT = {"file": "model.tflite", "bytes": 4, "sha256": hashlib.sha256(b"TFL3").hexdigest()}


def test_artefact_round_trip(run: Run) -> None:
    found = artefact("model.tflite", b"TFL3")
    assert found == MODEL_ARTEFACT
    run.record("note", {"tflite": found}, MODEL)
    assert run.read(Artefact.model_validate(run.section("note")["tflite"])) == b"TFL3"


def test_refuses_an_artefact_that_has_changed_or_is_gone(run: Run) -> None:
    found = Artefact.model_validate(MODEL_ARTEFACT)
    run.record("note", {}, {"model.tflite": b"TFL4"})
    with pytest.raises(FileFormatError, match=r"model\.tflite: has changed") as refusal:
        run.read(found)
    assert refusal.value.next_step == f"export again with `mcofa export {run.folder}`"
    (run.folder / "model.tflite").unlink()
    with pytest.raises(MissingFileError):
        run.read(found)


@pytest.mark.parametrize(
    "name", ["../model.tflite", "/etc/passwd", "a/b", "..", ".", "", ".hidden", "a\0b", "a\nb", "x" * 300]
)
def test_an_artefact_lies_in_the_run(run: Run, name: str) -> None:
    with pytest.raises(ValidationError):
        Artefact.model_validate({**MODEL_ARTEFACT, "file": name})


# The newest run


def test_newest_run_is_the_one_recorded_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(McofaError, match="run not found: runs") as refusal:
        newest_run()
    assert "mcofa search" in refusal.value.next_step
    for seconds, name in enumerate(["b", "c", "a"]):
        run = Run(Path("runs") / name)
        run.record("search", {})
        os.utime(run.folder / "manifest.json", (seconds, seconds))
    (tmp_path / "runs" / "no_run").mkdir()
    assert newest_run().folder == Path("runs/a")
    os.utime(Path("runs/c/manifest.json"), (9, 9))
    assert newest_run().folder == Path("runs/c")


def test_newest_run_of_a_folder_in_disorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").write_text("")
    with pytest.raises(MissingFileError, match="run not found"):
        newest_run()
    Path("runs").unlink()
    for seconds, name in enumerate(["z", "a"]):
        Run(Path("runs") / name).record("search", {})
        os.utime(f"runs/{name}/manifest.json", (seconds, seconds))
    Path("runs/latest").symlink_to("a")
    Path("runs/gone").symlink_to("nowhere")
    Path("runs/loop").symlink_to("loop")
    Path("runs/notes.txt").write_text("")
    Path("runs/folder/manifest.json").mkdir(parents=True)
    Path("runs/pipe").mkdir()
    os.mkfifo("runs/pipe/manifest.json")
    assert newest_run().folder == Path("runs/a")


def test_a_run_that_is_removed_meanwhile_is_not_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seconds, name in enumerate(["a", "b"]):
        Run(Path("runs") / name).record("search", {})
        os.utime(f"runs/{name}/manifest.json", (seconds, seconds))
    listed = Path.iterdir

    def listed_then_removed(folder: Path) -> list[Path]:
        found = list(listed(folder))
        Path("runs/b/manifest.json").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Path, "iterdir", listed_then_removed)
    assert newest_run().folder == Path("runs/a")


def test_a_damaged_newest_run_is_said_and_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Run(Path("runs/a")).record("search", {})
    Path("runs/b").mkdir()
    Path("runs/b/manifest.json").write_text("{")
    assert newest_run().folder == Path("runs/b")


def test_manifest_is_text_for_people(run: Run) -> None:
    run.record("search", {"seed": 0})
    text = (run.folder / "manifest.json").read_text()
    assert text.endswith("}\n")
    assert json.loads(text) == run.manifest
    assert '\n  "search": {' in text
