"""What is left to do for streams that were dropped unread: done by a thread of its own.

Python collects garbage at any moment, also in a thread that holds the very lock which the work
needs, so ``__del__`` must do none of it: it would wait for itself.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from llm_magic import notices

__all__ = ["expect", "wait"]

# Seconds that somebody waits for it.
_PATIENCE = 5.0


class _Worker:
    """Does what it was told, in that order; what is not done yet is in ``left``."""

    def __init__(self) -> None:
        self.left: deque[Callable[[], object]] = deque()
        # Its put() may interrupt itself, which is what finalizers need.
        self._calls: SimpleQueue[None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.ending = False
        self.forgotten = False

    def start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._work, daemon=True, name="llm-magic dropped"
                )
                try:
                    self._thread.start()
                except RuntimeError:
                    # No thread begins any more, as when the process ends.
                    self.ending = True

    def add(self, action: Callable[[], object]) -> None:
        if self.forgotten:
            return
        if self.ending:
            # The thread does not go on, and nobody is in the middle of anything.
            _do(action)
            return
        self.left.append(action)
        self._calls.put(None)

    def _work(self) -> None:
        while True:
            self._calls.get()
            _do(self.left[0])
            self.left.popleft()


def _do(action: Callable[[], object]) -> None:
    try:
        action()
    except Exception as error:
        notices.tell(f"a stream that was dropped is not written down: {error}")


_worker = _Worker()


def expect() -> Callable[[Callable[[], object]], None]:
    """What has a function called in a moment, for ``__del__``.

    It is asked for where nothing is being collected, and belongs to this process: in a forked child
    it does nothing, as the stream is the parent's to end.
    """
    _worker.start()
    return _worker.add


def wait() -> None:
    """Return when all is done that was asked for until now."""
    if _worker.left:
        done = threading.Event()
        _worker.add(done.set)
        done.wait(_PATIENCE)


def _end() -> None:
    wait()
    _worker.ending = True


def _forget() -> None:
    """A child process has neither the thread nor the streams of its parent."""
    global _worker
    _worker.forgotten = True
    _worker = _Worker()


atexit.register(_end)
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget)
