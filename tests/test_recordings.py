"""Keys tell requests apart, lines keep answers byte for byte, rows know who uses what."""

from __future__ import annotations

import copy
import hashlib
import json
import string
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import assume, given
from hypothesis import strategies as st

from llm_magic import history, media, recordings, secrets
from llm_magic.client import Client
from llm_magic.exceptions import CassetteError, ParameterError, StoreError
from llm_magic.recordings import (
    KEY_SCHEMA,
    NOT_IN_KEY,
    Recording,
    Recordings,
    Variant,
    canonical,
    decimal_text,
    dump_line,
    format_row,
    key_of,
    parse_row,
)
from llm_magic.storage import Store
from llm_magic.testing import FakeServer
from llm_magic.types import AttrDict, Request

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def request(**changes: Any) -> Request:
    fields: dict[str, Any] = {
        "provider": "openai",
        "model": "gpt-x",
        "messages": [{"role": "user", "content": "Why?"}],
        "parameters": {},
        **changes,
    }
    return Request(**fields)


def asked(content: Any) -> Request:
    return request(messages=[{"role": "user", "content": content}])


def with_parameters(**parameters: Any) -> Request:
    return request(parameters=parameters)


# Keys

NEAR_MISSES = {
    "plain": request(),
    "case": asked("why?"),
    "white space": asked("Why? "),
    "two spaces": asked("Why?  "),
    "line end": asked("Why?\n"),
    "composed": asked("é"),
    "decomposed": asked("e\u0301"),
    "parts": asked([{"type": "text", "text": "Why?"}]),
    "role": request(messages=[{"role": "system", "content": "Why?"}]),
    "system": request(messages=[{"role": "system", "content": "a"}, *request().messages]),
    "empty system": request(messages=[{"role": "system", "content": ""}, *request().messages]),
    "name": request(messages=[{"role": "user", "content": "Why?", "name": "a"}]),
    "one": with_parameters(logprobs=1),
    "true": with_parameters(logprobs=True),
    "text one": with_parameters(logprobs="1"),
    "seed 0": with_parameters(seed=0),
    "seed 1": with_parameters(seed=1),
    "temperature 0": with_parameters(temperature=0),
    "temperature 0.1": with_parameters(temperature=0.1),
    "null": with_parameters(temperature=None),
    "top_p 0": with_parameters(top_p=0),
    "tools": with_parameters(tools=[{"a": 1}, {"b": 2}]),
    "tool order": with_parameters(tools=[{"b": 2}, {"a": 1}]),
    "no tools": with_parameters(tools=[]),
    "unknown parameter": with_parameters(something_new=1),
    "endpoint": request(endpoint="http://localhost:8000/v1"),
    "endpoint path": request(endpoint="http://localhost:8000/v2"),
    "endpoint port": request(endpoint="http://localhost:8001/v1"),
    "cache_seed 0": request(cache_seed=0),
    "cache_seed 1": request(cache_seed=1),
    "cache_seed text": request(cache_seed="1"),
    "cache_seed empty": request(cache_seed=""),
    "model": request(model="gpt-X"),
    "model snapshot": request(model="gpt-x-2026-01-01"),
    "provider": request(provider="anthropic"),
    "api": request(api="responses"),
}


def test_near_misses_never_share_a_key() -> None:
    keys = {key_of(one): name for name, one in NEAR_MISSES.items()}

    assert sorted(keys.values()) == sorted(NEAR_MISSES)
    assert all(len(key) == 64 and set(key) <= set(string.hexdigits.lower()) for key in keys)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (with_parameters(temperature=1), with_parameters(temperature=1.0)),
        (with_parameters(seed=10**15), with_parameters(seed=1e15)),
        (with_parameters(top_p=0.0), with_parameters(top_p=-0.0)),
        (with_parameters(a=1, b=2), with_parameters(b=2, a=1)),
        (
            asked([{"type": "text", "text": "a"}]),
            asked([{"text": "a", "type": "text"}]),
        ),
        (asked("é"), asked("\u00e9")),
    ],
)
def test_what_is_equal_in_json_shares_a_key(one: Request, other: Request) -> None:
    assert key_of(one) == key_of(other)


def test_a_key_never_changes_between_versions() -> None:
    """These keys stand in people's cassettes."""
    assert key_of(request()) == ("5378ee1416373ad3b54357e352934b639ee9cabf3e1f9c5551b267b66ab97df1")
    assert key_of(NEAR_MISSES["tools"]) == (
        "a99c3e4e4d7744d0ebf32a6f3eec11783715c6ba49c5be69e3ce4ef9382cb46b"
    )


