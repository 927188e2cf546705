"""The undamaged files that damaged ones are made of, and what a case is.

They are the repository's own: boards, spaces, configurations, the zoo's tables and predictors, its
measured models, and a run that is searched for the occasion.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import yaml
from PIL import Image

from fuzzing.mutate import TEXTS
from fuzzing.sandbox import Outcome
from mcofa.cli import main
from mcofa.files.resources import data_folder
from mcofa.space.search_space import load_space

_MODELS = Path(__file__).resolve().parents[2] / "tests" / "data" / "tflm_arena"
_BOARDS = ("microbit", "stm32f746", "rp2040", "mps2-an500", "stm32f103")
_SPACES = ("mcofa-micro", "ofa-micro", "mcofa-v3", "compofa", "ofa")
OUT = "out"


@dataclass(frozen=True)
class Case:
    """A command on damaged files that lie in its folder, and a check of what it says when it succeeds.

    The check returns what is wrong. ``fails_only``: it must not succeed, whatever the files hold.
    """

    arguments: tuple[str, ...]
    check: Callable[[Outcome], str] = lambda _: ""
    fails_only: bool = False


class Seeds:
    """The undamaged files, read once. A run is searched in ``folder``."""

    def __init__(self, folder: Path) -> None:
        boards, configs, zoo = (data_folder(name) for name in ("boards", "configs", "zoo"))
        self.boards = [yaml.safe_load((boards / f"{name}.yaml").read_text()) for name in _BOARDS]
        self.spaces = {name: load_space(name) for name in _SPACES}
        self.configs = [yaml.safe_load(path.read_text()) for path in sorted(configs.glob("*.yaml"))]
        tables = sorted(zoo.glob("*-micro-finetuned.csv"))
        self.tables = [list(csv.reader(path.read_text().splitlines())) for path in tables]
        self.predictor = (zoo / "mcofa-micro-finetuned.npz").read_bytes()
        self.model = min(_MODELS.glob("*.tflite"), key=lambda path: path.stat().st_size).read_bytes()
        self.images = _images()
        self.run = _searched(folder / "run")
        # Starts a program, once: to find the libraries of the system.
        importlib.import_module("mcofa.supernet.training.train")


def _searched(run: Path) -> dict[str, bytes]:
    """The files of a run with a front."""
    pareto = ["--pareto", "arena_bytes,latency_ms,top1_percent", "--time-limit", "2"]
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        code = main(["search", "--board", "stm32f103", *pareto, "--out", str(run), "--json"])
    assert code == 0, quiet.getvalue()
    return {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}


def _images() -> dict[str, bytes]:
    """Two classes of small images in every usual format."""
    files = {}
    formats = (("png", "L"), ("jpeg", "RGB"), ("bmp", "RGB"), ("png", "P"), ("gif", "P"), ("png", "I;16"))
    for number, (kind, mode) in enumerate(formats):
        for name in ("cat", "dog"):
            data = io.BytesIO()
            Image.new(mode, (9, 7 + number), 40 * number).save(data, kind)
            files[f"images/{name}/{number}.{kind}"] = data.getvalue()
    return files


def write(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return name


def named(rng: Random, folder: Path, stem: str, suffix: str, data: bytes) -> str:
    """Write a file, now and then under a name that nobody expects."""
    name = f"{stem}{suffix}"
    if rng.random() < 0.03:
        odd = rng.choice(TEXTS)[:80].replace("/", "_").replace("\x00", "_")
        name = f"{odd}{suffix}"
    try:
        return f"./{write(folder, name, data)}"
    except (OSError, UnicodeError):
        return f"./{write(folder, stem + suffix, data)}"
