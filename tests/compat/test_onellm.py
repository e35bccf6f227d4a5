"""OneLLM's client and errors, on ours."""

from __future__ import annotations

import asyncio
import logging
import pickle
from traceback import TracebackException
from typing import Any

import openai
import pytest

from llm_magic import client, exceptions
from llm_magic.compat import onellm
from llm_magic.compat.shapes import AsyncPieces, Pieces
from llm_magic.exceptions import ParameterWarning
from llm_magic.testing import FakeServer

GPT, CLAUDE = "openai/gpt-4o-mini", "anthropic/claude-sonnet-4-6"
TEXT, VECTOR = "openai/gpt-3.5-turbo-instruct", "openai/text-embedding-3-small"
HELLO = [{"role": "user", "content": "hello"}]
SAID = "You said: hello"


pytestmark = pytest.mark.usefixtures("no_waiting")


def ask(*asked: Any, **options: Any) -> Any:
    return onellm.OpenAI().chat.completions.create(*asked, **options)


# Ways to ask


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ((HELLO, GPT), {}),
        ((GPT, HELLO), {}),
        ((GPT,), {"messages": HELLO}),
        ((HELLO,), {"model": GPT}),
        ((), {"messages": HELLO, "model": GPT}),
    ],
)
def test_messages_and_model_come_in_any_order(
    server: FakeServer, asked: tuple[Any, ...], named: dict[str, Any]
) -> None:
    assert ask(*asked, **named).choices[0].message["content"] == SAID
    assert (server.last.body["model"], server.last.body["messages"]) == ("gpt-4o-mini", HELLO)


@pytest.mark.parametrize("asked", [(), (GPT,), (HELLO, GPT, 0.5), (GPT, HELLO, HELLO)])
def test_what_is_missing_or_too_much_is_a_type_error(asked: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=r"create\(\)"):
        ask(*asked)


def test_every_class_has_create_and_acreate(server: FakeServer) -> None:
    async def awaited() -> list[str]:
        async with onellm.AsyncOpenAI() as client:
            answers = [
                await client.chat.completions.create(model=GPT, messages=HELLO),
                await client.chat.completions.acreate(model=GPT, messages=HELLO),
                await onellm.ChatCompletion.acreate(model=GPT, messages=HELLO),
                await onellm.Client().chat.completions.acreate(model=GPT, messages=HELLO),
            ]
            stream = await client.chat.completions.create(GPT, HELLO, stream=True)
            assert isinstance(stream, AsyncPieces)
            texts = [chunk.choices[0].delta["content"] or "" async for chunk in stream]
        return [*(answer.text for answer in answers), "".join(texts)]

    with onellm.OpenAI():
        assert onellm.ChatCompletion.create(GPT, HELLO).text == SAID
    assert asyncio.run(awaited()) == [SAID] * 5
    assert server.count == 1


def test_an_answer_serves_both_styles(server: FakeServer) -> None:
    answer = ask(GPT, HELLO)

    assert (answer.id, answer.created, answer.model) == (answer["id"], 1_700_000_000, "gpt-4o-mini")
    assert answer.choices[0].message.content == answer.choices[0].message["content"]
    assert answer.choices[0].message.get("tool_calls") is None
    assert answer.usage["total_tokens"] == answer.usage.total_tokens


# The constructor


def test_what_the_constructor_is_given_is_used(server: FakeServer) -> None:
    with FakeServer() as other:
        other.hang()
        given = onellm.OpenAI(
            api_key="given-0123456789abcdef", base_url=other.openai_url, timeout=0.3, max_retries=1
        )

        answer = given.chat.completions.create(HELLO, "my-model")

    assert answer.text == SAID
    assert (server.count, other.count) == (0, 2)
    assert other.last.body["model"] == "my-model"
    assert all("given-0123456789abcdef" in seen.headers["authorization"] for seen in other.requests)


def test_a_key_without_an_address_goes_to_openai_alone(
    server: FakeServer, anthropic_server: FakeServer
) -> None:
    given = onellm.OpenAI(api_key="given-0123456789abcdef")
    server.fail(404)

    given.chat.completions.create(GPT, HELLO, fallback_models=[CLAUDE])
    given.chat.completions.create(CLAUDE, HELLO, mode="DISABLED")

    assert "given-0123456789abcdef" in server.last.headers["authorization"]
    assert [seen for seen in anthropic_server.requests if "given" in str(seen.headers)] == []


