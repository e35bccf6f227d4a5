r"""Tools: what a model is told of a Python function, and the call when it asks for one.

A function is described by its signature and its docstring (NumPy, Google or reST style):

>>> def weather(city: str, unit: Literal["C", "F"] = "C") -> str:
...     '''Weather in a city.
...
...     Args:
...         city: Name in English.
...     '''
>>> definition(weather)["function"]["parameters"]["properties"]
{'city': {'type': 'string', 'description': 'Name in English.'},
 'unit': {'enum': ['C', 'F'], 'type': 'string', 'default': 'C'}}
>>> call(weather, '{"city": "Paris", "unit": "K"}')
'{"error": "argument unit: Input should be \'C\' or \'F\'"}'

The definitions are part of a request's key. Those of common annotations are therefore written here,
the same with every version of every library; only models, dataclasses and the like are left to
pydantic.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import json
import re
import types
import typing
from collections import abc
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Union

from llm_magic.exceptions import ParameterError, did_you_mean
from llm_magic.media import table_text
from llm_magic.types import plain

__all__ = ["async_call", "call", "definition", "functions"]

Schema = dict[str, Any]
Tool = Callable[..., Any] | Mapping[str, Any]

# https://platform.openai.com/docs/api-reference/chat/create and Anthropic's, which is the same.
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

# An exception may quote a whole page; the model pays for each word.
_LONGEST_ERROR = 2_000


def definition(tool: Tool) -> Schema:
    """The tool in OpenAI's format.

    Parameters
    ----------
    tool : callable or dict
        A function, whose name, docstring and signature say it all, or a tool in OpenAI's format,
        which is checked and copied. A dict with another ``type`` than ``function`` is a tool of the
        provider's own and goes as it is.

    Returns
    -------
    dict
        ``{"type": "function", "function": {"name", "description", "parameters"}}``.

    Raises
    ------
    ParameterError
        For a function that cannot be described: without a name, with ``*args``, or with an
        annotation that has no JSON form.
    """
    if isinstance(tool, Mapping):
        return _checked(tool)
    if not callable(tool):
        raise ParameterError(f"a tool is a function or a dict, not {type(tool).__name__}")
    function = {"name": _name(tool)}
    documentation = inspect.getdoc(_unwrapped(tool)) or ""
    if summary := _summary(documentation):
        function["description"] = summary
    return {
        "type": "function",
        "function": {**function, "parameters": _parameters(tool, documentation)},
    }


def functions(tools: Iterable[Tool]) -> dict[str, Callable[..., Any]]:
    """The callables among the tools, by the name that the model calls them.

    Raises
    ------
    ParameterError
        When two tools, of whatever kind, have one name.
    """
    found: dict[str, Callable[..., Any]] = {}
    names = set()
    for tool in tools:
        made = definition(tool)
        name = made.get("function", made).get("name")
        if name is not None and name in names:
            raise ParameterError(f"two tools are called {name}; rename one of them")
        names.add(name)
        if not isinstance(tool, Mapping):
            found[name] = tool
    return found


def call(function: Callable[..., Any], arguments: str) -> str:
    """The result of a function as text for the model.

    Parameters
    ----------
    function : callable
        One of :func:`functions`.
    arguments : str
        The JSON object that the model wrote; its values become what the annotations say.

    Returns
    -------
    str
        A text as it is, a pandas table as CSV, all else as JSON. What goes wrong, in the arguments
        or in the function, is told as ``{"error": "..."}``: the model can try again. Only
        KeyboardInterrupt comes through.

    Raises
    ------
    ParameterError
        For a function that has to be awaited.
    """
    result: Any = None
    try:
        result = _called(function, arguments)
        if not inspect.isawaitable(result):
            return _result_text(result)
    except (Exception, SystemExit) as error:
        return _error_text(error)
    if inspect.iscoroutine(result):
        result.close()
    raise ParameterError(f"{_name(function)} has to be awaited; use acomplete() or astream()")


async def async_call(function: Callable[..., Any], arguments: str) -> str:
    """The same as :func:`call`, for functions that have to be awaited and for others."""
    try:
        result = _called(function, arguments)
        return _result_text(await result if inspect.isawaitable(result) else result)
    except (Exception, SystemExit) as error:
        return _error_text(error)


def _checked(tool: Mapping[str, Any]) -> Schema:
    copy = dict(plain(tool, "tool"))
    kind = copy.get("type")
    if isinstance(kind, str) and kind != "function":
        return copy
    function = copy.get("function")
    if kind is None or not isinstance(function, dict):
        raise ParameterError(
            'a tool as a dict is {"type": "function", "function": {"name": ..., "description": ...,'
            ' "parameters": {...}}}'
        )
    _check_name(function.get("name"))
    parameters = function.get("parameters")
    if parameters is not None and (
        not isinstance(parameters, dict) or parameters.get("type") != "object"
    ):
        raise ParameterError(
            f"tool {function['name']}: parameters is a JSON schema of the type object"
        )
    return copy


def _unwrapped(tool: Callable[..., Any]) -> Any:
    """The function inside of partials."""
    while isinstance(tool, functools.partial):
        tool = tool.func
    return tool


def _name(tool: Callable[..., Any]) -> str:
    inner = _unwrapped(tool)
    return _check_name(getattr(inner, "__name__", type(inner).__name__))


def _check_name(name: Any) -> str:
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    hint = "define it with def" if name == "<lambda>" else "letters, digits, _ and -, at most 64"
    raise ParameterError(f"a tool cannot be called {name!r}; {hint}")


@dataclasses.dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    annotation: Any
    default: Any
    positional: bool

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty


def _signature(tool: Callable[..., Any]) -> list[_Parameter]:
    """What the model may pass."""
    inner = _unwrapped(tool)
    try:
        signature = inspect.signature(tool)
    except (TypeError, ValueError):
        raise ParameterError(f"{_name(tool)}: Python knows no signature of it; wrap it") from None
    given = tool.keywords if isinstance(tool, functools.partial) else {}
    hints = _hints(inner)
    found = []
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ParameterError(
                f"{_name(tool)}: {parameter} has no JSON schema; give the tool named parameters"
            )
        if parameter.name in given:
            continue
        annotation = hints.get(parameter.name, Any)
        positional = parameter.kind == parameter.POSITIONAL_ONLY
        found.append(_Parameter(parameter.name, annotation, parameter.default, positional))
    return found


def _hints(inner: Any) -> dict[str, Any]:
    """Annotations by parameter, with names in quotes looked up."""
    if inspect.isclass(inner):
        inner = inner.__init__ if "__init__" in vars(inner) else inner
    elif not inspect.isroutine(inner):
        inner = type(inner).__call__
    try:
        return typing.get_type_hints(inner, include_extras=True)
    except NameError as error:
        raise ParameterError(
            f"{getattr(inner, '__name__', inner)}: the annotation {error.name} is not defined where"
            " the function is; define it at the top level"
        ) from None
    except TypeError:
        return {}


def _parameters(tool: Callable[..., Any], documentation: str) -> Schema:
    known = _signature(tool)
    schemas, shared = _schemas({each.name: each.annotation for each in known}, _name(tool))
    texts = _parameter_texts(documentation)
    for each in known:
        schema = schemas[each.name]
        text = _annotated_text(each.annotation) or texts.get(each.name)
        if text and "description" not in schema:
            schema["description"] = text
        default = each.default.value if isinstance(each.default, enum.Enum) else each.default
        if type(default) in (bool, int, float, str):
            schema["default"] = default
    parameters: Schema = {"type": "object", "properties": schemas}
    if required := [each.name for each in known if each.required]:
        parameters["required"] = required
    parameters["additionalProperties"] = False
    if shared:
        parameters["$defs"] = shared
    return parameters


def _schemas(annotations: Mapping[str, Any], name: str) -> tuple[Schema, Schema]:
    """Schemas of all parameters, and the definitions that they refer to."""
    schemas: dict[str, Any] = {}
    for parameter, annotation in annotations.items():
        try:
            schemas[parameter] = _schema(annotation)
        except _NeedsPydanticError:
            schemas[parameter] = None
    complex_ones = {each: annotations[each] for each in annotations if schemas[each] is None}
    if not complex_ones:
        return schemas, {}

    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        adapters = [
            (parameter, "validation", TypeAdapter(annotation))
            for parameter, annotation in complex_ones.items()
        ]
        # All at once: two classes of one name get two definitions.
        made, shared = TypeAdapter.json_schemas(adapters)  # type: ignore[arg-type]
    except (PydanticUserError, NameError) as error:
        reason = str(error).splitlines()[0]
        raise ParameterError(f"{name}: an annotation has no JSON schema: {reason}") from error
    for (parameter, _), schema in made.items():
        schemas[parameter] = _without_titles(schema)
    definitions = shared.get("$defs", {})
    return schemas, {each: _without_titles(schema) for each, schema in definitions.items()}


class _NeedsPydanticError(Exception):
    """The annotation is not one of those that are described here."""


_SCALARS: Mapping[Any, str] = {
    bool: "boolean",
    dict: "object",
    float: "number",
    int: "integer",
    list: "array",
    str: "string",
    types.NoneType: "null",
}
_LISTS = (list, abc.Sequence, abc.Iterable, abc.Collection)
_DICTS = (dict, abc.Mapping, abc.MutableMapping)


def _schema(annotation: Any) -> Schema:
    """The schema of an annotation that is plain all the way down."""
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (Any, object):
        return {}
    if annotation is None:
        return {"type": "null"}
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _choice([member.value for member in annotation])
    if origin is None and isinstance(annotation, abc.Hashable) and annotation in _SCALARS:
        return {"type": _SCALARS[annotation]}
    if origin is Annotated and all(isinstance(text, str) for text in inside[1:]):
        return _schema(inside[0])
    if origin is Literal:
        return _choice(list(inside))
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(option) for option in inside]}
    if origin in _LISTS:
        return {"type": "array", "items": _schema(inside[0])}
    if origin in _DICTS and inside[0] is str:
        return {"type": "object", "additionalProperties": _schema(inside[1]) or True}
    raise _NeedsPydanticError


def _choice(values: list[Any]) -> Schema:
    values = [value.value if isinstance(value, enum.Enum) else value for value in values]
    kinds = {_SCALARS.get(type(value)) for value in values}
    if None in kinds or kinds & {"object", "array"}:
        raise _NeedsPydanticError
    (kind,) = kinds if len(kinds) == 1 else (None,)
    return {"enum": values, "type": kind} if kind else {"enum": values}


def _without_titles(schema: Any, *, names: bool = False) -> Any:
    """A copy without the titles that pydantic makes of the names; the names are there already."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_titles(value, names=not names and key in ("properties", "$defs"))
        for key, value in schema.items()
        if names or key != "title" or not isinstance(value, str)
    }


