"""Whatever a manifest holds: a command takes it, or refuses it in one sentence; nothing else is touched."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded_sections import evaluate_section, export_section, finetune_section, verify_section
from tiny_models import small_network

from mcofa.boards import Board
from mcofa.cli import main
from mcofa.errors import FileFormatError, McofaError, MissingFileError
from mcofa.files.resources import data_folder
from mcofa.runs.checked_manifest import typed_section
from mcofa.runs.manifest import SECTIONS
from mcofa.runs.run import Run
from mcofa.space.arch import Arch
from mcofa.space.search_space import SearchSpace

READERS = ("search", "export", "finetune", "board", "engine", "space", "arch")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with every section, and the files that the export names."""
    folder = tmp_path_factory.mktemp("foreign") / "run"
    words = ["--board", "stm32f103", "--pareto", "arena_bytes,top1_percent", "--time-limit", "0.5"]
    assert main(["search", *words, "--out", str(folder)]) == 0
    run = Run(folder)
    files = {"network.onnx": b"onnx", "network.tflite": small_network()}
    run.record("finetune", finetune_section(run.section("search")["arch"]))
    run.record("export", export_section(files), files)
    run.record("evaluate", evaluate_section())
    run.record("verify", verify_section())
    assert main(["arena-check", str(folder)]) == 0
    return run


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a JSON document."""
    yield path
    if isinstance(document, dict | list):
        for key, value in document.items() if isinstance(document, dict) else enumerate(document):
            yield from places(value, (*path, key))


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1 << 31, 1 << 53, 1 << 70, -(1 << 70), 10**400, 0.5, -0.0, 1e-308, 1.7e308]),
    st.integers(-300, 300),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        [
            "",
            "..",
            "../../x",
            "/etc/passwd",
            "network.tflite",
            "a\0b",
            "\x1b[31m",
            "<b>",
            "é" * 3_000,
            "aot",
        ]
    ),
    st.sampled_from([[], {}, [[]], {"a": {}}, nested(150), [0] * 3_000, {"file": "x"}]),
    st.text(max_size=20),
)


@st.composite
def changes(draw: st.DrawFn, document: Any) -> Any:
    """A manifest in which one to three values were replaced, removed, doubled or moved."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([path for path in places(document) if path]))
        *parents, key = path
        holder = document
        for parent in parents:
            holder = holder[parent]
        how = draw(st.sampled_from(["replace", "replace", "remove", "wrap", "swap"]))
        if how == "replace":
            holder[key] = copy.deepcopy(draw(VALUES))
        elif how == "remove":
            del holder[key]
        elif how == "wrap":
            holder[key] = draw(st.sampled_from([[holder[key]], {"value": holder[key]}, [holder[key]] * 9]))
        else:
            other = draw(st.sampled_from([path for path in places(document) if path]))
            value = document
            for part in other:
                value = value[part]
            holder[key] = copy.deepcopy(value)
    return document


def read_all(run: Run) -> None:
    """Read the run as every command does; each part is right or refused."""
    kinds = {"board": Board, "engine": str, "space": SearchSpace, "arch": Arch}
    for name in READERS:
        with contextlib.suppress(McofaError):
            found = getattr(run, name)
            assert isinstance(found, kinds.get(name, object))
    with contextlib.suppress(McofaError):
        data = run.read(run.export.tflite)
        assert (run.folder / run.export.tflite.file).resolve().parent == run.folder.resolve()
        assert len(data) < 1 << 20
    with contextlib.suppress(McofaError):
        run.checked_manifest()


