"""Networks as people build them with Keras: the arena predicted, and the one that TFLM measures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from test_arena import predicted

from export.runtimes.tflm import measure
from mcofa.errors import FileFormatError, UnsupportedOpError

CONVERT = Path(__file__).parent.parent / "keras_models.py"
REFUSED_BY_TFLM = 3


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize(("form", "every"), [("default", 1), ("fixed", 6)])
def test_networks_of_keras_are_measured_as_predicted(form: str, every: int, tmp_path: Path) -> None:
    """All but those that TFLM refuses, too."""
    done = subprocess.run(
        [sys.executable, str(CONVERT), str(tmp_path), form, str(every)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    files, refused = sorted(tmp_path.glob("*.tflite")), 0
    for file in files:
        data = file.read_bytes()
        try:
            expected = predicted(data)
        except UnsupportedOpError:
            with pytest.raises(FileFormatError, match="TFLM"):
                measure(data)
            refused += 1
            continue
        assert measure(data) == expected, file.stem
    assert len(files) >= 42 // every
    assert refused <= REFUSED_BY_TFLM
