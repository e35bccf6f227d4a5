"""Who answers JupyterLab and tells it what changes, and on which thread.

Questions come on the thread that reads messages, and answers go out on it; what takes long has a
thread of its own, and what changes is told on the one of :mod:`changes`. Until a page says hello
nothing is told and no thread begins.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import sqlite3
import threading
import traceback
from collections.abc import Callable
from typing import Any

from llm_magic.exceptions import LLMMagicError
from llm_magic.notebook import changes, lab_calls
from llm_magic.notebook.failing import one_line
from llm_magic.notebook.lab import Calls, Reply, State
from llm_magic.notebook.lab_calls import CallLog
from llm_magic.notebook.lab_requests import LONG, QUICK, RequestError, Work
from llm_magic.notebook.lab_state import Reader

__all__ = ["Bridge"]


class Bridge:
    """Answers what Lab asks, and tells it what changes from its first hello on.

    Parameters
    ----------
    send : callable
        Sends a message to all pages; from any thread.
    """

    def __init__(self, send: Callable[[Any], None]) -> None:
        self._send = send
        # Whoever reads sends, so that what was read earlier is never sent later.
        self._lock = threading.RLock()
        self._reader = Reader()
        self._calls = CallLog()
        self._told: State | None = None
        # Whether something did not reach the pages: they are then told everything.
        self._behind = False
        self._unwatch: Callable[[], None] | None = None
        self._explaining = False
        self._work: dict[str, Work] = {}
        self._closed = False
        # A verify has a kernel of its own, which would outlive ours.
        self._process = os.getpid()
        atexit.register(self._end_work)

    def hear(self, asked: Any) -> None:
        """What came from a page; it is answered, and nothing is raised."""
        name = asked.get("id") if isinstance(asked, dict) else None
        if not isinstance(name, str):
            return  # Nobody waits for an answer.
        try:
            kind = asked.get("type")
            if not isinstance(kind, str) or kind not in {"stop", *QUICK, *LONG}:
                raise RequestError(f"llm-magic in this kernel does not know {kind!r:.40}")
            if kind in LONG:
                self._begin(name, kind, asked)
                return
            result = self._answer(kind, asked)
        except Exception as error:
            self._reply(name, error=one_line(error))
        else:
            self._reply(name, result)

    def _answer(self, kind: str, asked: dict[str, Any]) -> Any:
        if kind == "stop":
            return self._stop(asked.get("asked"))
        # Whatever is done here, the widgets of this kernel show it, too.
        if kind == "hello":
            result = QUICK[kind](asked)
            self._greet()
            changes.tell()
            return result
        try:
            return QUICK[kind](asked)
        finally:
            # What failed may have done a part of it.
            self._publish()
            changes.tell()

    def _reply(self, name: str, result: Any = None, error: str | None = None) -> None:
        try:
            reply = Reply(type="reply", id=name, result=result, error=error)
            self._send(_encodable(reply))
        except (TypeError, ValueError) as problem:
            # No JSON; whoever waits for it is told in any case.
            self._send(Reply(type="reply", id=name, result=None, error=one_line(problem)))

    # What is told

    def _greet(self) -> None:
        """Send all that there is, and from now on what changes."""
        with self._lock:
            if self._closed:
                return
            if self._unwatch is None:
                self._unwatch = changes.watch(self._follow)
            self._behind = True
            self._catch_up()
        self._explain_soon()

    def _follow(self) -> None:
        """Publish after a change; who raises here is not called after the next one."""
        was_behind = self._behind
        try:
            self._publish()
        except Exception:
            if not was_behind:  # It may fail at every change, and is printed once.
                traceback.print_exc()

    def _publish(self) -> None:
        """Send what is other than it was."""
        with self._lock:
            if self._unwatch is None:
                return
            self._catch_up()
        self._explain_soon()

    def _catch_up(self) -> None:
        everything, self._behind = self._behind, False
        state = self._reader.state()
        if everything or state != self._told:
            self._told = state
            self._tell(state)
        self._send_calls(self._calls.newest if everything else self._calls.news)

    def _send_calls(self, read: Callable[[], Calls | None]) -> None:
        try:
            calls = read()
        except (LLMMagicError, sqlite3.Error, OSError):
            return  # The state says in words that the ledger or a setting cannot be read.
        if calls is not None:
            self._tell(calls)

    def _tell(self, message: State | Calls) -> None:
        try:
            self._send(_encodable(message))
        except Exception:
            self._behind = True
            raise

    def _explain_soon(self) -> None:
        with self._lock:
            if self._explaining or self._calls.unexplained() is None:
                return
            self._explaining = True
        # Among many recordings it takes a second, and whoever shows figures does not wait for it.
        threading.Thread(target=self._explain, daemon=True, name="llm-magic doctor").start()

    def _explain(self) -> None:
        while True:
            with self._lock:
                found = self._calls.unexplained() if self._unwatch is not None else None
                if found is None:
                    self._explaining = False
                    return
            row, error = found
            text = lab_calls.explain(error)
            # What does not reach the pages now does so after the next change.
            with self._lock, contextlib.suppress(Exception):
                self._send_calls(functools.partial(self._calls.explained, row, text))

    # What takes long

    def _begin(self, name: str, kind: str, asked: dict[str, Any]) -> None:
        work = Work()
        with self._lock:
            self._work[name] = work
        arguments = (name, kind, asked, work)
        threading.Thread(
            target=self._do, args=arguments, daemon=True, name=f"llm-magic {kind}"
        ).start()

    def _do(self, name: str, kind: str, asked: dict[str, Any], work: Work) -> None:
        try:
            result, told = LONG[kind](asked, work), None
        except Exception as error:
            # What was reached all the same is told, such as a file that is written.
            result, told = None, f"{kind}: stopped" if work.stopped else one_line(error)
        with self._lock:
            del self._work[name]
        try:
            self._publish()
        finally:
            # Whoever waits for it is told in any case.
            self._reply(name, result, told)

    def _stop(self, name: Any) -> bool:
        """Stop what was asked under an id; False when it has ended."""
        with self._lock:
            work = self._work.get(name) if isinstance(name, str) else None
        if work is None:
            return False
        work.stop()
        return True

    def close(self) -> None:
        """End what is under way, and tell nothing any more."""
        with self._lock:
            self._closed = True
            unwatch, self._unwatch = self._unwatch, None
        self._end_work()
        atexit.unregister(self._end_work)
        # Not under the lock: this waits for the thread that publishes.
        if unwatch is not None:
            unwatch()

    def _end_work(self) -> None:
        if os.getpid() != self._process:
            return  # A child that was forked: what is under way is its parent's.
        with self._lock:
            under_way = [*self._work.values()]
        for work in under_way:
            work.stop()


def _encodable(value: Any) -> Any:
    """The same without halves of surrogate pairs: one in a text, and nothing could be sent."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_encodable(name): _encodable(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_encodable(part) for part in value]
    return value