def _annotated_text(annotation: Any) -> str | None:
    """``Annotated[str, "what it is"]``, as autogen has it."""
    inside = typing.get_args(annotation)[1:] if typing.get_origin(annotation) is Annotated else ()
    return next((text for text in inside if isinstance(text, str)), None)


# The three styles of docstrings. https://numpydoc.readthedocs.io/en/latest/format.html,
# https://google.github.io/styleguide/pyguide.html#383-functions-and-methods and
# https://www.sphinx-doc.org/en/master/usage/domains/python.html#info-field-lists
_UNDERLINED = re.compile(r"^(\w[\w ]*)\n(?:-{3,}|={3,})[ ]*$", re.MULTILINE)
_HEADED = re.compile(r"^([A-Z][A-Za-z ]*):[ ]*$", re.MULTILINE)
_FIELD = re.compile(
    r"^:(param|parameter|arg|argument|key|keyword|type|returns?|rtype|raises?|except|exception|"
    r"yields?|meta|var)\b[ ]*([^:\n]*):[ ]*",
    re.MULTILINE,
)
_SECTIONS = frozenset(
    {
        "args",
        "arguments",
        "keyword args",
        "keyword arguments",
        "other parameters",
        "parameters",
        "params",
    }
)
_FIELDS = frozenset({"arg", "argument", "key", "keyword", "param", "parameter"})
_NUMPY_ENTRY = re.compile(r"^(\*{0,2}\w+(?:, *\*{0,2}\w+)*)(?:[ ]*:.*)?$")
_GOOGLE_ENTRY = re.compile(r"^(\*{0,2}\w+)[ ]*(?:\([^\n]*?\))?:(?:[ ]+|$)(.*)$", re.DOTALL)