def test_keys_by_provider_and_keys_by_call(
    server: FakeServer, anthropic_server: FakeServer
) -> None:
    given = onellm.OpenAI(api_key={"anthropic": "claudes-0123456789abc"})
    given.chat.completions.create(CLAUDE, HELLO)
    given.chat.completions.create(GPT, HELLO, api_key="calls-0123456789abcdef")

    assert "claudes-0123456789abc" in str(anthropic_server.last.headers)
    assert "calls-0123456789abcdef" in str(server.last.headers)


def test_what_has_no_meaning_here_is_said() -> None:
    with pytest.warns(ParameterWarning, match="organization= has no meaning here"):
        onellm.OpenAI(organization="org-1", project=None)


@pytest.mark.parametrize(
    ("model", "provider"),
    [("gpt-4", "openai"), ("claude-sonnet-4-6", "anthropic"), ("OpenAI/gpt-4", "openai")],
)
def test_bare_names_are_of_who_makes_them(server: FakeServer, model: str, provider: str) -> None:
    assert ask(HELLO, model).provider == provider


# Streams


def test_a_chunk_serves_all_three_styles(server: FakeServer) -> None:
    stream = ask(HELLO, GPT, stream=True)
    assert isinstance(stream, Pieces)

    deltas = [chunk.choices[0].delta for chunk in stream]

    texts = [delta.content or "" for delta in deltas]
    assert texts == [delta.get("content") or "" for delta in deltas]
    assert texts == [delta["content"] or "" for delta in deltas]
    assert "".join(texts) == SAID
    assert stream.completion.usage.total_tokens == 4


# Retries and fallbacks


def test_retries_are_as_many_more_requests(server: FakeServer) -> None:
    for _ in range(3):
        server.fail(503)

    assert ask(GPT, HELLO, retries=3).text == SAID
    assert server.count == 4


def test_retries_do_not_count_against_max_fallbacks(
    server: FakeServer, anthropic_server: FakeServer
) -> None:
    for _ in range(2):
        server.fail(503)

    answer = ask(
        GPT,
        HELLO,
        retries=1,
        fallback_models=[CLAUDE, "nobody/x"],
        fallback_config={"max_fallbacks": 1},
    )

    assert (answer.provider, server.count, anthropic_server.count) == ("anthropic", 2, 1)


def test_a_callback_is_told_of_each_fallback(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[str, str, str]] = []

    def tell(*, primary_model: str, fallback_model: str, error: Exception) -> None:
        told.append((primary_model, fallback_model, type(error).__name__))
        assert isinstance(error, onellm.OneLLMError)

    server.fail(429)
    with caplog.at_level(logging.INFO, "llm_magic.compat.onellm"):
        ask(GPT, HELLO, fallback_models=[CLAUDE], fallback_config={"fallback_callback": tell})

    assert told == [(GPT, CLAUDE, "RateLimitError")]
    assert f"{GPT} failed, asking {CLAUDE}" in caplog.text


@pytest.mark.parametrize("stream", [False, True])
def test_only_errors_that_are_named_fall_back(server: FakeServer, stream: bool) -> None:
    config = {"retriable_errors": [onellm.RateLimitError], "log_fallbacks": False}
    server.fail(429)
    list(ask(GPT, HELLO, fallback_models=[CLAUDE], fallback_config=config, stream=stream))
    assert server.count == 2

    server.fail(503)
    messages = [{"role": "user", "content": "again"}]
    with pytest.raises(onellm.ServiceUnavailableError) as caught:
        list(ask(GPT, messages, fallback_models=[CLAUDE], fallback_config=config, stream=stream))

    assert not isinstance(caught.value, onellm.FallbackExhaustionError)
    assert server.count == 3


