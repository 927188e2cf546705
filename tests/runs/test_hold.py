"""Commands that work on one run at once: none loses what another recorded, results are whole."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from mcofa.errors import DiskWriteError, RunError
from mcofa.runs.hold import held
from mcofa.runs.manifest import Artefact
from mcofa.runs.run import Run, artefact

FILES = ("a.bin", "b.bin", "c.bin")


def record_notes(folder: Path, process: int, count: int) -> None:
    for number in range(count):
        Run(folder).record(f"note-{process}-{number}", {"number": number})


def record_searches(folder: Path, process: int, count: int) -> None:
    for number in range(count):
        data = f"{process}, {number}; ".encode() * 2_000
        files = dict.fromkeys(FILES, data)
        Run(folder).record("search", {"files": [artefact(name, data) for name in FILES]}, files)


def processes() -> Executor:
    return ProcessPoolExecutor(6, multiprocessing.get_context("spawn"))


@pytest.mark.parametrize("workers", [processes, lambda: ThreadPoolExecutor(6)], ids=["processes", "threads"])
def test_no_record_is_lost(workers: type[Executor], tmp_path: Path) -> None:
    with workers() as pool:
        list(pool.map(record_notes, [tmp_path] * 6, range(6), [10] * 6))
    notes = {name: note["number"] for name, note in Run(tmp_path).manifest.items() if "note" in name}
    assert notes == {f"note-{process}-{number}": number for process in range(6) for number in range(10)}


def test_results_are_of_one_search(tmp_path: Path) -> None:
    with processes() as pool:
        list(pool.map(record_searches, [tmp_path] * 4, range(4), [10] * 4))
    run = Run(tmp_path)
    found = {run.read(Artefact.model_validate(file)) for file in run.section("search")["files"]}
    assert len(found) == 1


def test_a_command_that_holds_the_run_too_long_is_said(tmp_path: Path) -> None:
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with held(tmp_path):
            taken.set()
            done.wait()

    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(hold)
        taken.wait()
        try:
            with pytest.raises(RunError, match=r"held by another command for 0\.1 s"), held(tmp_path, 0.1):
                pass
        finally:
            done.set()
        holder.result()
    with held(tmp_path, 0.1):
        pass


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskWriteError, match="cannot write"):
        Run(tmp_path / "file" / "run").record("search", {})


def search_and_export(folder: Path) -> Run:
    run = Run(folder)
    run.record("search", {"seed": 0})
    run.record("export", {"round": 0})
    return run


@pytest.mark.parametrize(
    ("read", "replaced", "recorded"),
    [("search", "search", "export"), ("search", "search", "finetune"), ("export", "export", "evaluate")],
)
def test_what_was_made_from_replaced_results_is_not_recorded(
    read: str, replaced: str, recorded: str, tmp_path: Path
) -> None:
    search_and_export(tmp_path)
    slow = Run(tmp_path)
    slow.section(read)
    Run(tmp_path).record(replaced, {"round": 1})
    before = Run(tmp_path).manifest
    with pytest.raises(RunError, match=f"a new {replaced} result meanwhile, so that this {recorded}"):
        slow.record(recorded, {"round": 2}, {"x.bin": b"new"})
    assert Run(tmp_path).manifest == before
    assert not (tmp_path / "x.bin").exists()


def test_fine_tuning_during_an_export_is_noticed(tmp_path: Path) -> None:
    search_and_export(tmp_path)
    slow = Run(tmp_path)
    assert slow.finetune is None
    Run(tmp_path).record("finetune", {"round": 1})
    with pytest.raises(RunError, match="a new finetune result"):
        slow.record("export", {"round": 2})


def test_one_run_may_be_worked_on_step_by_step(tmp_path: Path) -> None:
    run = search_and_export(tmp_path)
    assert run.section("export") == {"round": 0}
    run.record("search", {"seed": 1})
    assert run.section("search") == {"seed": 1}
    run.record("export", {"round": 1})
    assert run.section("export") == {"round": 1}
    run.record("evaluate", {})
