"""A schema is sent in its strict form, and an answer that fits it comes back as data."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import io
import json
import pickle
import re
import time
import typing
from typing import Any, Literal

import pydantic
import pytest
import typing_extensions
from hypothesis import given
from hypothesis import strategies as st

from llm_magic import schemas
from llm_magic.exceptions import ParameterError, SchemaError


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    name: str | None = "rex"


class Owner(pydantic.BaseModel):
    """Who has pets."""

    name: str = pydantic.Field(min_length=1)
    color: Color = pydantic.Field(Color.RED, description="Favourite.")
    pets: list[Cat | Dog] = []
    first: Cat | Dog | None = pydantic.Field(None, discriminator="kind")


class Node(pydantic.BaseModel):
    value: int
    next: Node | None = None
    kids: list[Node] = []


@dataclasses.dataclass
class Point:
    x: int
    labels: list[str] = dataclasses.field(default_factory=list)


class Place(typing.TypedDict, total=False):
    city: typing.Required[str]
    day: datetime.date


class Trip(typing.TypedDict):
    start: Place
    stops: typing.NotRequired[list[Place]]


class Old(typing_extensions.TypedDict):
    x: int


STRING = {"type": "string"}
INTEGER = {"type": "integer"}
NULL = {"type": "null"}


def closed(required: list[str] | None = None, /, **properties: Any) -> dict[str, Any]:
    """The strict schema of an object."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("text", "properties"),
    [
        ("name", {"name": STRING}),
        ("name, age int", {"name": STRING, "age": INTEGER}),
        (" name ,age  int, ", {"name": STRING, "age": INTEGER}),
        (
            "a str, b int, c float, d bool",
            {"a": STRING, "b": INTEGER, "c": {"type": "number"}, "d": {"type": "boolean"}},
        ),
        (
            "name, bio: short text",
            {"name": STRING, "bio": {"type": "string", "description": "short text"}},
        ),
        (
            "\n  name: full, with title\n\n  age int: in years\n",
            {
                "name": {"type": "string", "description": "full, with title"},
                "age": {"type": "integer", "description": "in years"},
            },
        ),
        (
            "name, city,\nage int: 0:00 is the start,",
            {
                "name": STRING,
                "city": STRING,
                "age": {"type": "integer", "description": "0:00 is the start"},
            },
        ),
        ("größe-2 float", {"größe-2": {"type": "number"}}),
    ],
)
def test_the_short_form_names_fields_types_and_descriptions(
    text: str, properties: dict[str, Any]
) -> None:
    assert schemas.compile(text).json_schema == closed(**properties)


