"""When rows that can wait for others are written: in a moment, by one thread for all ledgers.

A replay costs nothing, so its row need not be on disk before its answer is used, and rows that are
written together take a fraction of the time. The thread sleeps as long as no row waits.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from contextlib import ExitStack
from typing import Protocol

__all__ = ["DELAY", "flush", "soon"]

# How long a row waits at most, in seconds.
DELAY = 0.2


class Waiting(Protocol):
    """Something with rows that wait."""

    def flush(self) -> None:
        """Write them."""


class _Writer:
    """Flushes what asked for it a moment later."""

    def __init__(self, *, at_once: bool = False) -> None:
        self._asked: set[Waiting] = set()
        self._condition = threading.Condition()
        # Whoever flushes waits for the thread that is about it.
        self._flushing = threading.Lock()
        self._thread: threading.Thread | None = None
        # The process is ending, or nothing is called at its end.
        self._at_once = at_once

    def soon(self, waiting: Waiting) -> None:
        # Every replay passes here. What is asked for already has its rows written, this one too.
        if waiting in self._asked:
            return
        if self._at_once or _is_worker() or not self._ask(waiting):
            waiting.flush()

    def _ask(self, waiting: Waiting) -> bool:
        with self._condition:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._work, daemon=True, name="llm-magic ledger")
                try:
                    thread.start()
                except RuntimeError:
                    # No thread can be started any more: the interpreter ends.
                    return False
                self._thread = thread
            # The last step, because an interrupt may come between any two: what stands there
            # must have a thread that is awake.
            self._condition.notify()
            self._asked.add(waiting)
        return True

    def _work(self) -> None:
        while True:
            with self._condition:
                while not self._asked:
                    self._condition.wait()
            time.sleep(DELAY)
            self.flush()

    def flush(self) -> None:
        with self._flushing:
            with self._condition:
                asked, self._asked = self._asked, set()
            with ExitStack() as all_of_them:
                for waiting in asked:
                    all_of_them.callback(waiting.flush)

    def finish(self) -> None:
        self._at_once = True
        self.flush()


def _is_worker() -> bool:
    """Whether multiprocessing made this process: it ends by os._exit()."""
    module = sys.modules.get("multiprocessing.process")
    return module is not None and module.parent_process() is not None


_writer = _Writer()


def soon(waiting: Waiting) -> None:
    """Have it flushed in a moment; at once where nothing would be flushed at the process's end."""
    _writer.soon(waiting)


def flush() -> None:
    """Write all that waits, of every ledger."""
    _writer.flush()


def _forked() -> None:
    # The rows that wait are the parent's, and so is the thread. Such a child often ends by
    # os._exit(), which flushes nothing, so its own rows do not wait.
    global _writer
    _writer = _Writer(at_once=True)


atexit.register(lambda: _writer.finish())
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forked)