def _summary(documentation: str) -> str:
    """The first paragraph, on one line."""
    first = re.split(r"\n[ \t]*\n", documentation, maxsplit=1)[0]
    ends = [found.start() for pattern in (_UNDERLINED, _FIELD) if (found := pattern.search(first))]
    ends += [found.start() for found in _HEADED.finditer(first) if found[1].lower() in _SECTIONS]
    return " ".join(first[: min(ends, default=len(first))].split())


def _parameter_texts(documentation: str) -> dict[str, str]:
    """What a docstring says of each parameter, on one line."""
    texts: dict[str, str] = {}
    for section in _sections(documentation, _UNDERLINED):
        for head, body in _entries(section):
            found = _NUMPY_ENTRY.match(head)
            for name in found[1].split(",") if found else ():
                texts[name.strip(" *")] = body
    for section in _sections(documentation, _HEADED):
        for head, body in _entries(inspect.cleandoc(_indented(section))):
            if found := _GOOGLE_ENTRY.match(head):
                texts[found[1].strip("*")] = f"{found[2]} {body}"
    for field, text in _followed(_FIELD, documentation):
        # ":param int age: text"; the field ends with its paragraph.
        if field[1] in _FIELDS and field[2].strip():
            body = re.split(r"\n[ \t]*\n", text, maxsplit=1)[0]
            texts[field[2].split()[-1].strip("*")] = body
    return {name: " ".join(text.split()) for name, text in texts.items() if text.strip()}


