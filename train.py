"""`mcofa train`, as a script that torchrun can launch: `torchrun train.py CONFIG`."""

from __future__ import annotations

import sys

from mcofa.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
