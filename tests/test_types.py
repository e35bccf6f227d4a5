"""The words everything is written in: attribute dicts, completions, plain JSON, usage, modes."""

from __future__ import annotations

import collections
import copy
import decimal
import enum
import json
import pickle
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magic.exceptions import ModeError, ParameterError
from llm_magic.types import (
    AttrDict,
    Chunk,
    Completion,
    Mode,
    Request,
    Transport,
    Usage,
    attributes,
    plain,
)

RESPONSE = {
    "id": "r-1",
    "model": "gpt-x",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Oslo"}, "finish_reason": "stop"},
        {"index": 1, "message": {"role": "assistant", "content": None}, "finish_reason": "stop"},
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}


def completion(**about: Any) -> Completion:
    about = {"provider": "openai", "reference": "openai/gpt-x", "source": "live", **about}
    return Completion(copy.deepcopy(RESPONSE), **about)


# AttrDict


def test_entries_are_attributes_all_the_way_down() -> None:
    answer = completion()

    assert answer.choices[0].message.content == "Oslo"
    assert answer["choices"][0]["message"]["content"] == "Oslo"
    assert answer.usage.total_tokens == 4
    assert answer.get("model") == answer.model == "gpt-x"


def test_writes_go_through_to_the_dict() -> None:
    data = AttrDict()

    data.model = "a"
    data["nested"] = {"list": [{"deep": 1}]}
    data.nested.list[0].deep = 2
    del data.model

    assert data == {"nested": {"list": [{"deep": 2}]}}


def test_an_unknown_attribute_is_an_error_that_names_a_near_one() -> None:
    data = AttrDict(content="a", model="b")

    with pytest.raises(AttributeError, match="did you mean model"):
        _ = data.modle
    with pytest.raises(AttributeError, match="no field 'nothing'"):
        del data.nothing
    assert not hasattr(data, "nothing")


@pytest.mark.parametrize("name", ["tool_calls", "refusal", "usage", "reasoning_content"])
def test_an_optional_field_that_is_absent_reads_as_none(name: str) -> None:
    assert getattr(AttrDict(), name) is None
    with pytest.raises(KeyError):
        AttrDict()[name]


def test_fields_are_offered_for_completion_by_tab() -> None:
    assert {"model", "items"} <= set(dir(AttrDict({"model": 1, "not an identifier": 2})))
    assert "not an identifier" not in dir(AttrDict({"not an identifier": 2}))


def test_parsed_json_has_attributes_and_to_dict_takes_them_away() -> None:
    data = AttrDict.from_json('{"a": [{"b": 1}]}')

    assert data.a[0].b == 1
    assert type(data.to_dict()["a"][0]) is dict
    assert data.to_dict() == data


@pytest.mark.parametrize("text", [' {"a": 1}', '{"a": 1}\n', b'{"a": 1}'])
def test_white_space_around_json_makes_no_difference(text: str | bytes) -> None:
    assert AttrDict.from_json(text).a == 1


@pytest.mark.parametrize("text", ['{"a": 1} 2', '{"a": 1', ""])
def test_text_beside_json_is_refused(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        AttrDict.from_json(text)


def test_dicts_in_any_mapping_get_attributes() -> None:
    data = attributes(MappingProxyType({"a": [{"b": {}}]}))

    assert data.a[0].b == {}


# Completion


def test_texts_are_those_of_the_choices() -> None:
    assert completion().texts == ["Oslo", ""]
    assert completion().text == "Oslo"
    assert Completion({"choices": []}).text == ""


def test_what_we_know_about_a_call_is_not_an_entry() -> None:
    answer = completion(cost=Decimal("0.5"))

    answer.cost = Decimal("0.6")
    answer.model = "other"

    assert "cost" not in answer
    assert (answer.cost, answer["model"]) == (Decimal("0.6"), "other")


def test_an_unknown_field_about_a_call_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="colour"):
        Completion(RESPONSE, colour="red")


@pytest.mark.parametrize(
    "duplicate",
    [lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy, copy.copy],
    ids=["pickle", "deepcopy", "copy"],
)
def test_a_completion_survives_pickling_and_copying(duplicate: Any) -> None:
    original = completion(cost=Decimal("0.25"), tokens=Usage(output_tokens=1), notes=["a"])

    twin = duplicate(original)

    assert type(twin) is Completion
    assert twin == original
    assert (twin.cost, twin.tokens, twin.notes) == (Decimal("0.25"), Usage(output_tokens=1), ["a"])
    assert twin.choices[0].message.content == "Oslo"


def test_a_deep_copy_shares_nothing() -> None:
    original = completion(notes=["a"])

    twin = copy.deepcopy(original)
    twin.choices[0].message.content = "Bergen"
    twin.notes.append("b")

    assert (original.text, original.notes) == ("Oslo", ["a"])


def test_two_completions_share_no_defaults() -> None:
    completion().notes.append("a")

    assert completion().notes == []


def test_a_completion_is_shown_in_a_line() -> None:
    long = completion()
    long.choices[0].message.content = "x" * 100

    assert repr(completion()) == "<Completion openai/gpt-x live: 'Oslo'>"
    assert len(repr(long)) < 120


