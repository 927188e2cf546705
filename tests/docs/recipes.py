"""Console blocks of the docs: the commands that they show, and a copy of the checkout to run them in.

A command is a line that starts with ``$``; what follows up to the next one is what it prints. Lines
are compared word by word, and numbers too; ``…`` stands for lines that are left out.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"\s{2,}# .*$")
_LEFT_OUT = "…"
_COPIED = (
    "benchmarks", "boards", "configs", "docs", "export", "firmware_templates", "mcofa", "zoo",
    "Makefile", "pyproject.toml", "train.py",
)  # fmt: skip
_DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
_FEW_IMAGES = {"train": ("60_000", 600), "t10k": ("10_000", 200)}


@dataclass(frozen=True)
class Command:
    """A command of a page, and the lines that it prints there."""

    page: str
    words: str
    printed: tuple[str, ...]


def commands(root: Path, page: str) -> list[Command]:
    """Return the commands of a page's console blocks, in order."""
    found = []
    for block in _BLOCK.findall((root / page).read_text(encoding="utf-8")):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            first, *printed = part.rstrip("\n").split("\n")
            found.append(Command(page, _COMMENT.sub("", first), tuple(printed)))
    return found


def pages(root: Path) -> list[str]:
    """Return the pages that have console blocks."""
    paths = [root / "README.md", *sorted(root.glob("docs/**/*.md")), root / "boards" / "README.md"]
    paths += [root / "zoo" / "README.md", *root.glob("CONTRIBUTING.md")]
    return [str(path.relative_to(root)) for path in paths if _BLOCK.search(path.read_text(encoding="utf-8"))]


_NOT_THE_USERS = ("PYTEST", "MAKE", "MFLAGS")
"""What pytest, and a make that runs it, leave in the environment starts like this."""


class Sandbox:
    """A copy of the checkout, whose Fashion-MNIST is the first few images of the whole one."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        for name in _COPIED:
            if (root / name).is_dir():
                shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(root / name, folder / name)
        self._link_environment()
        self._shrink_fashion_mnist()

    def run(self, command: Command) -> subprocess.CompletedProcess[str]:
        """Run a command as it is shown, by bash in the checkout's folder."""
        return subprocess.run(
            ["bash", "-c", command.words],
            cwd=self.folder,
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith(_NOT_THE_USERS)},
                "PATH": f"{self.folder / '.venv' / 'bin'}:{os.environ['PATH']}",
                "PYTHONPATH": str(self.folder),
                "MCOFA_DATASETS": str(self.folder / "datasets"),
                "OMP_NUM_THREADS": "1",
                "MAKEFLAGS": "SYSTEM_PACKAGES=",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=1_200,
        )

    def _link_environment(self) -> None:
        """Let ``make`` find the environment that the tests run in, installed and up to date."""
        environment = self.folder / ".venv"
        environment.mkdir()
        for path in Path(sys.prefix).iterdir():
            if path.name != ".installed":
                (environment / path.name).symlink_to(path)
        (environment / ".installed").touch()
        os.utime(self.folder / "pyproject.toml", (0, 0))

    def _shrink_fashion_mnist(self) -> None:
        reader = self.folder / "mcofa" / "supernet" / "data" / "published.py"
        text = reader.read_text(encoding="utf-8")
        (self.folder / "datasets" / "fashion-mnist").mkdir(parents=True)
        for prefix, (written, count) in _FEW_IMAGES.items():
            assert text.count(written) == 1
            text = text.replace(written, str(count))
            for name, header in ((f"{prefix}-images-idx3-ubyte", 16), (f"{prefix}-labels-idx1-ubyte", 8)):
                values = _first(name, header, count)
                sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
                content = bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()
                (self.folder / "datasets" / "fashion-mnist" / name).write_bytes(content)
        reader.write_text(text, encoding="utf-8")


def _first(name: str, header_bytes: int, count: int) -> npt.NDArray[np.uint8]:
    """Return the first values of a file of Fashion-MNIST; random ones where it is not at hand."""
    shape = (count, 28, 28) if "images" in name else (count,)
    path = _DEBIAN_FASHION_MNIST / f"{name}.gz"
    if not path.is_file():
        highest = 256 if "images" in name else 10
        return np.random.default_rng(count).integers(0, highest, shape).astype(np.uint8)
    content = gzip.decompress(path.read_bytes())
    return np.frombuffer(content, np.uint8, int(np.prod(shape)), header_bytes).reshape(shape)


def prints(shown: tuple[str, ...], printed: str) -> bool:
    """Say whether the lines of a page are what was printed, but for those that it leaves out."""
    lines = [line.rstrip() for line in printed.splitlines()]
    at, anywhere = 0, False
    for line in map(str.rstrip, shown):
        if line == _LEFT_OUT:
            anywhere = True
            continue
        found = lines.index(line, at) if line in lines[at:] else -1
        if found < 0 or (found > at and not anywhere):
            return False
        at, anywhere = found + 1, False
    return anywhere or not shown or at == len(lines)
