"""Many damaged inputs from one seed, and how to repeat those that were answered wrongly."""

from __future__ import annotations

import gc
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from fuzzing.kinds import KINDS
from fuzzing.sandbox import Outcome, Sandbox
from fuzzing.seeds import OUT, Case, Seeds

Snapshot = dict[str, bytes]


@dataclass(frozen=True)
class Finding:
    """An input that made the command line do what it must not."""

    kind: str
    seed: str
    arguments: tuple[str, ...]
    problem: str


@dataclass
class Tally:
    """What became of the inputs of one kind."""

    exits: Counter[int | None] = field(default_factory=Counter)
    seconds: float = 0.0
    slowest_seconds: float = 0.0
    findings: int = 0


class Campaign:
    """Inputs in ``folder``, numbered; input ``number`` is the same each time."""

    def __init__(self, folder: Path, seed: int, seconds_each: float = 20.0) -> None:
        self._folder, self._seed = folder / "input", seed
        self._folder.mkdir(parents=True)
        self._sandbox = Sandbox(self._folder, seconds_each)
        self._seeds = Seeds(folder)
        self.tallies = {make.__name__: Tally() for make in KINDS}

    def run(self, numbers: Iterable[int], only: str | None = None) -> Iterator[Finding]:
        """Try the inputs of these numbers and yield what is found."""
        kinds, weights = list(KINDS), list(KINDS.values())
        for number in numbers:
            rng = Random(f"{self._seed} {number}")
            (make,) = rng.choices(kinds, weights)
            if only is None or only == make.__name__:
                yield from self._try(make, rng, number)

    def _try(
        self, make: Callable[[Seeds, Random, Path], Case], rng: Random, number: int
    ) -> Iterator[Finding]:
        shutil.rmtree(self._folder)
        self._folder.mkdir()
        case = make(self._seeds, rng, self._folder)
        before = _snapshot(self._folder)
        outcome = self._sandbox.run(case.arguments)
        tally = self.tallies[make.__name__]
        tally.exits[outcome.code] += 1
        tally.seconds += outcome.seconds
        tally.slowest_seconds = max(tally.slowest_seconds, outcome.seconds)
        problem = (
            outcome.problem or _left(before, _snapshot(self._folder), outcome.code) or _wrong(case, outcome)
        )
        if problem:
            tally.findings += 1
            yield Finding(
                make.__name__, f"--seed {self._seed} --first {number} --count 1", case.arguments, problem
            )
        if number % 500 == 0:
            gc.collect()


def _snapshot(folder: Path) -> Snapshot:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


def _left(before: Snapshot, after: Snapshot, code: int | None) -> str:
    """What was written although the command failed, or written elsewhere than where it should."""
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    elsewhere = [name for name in changed if not name.startswith(OUT)]
    if elsewhere:
        return f"writes {elsewhere[0]}"
    kept = [name for name in changed if name not in (OUT, f"{OUT}/manifest.json.lock")]
    return f"fails and leaves {kept[0]}" if code != 0 and kept else ""


def _wrong(case: Case, outcome: Outcome) -> str:
    if outcome.code != 0:
        return ""
    if case.fails_only:
        return "succeeds, though it cannot"
    try:
        return case.check(outcome)
    except Exception as error:
        return f"the result cannot be read: {type(error).__name__}: {error}"
