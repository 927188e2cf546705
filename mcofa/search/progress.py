"""How a long piece of work tells how far it is, to whoever wants to show it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

Update = Callable[[int, int, str], None]
"""Is told what is done, of how much, and a few words."""
Show = Callable[[str], AbstractContextManager[Update]]
"""Opens the display of a piece of work with this title."""


@contextlib.contextmanager
def unseen(_title: str) -> Iterator[Update]:
    """Show nothing."""
    yield lambda done, of, text: None
