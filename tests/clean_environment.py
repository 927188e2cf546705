"""A new environment with mcofa as its wheel lays it out, and what chosen extras install; nothing else.

The packages are links to those of the environment that the tests run in, so that no network is needed.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
import venv
from collections import defaultdict
from importlib import metadata
from pathlib import Path

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
    _link_packages(site, required(extras) - {"mcofa"})
    sources = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    for name in sources["only-include"]:
        target = site / sources["sources"].get(name, name)
        shutil.copytree(root / name, target, ignore=shutil.ignore_patterns("__pycache__"))
    own = metadata.distribution("mcofa")
    (site / "mcofa-0.dist-info").mkdir()
    (site / "mcofa-0.dist-info" / "METADATA").write_text(own.read_text("METADATA") or "")
    program = folder / "bin" / "mcofa"
    program.write_text(_SCRIPT.format(python=folder / "bin" / "python"))
    program.chmod(0o755)
    return folder / "bin"


def required(extras: set[str]) -> set[str]:
    """Return the names of all packages that mcofa with ``extras`` brings, as the metadata of each say."""
    found: set[str] = set()
    waiting = [("mcofa", frozenset(extras))]
    done: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in done:
            continue
        done.add((name, wanted))
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        for each in map(Requirement, requirements):
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in (*wanted, "")):
                waiting.append((_normal(each.name), frozenset(each.extras)))
    return found


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
