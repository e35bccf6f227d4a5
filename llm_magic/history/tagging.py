"""The word that calls are found by later, as long as a ``with`` block lasts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from llm_magic.exceptions import ParameterError

__all__ = ["current", "tag"]

_lock = threading.Lock()
# Of this task or thread; and of the process, for threads that were started by hand and have no
# context of their own: a kernel runs one cell at a time.
_here: ContextVar[str | None] = ContextVar("llm_magic_tag", default=None)
_everywhere: list[str] = []


@contextmanager
def tag(name: str) -> Iterator[None]:
    """Mark the calls in a block, in its threads and tasks too, by a word of your own.

    The word is in the column ``tag`` of the ledger, of replays as well; it changes no answer. Of
    blocks in one another the inner one counts.

    Parameters
    ----------
    name : str
        Such as ``experiment-3``.

    Raises
    ------
    ParameterError
        For an empty name.

    Examples
    --------
    >>> from llm_magic import complete, history, tag
    >>> with tag("experiment-3"):
    ...     answer = complete("Is it art?", model="echo/echo")
    >>> history.totals(tag="experiment-3").calls
    1
    """
    if not isinstance(name, str) or not name.strip():
        raise ParameterError(f"tag({name!r}): a tag is a word, such as 'experiment-3'")
    before = _here.set(name)
    with _lock:
        _everywhere.append(name)
    try:
        yield
    finally:
        _here.reset(before)
        with _lock:
            _everywhere.remove(name)


def current() -> str | None:
    """The tag of what is asked now; None outside of any block."""
    return _here.get() or (_everywhere[-1] if _everywhere else None)