def test_what_is_not_in_the_key_is_pinned() -> None:
    assert sorted(NOT_IN_KEY) == [
        "api_key",
        "budget_max_tokens",
        "default_headers",
        "extra_headers",
        "extra_query",
        "fallbacks",
        "max_retries",
        "metadata",
        "num_retries",
        "stream",
        "stream_options",
        "timeout",
    ]


@pytest.mark.parametrize("name", sorted(NOT_IN_KEY))
def test_what_cannot_change_the_answer_is_not_in_the_key(name: str) -> None:
    assert key_of(with_parameters(**{name: "anything"})) == key_of(request())


def test_how_a_request_travels_does_not_matter(server: FakeServer) -> None:
    client = Client(".", model="openai/gpt-x")
    first = client.complete("Why?")

    for options in (
        {"timeout": 5},
        {"api_key": "sk-another-0123456789abcdef"},
        {"temperature": None},
        {"api_base": "https://api.openai.com/v1/"},
        {"metadata": {"who": "me"}},
    ):
        assert client.complete("Why?", **options).source == "replay"
    with client.stream("Why?") as stream:
        assert stream.source == "replay"

    assert client.complete("Why?", temperature=0).key != first.key
    assert client.complete("Why?", api_base=server.openai_url).key != first.key
    assert server.count == 3
    client.close()


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**60, -(2**60), 2**53, "\ud83d", {"\ud83d": 1}, [2**70]]
)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(ParameterError, match="cannot be keyed"):
        key_of(with_parameters(value=value))


@given(JSON)
def test_the_fast_canonical_form_is_that_of_the_rfc(value: Any) -> None:
    assert canonical(value).encode() == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "value",
    [
        0.1,
        1e-7,
        1e21,
        1.5e300,
        5e-324,
        123456789.125,
        -0.0,
        2**53 - 1,
        '\u2028\x7f\b\f\n\r\t\0\x1f"\\/<é€😀',
        {"\ue000": 1, "😀": 2, "a": 3},
        AttrDict(b=AttrDict(a=1.0)),
        [[], {}, ""],
    ],
    ids=repr,
)
def test_the_fast_canonical_form_is_right_at_the_edges(value: Any) -> None:
    assert canonical(value).encode() == rfc8785.dumps(value)


REQUESTS = st.fixed_dictionaries(
    {
        "provider": TEXT,
        "model": TEXT,
        "messages": st.lists(st.dictionaries(TEXT, JSON, max_size=3), min_size=1, max_size=2),
        "parameters": st.dictionaries(TEXT, JSON, max_size=3),
        "endpoint": st.none() | TEXT,
        "cache_seed": st.none() | TEXT | st.integers(0, 10),
        "api": TEXT,
    }
)


@given(fields=REQUESTS)
def test_a_key_is_the_hash_of_all_that_is_asked_in_canonical_form(fields: Any) -> None:
    asked = {**fields, "schema": KEY_SCHEMA, "messages": media.keyed(fields["messages"])}
    asked["parameters"] = {
        name: value for name, value in fields["parameters"].items() if name not in NOT_IN_KEY
    }

    assert key_of(Request(**fields)) == hashlib.sha256(rfc8785.dumps(asked)).hexdigest()


@given(fields=REQUESTS, other=REQUESTS, data=st.data())
def test_a_change_of_any_field_changes_the_key(fields: Any, other: Any, data: Any) -> None:
    name = data.draw(st.sampled_from(sorted(fields)))
    changed = {**fields, name: other[name]}
    assume(rfc8785.dumps(changed[name]) != rfc8785.dumps(fields[name]))

    assert key_of(Request(**changed)) != key_of(Request(**fields))


@given(REQUESTS)
def test_a_stored_request_has_the_key_of_the_live_one(fields: Any) -> None:
    live = Request(**fields)

    stored = AttrDict.from_json(dump_line(live.to_dict()))

    assert key_of(Request.from_dict(stored)) == key_of(live)


# No key material


