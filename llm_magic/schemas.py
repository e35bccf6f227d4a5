"""Structured answers: a schema goes into the request, and the answer comes out as data.

>>> person = compile("name, age int, bio: short text")
>>> person.parse('{"name": "Ada", "age": 36, "bio": "Wrote programs."}')
{'name': 'Ada', 'age': 36, 'bio': 'Wrote programs.'}
>>> person.parse('{"name": "Ada", "age": "old", "bio": "?"}')
Traceback (most recent call last):
    ...
llm_magic.exceptions.SchemaError: age: 'old' is not an integer

What is sent is the *strict* form, which OpenAI and Anthropic can promise to keep: each object names
all its fields, none may be left out, and those that may be missing may be null instead. Reading an
answer, such a null counts as missing.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from llm_magic.exceptions import ParameterError, SchemaError, did_you_mean
from llm_magic.types import plain

__all__ = ["Schema", "compile"]

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Schema:
    """What :func:`compile` makes.

    Attributes
    ----------
    name : str
        What the provider is told it is called.
    json_schema : dict
        The strict form, which is sent.
    """

    name: str
    json_schema: JSON
    _original: JSON = field(repr=False, compare=False)
    _convert: Callable[[str], Any] | None = field(default=None, repr=False, compare=False)

    @property
    def response_format(self) -> JSON:
        """The parameter ``response_format`` of OpenAI's API."""
        described = {"name": self.name, "strict": True, "schema": self.json_schema}
        return {"type": "json_schema", "json_schema": described}

    def parse(self, text: str) -> Any:
        """The data in an answer.

        Parameters
        ----------
        text : str
            JSON, bare or in one Markdown fence.

        Returns
        -------
        object
            An instance of the class that the schema was made from; for a JSON schema or the short
            form, dicts and lists.

        Raises
        ------
        SchemaError
            When it is not JSON, or does not fit; the message says where and what.
        """
        schema = self._original
        try:
            value = _without_nulls(_loaded(text), schema, schema)
            if self._convert is not None:
                return self._convert(json.dumps(value))
            problem = next(_problems(value, schema, schema, ""), None)
        except RecursionError:
            problem = "the answer is nested too deeply"
        if problem:
            raise SchemaError(problem)
        return value


def compile(schema: Any) -> Schema:
    """The schema of an answer, from whatever says it best.

    Parameters
    ----------
    schema : class, dict or str
        A pydantic model, a dataclass or a TypedDict; a JSON schema, as a dict or as text; or the
        short form of the command-line tool llm::

            name, age int, height float, alive bool, bio: one sentence

        Fields are separated by commas or stand on lines of their own (where descriptions may hold
        commas); each is a name, perhaps a type (str, which may be left out, int, float or bool),
        and perhaps a description after a colon. In brackets, ``[name, age int]``, it is a list of
        such objects, and the answer is ``{"items": [...]}``, as with llm's ``--schema-multi``.

    Raises
    ------
    ParameterError
        For what is no schema, or one that providers cannot promise to keep: the answer has to be an
        object, and no object in it may have fields that the schema does not name.
    """
    if isinstance(schema, Schema):
        return schema
    if isinstance(schema, str):
        text = schema.strip()
        return _from_json_schema(_json_schema(text) if text.startswith("{") else _short(text))
    if isinstance(schema, Mapping):
        return _from_json_schema(plain(schema, "schema"))
    if isinstance(schema, type) and (
        hasattr(schema, "model_json_schema")
        or dataclasses.is_dataclass(schema)
        or _is_typed_dict(schema)
    ):
        return _from_class(schema)
    shown = schema.__name__ if isinstance(schema, type) else type(schema).__name__
    raise ParameterError(
        f"{shown} is no schema; use a pydantic model, a dataclass, a TypedDict, a JSON schema or"
        ' the short form "name, age int"'
    )


def _from_json_schema(schema: JSON) -> Schema:
    return Schema(_name(str(schema.get("title") or "answer")), _strict_root(schema), schema)


def _from_class(kind: type) -> Schema:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        adapter = TypeAdapter(_modern(kind))
        original = adapter.json_schema()
    except (PydanticUserError, NameError) as error:
        raise ParameterError(
            f"{kind.__name__} has no JSON schema: {str(error).splitlines()[0]}"
        ) from error
    return Schema(
        _name(kind.__name__),
        _strict_root(original),
        original,
        functools.partial(_validated, adapter),
    )


