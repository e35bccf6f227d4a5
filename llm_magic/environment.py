"""Environment variables, for what is looked at in every call.

``os.environ`` encodes the name and decodes the value at every look, and raises and catches an error
for each variable that is not set. Below it is a plain dict, which it changes in place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

__all__ = ["everything", "look"]

# The names that are asked for, as they stand in the dict below: few, and the same ones always.
_encoded: dict[str, Any] = {}


def look(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """The value of a variable as it is now; None where it is not set.

    Parameters
    ----------
    name : str
        Such as ``LLM_MAGIC_MODE``.
    environ : mapping, optional
        Where to look; by default in ``os.environ``.

    Examples
    --------
    >>> import os
    >>> os.environ["DEMO_VARIABLE"] = "set a moment ago"
    >>> look("DEMO_VARIABLE"), look("DEMO_VARIABLE", {"DEMO_VARIABLE": "somebody else's"})
    ('set a moment ago', "somebody else's")
    """
    place: Any = os.environ if environ is None else environ
    below = getattr(place, "_data", None)
    if below is None:
        found: str | None = place.get(name)
        return found
    key = _encoded.get(name)
    if key is None:
        key = _encoded[name] = place.encodekey(name)
    value = below.get(key)
    return None if value is None else place.decodevalue(value)


def everything() -> dict[Any, Any]:
    """All variables as they are now, to be compared and not to be changed.

    The values stay the very same objects until they are set again, so that comparing takes about a
    microsecond.
    """
    below: dict[Any, Any] | None = getattr(os.environ, "_data", None)
    return dict(os.environ) if below is None else below
