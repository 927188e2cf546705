"""A new environment with mcofa as its wheel lays it out, and what chosen extras install; nothing else.

The packages are links to those of the environment that the tests run in, so that no network is needed.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import tomllib
import venv
from collections import defaultdict
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

_SCRIPT = """#!{python}
import sys
from mcofa.cli import main
sys.exit(main())
"""


def clean_environment(folder: Path, root: Path, extras: set[str]) -> Path:
    """Make an environment in ``folder`` as ``pip install mcofa[EXTRAS]`` would; return its bin folder."""
    venv.create(folder, symlinks=True)
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    project = tomllib.loads((root / "pyproject.toml").read_text())
    lines = requirements(project["project"])
    _link_packages(site, required(lines, extras))
    sources = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    for name in sources["only-include"]:
        target = site / sources["sources"].get(name, name)
        shutil.copytree(root / name, target, ignore=shutil.ignore_patterns("__pycache__"))
    (site / "mcofa-0.dist-info").mkdir()
    header = "Metadata-Version: 2.4\nName: mcofa\nVersion: 0\n"
    requires = "".join(f"Requires-Dist: {line}\n" for line in lines)
    (site / "mcofa-0.dist-info" / "METADATA").write_text(header + requires)
    program = folder / "bin" / "mcofa"
    program.write_text(_SCRIPT.format(python=folder / "bin" / "python"))
    program.chmod(0o755)
    return folder / "bin"


def requirements(project: dict[str, Any]) -> list[str]:
    """Return the requirements of a ``[project]`` as a wheel's metadata state them."""
    optional = project["optional-dependencies"].items()
    lines = [f"{each}; extra == '{extra}'" for extra, listed in optional for each in listed]
    return [*project["dependencies"], *lines]


def required(own: list[str], extras: set[str]) -> set[str]:
    """Return the names of all packages that come with ``own`` and ``extras``, as the metadata of each say."""
    found: set[str] = set()
    done: set[tuple[str, frozenset[str]]] = set()
    waiting = _asked(own, extras)
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) not in done:
            done.add((name, wanted))
            with contextlib.suppress(metadata.PackageNotFoundError):
                waiting += _asked(metadata.requires(name) or [], wanted)
                found.add(name)
    return found - {"mcofa"}


def _asked(lines: list[str], extras: Iterable[str]) -> list[tuple[str, frozenset[str]]]:
    """Return the packages, each with its extras, that requirements ask for here."""
    return [
        (_normal(each.name), frozenset(each.extras))
        for each in map(Requirement, lines)
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in (*extras, ""))
    ]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _link_packages(site: Path, names: set[str]) -> None:
    owners: dict[str, set[str]] = defaultdict(set)
    entries: dict[str, set[tuple[str, ...]]] = {}
    places: dict[str, Path] = {}
    for name in names:
        distribution = metadata.distribution(name)
        places[name] = Path(str(distribution.locate_file("")))
        parts = [path.parts for path in distribution.files or ()]
        entries[name] = {
            part[:2] for part in parts if part[0] not in ("..", "__pycache__") and part[-1] != "__pycache__"
        }
        for part in entries[name]:
            owners[part[0]].add(name)
    for name, parts in entries.items():
        for part in parts:
            shared = len(owners[part[0]]) > 1 and len(part) > 1
            target = site.joinpath(*part) if shared else site / part[0]
            target.parent.mkdir(exist_ok=True)
            if not target.exists():
                target.symlink_to(places[name].joinpath(*part) if shared else places[name] / part[0])