def _validated(adapter: Any, text: str) -> Any:
    from pydantic import ValidationError

    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        first, *others = error.errors(include_url=False)
        where = functools.reduce(_at, first["loc"], "") or "the answer"
        given = first["input"]
        got = "" if isinstance(given, (dict, list)) else f", not {_shown(given)}"
        more = f" (and {len(others)} more)" if others else ""
        raise SchemaError(" ".join(f"{where}: {first['msg']}{got}{more}".split())) from error


def _name(title: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", title)[:64].strip("_") or "answer"


def _is_typed_dict(kind: type) -> bool:
    # typing's and typing_extensions' are two different things before Python 3.13.
    return issubclass(kind, dict) and hasattr(kind, "__required_keys__")


def _modern(annotation: Any) -> Any:
    """The annotation with typing_extensions' TypedDict for typing's.

    Before Python 3.12 pydantic takes no other, as typing's did not keep all that is said of a key.
    """
    if sys.version_info >= (3, 12):
        return annotation
    if typing.is_typeddict(annotation):
        return _modern_typed_dict(annotation)
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(map(_modern, inside))]  # noqa: UP007
    if origin in (list, dict):
        return origin[tuple(map(_modern, inside))]
    return annotation


def _modern_typed_dict(kind: Any) -> Any:
    import typing_extensions

    fields = {}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        required = name in kind.__required_keys__
        # Said in a module with postponed annotations, where typing's TypedDict does not see it.
        if typing.get_origin(hint) in (typing.Required, typing.NotRequired):
            required = typing.get_origin(hint) is typing.Required
            (hint,) = typing.get_args(hint)
        said = typing_extensions.Required if required else typing_extensions.NotRequired
        fields[name] = said[_modern(hint)]
    made: Any = typing_extensions.TypedDict(kind.__name__, fields)  # type: ignore[misc]
    made.__doc__, made.__module__ = kind.__doc__, kind.__module__
    return made


def _json_schema(text: str) -> JSON:
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise ParameterError(f"the schema is not JSON: {error}") from None
    assert isinstance(schema, dict)
    return schema


# llm's short form: https://llm.datasette.io/en/stable/schemas.html#concise-llm-schema-syntax
_TYPES = {"bool": "boolean", "float": "number", "int": "integer", "str": "string"}


def _short(text: str) -> JSON:
    """The JSON schema that the short form stands for."""
    if text.startswith("[") and text.endswith("]"):
        items = {"type": "array", "items": _short(text[1:-1].strip())}
        return {"type": "object", "properties": {"items": items}, "required": ["items"]}

    properties: JSON = {}
    for words, description in _short_fields(text):
        name, kind = words[0], " ".join(words[1:]) or "str"
        if not re.fullmatch(r"[\w-]+", name):
            raise ParameterError(f"schema: {name!r} cannot be the name of a field")
        if kind not in _TYPES:
            raise ParameterError(
                f"schema: field {name} has the unknown type {kind!r};"
                f" {did_you_mean(kind, _TYPES)}; a description stands after a colon"
            )
        if name in properties:
            raise ParameterError(f"schema: two fields are called {name}")
        properties[name] = {"type": _TYPES[kind]}
        if description:
            properties[name]["description"] = description
    if not properties:
        raise ParameterError('the schema is empty; name its fields, such as "name, age int"')
    return {"type": "object", "properties": properties, "required": list(properties)}


def _short_fields(text: str) -> Iterator[tuple[list[str], str]]:
    """Name and type as words, and the description, of each field."""
    lines = text.split("\n")
    for line in lines if len(lines) > 1 else text.split(","):
        head, colon, description = line.partition(":")
        # A line may still hold several fields; the description is the last one's.
        *before, last = head.split(",") if not colon or len(lines) > 1 else [head]
        if colon and not last.strip():
            raise ParameterError(f"schema: there is no name before {line.strip()!r}")
        yield from ((words.split(), "") for words in before if words.strip())
        if last.strip():
            yield last.split(), description.strip().rstrip(",").rstrip()


# Where schemas stand in schemas.
_IN_LISTS = ("anyOf", "prefixItems")
_IN_DICTS = ("$defs", "definitions")

