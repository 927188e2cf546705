"""`mcofa`, for a checkout: `python cli.py COMMAND`."""

from __future__ import annotations

import sys

from mcofa.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
