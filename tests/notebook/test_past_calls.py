"""Calls of the ledger in words, asked again, and as cells."""

from __future__ import annotations

import pytest

import llm_magic
from llm_magic import client, history
from llm_magic.exceptions import LLMMagicError
from llm_magic.notebook.past_calls import PastCall, chosen

MODEL = "openai/gpt-4o"
WEATHER = {"type": "function", "function": {"name": "weather"}}


@pytest.fixture(autouse=True)
def _server(server):
    """A provider; every test asks it."""


def last():
    """The newest call, and its recording."""
    row = history.default().rows(1)[0]
    return PastCall(row), client.default().shelf.find(row["key"], row["ordinal"], row["notebook"])


def ask(prompt, **options):
    """Ask, and look at the call."""
    llm_magic.complete(prompt, **{"model": MODEL, **options})
    return last()


@pytest.mark.parametrize(
    ("prompt", "options", "cell"),
    [
        ("Why?", {}, "%%complete -m openai/gpt-4o\nWhy?"),
        (
            "Why not?\n\nBecause.",
            {"temperature": 0.2, "max_tokens": 50, "system": "It's short"},
            "%%complete -m openai/gpt-4o -s 'It'\"'\"'s short' --max-tokens 50 -T 0.2\n"
            "Why not?\n\nBecause.",
        ),
        ("Fill {{ in }}", {}, "%%complete -m openai/gpt-4o --raw\nFill {{ in }}"),
        ("<b>bold</b> % $x", {}, "%%complete -m openai/gpt-4o\n<b>bold</b> % $x"),
    ],
)
def test_a_call_as_a_cell_is_exact(prompt, options, cell):
    call, recording = ask(prompt, **options)

    assert call.cell(recording) == (cell, [])


@pytest.mark.parametrize(
    ("prompt", "options"),
    [
        ("It's {{ 1 }} \\{{ 2 }}", {"system": 'Say "no" --out x', "temperature": 0.0}),
        ("  indented\n\n  more", {"max_tokens": 7}),
        ("Why?", {"seed": 3, "stop": ["a b", "it's"], "user": "5", "service_tier": "default"}),
    ],
)
def test_the_cell_asks_the_same(notebook, prompt, options):
    call, recording = ask(prompt, **options)

    notebook.run(call.cell(recording)[0])

    assert last()[0].row["source"] == "replay"
    assert last()[0].row["key"] == call.row["key"]


@pytest.mark.parametrize(
    ("prompt", "options", "missing"),
    [
        ("Why?", {"tools": [WEATHER]}, ["tools"]),
        ("Why?", {"system": "one\ntwo"}, ["the system message: it has several lines"]),
        (
            [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"},
                {"role": "user", "content": "Why?"},
            ],
            {},
            ["the 2 messages before the last one"],
        ),
    ],
)
def test_what_no_cell_says_is_told(prompt, options, missing):
    call, recording = ask(prompt, **options)

    assert call.cell(recording) == (f"%%complete -m {MODEL}\nWhy?", missing)


def test_a_call_asked_again_has_the_same_key():
    call, recording = ask("Why?", temperature=0.3, system="Be brief", cache_seed=4)

    messages, options = call.again(recording)

    assert llm_magic.complete(messages, **options).key == call.row["key"]


def test_a_call_without_a_recording_is_not_asked_again():
    call, recording = ask("Why?", mode="DISABLED")

    with pytest.raises(LLMMagicError, match="nothing is recorded under its key"):
        call.again(recording)


def test_nobody_is_asked_at_an_address_that_a_recording_names(server):
    call, recording = ask("Why?", api_base=server.openai_url, api_key="sk-another-0123456789")

    with pytest.raises(LLMMagicError, match="api_base="):
        call.again(recording)


def test_a_prompt_that_the_ledger_does_not_keep_is_no_cell(monkeypatch):
    monkeypatch.setenv("LLM_MAGIC_HISTORY_TEXT", "off")
    call, _ = ask("Why?", mode="DISABLED")

    with pytest.raises(LLMMagicError, match="history_text"):
        call.cell(None)


def test_a_line_tells_what_there_is_to_know(server):
    server.reply("Because", usage=(10, 20))
    call, _ = ask("Why?")

    assert call.line().startswith("openai/gpt-4o · live · 10 + 20 tokens · $0.000225 · ")


def test_a_replay_costs_nothing_and_saved_something(server):
    server.reply("Because", usage=(10, 20))
    ask("Why?")
    call, _ = ask("Why?")

    assert "replay · 10 + 20 tokens · $0.00 · saved $0.000225" in call.line()


def test_a_failure_says_so(server):
    server.fail(400, message="no")
    with pytest.raises(LLMMagicError):
        ask("Why?")

    assert last()[0].outcome == "error"


@pytest.fixture
def three(server):
    """Three calls: a cheap one, a replay of it, a dear one."""
    server.reply("small", usage=(1, 1))
    server.reply("large", usage=(1000, 1000))
    for prompt in ("apple", "apple", "Banana"):
        ask(prompt)
    return history.default().rows()


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({}, ["Banana", "apple", "apple"]),
        ({"rising": True}, ["apple", "apple", "Banana"]),
        ({"by": "cost"}, ["Banana", "apple", "apple"]),
        ({"by": "outcome"}, ["apple", "Banana", "apple"]),
        ({"by": "tokens", "rising": True}, ["apple", "apple", "Banana"]),
        ({"text": "APPLE"}, ["apple", "apple"]),
        ({"text": "replay"}, ["apple"]),
        ({"text": "large"}, ["Banana"]),
        ({"text": "nowhere"}, []),
    ],
)
def test_calls_are_sorted_and_filtered(three, options, order):
    assert [call.prompt for call in chosen(three, **options)] == order
