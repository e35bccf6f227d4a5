"""Whose a row is: ids of calls and sessions, and whether the process that wrote it is there."""

from __future__ import annotations

import os
import time
from datetime import datetime

__all__ = [
    "alive",
    "day_scope",
    "new_call_id",
    "process_started",
    "scopes",
    "session",
    "session_scope",
]


def new_call_id() -> str:
    """A fresh id; ids sort by time."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(8).hex()}"


_session = os.environ.get("LLM_MAGIC_SESSION", "").strip() or new_call_id()


def session() -> str:
    """Id of this process's session; ``llm-magic run`` sets it as ``LLM_MAGIC_SESSION``."""
    return _session


def session_scope(session: str) -> str:
    """What the spending of a session is counted under."""
    return f"session:{session}"


def day_scope(moment: datetime) -> str:
    """What the spending of a day is counted under: the calendar day where this machine is."""
    return f"day:{moment.astimezone().date().isoformat()}"


def scopes(session: str, started: datetime | None) -> list[str]:
    """All that a call is counted under."""
    return [session_scope(session), *([day_scope(started)] if started else [])]


def process_started(pid: int) -> float | None:
    """When a process began, in seconds since 1970; None when there is none of that number."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def alive(pid: int | None, started: float | None) -> bool:
    """Whether the process that wrote a row is still there."""
    if pid is None:
        return False
    then = process_started(pid)
    # Process ids are used again: the same id with another start time is somebody else.
    return then is not None and (started is None or abs(then - started) < 1.0)
