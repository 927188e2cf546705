"""What several test modules share: where the checkout and the test data are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_REPO_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return _REPO_ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of measured facts: ``MCOFA_DATA``, or ``shared/data`` beside the checkout."""
    named = os.environ.get("MCOFA_DATA")
    folder = Path(named) if named else _REPO_ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; point MCOFA_DATA at it")
    return folder
