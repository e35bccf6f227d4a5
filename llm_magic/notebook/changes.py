"""Whoever shows figures hears here that they changed: after a call, after a cell, after a click.

One thread calls them, ten times a second at most. So figures move while a cell runs, nothing looks
at a clock when nothing happens, and a call in a fast loop pays for one flag. Here is also the list
of what has to be closed with the extension; this module is loaded without any widget.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from IPython import get_ipython

from llm_magic import history

__all__ = ["Following", "after_cells", "close", "closes_with_extension", "tell", "watch"]

_PACE = 0.1  # seconds


class _Watching:
    """The thread, and the hooks that wake it, as long as somebody watches."""

    def __init__(self) -> None:
        self._news = threading.Event()
        self._ended = threading.Event()
        self.unhook = history.on_change(self._news.set)
        self._shell: Any = get_ipython()
        if self._shell is not None:
            self._shell.events.register("post_run_cell", self._cell_ended)
        self._thread = threading.Thread(target=self._work, daemon=True, name="llm-magic figures")
        self._thread.start()

    def tell(self) -> None:
        self._news.set()

    def _cell_ended(self, result: Any) -> None:
        for callback in tuple(_after_cells):
            callback()
        self._news.set()

    def _work(self) -> None:
        while True:
            self._news.wait()
            if self._ended.is_set():
                return
            self._news.clear()
            began = time.monotonic()
            for watcher in tuple(_watchers):
                _call(watcher)
            # In a large ledger this takes a while: leave most of the time to the calls.
            self._ended.wait(max(_PACE, 9 * (time.monotonic() - began)))

    def close(self) -> None:
        self.unhook()
        if self._shell is not None:
            self._shell.events.unregister("post_run_cell", self._cell_ended)
        self._ended.set()
        self._news.set()
        if self._thread is not threading.current_thread():
            self._thread.join()


class Following:
    """Tells what a widget shows because it is set elsewhere from what a person set in it.

    Both happen on threads of their own. A person who sets something while the widget is brought up
    to date must win, so each waits for the other.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._following = False

    @contextmanager
    def follow(self) -> Iterator[None]:
        """Show what is set elsewhere."""
        with self._lock:
            before, self._following = self._following, True
            try:
                yield
            finally:
                self._following = before

    @contextmanager
    def heard(self) -> Iterator[bool]:
        """Whether a person did it; as long as this lasts nothing is brought up to date."""
        with self._lock:
            yield not self._following


_lock = threading.Lock()
_watching: _Watching | None = None
_watchers: list[Callable[[], None]] = []
_after_cells: list[Callable[[], None]] = []
_closers: list[Callable[[], None]] = []


def _forget() -> None:
    """A child process has none of its parent's threads; what they held stays held there."""
    global _lock, _watching
    if _watching is not None:
        _watching.unhook()
    _lock, _watching = threading.Lock(), None
    _watchers.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget)


def _call(watcher: Callable[[], None]) -> None:
    try:
        watcher()
    except Exception:
        # It would fail at every change; the others go on.
        _remove(_watchers, watcher)
        traceback.print_exc()


def _remove(callbacks: list[Callable[[], None]], callback: Callable[[], None]) -> None:
    with _lock:
        if callback in callbacks:
            callbacks.remove(callback)


def watch(watcher: Callable[[], None]) -> Callable[[], None]:
    """Have a function called on a thread of its own after changes; returns what ends it."""
    global _watching
    with _lock:
        _watchers.append(watcher)
        if _watching is None:
            _watching = _Watching()
    return lambda: _unwatch(watcher)


def _unwatch(watcher: Callable[[], None]) -> None:
    global _watching
    _remove(_watchers, watcher)
    with _lock:
        ended, unused = _watching, not _watchers
        if unused:
            _watching = None
    if unused and ended is not None:
        ended.close()


def after_cells(callback: Callable[[], None]) -> Callable[[], None]:
    """Have a function called at the end of every cell while somebody watches."""
    with _lock:
        _after_cells.append(callback)
    return lambda: _remove(_after_cells, callback)


def tell() -> None:
    """Something changed that is neither a call nor the end of a cell, such as a setting."""
    with _lock:
        watching = _watching
    if watching is not None:
        watching.tell()


def closes_with_extension(closer: Callable[[], None]) -> Callable[[], None]:
    """Have a function called by ``%unload_ext``; returns what takes it off the list."""
    with _lock:
        _closers.append(closer)
    return lambda: _remove(_closers, closer)


def close() -> None:
    """Close what is open; whoever closes takes itself off the list."""
    for closer in tuple(_closers):
        closer()
