"""A line of a cassette that somebody edited, in every way: a good answer, or one clear error."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from llm_magic.client import Client
from llm_magic.exceptions import CassetteError, LLMMagicError
from llm_magic.inventory import entries, list_rows
from llm_magic.recordings import key_of
from llm_magic.types import Request

PATH = Path("a.cassette.jsonl")
HEADER = '{"format":"llm-magic cassette","key_schema":1,"notebook":"a.ipynb","version":1}'
GONE = object()
ODD = ["x", "", 5, -1, 1.5, 10**30, True, None, [], {}, [[]], [None], [5], [{}], {"a": []}, GONE]

Step = tuple[str | int, ...]


def messages(number: int) -> list[dict[str, Any]]:
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    text = {"type": "text", "text": f"Why {number}?"}
    return [{"role": "system", "content": "Brief."}, {"role": "user", "content": [text, picture]}]


def record(number: int) -> dict[str, Any]:
    """A recording with everything that one may have."""
    request = {
        "provider": "echo",
        "model": "echo",
        "messages": messages(number),
        "parameters": {"temperature": 0.5},
        "cache_seed": 7,
    }
    function = {"name": "f", "arguments": "{}"}
    message = {
        "role": "assistant",
        "content": "Because.",
        "reasoning_content": "Hm.",
        "tool_calls": [{"id": "c", "type": "function", "function": function}],
    }
    usage = {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {
        "call": "0123456789abcdef",
        "cell": {"id": "c", "line": "%%complete"},
        "closed": False,
        "created": "2026-11-20T00:00:00.000+00:00",
        "instead_of": "0" * 64,
        "key": key_of(Request.from_dict(request)),
        "latency_ms": 1.5,
        "ordinal": 0,
        "prices": {"input_mtok": "1.5", "output_mtok": ["2", [1000, "3"]]},
        "request": request,
        "response": {"id": "x", "model": "echo", "choices": [choice], "usage": usage},
    }


def places(value: Any, at: Step = ()) -> Iterator[Step]:
    """Where a value stands in a recording, of all but its key and ordinal."""
    if at and at[0] not in ("key", "ordinal"):
        yield at
    if isinstance(value, (dict, list)):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*at, name))


def edited(number: int, at: Step, value: Any) -> dict[str, Any]:
    """A recording with another value in one place."""
    whole = part = record(number)
    for step in at[:-1]:
        part = part[step]  # type: ignore[index]
    if value is GONE:
        del part[at[-1]]  # type: ignore[arg-type]
    else:
        part[at[-1]] = copy.deepcopy(value)  # type: ignore[index]
    return whole


EDITED = [
    edited(number, at, value)
    for number, (at, value) in enumerate((at, value) for at in places(record(0)) for value in ODD)
]


def write(*records: dict[str, Any]) -> None:
    lines = (json.dumps(one, sort_keys=True, separators=(",", ":")) for one in records)
    PATH.write_text("\n".join([HEADER, *lines, ""]))
    nbformat.write(nbformat.v4.new_notebook(), "a.ipynb")


def refusals(use: Callable[[int], object], numbers: range) -> list[str]:
    """What is refused; any other error than ours fails the test."""
    told = []
    for number in numbers:
        try:
            use(number)
        except LLMMagicError as error:
            told.append(str(error))
    return told


def test_every_edited_line_gives_an_answer_or_an_error_that_names_it() -> None:
    write(*EDITED)
    client = Client(".", mode="REPLAY")

    def ask(number: int) -> None:
        answer = client.complete(messages(number), model="echo/echo", temperature=0.5, cache_seed=7)
        assert answer.source == "replay"
        str(answer), repr(answer), answer.text, answer.texts, answer.usage, answer.to_dict()

    told = refusals(ask, range(len(EDITED)))
    client.close()

    assert len(EDITED) // 4 < len(told) < len(EDITED)
    # One that was closed early replays as a stream only.
    others = [one for one in told if f"{PATH}:" not in one]
    assert all("no recording for" in one for one in others)
    assert 0 < len(others) < len(ODD)


def test_an_edited_request_with_a_key_of_its_own_is_read_or_refused() -> None:
    keyed = []
    for one in EDITED:
        try:
            key = key_of(Request.from_dict(one["request"]))
        except (LLMMagicError, ValueError, TypeError, KeyError, AttributeError):
            continue
        if key != one["key"]:
            keyed.append({**one, "key": key})
    different = list({one["key"]: one for one in keyed}.values())
    write(*different)
    client = Client(".")

    told = refusals(
        lambda number: client.shelf.find(different[number]["key"], 0, "a"), range(len(different))
    )
    client.close()

    assert len(different) > 100
    assert [one for one in told if f"{PATH}:" not in one] == []


@pytest.mark.parametrize(
    "words",
    [
        ("cassette", "check"),
        ("cassette", "list", "a.ipynb"),
        ("cassette", "diff", "a.ipynb"),
        ("cassette", "save", "a.ipynb"),
        ("pack", "a.ipynb"),
    ],
    ids=lambda words: words[-2] if words[-1] == "a.ipynb" else words[-1],
)
def test_every_command_takes_a_cassette_of_edited_lines(llm_magic, words) -> None:
    write(*EDITED)

    code, _, _ = llm_magic(*words)

    assert code == (1 if words[-1] == "check" else 0)


def test_every_edited_line_is_shown() -> None:
    write(*EDITED)
    client = Client(".")

    found = entries(client.shelf, "a")
    client.close()

    assert len(list_rows(found, "")) == len(found) == len(EDITED)
    assert all("key: " in str(entry) for entry in found)


@pytest.mark.parametrize(
    ("at", "value", "told"),
    [
        (("request", "messages"), "x", "the messages of its request are no list of messages"),
        (("request", "messages"), [[]], "the messages of its request are no list of messages"),
        (("request", "parameters"), "x", "the parameters of its request are no table"),
        (("request",), "x", "its request is no table"),
        (("prices", "input_mtok"), [[]], "its price input_mtok is no amount of money"),
        (("prices", "output_mtok", 1), ["x", "1"], "its price output_mtok is no amount of money"),
    ],
)
def test_what_is_strange_in_a_line_is_said(at, value, told) -> None:
    write(edited(0, at, value))
    client = Client(".", mode="REPLAY")

    with pytest.raises(CassetteError) as refusal:
        client.complete(messages(0), model="echo/echo", temperature=0.5, cache_seed=7)
    client.close()

    assert str(refusal.value).endswith(f"is not one of ours: {told}")
    assert f"{PATH}:2: the recording " in str(refusal.value)
