"""Known key values never get through, and nothing else is touched."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magic import Client, secrets
from llm_magic.recordings import dump_line
from llm_magic.replay import run
from llm_magic.testing import FakeServer

KEY = "sk-test-0123456789abcdef"


def test_a_known_value_is_replaced_by_its_name() -> None:
    secrets.register("OPENAI_API_KEY", KEY)

    assert secrets.redact(f"a {KEY} b {KEY}") == (
        "a {{secret:OPENAI_API_KEY}} b {{secret:OPENAI_API_KEY}}"
    )


def test_what_merely_looks_like_a_key_is_left_alone() -> None:
    secrets.register("OPENAI_API_KEY", KEY)

    assert secrets.redact("sk-proj-9876543210fedcba") == "sk-proj-9876543210fedcba"


@pytest.mark.parametrize("value", [None, "", "ollama", "x" * 15])
def test_placeholders_are_not_secrets(value: str | None) -> None:
    secrets.register("OLLAMA_API_KEY", value)

    assert secrets.known() == {}


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("GROQ_API_KEY", True),
        ("groq_api_key", True),
        ("HF_API_TOKEN", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("SOME_TOKENS", False),
        ("PATH_LIKE", False),
    ],
)
def test_the_environment_is_looked_at_again(
    name: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, KEY)

    secrets.refresh()

    assert (KEY in secrets.known()) is kept


@pytest.mark.parametrize("readable", [True, False])
def test_a_variable_that_changed_is_noticed(
    readable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not readable:
        monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setitem(os.environ, "MYSVC_KEY", "of-yesterday-0123456789")
    secrets.refresh_if_changed()
    monkeypatch.setitem(os.environ, "MYSVC_KEY", KEY)

    secrets.refresh_if_changed()

    assert KEY in secrets.known()


def test_one_variable_in_the_place_of_another_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_WORD", "a word")
    secrets.refresh_if_changed()
    monkeypatch.delenv("SOME_WORD")
    monkeypatch.setenv("MYSVC_KEY", KEY)

    secrets.refresh_if_changed()

    assert KEY in secrets.known()


def test_an_environment_that_did_not_change_is_not_looked_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secrets.refresh_if_changed()
    monkeypatch.setattr(secrets, "refresh", lambda: pytest.fail("it was looked through"))

    secrets.refresh_if_changed()


@pytest.mark.parametrize("order", [0, 1])
def test_a_key_that_begins_like_another_leaves_no_rest(order: int) -> None:
    pairs = [("SHORT_API_KEY", KEY), ("LONG_API_KEY", KEY + "-rest-of-it")]
    for name, value in pairs if order else reversed(pairs):
        secrets.register(name, value)

    assert secrets.redact(KEY + "-rest-of-it") == "{{secret:LONG_API_KEY}}"
    assert secrets.redact(KEY) == "{{secret:SHORT_API_KEY}}"


@pytest.mark.parametrize(
    "value", ['quote"0123456789ab', "back\\slash0123456789", "ümläut-0123456789"]
)
def test_a_value_is_found_in_json_text_too(value: str) -> None:
    secrets.register("ODD_API_KEY", value)

    for text in (json.dumps([value]), dump_line([value])):
        assert secrets.redact(text) == '["{{secret:ODD_API_KEY}}"]'


@given(st.text())
def test_without_a_key_a_text_stays_as_it_is(text: str) -> None:
    assert secrets.redact(text) == text


# Known in time: a key in the prompt is replaced before the request is hashed


@pytest.fixture
def client(server: FakeServer) -> Client:
    return Client(model="openai/gpt-5-mini")


def stored(client: Client) -> str:
    lines = [variant.line for _, _, variant in client.shelf.recordings.all()]
    return "\n".join([*lines, str(client.history.rows())])


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": KEY},
        {"fallbacks": [{"model": "openai/gpt-5", "api_key": KEY}]},
        {"fallbacks": [{"model": "nobody/knows", "api_key": KEY}]},
    ],
)
def test_a_key_of_this_call_that_its_prompt_quotes_is_never_stored(
    client: Client, server: FakeServer, options: dict[str, Any]
) -> None:
    sources = [client.complete(f"Why is {KEY} refused?", **options).source for _ in range(2)]

    assert sources == ["live", "replay"]
    assert "Why is {{secret:" in stored(client)
    assert KEY not in stored(client)


def test_a_key_that_a_cell_changes_and_quotes_is_never_stored(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYSVC_KEY", "of-yesterday-0123456789")
    client.complete("warm up")
    with run("cell"):
        monkeypatch.setenv("MYSVC_KEY", KEY)
        client.complete(f"call it with {KEY}")

    with run("cell"):
        again = client.complete(f"call it with {KEY}")

    assert again.source == "replay"
    assert KEY not in stored(client)
