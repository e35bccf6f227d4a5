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
    from llm_magic import doctor, exceptions, history, prices, sessions, telemetry
    from llm_magic.attachment import attach
    from llm_magic.budgets import budget
    from llm_magic.client import Client, acomplete, astream, complete, stream
    from llm_magic.exceptions import (
        BudgetExceededError,
        LLMMagicError,
        ProviderError,
        ReplayMissError,
    )
    from llm_magic.history import tag
    from llm_magic.modelinfo import models
    from llm_magic.notebook.meter import CostMeter
    from llm_magic.notebook.panel import panel
    from llm_magic.notebook.picker import ModelPicker
    from llm_magic.replay import run
    from llm_magic.types import Chunk, Completion, Mode, Request, Usage

__version__ = "0.1.0"

# Before a cell can change it: REPLAY from outside is a ceiling (see llm_magic.config).
ENVIRONMENT_AT_IMPORT = {
    name: value for name, value in os.environ.items() if name.startswith("LLM_MAGIC_")
}

# Public names and where they live; a name is imported when it is first used.
_HOMES = {
    "BudgetExceededError": "llm_magic.exceptions",
    "Chunk": "llm_magic.types",
    "Client": "llm_magic.client",
    "Completion": "llm_magic.types",
    "CostMeter": "llm_magic.notebook.meter",
    "LLMMagicError": "llm_magic.exceptions",
    "Mode": "llm_magic.types",
    "ModelPicker": "llm_magic.notebook.picker",
    "ProviderError": "llm_magic.exceptions",
    "ReplayMissError": "llm_magic.exceptions",
    "Request": "llm_magic.types",
    "Usage": "llm_magic.types",
    "acomplete": "llm_magic.client",
    "astream": "llm_magic.client",
    "attach": "llm_magic.attachment",
    "budget": "llm_magic.budgets",
    "complete": "llm_magic.client",
    "models": "llm_magic.modelinfo",
    "panel": "llm_magic.notebook.panel",
    "run": "llm_magic.replay",
    "stream": "llm_magic.client",
    "tag": "llm_magic.history",
}
_MODULES = ("doctor", "exceptions", "history", "prices", "sessions", "telemetry")

__all__ = [
    "BudgetExceededError",
    "Chunk",
    "Client",
    "Completion",
    "CostMeter",
    "LLMMagicError",
    "Mode",
    "ModelPicker",
    "ProviderError",
    "ReplayMissError",
    "Request",
    "Usage",
    "acomplete",
    "astream",
    "attach",
    "budget",
    "complete",
    "doctor",
    "exceptions",
    "history",
    "load_ipython_extension",
    "models",
    "panel",
    "prices",
    "run",
    "sessions",
    "stream",
    "tag",
    "telemetry",
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


def why_missed(error: ReplayMissError) -> list[str]:
    """What the miss doctor says below a miss; nobody loads it until one is printed."""
    from llm_magic import doctor

    return doctor.diagnose(error).below()


def load_ipython_extension(shell: Any) -> None:
    """What ``%load_ext llm_magic`` calls: adds ``%%complete``, ``%complete`` and ``%llm``."""
    from llm_magic.notebook import magics

    magics.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """What ``%unload_ext llm_magic`` calls: leaves nothing behind."""
    from llm_magic.notebook import magics

    magics.unload(shell)