@pytest.mark.parametrize("value", ["sk-known-0123456789abcdef", 'odd"key\\0123456789abcdef'])
def test_no_file_holds_a_known_key(
    value: str, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", value)
    secrets.refresh()
    server.reply(f"Your key is {value}, isn't it?")
    client = Client(".", model="openai/gpt-x")

    first = client.complete(f"My key is {value}", user=value)
    client.shelf.save("analysis") if client.shelf.adopt("analysis") else None
    with pytest.raises(KeyError):
        client.complete(f"Another with {value}", mode="REPLAY")
    again = client.complete(f"My key is {value}", user=value)
    client.close()
    history.close()

    assert first.text == f"Your key is {value}, isn't it?"
    assert again.source == "replay"
    assert again.text == "Your key is {{secret:MY_API_KEY}}, isn't it?"
    assert key_of(asked(value)) == key_of(asked("{{secret:MY_API_KEY}}"))
    forms = [value.encode(), json.dumps(value)[1:-1].encode()]
    files = [path for path in Path().rglob("*") if path.is_file()]
    assert {"analysis.cassette.jsonl", "cache.db", "history.db"} <= {path.name for path in files}
    for path in files:
        assert not [form for form in forms if form in path.read_bytes()], path
    assert b"MY_API_KEY" in Path("analysis.cassette.jsonl").read_bytes()


def test_the_key_of_a_call_is_nowhere(server: FakeServer) -> None:
    value = "sk-argument-0123456789abcdef"
    client = Client(".", model="openai/gpt-x")

    client.complete(f"{value}?", api_key=value)
    client.close()
    history.close()

    assert not [
        path for path in Path().rglob("*") if path.is_file() and value.encode() in path.read_bytes()
    ]


# Lines


def recording(**changes: Any) -> Recording:
    asked_for = changes.pop("asked_for", request())
    fields: dict[str, Any] = {
        "key": key_of(asked_for),
        "ordinal": 0,
        "request": asked_for.to_dict(),
        "response": AttrDict.from_json('{"choices": [{"message": {"content": "Because."}}]}'),
        "call": "0123456789abcdef",
        "created": datetime(2026, 11, 20, 12, 30, 1, 250000, tzinfo=UTC),
        "latency_ms": 812.4,
        **changes,
    }
    return Recording(**fields)


def test_a_line_looks_like_this() -> None:
    line = recording(closed=True, cell={"line": "%%complete"}, prices={"input_mtok": "1"}).to_line()

    assert line == (
        '{"call":"0123456789abcdef","cell":{"line":"%%complete"},"closed":true,'
        '"created":"2026-11-20T12:30:01.250+00:00","key":"' + key_of(request()) + '",'
        '"latency_ms":812.4,"ordinal":0,"prices":{"input_mtok":"1"},'
        '"request":{"api":"chat","messages":[{"content":"Why?","role":"user"}],"model":"gpt-x",'
        '"provider":"openai"},"response":{"choices":[{"message":{"content":"Because."}}]}}'
    )


ANY_TEXT = st.text(st.characters(), max_size=20)
RESPONSES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(content=RESPONSES, extra=st.dictionaries(ANY_TEXT, RESPONSES, max_size=3))
def test_a_line_comes_back_as_the_same_recording(content: Any, extra: Any) -> None:
    response = {**extra, "choices": [{"message": {"content": content}}]}
    # In JSON two halves of a pair that meet are one character.
    response = json.loads(json.dumps(response))
    one = recording(response=AttrDict(response))

    line = one.to_line()
    again = Recording.from_line(line)

    assert "\n" not in line
    assert again == one
    assert again.to_line() == line
    assert line.encode().decode() == line
    again.check()


def test_a_number_that_no_key_may_hold_is_kept_in_an_answer() -> None:
    one = recording(response=AttrDict(choices=[], id=2**70))

    assert Recording.from_line(one.to_line()).response.id == 2**70


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"key": "a"}',
        recording().to_line().replace('"call"', '"cull"'),
        recording().to_line().replace('"2026-11-20', '"yesterday'),
        recording().to_line().replace('"choices":[', '"choices":5,"x":['),
        recording().to_line().replace('"response":', '"response":[],"extra":'),
        recording().to_line()[:-1],
    ],
)
def test_another_line_is_no_recording(line: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Recording.from_line(line)


@pytest.mark.parametrize("place", ["model", "messages", "parameters"])
def test_an_edited_request_does_not_pass_the_check(place: str) -> None:
    edited = copy.deepcopy(recording().request)
    edited[place] = {"model": "gpt-y", "messages": [], "parameters": {"seed": 1}}[place]  # type: ignore[index]

    with pytest.raises(CassetteError, match="edited by hand"):
        recording(request=edited).check()


def test_usage_and_reference_of_a_recording() -> None:
    one = recording(
        response=AttrDict(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 4})
    )

    assert one.usage is not None
    assert (one.usage.total_tokens, one.reference) == (7, "openai/gpt-x")
    assert recording().usage is None