@pytest.mark.parametrize("how", ["create", "stream", "acreate", "astream"])
def test_when_all_have_failed_the_error_says_who_was_asked(server: FakeServer, how: str) -> None:
    server.fail(429, message="slow down")
    server.fail(500)
    options = {"fallback_models": [CLAUDE], "retries": 0, "stream": how.endswith("stream")}

    async def awaited() -> None:
        answer = await onellm.AsyncOpenAI().chat.completions.create(GPT, HELLO, **options)
        if how == "astream":
            [_ async for _ in answer]

    with pytest.raises(onellm.FallbackExhaustionError, match="slow down") as caught:
        asyncio.run(awaited()) if how.startswith("a") else list(ask(GPT, HELLO, **options))

    error = caught.value
    assert (error.primary_model, error.fallback_models) == (GPT, [CLAUDE])
    assert error.models_tried == [GPT, CLAUDE]
    assert isinstance(error.original_error, exceptions.RateLimitError)
    assert error.__cause__ is error.original_error
    for kind in (onellm.RateLimitError, exceptions.RateLimitError, openai.RateLimitError):
        assert isinstance(error, kind)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (exceptions.RateLimitError, str(error))


def test_a_failure_that_ends_it_early_is_the_plain_error(server: FakeServer) -> None:
    server.fail(400)

    with pytest.raises(onellm.InvalidRequestError) as caught:
        ask(GPT, HELLO, fallback_models=[CLAUDE])

    assert not isinstance(caught.value, onellm.FallbackExhaustionError)


def test_misuse_of_fallbacks_is_told() -> None:
    with pytest.raises(onellm.InvalidRequestError, match="did you mean max_fallbacks"):
        ask(GPT, HELLO, fallback_config={"max_fallback": 1})
    with pytest.raises(onellm.InvalidRequestError, match="a list of models"):
        ask(GPT, HELLO, fallback_models=CLAUDE)


# Errors


@pytest.mark.parametrize("stream", [False, True])
def test_a_key_is_in_no_variable_that_a_traceback_shows(server: FakeServer, stream: bool) -> None:
    keys = ["clients-0123456789abcdef", "calls-0123456789abcdef"]
    given = onellm.OpenAI(api_key=keys[0])

    for options in ({}, {"api_key": keys[1]}):
        server.fail(400)
        with pytest.raises(onellm.InvalidRequestError) as caught:
            list(given.chat.completions.create(HELLO, GPT, stream=stream, **options))
        traceback = TracebackException.from_exception(caught.value, capture_locals=True)
        ours = [frame.locals for frame in traceback.stack if "llm_magic" in frame.filename]
        assert not any(key in str(ours) for key in keys)
        assert keys[len(options)] in server.last.headers["authorization"]


STATUSES: dict[int, tuple[type[Exception], type[Exception]]] = {
    400: (onellm.InvalidRequestError, exceptions.BadRequestError),
    401: (onellm.AuthenticationError, exceptions.AuthenticationError),
    403: (onellm.PermissionDeniedError, exceptions.PermissionDeniedError),
    404: (onellm.ResourceNotFoundError, exceptions.NotFoundError),
    408: (onellm.RequestTimeoutError, exceptions.ConflictError),
    409: (onellm.APIError, exceptions.ConflictError),
    422: (onellm.InvalidRequestError, exceptions.BadRequestError),
    429: (onellm.RateLimitError, exceptions.RateLimitError),
    500: (onellm.ServiceUnavailableError, exceptions.ServerError),
    502: (onellm.BadGatewayError, exceptions.ServerError),
    503: (onellm.ServiceUnavailableError, exceptions.OverloadedError),
    504: (onellm.RequestTimeoutError, exceptions.ServerError),
    529: (onellm.ServiceUnavailableError, exceptions.OverloadedError),
}


@pytest.mark.parametrize("model", [GPT, CLAUDE])
@pytest.mark.parametrize("status", STATUSES)
def test_an_error_is_of_onellms_class_and_of_ours(
    server: FakeServer, model: str, status: int
) -> None:
    theirs, ours = STATUSES[status]
    server.fail(status, message="no")

    with pytest.raises(theirs) as caught:
        ask(model, HELLO)

    error = caught.value
    assert isinstance(error, ours)
    assert isinstance(error, onellm.OneLLMError)
    assert (error.status_code, error.provider) == (status, model.partition("/")[0])
    assert error.message == str(error)
    assert (error.request_id, error.error_data) == (None, {})