def command(*words: str) -> str:
    """Run a command; return what it refused, or nothing. Any other exception goes on."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        status = main(list(words))
    assert status in (0, 1), errors.getvalue()
    refused = [line for line in errors.getvalue().splitlines() if line.startswith("error: ")]
    assert len(refused) == status, errors.getvalue()
    return "".join(refused)


FUZZ = settings(max_examples=300, suppress_health_check=list(HealthCheck), derandomize=True)


@FUZZ
@given(data=st.data())
def test_changed_manifests_are_read_or_refused(run: Run, data: st.DataObject) -> None:
    copied = run.folder.with_name("changed")
    shutil.copytree(run.folder, copied, dirs_exist_ok=True)
    document = data.draw(changes(run.manifest))
    (copied / "manifest.json").write_text(json.dumps(document))
    read_all(Run(copied))
    command("report", str(copied))


@settings(FUZZ, max_examples=40)
@given(data=st.data())
def test_commands_take_or_refuse_changed_manifests(run: Run, data: st.DataObject) -> None:
    copied = run.folder.with_name("changed")
    name = data.draw(st.sampled_from(["search", "export"]))
    manifest = run.manifest
    document = {**manifest, name: data.draw(changes(manifest[name]))}
    for words in (["arena-check"], ["firmware", "--out", str(copied / "project")]):
        shutil.copytree(run.folder, copied, dirs_exist_ok=True)
        (copied / "manifest.json").write_text(json.dumps(document))
        command(words[0], str(copied), *words[1:])


@settings(FUZZ, max_examples=300)
@given(data=st.data())
def test_changed_bytes_are_read_or_refused(run: Run, data: st.DataObject) -> None:
    copied = run.folder.with_name("changed")
    copied.mkdir(exist_ok=True)
    content = bytearray((run.folder / "manifest.json").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content) - 1))
        end = start + data.draw(st.integers(0, 8))
        content[start:end] = data.draw(
            st.one_of(st.binary(max_size=4), st.sampled_from([b"NaN", b"Infinity", b"1e999", b"{", b"]"]))
        )
    (copied / "manifest.json").write_bytes(content)
    read_all(Run(copied))


@pytest.mark.parametrize(
    "content",
    [b"[" * 1_000_000, b'{"search":' * 100_000, b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 1e999}',
     b'{"search": {"seed": ' + b"9" * 10_000 + b"}}", b"\xef\xbb\xbf{}", b'{"a": "\\ud800"}', b"\xff\xfe{}",
     b'{"search": null}', b"{}{}", b"1", b'"search"', b"true"],
    ids=lambda content: content[:12].decode(errors="replace"),
)  # fmt: skip
def test_what_is_no_manifest_is_refused_by_every_command(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    for name in ("export", "finetune", "verify", "evaluate", "arena-check", "firmware", "report"):
        refused = command(name, str(tmp_path))
        assert refused.startswith(f"error: {tmp_path}/manifest.json: not a manifest: ")
        assert len(refused) < 400
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.json"}


def test_a_manifest_that_is_no_file(tmp_path: Path) -> None:
    run = Run(tmp_path)
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(FileFormatError, match=r"manifest\.json: cannot be read: Is a directory"):
        _ = run.search
    with pytest.raises(FileFormatError):
        run.record("search", {})
    (tmp_path / "manifest.json").rmdir()
    (tmp_path / "manifest.json").symlink_to("manifest.json")
    with pytest.raises(FileFormatError, match="cannot be read"):
        _ = run.search
    with pytest.raises(MissingFileError):
        _ = Run(Path("/etc/hostname")).search


def test_every_section_that_commands_record_is_read_again(run: Run) -> None:
    manifest = run.manifest
    assert set(SECTIONS) - {"firmware"} <= set(manifest)
    for name in set(SECTIONS) & set(manifest):
        typed_section(name, manifest[name], run.folder)


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "a/../b", "..", "c:\\x"])
@pytest.mark.parametrize("place", ["export.tflite", "export.onnx", "search.pareto.csv", "finetune.weights"])
def test_no_file_outside_the_run_is_named(place: str, name: str, run: Run, tmp_path: Path) -> None:
    manifest = run.manifest
    section, *rest = place.split(".")
    entry = manifest[section]
    for key in rest:
        entry = entry[key]
    entry["file"] = name
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert f"{place}.file is " in command("report", str(tmp_path))


def test_an_arch_that_is_not_in_the_space_is_refused_by_every_command(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path, dirs_exist_ok=True)
    manifest = run.manifest
    arch = manifest["search"]["arch"]
    for changed in (
        arch | {"resolution": 17},
        arch | {key: arch[key][:-1] for key in ("kernel_sizes", "expand_ratios")},
        arch | {"expand_ratios": [[1e30] * len(stage) for stage in arch["expand_ratios"]]},
    ):
        manifest["search"]["arch"] = changed
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        checkpoint = ["--checkpoint", str(data_folder("zoo") / "mcofa-micro.safetensors")]
        for name, options in (("report", []), ("finetune", checkpoint), ("export", checkpoint)):
            assert "is not in mcofa-micro" in command(name, str(tmp_path), *options)


@pytest.mark.parametrize("measures", [["arena_bytes", "top1_std_points"], ["macs", "<b>"], ["macs"]])
def test_measures_that_are_none(measures: list[str], run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path, dirs_exist_ok=True)
    manifest = run.manifest
    manifest["search"]["pareto"]["measures"] = measures
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert "search.pareto.measures" in command("report", str(tmp_path))


def test_a_front_without_a_prediction(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path, dirs_exist_ok=True)
    manifest = run.manifest
    del manifest["search"]["predicted"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert command("report", str(tmp_path)) == ""
    assert "pareto.csv: holds no Pareto front" in (tmp_path / "report.html").read_text()
