"""The key of a request over HTTP: all of the body, and little else."""

from __future__ import annotations

import pytest

from llm_magic import media
from llm_magic.attachment import asked, endpoints
from llm_magic.recordings import key_of
from llm_magic.types import Request

CHAT = "https://api.openai.com/v1/chat/completions"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/g:generateContent"
BODY = {"model": "m", "messages": [{"role": "user", "content": "Why?"}]}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def request(url=CHAT, headers=(), body=BODY):
    return asked.request_of(endpoints.find(url), url, dict(headers), body)


@pytest.mark.parametrize(
    "change",
    [
        {"body": {**BODY, "stream": True}},
        {"body": {**BODY, "stream": False}},
        {"body": {**BODY, "stream_options": {"include_usage": True}}},
        {"body": {**BODY, "metadata": {"topic": "sky"}}},
        {"body": {**BODY, "temperature": 0}},
        {"body": {**BODY, "temperature": None}},
        {"body": {**BODY, "model": "n"}},
        {"body": {**BODY, "messages": [{"role": "user", "content": "why?"}]}},
        {"body": {**BODY, "http": {"path": "/chat/completions"}}},
        {"url": "https://api.groq.com/openai/v1/chat/completions"},
        {"url": f"{CHAT}?api-version=2"},
        {"headers": {"openai-beta": "assistants=v2"}},
        {"headers": {"anthropic-version": "2023-06-01"}},
    ],
)
def test_what_may_change_the_answer_changes_the_key(change):
    assert key_of(request(**change)) != key_of(request())


@pytest.mark.parametrize(
    "change",
    [
        {"headers": {"authorization": "Bearer sk-1", "x-stainless-retry-count": "1"}},
        {"headers": {"x-api-key": "sk-2", "user-agent": "me", "openai-organization": "org"}},
        {"url": f"{CHAT}?key=secret"},
        {"body": dict(reversed(BODY.items()))},
    ],
)
def test_who_asks_and_how_does_not(change):
    changed = request(**change)

    assert key_of(changed) == key_of(request())
    assert changed == request()


def test_the_order_of_features_makes_no_difference():
    one = request(headers={"anthropic-beta": "a-1,b-2"})

    assert one == request(headers={"anthropic-beta": "b-2, a-1"})


@pytest.mark.parametrize("given", ["Why?", ["Why?"], [{"role": "user", "content": "Why?"}]])
def test_a_prompt_is_read_by_people_in_whatever_form_it_was_given(given):
    made = request("https://api.openai.com/v1/responses", body={"model": "m", "input": given})

    assert made.last_text == "Why?"


def test_no_two_forms_of_a_prompt_have_one_key():
    forms = ["Why?", ["Why?"], [{"role": "user", "content": "Why?"}], [[1, 2]], [], None]
    url = "https://api.openai.com/v1/responses"

    keys = {key_of(request(url, body={"model": "m", "input": form})) for form in forms}

    assert len(keys) == len(forms)


def test_the_words_and_the_model_of_gemini_are_read():
    made = request(GEMINI, body={"contents": [{"role": "user", "parts": [{"text": "Why?"}]}]})

    assert (made.reference, made.last_text) == ("gemini/g", "Why?")


def test_an_image_is_stored_by_its_digest():
    content = [{"type": "image_url", "image_url": {"url": PIXEL}}]
    made = request(body={"model": "m", "messages": [{"role": "user", "content": content}]})

    stored = {**made.to_dict(), "messages": media.keyed(made.messages)}

    assert PIXEL not in str(stored)
    assert key_of(Request.from_dict(stored)) == key_of(made)


@pytest.mark.parametrize(
    ("url", "body", "stream"),
    [
        (CHAT, {"stream": True}, True),
        (CHAT, {"stream": False}, False),
        (CHAT, {}, False),
        (GEMINI, {}, False),
        (GEMINI.replace(":g", ":streamG") + "?alt=sse", {}, True),
    ],
)
def test_a_stream_is_asked_for_in_the_body_or_in_the_path(url, body, stream):
    assert asked.is_stream(endpoints.find(url), body) is stream
