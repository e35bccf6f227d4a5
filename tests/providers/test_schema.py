import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magic.providers.schema import example

TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["name", "children"],
        }
    },
    "$ref": "#/$defs/node",
}
SCHEMAS = {
    "object": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
    "required without property": {"type": "object", "required": ["a", "b"]},
    "enum": {"enum": ["x", 2, None]},
    "const": {"const": {"a": 1}},
    "numbers": {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "minimum": 3, "maximum": 3},
            "b": {"type": "integer", "exclusiveMinimum": 3},
            "c": {"type": "integer", "maximum": -4},
            "d": {"type": "integer", "exclusiveMaximum": 1},
            "e": {"type": "number", "minimum": 0.25, "maximum": 0.5},
            "f": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            "g": {"type": "integer", "multipleOf": 5, "minimum": 11},
            "h": {"minimum": 7},
        },
    },
    "lists": {
        "type": "object",
        "properties": {
            "a": {"type": "array", "items": {"type": "integer"}, "minItems": 3},
            "b": {"type": "array", "items": {"type": "string"}, "maxItems": 0},
            "c": {
                "type": "array",
                "items": {"type": "integer"},
                "minItems": 3,
                "uniqueItems": True,
            },
            "d": {
                "type": "array",
                "items": {"enum": ["x", "y"]},
                "minItems": 2,
                "uniqueItems": True,
            },
            "e": {
                "type": "array",
                "prefixItems": [{"type": "null"}, {"type": "boolean"}],
                "items": False,
            },
            "f": {"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": True},
        },
    },
    "texts": {
        "type": "object",
        "properties": {
            "long": {"type": "string", "minLength": 40},
            "short": {"type": "string", "maxLength": 2},
            "day": {"type": "string", "format": "date"},
        },
    },
    "alternatives": {
        "type": "object",
        "properties": {
            "a": {"anyOf": [{"type": "null"}, {"type": "integer"}]},
            "b": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            "c": {"type": ["null", "boolean"]},
            "d": {"allOf": [{"type": "object", "required": ["x"]}, {"required": ["y"]}]},
        },
    },
    "free object": {
        "type": "object",
        "minProperties": 2,
        "additionalProperties": {"type": "integer"},
    },
    "recursive": TREE,
    "definitions": {"definitions": {"a/b": {"type": "integer"}}, "$ref": "#/definitions/a~1b"},
    "refers to itself": {"$ref": "#"},
    "anything": {},
}


@pytest.mark.parametrize("variant", [0, 1, 5])
@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_the_value_fits_the_schema(schema, variant):
    value = example(schema, words=["Oslo"] if variant == 5 else (), variant=variant)

    if schema != SCHEMAS["refers to itself"]:
        jsonschema.validate(value, schema)
    assert value == example(schema, words=["Oslo"] if variant == 5 else (), variant=variant)


def test_variants_differ_where_there_is_a_choice():
    schema = {"enum": ["good", "bad"]}

    assert [example(schema, variant=variant) for variant in range(3)] == ["good", "bad", "good"]


def test_texts_are_filled_with_the_given_words():
    schema = {"properties": {"city": {"type": "string"}, "country": {"type": "string"}}}

    assert example(schema) == {"city": "city", "country": "country"}
    assert example(schema, words=["Oslo", "Norway"]) == {"city": "Oslo", "country": "Norway"}


@given(
    st.integers(-50, 50),
    st.integers(0, 50),
    st.integers(0, 9),
    st.sampled_from(["integer", "number"]),
)
def test_numbers_stay_within_their_limits(low, width, variant, kind):
    schema = {"type": kind, "minimum": low, "maximum": low + width}

    jsonschema.validate(example(schema, variant=variant), schema)


def test_a_recursive_schema_where_everything_is_required_has_an_end():
    node = {
        "type": "object",
        "properties": {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#"}, NULL]}},
        "required": ["value", "next"],
    }

    value = example(node)

    depth = 0
    while value is not None:
        assert set(value) == {"value", "next"}
        value, depth = value["next"], depth + 1
    assert 1 < depth < 10


NULL = {"type": "null"}
