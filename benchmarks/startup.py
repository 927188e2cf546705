"""How long `mcofa --help` takes, the first thing that a newcomer waits for."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 15
LIMIT_S = 0.4


def help_seconds() -> float:
    mcofa = Path(sys.executable).parent / "mcofa"
    start = time.perf_counter()
    subprocess.run([mcofa, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    help_seconds()
    seconds = [help_seconds() for _ in range(RUNS)]
    median = statistics.median(seconds)
    print("command        runs    min s  median s    max s  limit s  verdict")
    print(
        f"mcofa --help   {RUNS:4d}  {min(seconds):7.3f}  {median:8.3f}  {max(seconds):7.3f}"
        f"  {LIMIT_S:7.3f}  {'within' if median < LIMIT_S else 'OVER'}"
    )


if __name__ == "__main__":
    main()