def _followed(pattern: re.Pattern[str], text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Every match with the text between it and the next one."""
    found = [*pattern.finditer(text)]
    ends = [match.start() for match in found[1:]] + [len(text)]
    for match, end in zip(found, ends, strict=False):
        yield match, text[match.end() : end]


def _sections(documentation: str, heading: re.Pattern[str]) -> Iterator[str]:
    """The text under each heading that announces parameters."""
    for found, text in _followed(heading, documentation):
        if found[1].strip().lower() in _SECTIONS:
            yield text.strip("\n")


def _indented(section: str) -> str:
    """A section up to the first line that stands at the margin."""
    lines = section.split("\n")
    end = next((i for i, line in enumerate(lines) if line[:1].strip()), len(lines))
    return "\n" + "\n".join(lines[:end])


def _entries(section: str) -> Iterator[tuple[str, str]]:
    """Lines at the margin, each with the indented lines below it."""
    head, body = "", [""]
    for line in section.split("\n"):
        if line[:1].strip():
            if head:
                yield head, " ".join(body)
            head, body = line.rstrip(), []
        else:
            body.append(line)
    if head:
        yield head, " ".join(body)


class _ArgumentError(Exception):
    """What the model should know about the arguments that it wrote."""


def _called(function: Callable[..., Any], arguments: str) -> Any:
    """What the function returns."""
    given = _arguments(arguments)
    known = _signature(function)
    names = [each.name for each in known]
    for name in given:
        if name not in names:
            raise _ArgumentError(f"no argument {name!r}; {did_you_mean(name, names)}".rstrip("; "))
    positional, named = [], {}
    for each in known:
        if each.name in given:
            value = _converted(given[each.name], each)
        elif each.required:
            raise _ArgumentError(f"argument {each.name} is missing")
        elif not each.positional:
            continue
        else:
            value = each.default
        if each.positional:
            positional.append(value)
        else:
            named[each.name] = value
    return function(*positional, **named)


def _arguments(text: str) -> dict[str, Any]:
    # Models leave the text empty when a function has no parameters.
    try:
        value = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise _ArgumentError(f"the arguments are not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _ArgumentError("the arguments are not a JSON object")
    return value


def _converted(value: Any, parameter: _Parameter) -> Any:
    if parameter.annotation is Any:
        return value

    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(parameter.annotation).validate_python(value)
    except ValidationError as error:
        first, *others = error.errors(include_url=False)
        where = "".join(f".{step}" for step in first["loc"])
        more = f" (and {len(others)} more)" if others else ""
        raise _ArgumentError(f"argument {parameter.name}{where}: {first['msg']}{more}") from None


def _result_text(value: Any) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    if _is_table(value):
        return table_text(value)
    return json.dumps(_jsonable(value), ensure_ascii=False)


def _jsonable(value: Any) -> Any:
    """A value made of JSON types; what has no such form becomes its text."""
    if value is None or type(value) in (str, bool, int, float):
        return value
    if isinstance(value, enum.Enum):
        return _jsonable(value.value)
    if isinstance(value, Mapping):
        return {_key(name): _jsonable(item) for name, item in value.items()}
    if isinstance(value, (set, frozenset)):
        # The order of a set changes from run to run, and the result is in the key of what follows.
        return sorted(map(_jsonable, value), key=lambda item: json.dumps(item, sort_keys=True))
    if isinstance(value, (list, tuple, Iterator, abc.KeysView, abc.ValuesView, range)):
        return [_jsonable(item) for item in value]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: _jsonable(getattr(value, name)) for name in names}
    if _is_table(value):
        return table_text(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars
        return _jsonable(value.tolist())
    return str(value)


def _key(name: Any) -> str:
    name = _jsonable(name)
    return name if isinstance(name, str) else json.dumps(name, ensure_ascii=False)


def _is_table(value: Any) -> bool:
    return hasattr(value, "to_csv") and hasattr(value, "index") and hasattr(value, "notna")


def _error_text(error: BaseException) -> str:
    text = str(error)
    if not isinstance(error, _ArgumentError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if len(text) > _LONGEST_ERROR:
        text = text[: _LONGEST_ERROR - 1] + "…"
    return json.dumps({"error": text}, ensure_ascii=False)
