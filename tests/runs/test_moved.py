"""A run, the files it was made from and the checkout may lie elsewhere later."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mcofa.cli import main
from mcofa.errors import FileFormatError, MissingFileError
from mcofa.files.resources import data_folder
from mcofa.runs.manifest import Source
from mcofa.runs.run import Run
from mcofa.runs.sources import file_sha256, find_source, recorded_source

ZOO_FILE = data_folder("zoo") / "mcofa-micro.npz"


def texts(value: Any) -> list[str]:
    """Every text in a JSON document."""
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in texts(part)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


def found(entry: dict[str, str], folder: Path) -> Path:
    return find_source(Source.model_validate(entry), folder, "predictor", "look for it")


def test_a_file_of_the_zoo_is_found_in_any_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    entry = recorded_source(ZOO_FILE, tmp_path)
    assert entry == {"file": "zoo/mcofa-micro.npz", "sha256": file_sha256(ZOO_FILE)}
    assert found(entry, tmp_path).samefile(ZOO_FILE)
    other = tmp_path / "other" / "zoo"
    other.mkdir(parents=True)
    shutil.copy(ZOO_FILE, other)
    monkeypatch.setattr("mcofa.runs.sources.data_folder", lambda name: tmp_path / "other" / name)
    assert found(entry, tmp_path) == other / ZOO_FILE.name


def test_files_are_found_from_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    (project / "weights").mkdir(parents=True)
    (project / "weights" / "mine.npz").write_bytes(b"mine")
    monkeypatch.chdir(project)
    entry = recorded_source(Path("weights/mine.npz"), Path("runs/first"))
    assert entry["file"] == "../../weights/mine.npz"
    monkeypatch.chdir("/")
    assert found(entry, tmp_path / "elsewhere").samefile(project / "weights" / "mine.npz")
    moved = project.rename(tmp_path / "moved")
    (moved / "runs" / "first").mkdir(parents=True)
    assert found(entry, moved / "runs" / "first").samefile(moved / "weights" / "mine.npz")


def test_what_earlier_versions_recorded_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.npz").write_bytes(b"mine")
    monkeypatch.chdir(tmp_path)
    for file in ("mine.npz", str(tmp_path / "mine.npz")):
        assert found({"file": file}, tmp_path / "runs" / "first").samefile(tmp_path / "mine.npz")
    gone = {"file": f"/a/checkout/that/moved/zoo/{ZOO_FILE.name}", "sha256": file_sha256(ZOO_FILE)}
    assert found(gone, tmp_path) == ZOO_FILE


def test_other_contents_are_not_taken(tmp_path: Path) -> None:
    mine = tmp_path / "mine.npz"
    mine.write_bytes(b"mine")
    entry = recorded_source(mine, tmp_path)
    mine.write_bytes(b"yours")
    with pytest.raises(FileFormatError, match=r"mine\.npz: is no longer the predictor\n  next: look for it"):
        found(entry, tmp_path)
    mine.unlink()
    for name in ("mine.npz", "a\0b", "x" * 5_000):
        with pytest.raises(MissingFileError, match="predictor not found"):
            found({"file": name}, tmp_path)


def test_the_right_one_of_two_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    (run / "mine.npz").write_bytes(b"another")
    (tmp_path / "mine.npz").write_bytes(b"mine")
    entry = {"file": "mine.npz", "sha256": file_sha256(tmp_path / "mine.npz")}
    assert found(entry, run).samefile(tmp_path / "mine.npz")


def test_no_absolute_path_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search with the zoo's predictor, one with its own; and an export that follows."""
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(ZOO_FILE, project / "mine.npz")
    monkeypatch.chdir(project)
    words = ["--board", "stm32f103", "--verify", "1"]
    assert main(["search", *words, "--out", "runs/zoo"]) == 0
    assert main(["search", *words, "--predictor", str(project / "mine.npz"), "--out", "runs/own"]) == 0
    assert main(["export", "runs/zoo"]) == 0
    moved = project.rename(tmp_path / "moved")
    monkeypatch.chdir("/")
    for name in ("zoo", "own"):
        run = Run(moved / "runs" / name)
        recorded = json.loads((run.folder / "manifest.json").read_text())
        for section in recorded.values():
            if isinstance(section, dict):
                del section["command"]
                for used in (section.get("predictor"), section.get("checkpoint")):
                    (used or {}).pop("was_at", None)
        assert [text for text in texts(recorded) if text.startswith("/") or str(tmp_path) in text] == []
        (run.folder / "manifest.json").write_text(json.dumps(recorded))
        assert main(["report", str(run.folder)]) == 0
        assert "Not drawn" not in (run.folder / "report.html").read_text()
    assert main(["verify", str(moved / "runs" / "zoo"), "--images", "10"]) == 0
    assert main(["export", str(moved / "runs" / "zoo")]) == 0
