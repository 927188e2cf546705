"""42 small networks as people build them with Keras 3, converted to int8 in both forms.

``python benchmarks/keras_networks.py [--emulate tflm|aot] [NAME …]``

Compares the arena predicted for x86-64 with the one that TFLM measures, of each network as Keras converts it
by default and with a fixed batch. ``--emulate`` also runs each on an emulated Cortex-M7 with one of the
engines (tflm needs a library in TFLM_DIR): outputs and arena must be the predicted ones. Ends with status 1
if anything differs, or if of those that TFLM takes less than 95 % are exact (and pass).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from public_models import Outcome, arena_outcome, print_counts

from export.engines.project import project_of_file
from export.firmware.emulate import enforce_report
from export.tflite.model_file import ModelFile
from mcofa.boards import load_board
from mcofa.errors import McofaError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from keras_models import NAMES, converted

BOARD = "mps2-an500"
LEAST_SHARE = 0.95
FORMS = {"default": None, "fixed": 1}


def emulated_outcome(model: ModelFile, engine: str) -> Outcome:
    """Build a project with the model and run its self-test."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            project = project_of_file(model, load_board(BOARD), engine, Path(folder) / "project")
            project.build()
            report = project.emulate()
            enforce_report(report, project.engine)
        except McofaError as error:
            return Outcome("fails", str(error))
    return Outcome("passes", f"arena {report.arena_touched_bytes:,} B")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help="only these networks")
    parser.add_argument("--emulate", choices=["tflm", "aot"])
    options = parser.parse_args()
    names = options.names or NAMES
    counts: dict[str, Counter[str]] = {"arena": Counter(), "emulated": Counter()}
    for name in names:
        for form, batch in FORMS.items():
            model = ModelFile(converted(name, batch), f"{name} ({form})")
            outcome = arena_outcome(model)
            counts["arena"][outcome.word] += 1
            print(f"{outcome.word:20}  {model.name}: {outcome.detail}", flush=True)
            if options.emulate:
                outcome = emulated_outcome(model, options.emulate)
                counts["emulated"][outcome.word] += 1
                print(f"{f'  {options.emulate} {outcome.word}':20}  {outcome.detail}", flush=True)
    wanted = LEAST_SHARE * (len(names) * len(FORMS) - counts["arena"]["refused by both"])
    for title, words in counts.items():
        if words:
            print_counts(title, words)
    if counts["arena"]["wrong"] or counts["arena"]["exact"] < wanted:
        sys.exit("error: predicted and measured differ, or too few are accepted (see above)")
    if options.emulate and counts["emulated"]["passes"] < wanted:
        sys.exit("error: too few pass in the emulator (see above)")


if __name__ == "__main__":
    main()
