"""Public .tflite files: the arena predicted for x86-64, and the one that TFLM measures.

``python benchmarks/public_models.py LIST.csv FOLDER [--aot] [--expect-all]``

The list has the columns ``sha256``, ``repository`` and ``path``; the files are looked for in the folder
by their hash, whatever they are called. A file is exact, or wrong, or refused by mcofa, by TFLM or by
both. ``--aot`` also runs the generated C of every file of at most 1 MB that engine aot takes, on 12
inputs, against LiteRT. Ends with status 1 if a figure or an output is wrong, or, with ``--expect-all``,
if a file is missing.
"""

from __future__ import annotations

import csv
import hashlib
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from export.runtimes.tflm import measure
from export.tflite.model_file import ModelFile
from mcofa.engines.tflm import account, target
from mcofa.errors import McofaError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from generated_c import GeneratedC

AOT_BYTES = 1_000_000
AOT_INPUTS = 12


@dataclass(frozen=True)
class Outcome:
    """What came of one file: a word to count, and the rest of the line."""

    word: str
    detail: str

    @property
    def loads(self) -> bool:
        """Whether TFLM loads the file."""
        return self.word in {"exact", "wrong", "refused by mcofa"}


def arena_outcome(model: ModelFile) -> Outcome:
    """Compare both parts of the predicted arena with what TFLM's recording interpreter measures."""
    refusals = []
    try:
        arena = account(model.graph, target("x86-64", "reference"))
        predicted = (arena.head_bytes, arena.recording_tail_bytes)
    except McofaError as error:
        refusals.append(error.problem)
    try:
        found = measure(model.data, model.name)
        measured = (found.head_bytes, found.recording_tail_bytes)
    except McofaError as error:
        if refusals:
            return Outcome("refused by both", refusals[0])
        return Outcome("refused by TFLM only", error.problem)
    if refusals:
        return Outcome("refused by mcofa", refusals[0])
    if predicted == measured:
        return Outcome("exact", "head {:,} B, tail {:,} B".format(*measured))
    return Outcome("wrong", f"(head, tail) predicted {predicted}, measured {measured}")


def aot_outcome(model: ModelFile) -> Outcome:
    """Compare the generated C's outputs with LiteRT's, on noise and on both ends of the range."""
    try:
        graph = model.graph
        with tempfile.TemporaryDirectory() as folder:
            network = GeneratedC(model.data, Path(folder))
            interpreter = Interpreter(
                model_content=model.data,
                experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
                num_threads=1,
            )
            interpreter.allocate_tensors()
            rng = np.random.default_rng(0)
            for number in range(AOT_INPUTS):
                inputs = [
                    _values(number, graph.tensors[i].shape, graph.tensors[i].dtype.value, rng)
                    for i in graph.inputs
                ]
                for index, values in zip(graph.inputs, inputs, strict=True):
                    interpreter.set_tensor(index, values)
                interpreter.invoke()
                expected = [interpreter.get_tensor(index).ravel() for index in graph.outputs]
                _, outputs = network.run(inputs)
                if not all(map(np.array_equal, expected, (output.ravel() for output in outputs))):
                    return Outcome("wrong", f"input {number}: other bytes than LiteRT's")
    except McofaError as error:
        return Outcome("refused", error.problem)
    except (RuntimeError, ValueError) as error:
        return Outcome("refused by LiteRT", str(error))
    return Outcome("equal", f"{AOT_INPUTS} of {AOT_INPUTS} inputs")


def _values(number: int, shape: tuple[int, ...], dtype: str, rng: np.random.Generator) -> np.ndarray:
    if not np.issubdtype(np.dtype(dtype), np.integer):
        return rng.normal(size=shape).astype(dtype)
    limits = np.iinfo(dtype)
    if number < 2:
        return np.full(shape, (limits.min, limits.max)[number], dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def print_counts(title: str, words: Counter[str]) -> None:
    print(f"\n{title}: " + ", ".join(f"{count} {word}" for word, count in words.most_common()) + "\n")


def main() -> None:
    paths = [Path(word) for word in sys.argv[1:] if not word.startswith("--")]
    if len(paths) != 2:
        sys.exit(__doc__)
    with paths[0].open(encoding="utf-8", newline="") as listing:
        rows = list(csv.DictReader(listing))
    files = {
        hashlib.sha256(path.read_bytes()).hexdigest(): path for path in paths[1].rglob("*") if path.is_file()
    }
    models = {
        f"{row['repository']}/{row['path']}": files[row["sha256"]] for row in rows if row["sha256"] in files
    }
    counts: dict[str, Counter[str]] = {"arena": Counter(), "aot": Counter()}
    for name, path in models.items():
        model = ModelFile(path.read_bytes(), name)
        outcome = arena_outcome(model)
        counts["arena"][outcome.word] += 1
        counts["arena"]["that TFLM loads"] += outcome.loads
        print(f"{outcome.word:20}  {name}: {outcome.detail}", flush=True)
        if "--aot" in sys.argv and outcome.word == "exact" and len(model.data) <= AOT_BYTES:
            outcome = aot_outcome(model)
            counts["aot"][outcome.word] += 1
            print(f"{'  aot ' + outcome.word:20}  {outcome.detail}", flush=True)
    for title, words in counts.items():
        if words:
            print_counts(title, words)
    missing = len(rows) - len(models)
    print(f"{len(models)} of {len(rows)} files found")
    if any(words["wrong"] for words in counts.values()):
        sys.exit("error: predicted and measured differ (see above)")
    if missing and "--expect-all" in sys.argv:
        sys.exit(f"error: {missing} files of the list are missing")


if __name__ == "__main__":
    main()
