"""Who wants to know that something was written to a ledger."""

from __future__ import annotations

import functools
from collections.abc import Callable

__all__ = ["on_change", "tell"]

_watchers: list[Callable[[], None]] = []


def on_change(watcher: Callable[[], None]) -> Callable[[], None]:
    """Have a function called after every write of this process; returns what ends it.

    It is called on the thread that writes, outside of locks, so it has to be quick. What other
    processes write is known by :func:`llm_magic.history.version`.
    """
    _watchers.append(watcher)
    return functools.partial(_watchers.remove, watcher)


def tell() -> None:
    """Call those who want to know."""
    for watcher in tuple(_watchers):
        watcher()
