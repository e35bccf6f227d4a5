"""What users are told beside an answer: warnings at the line of theirs that called us."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

__all__ = ["tell", "warn"]


def warn(message: str, category: type[Warning] = RuntimeWarning) -> None:
    """Warn at the line that called us: how deep we are differs between the entry points."""
    frame: FrameType | None = sys._getframe(1)
    depth = 2
    while frame is not None and frame.f_globals.get("__name__", "").startswith("llm_magic."):
        frame = frame.f_back
        depth += 1
    warnings.warn(message, category, stacklevel=depth)


def tell(message: str) -> None:
    """Warn of what went wrong after an answer was there, which must reach its user all the same."""
    try:
        warn(message)
    except Warning:
        # Warnings are errors here; this one must not be.
        print(f"llm-magic: {message}", file=sys.stderr)
