"""The CMSIS-NN sources that a network's kernels call, with their licence.

They are taken from the folder ``CMSIS_NN_DIR``, or else from the package ``bakenn``, which
carries a pinned subset of CMSIS-NN 4.0.0 and the headers of CMSIS-Core that it needs.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mcofa.errors import MissingFileError
from mcofa.files.missing_package import install_step
from mcofa.ops import KERNELS

FOLDER = "third_party/cmsis_nn"
_CORE_FOLDER = "third_party/cmsis_core"
_VARIABLE = "CMSIS_NN_DIR"
_LICENCES = ("LICENSE", "LICENSE.txt", "BAKENN_PROVENANCE.md")
_DEFINITION = re.compile(r"^[\w ]+\*? ?\*?(arm_\w+)\([^;{]*\)\s*\{", re.MULTILINE)
_NAME = re.compile(r"\barm_\w+")


@dataclass(frozen=True, slots=True)
class CmsisNn:
    """Files by path in the project, and how they are compiled."""

    files: dict[str, bytes]
    include_folders: tuple[str, ...]
    defines: tuple[str, ...]

    @property
    def sources(self) -> list[str]:
        """The files to compile."""
        return sorted(path for path in self.files if path.endswith(".c"))


def cmsis_nn(kernels: Iterable[str]) -> CmsisNn:
    """Return what the ``kernels`` need of CMSIS-NN; nothing if none of them calls it.

    Raises:
        MissingFileError: CMSIS-NN is needed and was not found, or lacks a function.
    """
    needed = [KERNELS[kernel].cmsis_nn for kernel in kernels if KERNELS[kernel].cmsis_nn]
    if not needed:
        return CmsisNn({}, (), ())
    root = _root()
    files = {f"{FOLDER}/{path.relative_to(root)}": path for path in _closure(root, needed)}
    files |= {f"{FOLDER}/{path.relative_to(root)}": path for path in sorted((root / "Include").rglob("*.h"))}
    files |= {f"{FOLDER}/{name}": root / name for name in _LICENCES if (root / name).is_file()}
    includes = [f"{FOLDER}/Include"]
    core = root.parent / "cmsis_core"
    if core.is_dir():
        files |= {
            f"{_CORE_FOLDER}/Include/{path.name}": path for path in sorted((core / "Include").glob("*.h"))
        }
        files |= {f"{_CORE_FOLDER}/{name}": core / name for name in _LICENCES if (core / name).is_file()}
        includes.append(f"{_CORE_FOLDER}/Include")
    functions = (root / "Include" / "arm_nnfunctions.h").read_text(encoding="utf-8")
    declaration = functions.partition(" arm_convolve_s8(")[2].partition(";")[0]
    defines = ("NN_CMSIS_NN_UPSCALE",) if "upscale_dims" in declaration else ()
    return CmsisNn({name: path.read_bytes() for name, path in files.items()}, tuple(includes), defines)


def _root() -> Path:
    """The folder that holds Include and Source."""
    named = os.environ.get(_VARIABLE)
    if named:
        root = Path(named)
    else:
        package = importlib.util.find_spec("bakenn")
        if package is None or not package.submodule_search_locations:
            raise MissingFileError(
                _VARIABLE,
                "CMSIS-NN, which engine aot uses on this core,",
                f"{install_step('bakenn')}, or set {_VARIABLE} to a checkout of https://github.com/ARM-software/CMSIS-NN",
            )
        root = Path(package.submodule_search_locations[0]) / "backend" / "cmsis_nn" / "vendor" / "cmsis_nn"
    if not (root / "Include" / "arm_nnfunctions.h").is_file():
        raise MissingFileError(
            root / "Include" / "arm_nnfunctions.h",
            "CMSIS-NN",
            f"set {_VARIABLE} to the folder that holds Include",
        )
    return root


def _closure(root: Path, functions: Iterable[str]) -> list[Path]:
    """The sources that define ``functions`` and whatever those call."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted((root / "Source").rglob("*.c"))}
    defined_in = {name: path for path, text in texts.items() for name in _DEFINITION.findall(text)}
    missing = [name for name in functions if name not in defined_in]
    if missing:
        raise MissingFileError(root / "Source", f"CMSIS-NN's {missing[0]}", f"check {_VARIABLE}")
    found: set[Path] = set()
    waiting = [defined_in[name] for name in functions]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [defined_in[name] for name in _NAME.findall(texts[path]) if name in defined_in]
    return sorted(found)