def test_errors_without_an_answer_have_their_classes_too(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(onellm.InvalidModelError, match="Unknown provider: nobody"):
        ask("nobody/x", HELLO)
    with pytest.raises(onellm.AuthenticationError, match="No API key for groq"):
        ask("groq/x", HELLO)
    with pytest.raises(onellm.OneLLMError, match="no recording") as missed:
        ask(GPT, HELLO, mode="REPLAY")
    with pytest.raises(onellm.InvalidRequestError, match="the prompt is empty"):
        ask(GPT, [])
    server.hang()
    with pytest.raises(onellm.RequestTimeoutError):
        ask(GPT, HELLO, timeout=0.3)
    server.close()
    with pytest.raises(onellm.ServiceUnavailableError, match="no connection"):
        ask(GPT, HELLO)

    assert isinstance(missed.value, exceptions.ReplayMissError)
    copy = pickle.loads(pickle.dumps(missed.value))
    assert (type(copy), copy.key) == (exceptions.ReplayMissError, missed.value.key)


def test_their_classes_can_be_raised_by_hand() -> None:
    error = onellm.RateLimitError("no", provider="openai", status_code=429)
    exhausted = onellm.FallbackExhaustionError("all", "a/b", ["c/d"], ["a/b", "c/d"], error)

    assert (error.message, error.provider, error.status_code) == ("no", "openai", 429)
    assert (exhausted.original_error, exhausted.models_tried) == (error, ["a/b", "c/d"])


# The other APIs


def test_completions_are_texts_recorded_and_streamed(server: FakeServer) -> None:
    completions = onellm.OpenAI().completions

    live = completions.create(TEXT, "hello", max_tokens=9, logprobs=1)
    pieces = completions.create(model=TEXT, prompt="hello", max_tokens=9, logprobs=1, stream=True)

    assert (live["object"], live.choices[0].text, live.text) == ("text_completion", SAID, SAID)
    assert live.choices[0].logprobs.tokens == ["You", " said:", " hello"]
    assert "".join(piece.choices[0].text for piece in pieces) == SAID
    assert (server.count, server.last.route) == (1, "POST /v1/completions")
    assert server.last.body["max_tokens"] == 9
    assert [row["api"] for row in client.default().history.rows()] == ["completion"] * 2
    fresh = completions.create(TEXT, "fresh", stream=True)
    assert "".join(piece.choices[0].text for piece in fresh) == "You said: fresh"


def test_embeddings_are_vectors_recorded(server: FakeServer) -> None:
    texts = ["one", "two"]

    live = onellm.OpenAI().embeddings.create(VECTOR, texts)
    again = onellm.Embedding.create(model=VECTOR, input=texts, mode="REPLAY")

    assert [one.index for one in live.data] == [0, 1]
    assert len(live.data[0].embedding) == 8
    assert "choices" not in live
    assert (again, again.source, live.cost is None) == (live, "replay", False)
    assert (server.count, live.usage.total_tokens) == (1, 2)


def test_completions_and_embeddings_are_awaited_too(server: FakeServer) -> None:
    async def awaited() -> tuple[Any, ...]:
        client = onellm.AsyncOpenAI()
        stream = await client.completions.create(TEXT, "hello", stream=True)
        return (
            (await client.completions.create(TEXT, "hello")).choices[0].text,
            (await onellm.Completion.acreate(TEXT, "hello")).choices[0].text,
            "".join([piece.choices[0].text async for piece in stream]),
            (await client.embeddings.create(VECTOR, "hello")).data,
            (await onellm.OpenAI().embeddings.acreate(VECTOR, "hello")).data,
        )

    first, second, third, vector, again = asyncio.run(awaited())

    assert [first, second, third] == [SAID] * 3
    assert vector == again
    assert server.count == 2


def test_models_are_listed(server: FakeServer) -> None:
    listed = onellm.OpenAI().models.list()
    names = {model.id for model in listed}

    assert {"openai/gpt-4o-mini", "echo/echo"} <= names
    assert (listed.data[0].object, listed.object) == ("model", "list")
    assert {model.id for model in asyncio.run(onellm.AsyncOpenAI().models.list())} == names


def test_the_messages_are_not_changed_and_the_text_is_as_it_was_written(server: FakeServer) -> None:
    text = "«un»\u00a0deux\u200d “trois”  \n"
    server.reply(text)
    messages = [{"role": "system", "content": "JSON"}, *HELLO]

    answer = ask(GPT, messages, response_format={"type": "json_object"})

    assert answer.choices[0].message["content"] == text
    assert messages == [{"role": "system", "content": "JSON"}, *HELLO]