@pytest.mark.parametrize(
    ("value", "text"),
    [("1E+1", "10"), ("0.50", "0.5"), ("1E-7", "0.0000001"), ("100", "100"), ("0", "0")],
)
def test_a_decimal_is_stored_without_an_exponent(value: str, text: str) -> None:
    assert decimal_text(Decimal(value)) == text
    with localcontext(capitals=0):
        assert decimal_text(Decimal(value)) == text


def test_the_time_of_an_answer_is_that_which_is_stored() -> None:
    moment = recordings.now()

    assert datetime.fromisoformat(moment.isoformat(timespec="milliseconds")) == moment


# Rows

KEY = "k" * 64


@pytest.fixture
def rows() -> Iterator[Recordings]:
    store = Store(Path("store"))
    yield Recordings(store)
    store.close()


def users(rows: Recordings, ordinal: int = 0) -> dict[str, dict[str, int | None]]:
    """Who uses which line of a row."""
    return {variant.line: variant.users for variant in rows.variants(KEY, ordinal)}


@given(
    st.lists(
        st.builds(
            Variant,
            st.dictionaries(ANY_TEXT, st.none() | st.integers(0, 99), min_size=1, max_size=3),
            ANY_TEXT.map(dump_line) | st.just(""),
        ),
        max_size=3,
    )
)
def test_a_row_comes_back_as_it_was(variants: list[Variant]) -> None:
    expected = json.loads(json.dumps([variant.users for variant in variants]))

    text = format_row(variants)

    rows = parse_row(text) if text is not None else []
    assert [v.users for v in rows] == expected
    assert [v.line for v in rows] == [v.line for v in variants]


@pytest.mark.parametrize("text", ["nonsense\nnonsense", "5\nline", '["a"]\nline', "[[1,2,3]]\nl"])
def test_a_row_that_is_not_ours_is_an_error(text: str) -> None:
    with pytest.raises(StoreError, match="not one of ours"):
        parse_row(text)


def test_notebooks_keep_their_own_answers(rows: Recordings) -> None:
    rows.put(KEY, 0, "one", "a")
    rows.put(KEY, 0, "two", "b", 3)
    rows.put(KEY, 0, "one", "c")

    assert users(rows) == {"one": {"a": None, "c": None}, "two": {"b": 3}}


def test_a_new_answer_replaces_only_ones_own(rows: Recordings) -> None:
    rows.put(KEY, 0, "one", "a")
    rows.put(KEY, 0, "one", "b", 1)
    rows.put(KEY, 0, "new", "a")

    assert users(rows) == {"new": {"a": None}, "one": {"b": 1}}


def test_the_newest_answer_comes_first(rows: Recordings) -> None:
    rows.put(KEY, 0, "old", "a")
    rows.put(KEY, 0, "new", "b")

    assert [variant.line for variant in rows.variants(KEY, 0)] == ["new", "old"]


def test_saved_is_noted_unless_it_was_replaced_meanwhile(rows: Recordings) -> None:
    rows.put(KEY, 0, "one", "a")
    rows.put(KEY, 1, "newer", "a")

    rows.mark_saved(KEY, 0, "one", "a", 4)
    rows.mark_saved(KEY, 1, "older", "a", 4)
    rows.mark_saved(KEY, 2, "gone", "a", 4)

    assert users(rows) == {"one": {"a": 4}}
    assert users(rows, 1) == {"newer": {"a": None}}
    assert users(rows, 2) == {}


def test_a_row_goes_when_nobody_uses_it(rows: Recordings) -> None:
    rows.put(KEY, 0, "one", "a")
    rows.put(KEY, 0, "one", "b")

    rows.release(KEY, 0, "a")
    assert users(rows) == {"one": {"b": None}}
    rows.release(KEY, 0, "b")
    rows.release(KEY, 0, "nobody")

    assert list(rows.store.items()) == []


def test_rows_are_found_by_key_notebook_and_call(rows: Recordings) -> None:
    rows.put(KEY, 2, recording(call="abc").to_line(), "a")
    rows.put(KEY, 10, "ten", "b")
    rows.put("other", 0, "other", "a")

    assert rows.ordinals(KEY) == [2, 10]
    assert [(key, ordinal) for key, ordinal, _ in rows.used_by("a")] == [(KEY, 2), ("other", 0)]
    found = rows.find_call(KEY, 2, "abc")
    assert found is not None
    assert found.call == "abc"
    assert rows.find_call(KEY, 2, "ab") is None


def test_a_row_with_a_strange_name_is_an_error(rows: Recordings) -> None:
    rows.store.set("answer:what", "is this")

    with pytest.raises(StoreError, match="not ours"):
        list(rows.all())
