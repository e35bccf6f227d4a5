"""Keys are named and never shown."""

from __future__ import annotations

import pytest

from llm_magic import secrets
from llm_magic.verify import leaks

# Put together here, so that no scanner takes this file for a leak.
LOOKING = {
    "Anthropic": "sk-ant-" + "api03-0123456789abcdefghij",
    "OpenRouter": "sk-or-" + "v1-0123456789abcdefghij",
    "OpenAI": "sk-" + "proj-0123456789abcdefghij",
    "Google": "AIza" + "0123456789abcdefghijklmnopqrstuvwxy",
    "Groq": "gsk_" + "0123456789" * 5,
    "Hugging Face": "hf_" + "abcdefghij" * 3,
    "Perplexity": "pplx-" + "0123456789" * 4,
    "xAI": "xai-" + "0123456789" * 4,
    "AWS": "AKIA" + "0123456789ABCDEF",
    "GitHub": "ghp_" + "0123456789" * 3 + "abcdef",
    "Slack": "xoxb-" + "0123456789-0123456789",
    "somebody (PEM)": "-----BEGIN RSA " + "PRIVATE KEY-----",
}


def test_there_is_an_example_of_every_shape():
    assert LOOKING.keys() == leaks.SHAPES.keys()


@pytest.mark.parametrize(("whose", "key"), LOOKING.items())
def test_what_looks_like_a_key_is_named_by_whose_it_is(whose, key):
    text = f'KEY = "{key}" # mine'

    assert leaks.found(text) == [f"something that looks like a key of {whose}"]
    assert leaks.hidden(text) == 'KEY = "{{secret}}" # mine'


@pytest.mark.parametrize(
    "text",
    [
        "task-force-of-the-year-2026-and-more",
        "sk-learn-contrib-packages-and-more",
        "the prefix sk-ant- alone",
        "sk-short1",
        "AKIA is a prefix of Amazon's",
        "-----BEGIN PUBLIC KEY-----",
        "0" * 64,
    ],
)
def test_words_and_digests_are_no_keys(text):
    assert leaks.found(text) == []
    assert leaks.hidden(text) == text


def test_a_known_value_is_named_by_its_variable_and_not_twice():
    secrets.register("OPENAI_API_KEY", LOOKING["OpenAI"])

    assert leaks.found(f"x {LOOKING['OpenAI']} y") == ["the value of OPENAI_API_KEY"]
    assert LOOKING["OpenAI"] not in leaks.hidden(f"x {LOOKING['OpenAI']} y")