@pytest.mark.parametrize("text", ["[name, age int]", " [\n  name\n  age int\n]\n"])
def test_brackets_stand_for_a_list_under_items(text: str) -> None:
    schema = schemas.compile(text)

    item = closed(name=STRING, age=INTEGER)
    assert schema.json_schema == closed(items={"type": "array", "items": item})
    assert schema.parse('{"items": [{"name": "Ada", "age": 36}]}') == {
        "items": [{"name": "Ada", "age": 36}]
    }


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("", 'the schema is empty; name its fields, such as "name, age int"'),
        ("[]", "the schema is empty"),
        ("name, age integer", "field age has the unknown type 'integer'; did you mean int"),
        ("a short text", "field a has the unknown type 'short text'; use one of: bool, float"),
        ("a, b int, a", "two fields are called a"),
        ("a, : text", "there is no name before ': text'"),
        ("a!", "'a!' cannot be the name of a field"),
        ('{"type": ', "the schema is not JSON"),
        ({"type": "array", "items": {}}, "an answer is an object, and the schema's is array"),
        ({"anyOf": [closed(), closed()]}, "the schema's is one of several things; put it into"),
        ({"type": "object"}, r"the schema: an object with any fields \(a dict\) cannot be asked"),
        (closed(a={"type": "object", "additionalProperties": INTEGER}), "a: an object with any"),
        (closed(a={"type": "array", "items": {"type": "object"}}), r"a\[\]: an object with any"),
        (closed(a={"$ref": "#/$defs/A"}), "refers to #/\\$defs/A, which is not in it"),
        (closed(a={"$ref": "https://example.com/a"}), "which is not in it"),
        ({**closed(a={"$ref": "#/x"}), "x": {"$ref": "#/x"}}, "which is not in it"),
        (closed(a={"allOf": [closed(), closed()]}), "a: write what is in allOf as one object"),
        ({"type": "object", "properties": ["a"]}, "properties is a dict of schemas by name"),
        (int, "int is no schema; use a pydantic model, a dataclass"),
        (3, "int is no schema"),
        (pydantic.RootModel[list[int]], "the schema's is array; put it into a field of one"),
        (pydantic.create_model("Open", scores=(dict[str, int], ...)), "scores: an object with"),
        (dataclasses.make_dataclass("Odd", [("x", io.StringIO)]), "Odd has no JSON schema"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(schema: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        schemas.compile(schema)


@pytest.mark.parametrize(
    ("given", "strict"),
    [
        (closed(a=STRING), closed(a=STRING)),
        ({"properties": {"a": STRING}, "required": ["a"]}, closed(a=STRING)),
        ({**closed(a=STRING), "additionalProperties": True, "$schema": "x"}, closed(a=STRING)),
        (closed([], a=STRING), closed(a={"anyOf": [STRING, NULL]})),
        (
            closed([], a={"type": "string", "description": "A.", "default": "x"}),
            closed(a={"description": "A.", "anyOf": [STRING, NULL]}),
        ),
        (closed([], a={"type": ["string", "null"]}), closed(a={"type": ["string", "null"]})),
        (closed([], a={"enum": ["x", None]}), closed(a={"enum": ["x", None]})),
        (closed([], a={"anyOf": [STRING, NULL]}), closed(a={"anyOf": [STRING, NULL]})),
        (closed([], a={"anyOf": [STRING, INTEGER]}), closed(a={"anyOf": [STRING, INTEGER, NULL]})),
        (closed(a={"oneOf": [STRING, INTEGER]}), closed(a={"anyOf": [STRING, INTEGER]})),
        (closed(a={"allOf": [STRING], "title": "A"}), closed(a={"type": "string", "title": "A"})),
        (
            closed(a={"type": "array", "items": closed([], b=STRING)}),
            closed(a={"type": "array", "items": closed(b={"anyOf": [STRING, NULL]})}),
        ),
        (
            {**closed([], a={"$ref": "#/$defs/A"}), "$defs": {"A": closed([], b=STRING)}},
            {
                **closed(a={"anyOf": [{"$ref": "#/$defs/A"}, NULL]}),
                "$defs": {"A": closed(b={"anyOf": [STRING, NULL]})},
            },
        ),
        (
            {**closed(a={"$ref": "#/$defs/A", "title": "t"}), "$defs": {"A": STRING}},
            {
                **closed(a={"title": "t", "anyOf": [{"$ref": "#/$defs/A"}]}),
                "$defs": {"A": STRING},
            },
        ),
    ],
)
def test_the_strict_form_names_and_requires_every_field(given: Any, strict: Any) -> None:
    before = json.dumps(given)

    schema = schemas.compile(given)

    assert schema.json_schema == strict
    assert schemas.compile(schema.json_schema).json_schema == strict
    assert schemas.compile(before).json_schema == strict
    assert json.dumps(given) == before


def objects(schema: Any) -> list[dict[str, Any]]:
    """Every schema of an object in a schema."""
    inside = schema.values() if isinstance(schema, dict) else schema
    found = [each for item in inside if isinstance(item, (dict, list)) for each in objects(item)]
    return [schema, *found] if isinstance(schema, dict) and "properties" in schema else found


@pytest.mark.parametrize("kind", [Owner, Node, Point, Trip, Old])
def test_every_object_of_a_class_is_strict(kind: type) -> None:
    schema = schemas.compile(kind)

    assert schema.name == kind.__name__
    assert schema.json_schema["type"] == "object"
    for each in objects(schema.json_schema):
        assert each["required"] == list(each["properties"])
        assert each["additionalProperties"] is False
    words = set(re.findall(r'"(\w+)":', json.dumps(schema.json_schema)))
    assert not words & {"allOf", "default", "discriminator", "oneOf"}


def test_the_response_format_is_openais() -> None:
    schema = schemas.compile({**closed(a=STRING), "title": "My answer (2)"})

    assert schema.response_format == {
        "type": "json_schema",
        "json_schema": {"name": "My_answer_2", "strict": True, "schema": schema.json_schema},
    }


def test_a_schema_is_compiled_once_and_stays_as_it_is() -> None:
    schema = schemas.compile("name")

    assert schemas.compile(schema) is schema
    assert schema == schemas.compile("name")
    with pytest.raises(dataclasses.FrozenInstanceError):
        schema.name = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kind", "answer", "value"),
    [
        (
            Owner,
            {"name": "Ann", "color": "blue", "pets": [{"kind": "cat", "lives": 7}], "first": None},
            Owner(name="Ann", color=Color.BLUE, pets=[Cat(kind="cat", lives=7)]),
        ),
        (
            Owner,
            {"name": "Ann", "color": None, "pets": None, "first": {"kind": "dog", "name": None}},
            Owner(name="Ann", first=Dog(kind="dog", name=None)),
        ),
        (
            Owner,
            {"name": "Ann", "pets": [{"kind": "cat", "lives": None}, {"kind": "dog"}]},
            Owner(name="Ann", pets=[Cat(kind="cat"), Dog(kind="dog")]),
        ),
        (
            Node,
            {"value": 1, "next": {"value": 2, "next": None, "kids": None}, "kids": None},
            Node(value=1, next=Node(value=2)),
        ),
        (Point, {"x": 1, "labels": None}, Point(1, [])),
        (
            Trip,
            {"start": {"city": "Ulm", "day": None}, "stops": None},
            {"start": {"city": "Ulm"}},
        ),
        (
            Trip,
            {"start": {"city": "Ulm", "day": "2026-01-02"}, "stops": []},
            {"start": {"city": "Ulm", "day": datetime.date(2026, 1, 2)}, "stops": []},
        ),
        (Old, {"x": 1}, {"x": 1}),
        (closed([], a=STRING, b=INTEGER), {"a": None, "b": 1}, {"b": 1}),
        (closed([], a={"anyOf": [STRING, NULL]}), {"a": None}, {"a": None}),
        (closed(a={}), {"a": None}, {"a": None}),
    ],
)
def test_an_answer_becomes_what_was_asked_for(kind: Any, answer: Any, value: Any) -> None:
    parsed = schemas.compile(kind).parse(json.dumps(answer))

    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "x```y"}',
        ' \n{"a": "x```y"}\n',
        '```json\n{"a": "x```y"}\n```',
        '```\n{"a": "x```y"}\n```\n',
        'Here it is:\n\n  ```JSON\n{\n"a":\n"x```y"}\n  ```\nAnything else?',
    ],
)
def test_json_is_found_in_a_fence(text: str) -> None:
    assert schemas.compile("a").parse(text) == {"a": "x```y"}


