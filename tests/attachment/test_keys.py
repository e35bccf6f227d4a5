"""In REPLAY, clients can be built without a key; the placeholder is no key and no secret."""

from __future__ import annotations

import os

import pytest

from conftest import OPENAI_KEY
from llm_magic import attach, attachment, complete, config, secrets
from llm_magic.attachment import keys
from llm_magic.exceptions import MissingKeyError
from llm_magic.providers import catalog
from llm_magic.secrets import PLACEHOLDER


def set_mode(mode):
    config.default().set("mode", mode)
    attachment.follow_mode()


def test_a_key_that_is_missing_in_replay_has_a_placeholder_until_detach():
    set_mode("REPLAY")

    with attach():
        held = {name: os.environ.get(f"{name}_API_KEY") for name in ("OPENAI", "ANTHROPIC")}

    assert held == {"OPENAI": PLACEHOLDER, "ANTHROPIC": PLACEHOLDER}
    assert "OPENAI_API_KEY" not in os.environ


def test_a_key_that_is_there_stays(monkeypatch):
    monkeypatch.setenv("GOOGLE_API_KEY", OPENAI_KEY)
    set_mode("REPLAY")

    with attach():
        assert os.environ["GOOGLE_API_KEY"] == OPENAI_KEY
        assert "GEMINI_API_KEY" not in os.environ

    assert os.environ["GOOGLE_API_KEY"] == OPENAI_KEY


def test_a_key_that_was_set_meanwhile_stays(monkeypatch):
    set_mode("REPLAY")

    with attach():
        monkeypatch.setenv("OPENAI_API_KEY", OPENAI_KEY)

    assert os.environ["OPENAI_API_KEY"] == OPENAI_KEY


@pytest.mark.parametrize("mode", ["FALLBACK", "CAPTURE", "DISABLED"])
def test_other_modes_have_no_placeholder(mode):
    set_mode(mode)

    with attach():
        assert "OPENAI_API_KEY" not in os.environ


def test_the_placeholder_follows_the_mode():
    with attach():
        set_mode("REPLAY")
        assert os.environ["OPENAI_API_KEY"] == PLACEHOLDER
        set_mode("FALLBACK")
        assert "OPENAI_API_KEY" not in os.environ


def test_credentials_of_a_cloud_and_servers_of_this_machine_need_none():
    set_mode("REPLAY")

    with attach():
        assert "AWS_BEARER_TOKEN_BEDROCK" not in os.environ
        assert "OLLAMA_API_KEY" not in os.environ


def test_the_placeholder_is_no_secret_and_no_key():
    set_mode("REPLAY")

    with attach():
        secrets.refresh()

        assert PLACEHOLDER not in secrets.known()
        assert not catalog.has_key(catalog.entry("openai"))
        with pytest.raises(MissingKeyError):
            complete("Why?", model="openai/gpt-5-mini", mode="DISABLED")


@pytest.mark.parametrize(
    ("headers", "carried"),
    [
        ({"authorization": f"Bearer {PLACEHOLDER}"}, True),
        ({"x-api-key": PLACEHOLDER}, True),
        ({"authorization": "Bearer sk-1"}, False),
        ({}, False),
    ],
)
def test_a_request_with_the_placeholder_is_told_from_others(headers, carried):
    assert keys.carries_placeholder(headers) is carried


def test_the_placeholder_is_found_in_an_address():
    assert keys.carries_placeholder({}, f"https://example.org/?key={PLACEHOLDER}")