# What only describes, or what strict schemas may not have.
_DROPPED = frozenset({"$id", "$schema", "default", "discriminator"})


def _strict_root(schema: JSON) -> JSON:
    if "$ref" in schema:  # a model that holds itself
        schema = {**schema, **_target(schema["$ref"], schema)}
        del schema["$ref"]
    if schema.get("type", "object" if "properties" in schema else None) != "object":
        kind = schema.get("type") or "one of several things"
        raise ParameterError(
            f"an answer is an object, and the schema's is {kind}; put it into a field of one"
        )
    made: JSON = _strict(schema, schema, "")
    return made


def _strict(schema: Any, root: JSON, where: str) -> Any:
    """A copy in which every object names all its fields and requires them.

    See https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    # What the strict form does not know, in words that it does.
    if "allOf" in made:
        if len(made["allOf"]) != 1:
            raise ParameterError(f"{where or 'the schema'}: write what is in allOf as one object")
        (only,) = made.pop("allOf")
        made = {**only, **made}
    if "oneOf" in made:
        made["anyOf"] = [*made.get("anyOf", ()), *made.pop("oneOf")]
    made = {name: value for name, value in made.items() if name not in _DROPPED}
    if "$ref" in made:
        _target(made["$ref"], root)
        if len(made) > 1:
            made["anyOf"] = [{"$ref": made.pop("$ref")}]

    for name in _IN_LISTS:
        if name in made:
            made[name] = [_strict(option, root, where) for option in made[name]]
    for name in _IN_DICTS:
        if name in made:
            made[name] = {key: _strict(each, root, key) for key, each in made[name].items()}
    if "items" in made:
        made["items"] = _strict(made["items"], root, f"{where}[]")
    return _closed(made, root, where) if _is_object(made) else made


def _is_object(schema: JSON) -> bool:
    return schema.get("type") == "object" or "properties" in schema


def _closed(schema: JSON, root: JSON, where: str) -> JSON:
    properties, required = schema.get("properties", {}), schema.get("required", ())
    if not isinstance(properties, dict):
        raise ParameterError(f"{where or 'the schema'}: properties is a dict of schemas by name")
    if not properties and schema.get("additionalProperties") is not False:
        raise ParameterError(
            f"{where or 'the schema'}: an object with any fields (a dict) cannot be asked for;"
            " name its fields, or use a list of objects with a key and a value"
        )
    strict = {}
    for name, each in properties.items():
        strict[name] = _strict(each, root, _at(where, name))
        if name not in required and not _takes_null(each, root):
            strict[name] = _nullable(strict[name])
    return {
        **schema,
        "type": schema.get("type", "object"),
        "properties": strict,
        "required": list(strict),
        "additionalProperties": False,
    }


def _nullable(schema: JSON) -> JSON:
    about: JSON = {name: schema[name] for name in ("title", "description") if name in schema}
    inner = {name: value for name, value in schema.items() if name not in about}
    options = inner["anyOf"] if inner.keys() == {"anyOf"} else [inner]
    return {**about, "anyOf": [*options, {"type": "null"}]}


def _takes_null(schema: Any, root: JSON) -> bool:
    return _fits(None, schema, root)


def _target(reference: str, root: JSON) -> JSON:
    """The part of the schema that a reference names (RFC 6901)."""
    target: Any = {"$ref": reference}
    for _ in range(100):  # a reference may lead to another one, and to itself
        outside, _, path = str(target["$ref"]).partition("#")
        target = None if outside else root
        for step in path.split("/")[1:]:
            step = unquote(step).replace("~1", "/").replace("~0", "~")
            target = target.get(step) if isinstance(target, dict) else None
        if not isinstance(target, dict):
            break
        if target.keys() != {"$ref"}:
            return target
    raise ParameterError(f"the schema refers to {reference}, which is not in it")


_FENCE = re.compile(r"^[ \t]*```[ \t]*\w*[ \t]*\n(.*)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)


def _loaded(text: str) -> Any:
    """The JSON in an answer, which may stand in one Markdown fence."""
    reason = None
    fence = _FENCE.search(text)
    for candidate in [text, fence[1]] if fence else [text]:
        try:
            return _read(candidate)
        except ValueError as error:
            reason = error
    what = f"not JSON ({reason}): {_shown(text)}" if text.strip() else "empty"
    raise SchemaError(f"the answer is {what}")


def _read(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _without_nulls(value: Any, schema: Any, root: JSON) -> Any:
    """The value without the nulls that stand for fields that may be missing."""
    if not isinstance(schema, dict) or not isinstance(value, (dict, list)):
        return value
    for part in schema.get("allOf", ()):
        value = _without_nulls(value, part, root)
    if "$ref" in schema:
        value = _without_nulls(value, _target(schema["$ref"], root), root)
    for option in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if _may_fit(value, option, root):
            cleared = _without_nulls(value, option, root)
            if _fits(cleared, option, root):
                value = cleared
                break

    if isinstance(value, list):
        return [_without_nulls(item, schema.get("items"), root) for item in value]
    properties, required = schema.get("properties", {}), schema.get("required", ())
    return {
        name: _without_nulls(item, properties.get(name), root)
        for name, item in value.items()
        if item is not None
        or name in required
        or name not in properties
        or _takes_null(properties[name], root)
    }


def _may_fit(value: Any, schema: Any, root: JSON) -> bool:
    """Whether it fits at first sight: trying a tree on each kind of its nodes takes too long."""
    if not isinstance(schema, dict):
        return schema is not False
    if "$ref" in schema:
        return _may_fit(value, _target(schema["$ref"], root), root)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        return False
    if not isinstance(value, dict):
        return True
    marks = {
        name: each
        for name, each in schema.get("properties", {}).items()
        if isinstance(each, dict) and each.keys() & {"const", "enum"}
    }
    return all(name in value for name in schema.get("required", ())) and all(
        _fits(value[name], marks[name], root) for name in marks if value.get(name) is not None
    )


_PYTHON = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int, float),
    "null": (type(None),),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}
_ARTICLES = {"array": "a list", "integer": "an integer", "null": "null", "object": "an object"}


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _PYTHON.get(kind, ()))


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _fits(value: Any, schema: Any, root: JSON) -> bool:
    return next(_problems(value, schema, root, ""), None) is None


def _problems(value: Any, schema: Any, root: JSON, where: str) -> Iterator[str]:
    """What does not fit: types, fields, choices. Limits of numbers and texts are not looked at."""
    if not isinstance(schema, dict):
        if schema is False:
            yield f"{where or 'the answer'} should not be there"
        return
    here = where or "the answer"
    if "$ref" in schema:
        yield from _problems(value, _target(schema["$ref"], root), root, where)
    for part in schema.get("allOf", ()):
        yield from _problems(value, part, root, where)
    for options in (schema[name] for name in ("anyOf", "oneOf") if name in schema):
        if not any(_may_fit(value, one, root) and _fits(value, one, root) for one in options):
            # What is wrong with the only one that is not null says more than "none fits".
            real = [one for one in options if not _is_null(one)]
            if len(real) == 1:
                yield from _problems(value, real[0], root, where)
            else:
                yield f"{here}: {_shown(value)} fits no alternative"
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{here}: {_shown(value)} is not {_shown(schema['const'])}"
    if "enum" in schema and not any(_same(value, choice) for choice in schema["enum"]):
        choices = ", ".join(map(_shown, schema["enum"]))
        yield f"{here}: {_shown(value)} is not one of {choices}"

    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        wanted = " or ".join(_ARTICLES.get(kind, f"a {kind}") for kind in kinds)
        yield f"{here}: {_shown(value)} is not {wanted}"
    elif isinstance(value, dict):
        yield from _object_problems(value, schema, root, where)
    elif isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _problems(item, schema["items"], root, _at(where, index))


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "null"


def _object_problems(value: JSON, schema: JSON, root: JSON, where: str) -> Iterator[str]:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{_at(where, name)} is missing"
    rest = schema.get("additionalProperties", True)
    unknown = [name for name in value if name not in properties]
    if rest is False:
        yield from (f"{_at(where, name)} is not in the schema" for name in unknown)
        unknown = []
    for name in (*filter(properties.__contains__, value), *unknown):
        yield from _problems(value[name], properties.get(name, rest), root, _at(where, name))


def _at(where: str, step: str | int) -> str:
    if isinstance(step, int):
        return f"{where}[{step}]"
    return f"{where}.{step}" if where else step


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    short = text if len(text) <= 40 else text[:39] + "…"
    return repr(short) if isinstance(value, str) else short