PERSON: dict[str, Any] = {
    **closed(
        ["name"],
        name=STRING,
        age=INTEGER,
        mood={"enum": ["good", 1, None]},
        kind={"const": "person"},
        alive={"type": "boolean"},
        size={"type": ["number", "null"]},
        pets={"type": "array", "items": {"$ref": "#/$defs/Pet"}},
        best={"anyOf": [{"$ref": "#/$defs/Pet"}, NULL]},
        other={"anyOf": [STRING, {"$ref": "#/$defs/Pet"}]},
    ),
    "$defs": {"Pet": closed(["legs"], legs=INTEGER)},
}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({}, "name is missing"),
        ([], "the answer: [] is not an object"),
        ("x", "the answer: 'x' is not an object"),
        ({"name": 3}, "name: 3 is not a string"),
        ({"name": None}, "name: null is not a string"),
        ({"name": ["x" * 50]}, 'name: ["' + "x" * 37 + "… is not a string"),
        ({"name": "x", "age": "old"}, "age: 'old' is not an integer"),
        ({"name": "x", "age": 1.5}, "age: 1.5 is not an integer"),
        ({"name": "x", "age": True}, "age: true is not an integer"),
        ({"name": "x", "alive": 1}, "alive: 1 is not a boolean"),
        ({"name": "x", "size": "9"}, "size: '9' is not a number or null"),
        ({"name": "x", "mood": "bad"}, "mood: 'bad' is not one of 'good', 1, null"),
        ({"name": "x", "mood": True}, "mood: true is not one of 'good', 1, null"),
        ({"name": "x", "kind": "pet"}, "kind: 'pet' is not 'person'"),
        ({"name": "x", "extra": 1}, "extra is not in the schema"),
        ({"name": "x", "pets": {}}, "pets: {} is not a list"),
        ({"name": "x", "pets": [{"legs": 4}, {}]}, "pets[1].legs is missing"),
        ({"name": "x", "best": {"legs": "4"}}, "best.legs: '4' is not an integer"),
        ({"name": "x", "other": {"legs": "4"}}, 'other: {"legs": "4"} fits no alternative'),
    ],
)
def test_an_answer_that_does_not_fit_says_where_and_what(answer: Any, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        schemas.compile(PERSON).parse(json.dumps(answer))

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the answer is empty"),
        (" \n", "the answer is empty"),
        ("Sorry,\nno.", r"the answer is not JSON \(Expecting value: .*\): 'Sorry,\\nno.'"),
        ('{"name": "A"', r"the answer is not JSON \(Expecting ',' delimiter"),
        ('```json\n{"name": }\n```', "the answer is not JSON"),
        ('```\n{"name": "A"}\n```\nor\n```\n{"name": "B"}\n```', "the answer is not JSON"),
        ('{"name": NaN}', "NaN is no number in JSON"),
        ("[" * 100_000, "not JSON|nested too deeply"),
        ('{"name": ""}', "name: String should have at least 1 character, not ''$"),
        ('{"name": "A", "color": "green"}', "color: Input should be 'red' or 'blue', not 'green'"),
        ('{"pets": [{"kind": "cow"}]}', r"^name: Field required \(and \d more\)$"),
        ("[]", "the answer: Input should be an object"),
    ],
)
def test_an_unreadable_answer_is_an_error_of_one_line(text: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message) as caught:
        schemas.compile(Owner).parse(text)

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_an_error_has_a_place_for_the_completion_and_travels() -> None:
    error = SchemaError("name is missing")
    assert error.completion is None

    error.completion = "kept"

    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.completion) == ("name is missing", "kept")


