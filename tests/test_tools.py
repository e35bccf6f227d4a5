"""A function tells the model what it takes, and a call of it always has an answer."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import datetime
import decimal
import enum
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Optional

import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magic.exceptions import ParameterError
from llm_magic.tools import async_call, call, definition, functions


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class City(pydantic.BaseModel):
    name: str
    at: Point | None = None


def function_of(annotation: Any) -> Any:
    def tool(value):
        return value

    tool.__annotations__["value"] = annotation
    return tool


def schema_of(annotation: Any) -> Any:
    return definition(function_of(annotation))["function"]["parameters"]["properties"]["value"]


STRING = {"type": "string"}
INTEGER = {"type": "integer"}


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (str, STRING),
        (int, INTEGER),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (list, {"type": "array"}),
        (list[str], {"type": "array", "items": STRING}),
        (Sequence[list[int]], {"type": "array", "items": {"type": "array", "items": INTEGER}}),
        (dict, {"type": "object"}),
        (dict[str, int], {"type": "object", "additionalProperties": INTEGER}),
        (Mapping[str, Any], {"type": "object", "additionalProperties": True}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal[1, "b", None], {"enum": [1, "b", None]}),
        (Color, {"type": "string", "enum": ["red", "blue"]}),
        (Level, {"type": "integer", "enum": [1, 2]}),
        (Optional[str], {"anyOf": [STRING, {"type": "null"}]}),  # noqa: UP045
        (int | list[str], {"anyOf": [INTEGER, {"type": "array", "items": STRING}]}),
        (Annotated[str, "A text."], {"type": "string", "description": "A text."}),
        ("Color", {"type": "string", "enum": ["red", "blue"]}),
        (datetime.date, {"type": "string", "format": "date"}),
        (
            Annotated[int, pydantic.Field(ge=1, description="From 1.")],
            {"type": "integer", "minimum": 1, "description": "From 1."},
        ),
        (Point, {"$ref": "#/$defs/Point"}),
        (list[Point], {"type": "array", "items": {"$ref": "#/$defs/Point"}}),
    ],
)
def test_an_annotation_has_a_schema(annotation: Any, schema: dict[str, Any]) -> None:
    assert schema_of(annotation) == schema


def test_a_function_without_parameters_takes_an_empty_object() -> None:
    def now() -> str:
        return ""

    assert definition(now) == {
        "type": "function",
        "function": {
            "name": "now",
            "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
        },
    }


def test_classes_are_defined_once_and_without_titles() -> None:
    def travel(start: Point, city: City, title: str) -> str:
        return ""

    parameters = definition(travel)["function"]["parameters"]

    assert parameters == {
        "type": "object",
        "properties": {
            "start": {"$ref": "#/$defs/Point"},
            "city": {"$ref": "#/$defs/City"},
            "title": {"type": "string"},
        },
        "required": ["start", "city", "title"],
        "additionalProperties": False,
        "$defs": {
            "Point": {
                "type": "object",
                "properties": {"x": INTEGER, "y": {"type": "integer", "default": 0}},
                "required": ["x"],
            },
            "City": {
                "type": "object",
                "properties": {
                    "name": STRING,
                    "at": {"anyOf": [{"$ref": "#/$defs/Point"}, {"type": "null"}], "default": None},
                },
                "required": ["name"],
            },
        },
    }


def test_a_property_called_title_keeps_its_schema() -> None:
    book = pydantic.create_model("Book", title=(str, ...))

    parameters = definition(function_of(book))["function"]["parameters"]

    assert parameters["$defs"]["Book"]["properties"] == {"title": STRING}


def test_two_classes_of_one_name_are_kept_apart() -> None:
    one = pydantic.create_model("Pair", __module__="one", a=(int, ...))
    other = pydantic.create_model("Pair", __module__="other", b=(str, ...))

    def tool(first, second):
        return None

    tool.__annotations__ |= {"first": one, "second": other}
    parameters = definition(tool)["function"]["parameters"]

    references = {each["$ref"] for each in parameters["properties"].values()}
    assert references == {f"#/$defs/{name}" for name in parameters["$defs"]}
    assert len(references) == 2


def test_what_has_a_default_is_not_required() -> None:
    def search(query: str, limit: int = 5, *, color: Color = Color.RED, near: Point | None = None):
        return None

    parameters = definition(search)["function"]["parameters"]

    assert parameters["required"] == ["query"]
    defaults = {name: each.get("default") for name, each in parameters["properties"].items()}
    assert defaults == {"query": None, "limit": 5, "color": "red", "near": None}


def google(city, unit="C", *, days=1):
    """Weather in a city,
    as far as it is known.

    More about it.

    Args:
        city (str): Name of the city:
            in English.
        unit (Literal["C", "F"], optional): C or F.

        days: How many: from 1.

    Returns:
        days: not this.
    """


def numpy(city, unit="C", *, days=1):
    """Weather in a city, as far as it is known.

    Parameters
    ----------
    city : str
        Name of the city:
        in English.
    unit : {"C", "F"}, optional
        C or F.

    Other Parameters
    ----------------
    days
        How many: from 1.

    Returns
    -------
    days : int
        Not this.
    """


def rest(city, unit="C", *, days=1):
    """Weather in a city, as far as it is known.
    :param city: Name of the city:
        in English.
    :type city: str
    :param str unit: C or F.
    :param days: How many: from 1.
    :return: something else

    The end.
    """


@pytest.mark.parametrize("tool", [google, numpy, rest])
def test_the_docstring_describes_the_function_and_its_parameters(tool: Any) -> None:
    function = definition(tool)["function"]

    properties = function["parameters"]["properties"]
    assert function["description"] == "Weather in a city, as far as it is known."
    assert {name: each.get("description") for name, each in properties.items()} == {
        "city": "Name of the city: in English.",
        "unit": "C or F.",
        "days": "How many: from 1.",
    }


def test_several_parameters_share_a_description() -> None:
    def area(x: int, y: int) -> int:
        """Area.

        Parameters
        ----------
        x, y : int
            Sides.
        """
        return x * y

    properties = definition(area)["function"]["parameters"]["properties"]

    assert [each["description"] for each in properties.values()] == ["Sides.", "Sides."]


@pytest.mark.parametrize(
    ("documentation", "description"),
    [
        (None, None),
        ("", None),
        ("Args:\n    x: No summary.", None),
        ("Parameters\n----------\nx : int\n    No summary.", None),
        (":param x: No summary.", None),
        ("Adds.\nArgs:\n    x: Number.", "Adds."),
        (":class:`Point` of an object.", ":class:`Point` of an object."),
        ("Note: this adds.", "Note: this adds."),
    ],
)
def test_the_description_is_the_first_paragraph(
    documentation: str | None, description: str | None
) -> None:
    def tool(x: int) -> int:
        return x

    tool.__doc__ = documentation

    assert definition(tool)["function"].get("description") == description


class Shop:
    def price(self, item: str) -> float:
        """Price of an item."""
        return len(item)

    def __call__(self, item: str) -> str:
        return item.upper()


def power(base: int, exponent: int) -> int:
    """A power."""
    return int(base**exponent)


def described(function: Any) -> Any:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


@pytest.mark.parametrize(
    ("tool", "name", "parameters", "arguments", "result"),
    [
        (Shop().price, "price", {"item": STRING}, {"item": "tea"}, "3"),
        (Shop(), "Shop", {"item": STRING}, {"item": "tea"}, "TEA"),
        (functools.partial(power, exponent=2), "power", {"base": INTEGER}, {"base": 3}, "9"),
        (functools.partial(power, 2), "power", {"exponent": INTEGER}, {"exponent": 3}, "8"),
        (
            described(power),
            "power",
            {"base": INTEGER, "exponent": INTEGER},
            {"base": 3, "exponent": 1},
            "3",
        ),
    ],
)
def test_methods_partials_and_objects_are_tools_too(
    tool: Any, name: str, parameters: Any, arguments: Any, result: str
) -> None:
    function = definition(tool)["function"]

    assert function["name"] == name
    assert function["parameters"]["properties"] == parameters
    assert call(tool, json.dumps(arguments)) == result


def with_args(*values: int) -> None: ...
def with_kwargs(x: int, **options: int) -> None: ...
def with_frame(frame: pd.DataFrame) -> None: ...
def with_nonsense(x: Nonsense) -> None: ...  # noqa: F821


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        (lambda x: x, "a tool cannot be called '<lambda>'; define it with def"),
        (with_args, r"with_args: \*values: .*has no JSON schema; give the tool named parameters"),
        (with_kwargs, r"with_kwargs: \*\*options: .*has no JSON schema"),
        (with_frame, "with_frame: an annotation has no JSON schema: .*DataFrame"),
        (with_nonsense, "with_nonsense: the annotation Nonsense is not defined where"),
        ("search", "a tool is a function or a dict, not str"),
        ({"name": "f", "parameters": {}}, 'a tool as a dict is {"type": "function", "function"'),
        ({"type": "function", "name": "f"}, "a tool as a dict is"),
        ({"type": "function", "function": {}}, "a tool cannot be called None; letters, digits"),
        ({"type": "function", "function": {"name": "a b"}}, "a tool cannot be called 'a b'"),
        (
            {"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}},
            "tool f: parameters is a JSON schema of the type object",
        ),
    ],
)
def test_what_cannot_be_described_is_refused(tool: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        definition(tool)


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {"name": "f"}},
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
    ],
)
def test_a_definition_is_checked_and_copied(tool: dict[str, Any]) -> None:
    before = copy.deepcopy(tool)

    made = definition(tool)
    made["extra"] = 1

    assert tool == before
    assert {**before, "extra": 1} == made


def test_functions_are_found_by_name() -> None:
    shop = Shop()
    tools = [power, {"type": "function", "function": {"name": "f"}}, shop.price]

    assert functions(tools) == {"power": power, "price": shop.price}
    assert functions([]) == {}


@pytest.mark.parametrize("other", [power, {"type": "function", "function": {"name": "power"}}])
def test_two_tools_of_one_name_are_refused(other: Any) -> None:
    with pytest.raises(ParameterError, match="two tools are called power; rename one of them"):
        functions([power, other])


@pytest.mark.parametrize(
    ("annotation", "given", "received"),
    [
        (str, "a", "a"),
        (int, 3, 3),
        (int, "3", 3),
        (float, 1, 1.0),
        (Any, {"a": [1]}, {"a": [1]}),
        (Color, "red", Color.RED),
        (list[Color], ["red"], [Color.RED]),
        (Point, {"x": 1}, Point(1, 0)),
        (City, {"name": "Ulm", "at": {"x": 1}}, City(name="Ulm", at=Point(1, 0))),
        (set[int], [1, 1], {1}),
        (Optional[Point], None, None),  # noqa: UP045
        (datetime.date, "2026-01-02", datetime.date(2026, 1, 2)),
    ],
)
def test_arguments_become_what_the_annotations_say(
    annotation: Any, given: Any, received: Any
) -> None:
    seen = []
    tool = function_of(annotation)

    def keep(value):
        seen.append(value)

    keep.__annotations__ = tool.__annotations__
    call(keep, json.dumps({"value": given}))

    assert seen == [received]
    assert type(seen[0]) is type(received)


def test_defaults_and_positional_parameters_are_passed() -> None:
    def tool(a: int, b: int = 2, /, c: int = 3, *, d: int = 4) -> list[int]:
        return [a, b, c, d]

    assert call(tool, '{"a": 1}') == "[1, 2, 3, 4]"
    assert call(tool, '{"a": 1, "b": 5, "d": 6}') == "[1, 5, 3, 6]"


def test_an_empty_text_is_no_arguments() -> None:
    def tool() -> str:
        return "ok"

    assert call(tool, "") == call(tool, " {} ") == "ok"


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("Grüße", "Grüße"),
        ("", ""),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ({"ü": [1, (2,)]}, '{"ü": [1, [2]]}'),
        ({1: "a", Color.RED: "b", (1, 2): "c"}, '{"1": "a", "red": "b", "[1, 2]": "c"}'),
        ({"b", "a", "c"}, '["a", "b", "c"]'),
        (iter([1, 2]), "[1, 2]"),
        (Color.RED, '"red"'),
        (Point(1), '{"x": 1, "y": 0}'),
        ([City(name="Ulm", at=Point(1))], '[{"name": "Ulm", "at": {"x": 1, "y": 0}}]'),
        (datetime.date(2026, 1, 2), '"2026-01-02"'),
        (decimal.Decimal("1.50"), '"1.50"'),
        (np.float64(1.5), "1.5"),
        (np.array([[1, 2]]), "[[1, 2]]"),
        (pd.DataFrame({"a": [1], "b": ["x"]}), "a,b\n1,x\n"),
        ({"rows": pd.Series([1], name="a")}, '{"rows": "a\\n1\\n"}'),
        (pd.Timestamp("2026-01-02"), '"2026-01-02T00:00:00"'),
    ],
)
def test_a_result_becomes_text(result: Any, text: str) -> None:
    def tool() -> Any:
        return result

    assert call(tool, "{}") == text


def fails(with_: str = "x") -> str:
    raise ValueError(f"no {with_}")


def leaves() -> str:
    raise SystemExit(2)


def says_nothing() -> str:
    raise StopIteration


def goes_on() -> str:
    raise ValueError("x" * 5000)


def lazy() -> Any:
    yield 1
    raise OSError("disk")


@pytest.mark.parametrize(
    ("tool", "arguments", "error"),
    [
        (power, "{", "the arguments are not JSON: Expecting property name enclosed in double"),
        (power, "[1, 2]", "the arguments are not a JSON object"),
        (power, "[" * 100_000, "the arguments are not JSON: "),
        (power, '{"base": 1}', "argument exponent is missing"),
        (power, '{"base": 1, "exponnt": 2}', "no argument 'exponnt'; did you mean exponent?"),
        (power, '{"base": "x", "exponent": 1}', "argument base: Input should be a valid integer"),
        (leaves, '{"x": 1}', "no argument 'x'"),
        (function_of(Point), '{"value": {"y": 1}}', "argument value.x: Field required"),
        (function_of(City), '{"value": {"at": 1}}', "argument value.name: Field required (and "),
        (fails, "{}", "ValueError: no x"),
        (leaves, "{}", "SystemExit: 2"),
        (says_nothing, "{}", "StopIteration"),
        (lazy, "{}", "OSError: disk"),
        (goes_on, "{}", "ValueError: xxx"),
    ],
)
def test_what_goes_wrong_is_told_to_the_model(tool: Any, arguments: str, error: str) -> None:
    text = call(tool, arguments)

    (told,) = json.loads(text).values()
    assert told.startswith(error)
    assert len(told) <= 2000
    assert asyncio.run(async_call(tool, arguments)) == text or tool is lazy


def test_the_user_can_interrupt_a_tool() -> None:
    def tool() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(tool, "{}")


async def wait(seconds: float) -> dict[str, float]:
    """Waits."""
    await asyncio.sleep(seconds)
    return {"waited": seconds}


async def wait_and_fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("late")


@pytest.mark.parametrize(
    ("tool", "arguments", "text"),
    [
        (wait, '{"seconds": 0}', '{"waited": 0.0}'),
        (functools.partial(wait, 0.0), "{}", '{"waited": 0.0}'),
        (wait, '{"seconds": "x"}', '{"error": "argument seconds: Input should be a valid number'),
        (wait_and_fail, "{}", '{"error": "ValueError: late"}'),
        (power, '{"base": 2, "exponent": 3}', "8"),
    ],
)
def test_a_coroutine_function_is_awaited(tool: Any, arguments: str, text: str) -> None:
    assert asyncio.run(async_call(tool, arguments)).startswith(text)


def test_a_coroutine_function_cannot_be_called_without_waiting() -> None:
    with pytest.raises(ParameterError, match=r"wait has to be awaited; use acomplete\(\)"):
        call(wait, '{"seconds": 0}')


def test_a_cancelled_call_is_cancelled() -> None:
    async def main() -> None:
        task = asyncio.ensure_future(async_call(wait, '{"seconds": 60}'))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


names = st.from_regex(r"[a-z_]{1,8}", fullmatch=True).map(lambda name: f"p{name}")
kinds = st.sampled_from([str, int, float, bool, list[int], dict[str, str], Color, Point])


@given(st.dictionaries(names, kinds), st.data())
def test_every_parameter_stands_in_the_definition(parameters: Any, data: st.DataObject) -> None:
    optional = data.draw(st.sets(st.sampled_from(sorted(parameters)))) if parameters else set()
    signature = ", ".join(f"{name}{'=None' * (name in optional)}" for name in parameters)
    texts = "".join(f"\n    {name}: About {name}." for name in parameters)
    namespace: dict[str, Any] = {}
    exec(f"def tool(*, {signature}): return 1" if parameters else "def tool(): return 1", namespace)
    tool = namespace["tool"]
    tool.__annotations__, tool.__doc__ = parameters, f"Does it.\n\nArgs:{texts}"

    made = definition(tool)["function"]["parameters"]

    assert list(made["properties"]) == list(parameters)
    assert made.get("required", []) == [name for name in parameters if name not in optional]
    assert [each["description"] for each in made["properties"].values()] == [
        f"About {name}." for name in parameters
    ]
    assert json.loads(json.dumps(made)) == made


def test_common_annotations_are_described_without_pydantic(run_python: Any) -> None:
    code = (
        "import sys\nfrom llm_magic import tools\n"
        "def tool(a: int, b: 'list[str] | None' = None): pass\n"
        "tools.definition(tool)\nprint({'pandas', 'pydantic'} & {*sys.modules})"
    )

    assert run_python(code).stdout == "set()\n"
