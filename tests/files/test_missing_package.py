"""What to type where a package is missing: make in a checkout, pip with mcofa's extras elsewhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from clean_environment import requirements

from mcofa.files import missing_package
from mcofa.files.missing_package import MissingPackageError, install_step

# What the code imports, by the name of the package that holds it; read off the package indexes.
MODULES = {
    "PIL.Image": "pillow",
    "ai_edge_litert": "ai-edge-litert",
    "elftools": "pyelftools",
    "flatbuffers": "flatbuffers",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "onnxscript": "onnxscript",
    "ortools": "ortools",
    "safetensors.torch": "safetensors",
    "tensorboard": "tensorboard",
    "tensorflow": "tensorflow",
    "tflite_micro": "tflite-micro",
    "torch": "torch",
    "torchvision": "torchvision",
}


@pytest.fixture
def _no_checkout(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing_package, "_CHECKOUT", tmp_path)
    project = tomllib.loads((repo_root / "pyproject.toml").read_text())["project"]
    monkeypatch.setattr(missing_package.metadata, "requires", lambda _: requirements(project))


def test_a_checkout_has_a_makefile() -> None:
    assert install_step("torch") == "run `make setup`"
    assert str(MissingPackageError("elftools")).startswith("the Python package pyelftools is not installed")


@pytest.mark.usefixtures("_no_checkout")
@pytest.mark.parametrize("module", MODULES)
def test_elsewhere_pip_installs_the_extras_that_hold_it(module: str, repo_root: Path) -> None:
    project = tomllib.loads((repo_root / "pyproject.toml").read_text())["project"]
    advised = re.fullmatch(r"pip install 'mcofa\[(.+)\]'", install_step(module))
    assert advised
    for extra in advised[1].split(","):
        held = [re.split(r"[>=]", each)[0] for each in project["optional-dependencies"][extra]]
        assert MODULES[module] in held


@pytest.mark.usefixtures("_no_checkout")
def test_what_is_in_no_extra_is_named_itself() -> None:
    assert install_step("left_pad.core") == "pip install 'left-pad'"
