"""Completions in notebooks that run again anywhere: recorded, replayed, and honestly counted.

>>> import llm_magic
>>> llm_magic.complete("What is 6 x 7?", model="echo/echo").source
'live'

In a notebook, ``%load_ext llm_magic`` adds ``%%complete`` and ``%llm``.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_magic import exceptions, history
    from llm_magic.client import Client, acomplete, astream, complete, stream
    from llm_magic.exceptions import LLMMagicError, ProviderError, ReplayMissError
    from llm_magic.modelinfo import models
    from llm_magic.replay import run
    from llm_magic.types import Chunk, Completion, Mode, Request, Usage

__version__ = "0.1.0"

# Before a cell can change it: REPLAY from outside is a ceiling (see llm_magic.config).
MODE_AT_IMPORT = os.environ.get("LLM_MAGIC_MODE", "")

# Public names and where they live; a name is imported when it is first used.
_HOMES = {
    "Chunk": "llm_magic.types",
    "Client": "llm_magic.client",
    "Completion": "llm_magic.types",
    "LLMMagicError": "llm_magic.exceptions",
    "Mode": "llm_magic.types",
    "ProviderError": "llm_magic.exceptions",
    "ReplayMissError": "llm_magic.exceptions",
    "Request": "llm_magic.types",
    "Usage": "llm_magic.types",
    "acomplete": "llm_magic.client",
    "astream": "llm_magic.client",
    "complete": "llm_magic.client",
    "models": "llm_magic.modelinfo",
    "run": "llm_magic.replay",
    "stream": "llm_magic.client",
}
_MODULES = ("exceptions", "history")

__all__ = [
    "Chunk",
    "Client",
    "Completion",
    "LLMMagicError",
    "Mode",
    "ProviderError",
    "ReplayMissError",
    "Request",
    "Usage",
    "acomplete",
    "astream",
    "complete",
    "exceptions",
    "history",
    "load_ipython_extension",
    "models",
    "run",
    "stream",
    "unload_ipython_extension",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"llm_magic.{name}")
    else:
        raise AttributeError(f"module 'llm_magic' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """What ``%load_ext llm_magic`` calls: adds ``%%complete``, ``%complete`` and ``%llm``."""
    from llm_magic.notebook import magics

    magics.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """What ``%unload_ext llm_magic`` calls: leaves nothing behind."""
    from llm_magic.notebook import magics

    magics.unload(shell)
