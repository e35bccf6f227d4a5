"""A value that fits a JSON schema, made up without a model.

Source: https://json-schema.org/draft/2020-12/json-schema-validation
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

__all__ = ["example"]

Schema = Mapping[str, Any]

# A recursive schema is followed so far; below, only what is required is filled in.
_DEEPEST = 3

_FORMATS = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "email": "echo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "time": "03:04:05Z",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def example(schema: Schema, *, words: Sequence[str] = (), variant: int = 0) -> Any:
    """A value that the schema allows; the same one for the same arguments.

    Parameters
    ----------
    schema : mapping
        ``type``, ``properties``, ``required``, ``items``, ``enum``, ``const``, ``anyOf``,
        ``oneOf``, ``allOf``, ``$ref`` within the schema, ``format``, and limits of numbers, texts
        and lists are kept; ``pattern`` and ``not`` are not looked at.
    words : sequence of str
        What texts are filled with, in turn; else they hold the name of their field.
    variant : int
        Which of several values to take, where there is a choice.

    Examples
    --------
    >>> example({"type": "object", "properties": {"age": {"type": "integer", "minimum": 18}}})
    {'age': 18}
    """
    return _Filler(schema, words, variant).fill(schema, "value", 0)


_ALLOWS: Mapping[str, Callable[[Any, Any], bool]] = {
    "minimum": operator.ge,
    "exclusiveMinimum": operator.gt,
    "maximum": operator.le,
    "exclusiveMaximum": operator.lt,
}


class _Filler:
    def __init__(self, root: Schema, words: Sequence[str], variant: int) -> None:
        self._root = root
        self._words = words
        self._variant = variant
        self._texts = 0

    def fill(self, schema: Any, name: str, depth: int) -> Any:
        schema = self._resolved(schema, depth)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            options = schema["enum"]
            return options[self._variant % len(options)]
        kind = _kind(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in ("integer", "number"):
            return self._number(schema, whole=kind == "integer")
        if kind == "boolean":
            return self._variant % 2 == 0
        if kind == "null":
            return None
        return self._text(schema, name)

    def _resolved(self, schema: Any, depth: int) -> dict[str, Any]:
        """The schema with references followed, and of alternatives one taken.

        Deep down null is taken where it is allowed: in a strict schema every field is required, so
        a recursive one would have no end.
        """
        found = dict(schema) if isinstance(schema, Mapping) else {}
        for _ in range(100):  # a schema may refer to itself and to nothing else
            if "$ref" in found:
                target = self._target(found.pop("$ref"))
                found = {**target, **found}
                continue
            parts = list(found.pop("allOf", ()))
            options = [*found.pop("anyOf", ()), *found.pop("oneOf", ())]
            fits = [
                option for option in options if (_kind(option) == "null") == (depth >= _DEEPEST)
            ]
            parts += (fits or options)[:1]
            if not parts:
                break
            for part in parts:
                found = _both(found, self._resolved(part, depth))
        return found

    def _target(self, reference: str) -> Schema:
        # RFC 6901; a reference to another document cannot be followed and allows anything.
        target: Any = self._root
        path, found = reference.partition("#")[::2]
        if path:
            return {}
        for step in found.split("/")[1:]:
            step = unquote(step).replace("~1", "/").replace("~0", "~")
            target = target.get(step) if isinstance(target, Mapping) else None
        return target if isinstance(target, Mapping) else {}

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or ()
        shallow = depth < _DEEPEST
        names = [name for name in properties if shallow or name in required]
        names += [name for name in required if name not in properties]
        value = {name: self.fill(properties.get(name), name, depth + 1) for name in names}
        rest = schema.get("additionalProperties")
        for number in range(len(value), schema.get("minProperties", 0)):
            value[f"field{number + 1}"] = self.fill(rest, f"field{number + 1}", depth + 1)
        return value

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        first = schema.get("prefixItems") or []
        wanted = max(schema.get("minItems", 1 if depth < _DEEPEST else 0), len(first))
        count = min(wanted, schema.get("maxItems", wanted))
        schemas = [*first, *[schema.get("items")] * count][:count]
        if not schema.get("uniqueItems"):
            return [self.fill(item, name, depth + 1) for item in schemas]
        values: list[Any] = []
        before = self._variant, self._words
        for item in schemas:
            for _ in range(50):
                value = self.fill(item, name, depth + 1)
                if value not in values:
                    break
                # The next variant, and no given words, of which there may be too few.
                self._variant, self._words = self._variant + 1, ()
            values.append(value)
        self._variant, self._words = before
        return values

    def _number(self, schema: Schema, *, whole: bool) -> int | float:
        step = schema.get("multipleOf") or 1
        bounds = [(name, schema[name]) for name in _ALLOWS if schema.get(name) is not None]
        low = max((bound for name, bound in bounds if "min" in name.lower()), default=None)
        high = min((bound for name, bound in bounds if "max" in name.lower()), default=None)

        def allowed(value: float) -> bool:
            return all(_ALLOWS[name](value, bound) for name, bound in bounds)

        first = step
        if low is not None:
            first = math.ceil(low / step) * step
        elif high is not None and high < step:
            first = math.floor(high / step) * step
        candidates = [first + self._variant * step, first, first + step, first - step]
        if not whole and low is not None and high is not None:
            candidates.append((low + high) / 2)
        value = next(filter(allowed, candidates), first)
        return int(value) if whole else value

    def _text(self, schema: Schema, name: str) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        text = name
        if self._words:
            text = self._words[(self._texts + self._variant) % len(self._words)]
            self._texts += 1
        elif self._variant:
            text = f"{name} {self._variant + 1}"
        text = text.ljust(schema.get("minLength", 0), ".")
        return text[: schema.get("maxLength", len(text))]


def _kind(schema: Any) -> str:
    """The type of a schema's values; of several, the first that is not null."""
    if not isinstance(schema, Mapping):
        return "string"
    kinds = schema.get("type")
    if isinstance(kinds, list):
        kinds = next((kind for kind in kinds if kind != "null"), "null")
    if isinstance(kinds, str):
        return kinds
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    return "number" if {*_ALLOWS, "multipleOf"} & schema.keys() else "string"


def _both(one: Schema, other: Schema) -> dict[str, Any]:
    """A schema that asks for what both ask for, as far as filling it in goes."""
    both = {**one, **other}
    for name in ("properties", "$defs"):
        if name in one and name in other:
            both[name] = {**one[name], **other[name]}
    if "required" in one and "required" in other:
        both["required"] = [*one["required"], *other["required"]]
    return both
