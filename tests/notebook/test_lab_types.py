"""``src/kernel/types.ts`` of the extension says what ``llm_magic.notebook.lab`` says in Python.

``python tests/notebook/test_lab_types.py`` writes it anew.
"""

from __future__ import annotations

import inspect
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from llm_magic.notebook import lab

MIRROR = Path(__file__).parents[2] / "labextension" / "src" / "kernel" / "types.ts"
PLAIN = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
    Any: "unknown",
}


def typescript(kind: Any) -> str:
    if is_typeddict(kind):
        return kind.__name__
    for name in ("Mode", "Outcome"):
        if kind == getattr(lab, name):
            return name
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " | ".join(f"'{value}'" for value in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(map(typescript, arguments))
    if origin is list:
        inner = typescript(arguments[0])
        return f"{inner}[]"
    if origin is dict:
        return f"Record<{typescript(arguments[0])}, {typescript(arguments[1])}>"
    return PLAIN[kind]


def constant(name: str) -> str:
    value = getattr(lab, name)
    return f"export const {name} = {value!r};"


def alias(name: str) -> str:
    members = getattr(lab, name)
    parts = get_args(members)
    words = [one.__name__ if is_typeddict(one) else f"'{one}'" for one in parts]
    line = f"export type {name} = {' | '.join(words)};"
    if len(line) <= 100:
        return line
    return "\n".join([f"export type {name} =", *(f"  | {word}" for word in words)]) + ";"


def interface(name: str) -> str:
    kind = getattr(lab, name)
    fields = "".join(
        f"  {field}: {typescript(hint)};\n" for field, hint in get_type_hints(kind).items()
    )
    return f"/** {inspect.getdoc(kind)} */\nexport interface {name} {{\n{fields}}}"


def mirrored() -> str:
    """What types.ts has to be."""
    shapes = [name for name in lab.__all__ if is_typeddict(getattr(lab, name))]
    parts = [
        "// Mirrors llm_magic/notebook/lab.py, which says what these are.\n"
        "// tests/notebook/test_lab_types.py writes this file and compares it.",
        "\n".join(map(constant, ("VERSION", "STATE", "CONTROL"))),
        *map(alias, ("Mode", "Outcome", "Ask")),
        *map(interface, shapes),
    ]
    return "\n\n".join(parts) + "\n"


def test_types_ts_mirrors_the_messages_of_the_kernel():
    assert MIRROR.read_text() == mirrored()


if __name__ == "__main__":
    MIRROR.write_text(mirrored())