def test_a_chunk_has_the_text_of_the_first_choice_only() -> None:
    delta = {"choices": [{"index": 1, "delta": {"content": "b"}}]}

    assert Chunk(attributes(delta)).text == ""
    assert Chunk(attributes({"choices": []})).text == ""
    assert Chunk(attributes({"choices": [{"delta": {"content": "a"}}]})).text == "a"


# plain()


class Colour(enum.StrEnum):
    RED = "red"


class OldColour(str, enum.Enum):  # noqa: UP042 - as people wrote them before Python 3.11
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (numpy.float64(0.5), 0.5),
        (numpy.float32(0.5), 0.5),
        (numpy.int64(7), 7),
        (numpy.bool_(True), True),
        (numpy.str_("a"), "a"),
        (numpy.array(3), 3),
        (Level.HIGH, 3),
        (Colour.RED, "red"),
        (OldColour.RED, "red"),
        ((1, (2,)), [1, [2]]),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
        (collections.OrderedDict(b=1, a=None), {"b": 1, "a": None}),
        ({Colour.RED: 1}, {"red": 1}),
        (AttrDict(a=AttrDict()), {"a": {}}),
        (True, True),
        (None, None),
    ],
    ids=repr,
)
def test_plain_makes_json_types(value: Any, expected: Any) -> None:
    result = plain(value)

    assert result == expected
    assert type(result) is type(expected)
    assert json.loads(json.dumps(result)) == expected


def test_plain_makes_exact_types_of_keys_too() -> None:
    (name,) = plain({Colour.RED: 1})

    assert type(name) is str


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [b"bytes"]}, r"value\.a\[0\]: bytes"),
        ({1: "a"}, "the key 1 is not a string"),
        ([{2}], r"value\[0\]: set"),
        (numpy.array([1, 2]), "ndarray"),
        (..., "ellipsis"),
        (decimal.Decimal(1), "Decimal"),
        (1j, "complex"),
    ],
    ids=repr,
)
def test_plain_says_where_something_has_no_json_form(value: Any, where: str) -> None:
    with pytest.raises(ParameterError, match=where):
        plain(value)


def test_plain_shares_nothing_with_what_the_caller_keeps() -> None:
    mine = {"stop": ["a"], "tools": [{"function": {"name": "f"}}]}

    copied = plain(mine)
    mine["stop"].append("b")
    mine["tools"][0]["function"]["name"] = "g"

    assert copied == {"stop": ["a"], "tools": [{"function": {"name": "f"}}]}


# Request, Transport, Mode


def test_a_request_is_frozen_and_survives_its_dict() -> None:
    request = Request("openai", "gpt-x", [{"role": "user", "content": "a"}], {"seed": 1})

    assert Request.from_dict(request.to_dict()) == request
    assert "endpoint" not in request.to_dict()
    with pytest.raises(AttributeError):
        request.model = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "a"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "x"}]}], "a"),
        ([{"role": "system", "content": "a"}], ""),
        ([{"role": "user", "content": None}], ""),
    ],
)
def test_the_last_text_is_that_of_the_last_person(messages: Any, text: str) -> None:
    assert Request("openai", "gpt-x", messages).last_text == text


def test_a_transport_never_prints_its_key() -> None:
    assert "sk-secret" not in repr(Transport(api_key="sk-secret"))


@pytest.mark.parametrize(
    ("word", "mode"),
    [
        ("replay", Mode.REPLAY),
        (" Capture ", Mode.CAPTURE),
        (Mode.DISABLED, Mode.DISABLED),
        ("HIT_CACHE_OR_ABORT", Mode.REPLAY),
        ("normal", Mode.FALLBACK),
        ("REFRESH_CACHE", Mode.CAPTURE),
        ("DISABLE_CACHE", Mode.DISABLED),
    ],
)
def test_modes_have_old_and_new_names(word: str, mode: Mode) -> None:
    assert Mode.parse(word) is mode


@pytest.mark.parametrize("word", ["", "REPLY", "1", "None"])
def test_another_mode_is_an_error_that_lists_them(word: str) -> None:
    with pytest.raises(ModeError, match="REPLAY, FALLBACK, CAPTURE, DISABLED"):
        Mode.parse(word)


# Usage

COUNTS = st.integers(0, 10**7)


@given(prompt=COUNTS, output=COUNTS, parts=st.tuples(*[COUNTS] * 6))
def test_buckets_sum_to_the_providers_total(prompt: int, output: int, parts: Any) -> None:
    read, write, write_1h, audio, reasoning, output_audio = parts
    usage = Usage.from_openai(
        {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "prompt_tokens_details": {
                "cached_tokens": read,
                "cache_write_tokens": write,
                "cache_write_1h_tokens": write_1h,
                "audio_tokens": audio,
            },
            "completion_tokens_details": {
                "reasoning_tokens": reasoning,
                "audio_tokens": output_audio,
            },
        }
    )

    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (prompt, output)
    assert usage.total_tokens == prompt + output
    assert usage.reasoning_tokens + usage.output_audio_tokens <= output
    assert all(count > 0 for count in usage.to_dict().values())


@pytest.mark.parametrize("usage", [None, {}, {"completion_tokens": 3}, {"prompt_tokens": None}])
def test_usage_that_was_not_told_is_unknown(usage: Any) -> None:
    assert Usage.from_openai(usage) is None