def test_an_answer_nested_too_deeply_is_an_error() -> None:
    answer = '{"value": 1, "next": ' * 500 + "null" + "}" * 500

    with pytest.raises(SchemaError, match=r"nested too deeply|recursion"):
        schemas.compile(Node).parse(answer)


def test_a_tree_of_alternatives_is_read_in_time() -> None:
    leaf = {"$ref": "#/$defs/Leaf"}
    both = {"anyOf": [{"$ref": "#/$defs/Add"}, {"$ref": "#/$defs/Multiply"}, leaf]}
    tree = {
        **closed(left=both),
        "$defs": {
            "Leaf": closed([], number=INTEGER, op={"const": "leaf"}),
            "Add": closed(["left", "right", "op"], left=both, right=both, op={"const": "+"}),
            "Multiply": closed(["left", "right", "op"], left=both, right=both, op={"const": "*"}),
        },
    }
    answer: Any = {"number": None, "op": "leaf"}
    for depth in range(8):
        answer = {"left": answer, "right": answer, "op": "+*"[depth % 2]}

    start = time.perf_counter()
    parsed = schemas.compile(tree).parse(json.dumps({"left": answer}))

    assert time.perf_counter() - start < 5
    assert "null" not in json.dumps(parsed)


fields = st.dictionaries(
    st.from_regex(r"[a-zA-Z_][a-zA-Z_0-9-]{0,9}", fullmatch=True),
    st.sampled_from(["", "str", "int", "float", "bool"]),
    min_size=1,
    max_size=6,
)
VALUES = {
    "": st.text(),
    "bool": st.booleans(),
    "float": st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
    "int": st.integers(),
    "str": st.text(),
}


@given(fields, st.sampled_from([", ", "\n"]), st.booleans(), st.data())
def test_what_fits_the_short_form_comes_back_as_it_was(
    kinds: dict[str, str], separator: str, many: bool, data: st.DataObject
) -> None:
    text = separator.join(f"{name} {kind}: of {name}" for name, kind in kinds.items())
    one = st.fixed_dictionaries({name: VALUES[kind] for name, kind in kinds.items()})
    value = data.draw(st.fixed_dictionaries({"items": st.lists(one)}) if many else one)

    schema = schemas.compile(f"[{text}]" if many else text)

    assert schema.parse(json.dumps(value)) == value
    assert schema.parse(f"```json\n{json.dumps(value, indent=2)}\n```") == value


@given(fields, st.data())
def test_a_missing_field_or_one_of_another_type_is_told(
    kinds: dict[str, str], data: st.DataObject
) -> None:
    schema = schemas.compile(", ".join(f"{name} {kind}" for name, kind in kinds.items()))
    value = {name: data.draw(VALUES[kind]) for name, kind in kinds.items()}
    name = data.draw(st.sampled_from(sorted(kinds)))

    without = {other: item for other, item in value.items() if other != name}
    for broken in (without, {**value, name: []}, {**value, name: None}):
        with pytest.raises(SchemaError, match=f"^{name}( is missing|: .* is not )"):
            schema.parse(json.dumps(broken))


def test_a_short_form_is_read_without_pydantic(run_python: Any) -> None:
    code = (
        "import sys\nfrom llm_magic import schemas\n"
        "schemas.compile('name').parse('{\"name\": \"x\"}')\nprint('pydantic' in sys.modules)"
    )

    assert run_python(code).stdout == "False\n"
