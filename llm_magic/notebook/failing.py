"""How an error of ours shows in a cell: as one line; it is raised all the same."""

from __future__ import annotations

import weakref

from IPython.display import display as show_object

from llm_magic import client
from llm_magic.exceptions import LLMMagicError, ReplayMissError
from llm_magic.notebook import display
from llm_magic.secrets import redact

__all__ = ["one_line", "shorten"]


def one_line(error: BaseException) -> str:
    """An error without what drives a terminal and without known keys."""
    text = str(error) if isinstance(error, LLMMagicError) else f"{type(error).__name__}: {error}"
    return " ".join(display.visible(text).split())


def shorten(error: BaseException) -> None:
    """Let the error show as one line; it is raised all the same, so that the cell fails."""
    if isinstance(error, LLMMagicError):
        # A user's own {{ expression }} may fail with anything in its message.
        error.args = (redact(_told(error)), *error.args[1:])
    name, text = type(error).__name__, str(error)
    if isinstance(error, KeyboardInterrupt) and not text:
        text = "stopped; nothing of this answer was stored"
    # A provider's message may hold characters that drive a terminal.
    line = f"\x1b[31m{name}\x1b[0m: {display.visible(text)}"
    error._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]


def _told(error: LLMMagicError) -> str:
    """The error's message; of a miss also why, so that a terminal and a CI log show it."""
    if not isinstance(error, ReplayMissError) or error in _diagnosed:
        return str(error)
    from llm_magic import doctor  # nobody waits for it until something is missing

    diagnosis = doctor.diagnose(error, shelf=client.default().shelf)
    _diagnosed.add(error)
    if diagnosis.remedy and not display.in_terminal():
        show_object(diagnosis)
    return diagnosis.to_text()


# What was told once stays as it is: a magic may be called by another one.
_diagnosed: weakref.WeakSet[ReplayMissError] = weakref.WeakSet()
