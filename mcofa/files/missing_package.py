"""A Python package that is needed and not installed, and how to install it here."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from mcofa.errors import McofaError

_CHECKOUT = Path(__file__).resolve().parents[2]
_EXTRAS = ("train", "export", "firmware", "tensorflow")
_OTHER_NAMES = {"PIL": "pillow", "elftools": "pyelftools", "yaml": "pyyaml"}


class MissingPackageError(McofaError):
    """A module whose package is not installed."""

    def __init__(self, module: str) -> None:
        package = _package(module)
        super().__init__(f"the Python package {package} is not installed", install_step(module))


def install_step(module: str) -> str:
    """Say how to install what holds ``module``: in a checkout by make, else by pip, with mcofa's extras."""
    if (_CHECKOUT / "Makefile").is_file() and (_CHECKOUT / "pyproject.toml").is_file():
        return "run `make setup`"
    extras = _extras_with(_package(module))
    wanted = f"mcofa[{','.join(extras)}]" if extras else _package(module)
    return f"pip install '{wanted}'"


def _package(module: str) -> str:
    top = module.partition(".")[0]
    return _OTHER_NAMES.get(top, top.replace("_", "-"))


def _extras_with(package: str) -> list[str]:
    """Return mcofa's extras that install a package."""
    requirements = metadata.requires("mcofa") or []
    of_package = [found for found in requirements if re.split(r"[^\w.-]", found)[0].lower() == package]
    return [
        extra for extra in _EXTRAS if any(re.search(rf"extra == .{extra}\b", found) for found in of_package)
    ]
