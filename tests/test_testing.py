from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import anthropic
import openai
import pytest

from llm_magic.testing import FakeServer, SeenRequest

KEY = "fake-key-for-tests-of-the-server"
PROMPT = "How are you?"
TIMEOUT = 10.0
PROJECT = Path(__file__).parent.parent


class Heard(NamedTuple):
    """What a caller made of an answer, whichever SDK it used."""

    text: str
    finish_reason: str | None
    input_tokens: int | None
    output_tokens: int | None


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def openai_client(server: FakeServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(**openai_options(server)) as client:
        yield client


@pytest.fixture
def anthropic_client(server: FakeServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(**anthropic_options(server)) as client:
        yield client


def openai_options(server: FakeServer, timeout: float = TIMEOUT) -> dict[str, Any]:
    url = server.openai_url
    return {"base_url": url, "api_key": KEY, "max_retries": 0, "timeout": timeout}


def anthropic_options(server: FakeServer, timeout: float = TIMEOUT) -> dict[str, Any]:
    return {**openai_options(server, timeout), "base_url": server.anthropic_url}


def chat(prompt: str = PROMPT, **parameters: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": prompt}], **parameters}


def chat_stream(prompt: str = PROMPT) -> dict[str, Any]:
    return chat(prompt, stream=True, stream_options={"include_usage": True})


def messages(prompt: str = PROMPT, **parameters: Any) -> dict[str, Any]:
    return chat(prompt, max_tokens=100, **parameters)


def heard_completion(completion: Any) -> Heard:
    choice, usage = completion.choices[0], completion.usage
    return Heard(
        choice.message.content, choice.finish_reason, usage.prompt_tokens, usage.completion_tokens
    )


def heard_chunks(chunks: list[Any]) -> Heard:
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    reasons = [choice.finish_reason for choice in choices if choice.finish_reason]
    usage = chunks[-1].usage
    return Heard(
        "".join(choice.delta.content or "" for choice in choices),
        reasons[0] if reasons else None,
        usage and usage.prompt_tokens,
        usage and usage.completion_tokens,
    )


def heard_message(message: Any) -> Heard:
    text = "".join(block.text for block in message.content if block.type == "text")
    usage = message.usage
    return Heard(text, message.stop_reason, usage.input_tokens, usage.output_tokens)


def openai_whole(server: FakeServer, prompt: str = PROMPT, timeout: float = TIMEOUT) -> Heard:
    with openai.OpenAI(**openai_options(server, timeout)) as client:
        return heard_completion(client.chat.completions.create(**chat(prompt)))


def openai_stream(server: FakeServer, prompt: str = PROMPT, timeout: float = TIMEOUT) -> Heard:
    with (
        openai.OpenAI(**openai_options(server, timeout)) as client,
        client.chat.completions.create(**chat_stream(prompt)) as stream,
    ):
        return heard_chunks(list(stream))


def openai_async(server: FakeServer, prompt: str = PROMPT, timeout: float = TIMEOUT) -> Heard:
    async def ask() -> Heard:
        async with openai.AsyncOpenAI(**openai_options(server, timeout)) as client:
            return heard_completion(await client.chat.completions.create(**chat(prompt)))

    return asyncio.run(ask())


def openai_async_stream(
    server: FakeServer, prompt: str = PROMPT, timeout: float = TIMEOUT
) -> Heard:
    async def ask() -> Heard:
        async with (
            openai.AsyncOpenAI(**openai_options(server, timeout)) as client,
            await client.chat.completions.create(**chat_stream(prompt)) as stream,
        ):
            return heard_chunks([chunk async for chunk in stream])

    return asyncio.run(ask())


def anthropic_whole(server: FakeServer, prompt: str = PROMPT, timeout: float = TIMEOUT) -> Heard:
    with anthropic.Anthropic(**anthropic_options(server, timeout)) as client:
        return heard_message(client.messages.create(**messages(prompt)))


def anthropic_stream(server: FakeServer, prompt: str = PROMPT, timeout: float = TIMEOUT) -> Heard:
    with (
        anthropic.Anthropic(**anthropic_options(server, timeout)) as client,
        client.messages.stream(**messages(prompt)) as stream,
    ):
        return heard_message(stream.get_final_message())


def anthropic_async(server: FakeServer, prompt: str = PROMPT, timeout: float = TIMEOUT) -> Heard:
    async def ask() -> Heard:
        async with anthropic.AsyncAnthropic(**anthropic_options(server, timeout)) as client:
            return heard_message(await client.messages.create(**messages(prompt)))

    return asyncio.run(ask())


def anthropic_async_stream(
    server: FakeServer, prompt: str = PROMPT, timeout: float = TIMEOUT
) -> Heard:
    async def ask() -> Heard:
        async with (
            anthropic.AsyncAnthropic(**anthropic_options(server, timeout)) as client,
            client.messages.stream(**messages(prompt)) as stream,
        ):
            return heard_message(await stream.get_final_message())

    return asyncio.run(ask())


Ask = Callable[..., Heard]
OPENAI = [openai_whole, openai_stream, openai_async, openai_async_stream]
ANTHROPIC = [anthropic_whole, anthropic_stream, anthropic_async, anthropic_async_stream]
SYNC = [openai_whole, openai_stream, anthropic_whole, anthropic_stream]
STREAMS = [openai_stream, openai_async_stream, anthropic_stream, anthropic_async_stream]

every_caller = pytest.mark.parametrize("ask", OPENAI + ANTHROPIC, ids=lambda ask: ask.__name__)
sync_caller = pytest.mark.parametrize("ask", SYNC, ids=lambda ask: ask.__name__)
every_stream = pytest.mark.parametrize("ask", STREAMS, ids=lambda ask: ask.__name__)


def port(server: FakeServer) -> int:
    return int(server.url.rpartition(":")[2])


def post(server: FakeServer, path: str, body: Any, **headers: str) -> tuple[int, str]:
    """One request without an SDK, to see the bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", port(server), timeout=TIMEOUT)
    try:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request("POST", path, data, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


class TestReplies:
    @every_caller
    def test_a_scripted_reply_arrives_with_its_reason_and_usage(
        self, server: FakeServer, ask: Ask
    ) -> None:
        server.reply("Fine, thanks.", usage=(7, 3))

        heard = ask(server)

        stop = "stop" if ask in OPENAI else "end_turn"
        assert heard == Heard("Fine, thanks.", stop, 7, 3)

    @sync_caller
    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "one",
            "  leading, trailing \n\n",
            "a\tb\r\nc\x0bd",
            "# Grüße 你好 🧑‍🚀\n\n```py\nx = 1\n```\n",
            "a\u2028b\u0085c\u00a0d",
            "data: [DONE]\n\nevent: error",
        ],
    )
    def test_the_text_arrives_byte_for_byte(self, server: FakeServer, ask: Ask, text: str) -> None:
        server.reply(text)

        assert ask(server).text == text

    def test_a_stream_has_a_delta_for_each_word(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        server.reply("one two  three\n")

        stream = list(openai_client.chat.completions.create(**chat(stream=True)))

        deltas = [chunk.choices[0].delta.content for chunk in stream]
        assert deltas == ["", "one", " two", "  three", "\n", None]

    def test_replies_are_used_in_order_whatever_the_dialect(self, server: FakeServer) -> None:
        for text in ["first", "second", "third"]:
            server.reply(text)

        heard = [ask(server).text for ask in (openai_whole, anthropic_stream, openai_stream)]

        assert heard == ["first", "second", "third"]

    @sync_caller
    def test_without_a_script_the_question_comes_back(self, server: FakeServer, ask: Ask) -> None:
        heard = ask(server, "How are you?")

        assert heard.text == "You said: How are you?"
        assert (heard.input_tokens, heard.output_tokens) == (3, 5)

    def test_the_default_may_be_a_text(self) -> None:
        with FakeServer(default="Always this.") as server:
            assert openai_whole(server).text == "Always this."

    def test_the_default_may_be_a_function_of_the_body(self) -> None:
        with FakeServer(default=lambda body: body["model"].upper()) as server:
            assert anthropic_whole(server).text == "M"

    def test_a_default_that_raises_is_told_to_the_client(self) -> None:
        with (
            FakeServer(default=lambda body: body["no such key"]) as server,
            pytest.raises(openai.InternalServerError, match="no such key"),
        ):
            openai_whole(server)

    def test_the_echo_reads_the_text_parts_of_the_last_user_message(
        self, server: FakeServer
    ) -> None:
        picture = {"type": "image_url", "image_url": {"url": "data:,"}}
        parts = [{"type": "text", "text": "Look"}, picture, {"type": "text", "text": "here"}]
        conversation = [
            {"role": "user", "content": "before"},
            {"role": "user", "content": parts},
            {"role": "assistant", "content": "after"},
        ]

        _, body = post(server, "/v1/chat/completions", {"messages": conversation})

        assert json.loads(body)["choices"][0]["message"]["content"] == "You said: Look\nhere"

    @pytest.mark.parametrize("body", [{}, {"messages": "no list"}, {"messages": [None, 3]}])
    def test_strange_messages_are_no_error(self, server: FakeServer, body: Any) -> None:
        status, _ = post(server, "/v1/messages", {"model": "m", **body})

        assert status == 200

    @pytest.mark.parametrize(
        ("said", "openai_reason", "anthropic_reason"),
        [
            ("stop", "stop", "end_turn"),
            ("length", "length", "max_tokens"),
            ("tool_calls", "tool_calls", "tool_use"),
            ("content_filter", "content_filter", "refusal"),
            ("pause_turn", "pause_turn", "pause_turn"),
        ],
    )
    def test_finish_reasons_are_translated(
        self, server: FakeServer, said: str, openai_reason: str, anthropic_reason: str
    ) -> None:
        for _ in SYNC:
            server.reply("x", finish_reason=said)

        heard = [ask(server).finish_reason for ask in SYNC]

        assert heard == [openai_reason, openai_reason, anthropic_reason, anthropic_reason]

    def test_the_model_is_the_one_asked_or_the_one_scripted(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        server.reply("x")
        server.reply("x", model="m-2026-01-01")

        models = [openai_client.chat.completions.create(**chat()).model for _ in range(2)]

        assert models == ["m", "m-2026-01-01"]

    def test_headers_are_sent_beside_those_of_the_provider(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        server.reply("x", headers={"X-RateLimit-Remaining": "41"})

        response = openai_client.chat.completions.with_raw_response.create(**chat())

        assert response.headers["x-ratelimit-remaining"] == "41"
        assert response.headers["x-request-id"] == "req_fake_1"

    def test_one_text_is_repeated_for_n_choices(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        server.reply("same")

        choices = openai_client.chat.completions.create(**chat(n=3)).choices

        assert [(c.index, c.message.content) for c in choices] == [(i, "same") for i in range(3)]

    def test_a_list_of_texts_is_a_list_of_choices(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        server.reply(["heads up", "tails"])
        server.reply(["heads up", "tails"])

        whole = openai_client.chat.completions.create(**chat(n=2))
        stream = list(openai_client.chat.completions.create(**chat(n=2, stream=True)))

        assert [choice.message.content for choice in whole.choices] == ["heads up", "tails"]
        texts = ["", ""]
        for chunk in stream:
            texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
        assert texts == ["heads up", "tails"]
        assert sum(chunk.choices[0].finish_reason == "stop" for chunk in stream) == 2

    def test_answers_are_the_same_bytes_in_every_run(self) -> None:
        bodies = []
        for _ in range(2):
            with FakeServer() as server:
                bodies.append([post(server, path, chat()) for path in PATHS])

        assert bodies[0] == bodies[1]


class TestUsage:
    def test_a_dict_is_laid_over_the_counted_usage_of_openai(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        details = {"prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens": 9}
        server.reply("one two", usage=details)

        usage = openai_client.chat.completions.create(**chat()).usage

        assert usage is not None
        assert usage.to_dict() == {"prompt_tokens": 3, "total_tokens": 12, **details}

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_dict_is_laid_over_the_counted_usage_of_anthropic(
        self, server: FakeServer, anthropic_client: anthropic.Anthropic, stream: bool
    ) -> None:
        server.reply("one two", usage={"cache_read_input_tokens": 50})

        if stream:
            with anthropic_client.messages.stream(**messages()) as events:
                usage = events.get_final_message().usage
        else:
            usage = anthropic_client.messages.create(**messages()).usage

        counts = (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens)
        assert counts == (3, 50, 2)

    def test_no_usage_is_sent_when_none_is_asked(
        self,
        server: FakeServer,
        openai_client: openai.OpenAI,
        anthropic_client: anthropic.Anthropic,
    ) -> None:
        for _ in range(4):
            server.reply("x", usage=None)

        completion = openai_client.chat.completions.create(**chat())
        chunks = list(openai_client.chat.completions.create(**chat_stream()))
        _, body = post(server, "/v1/messages", messages())
        with anthropic_client.messages.stream(**messages()) as stream:
            message = stream.get_final_message()

        assert completion.usage is None
        assert all(chunk.usage is None and chunk.choices for chunk in chunks)
        assert "usage" not in json.loads(body)
        assert message.usage.to_dict() in ({}, {"output_tokens": None})

    def test_the_usage_chunk_of_a_stream_comes_only_when_asked_for(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        plain = list(openai_client.chat.completions.create(**chat(stream=True)))
        with_usage = list(openai_client.chat.completions.create(**chat_stream()))

        assert all(chunk.choices for chunk in plain)
        assert with_usage[-1].choices == []
        assert with_usage[-1].usage is not None
        assert [chunk.usage for chunk in with_usage[:-1]] == [None] * (len(with_usage) - 1)

    def test_system_text_is_counted(self, server: FakeServer) -> None:
        _, body = post(server, "/v1/messages", messages(system="Be very brief"))

        assert json.loads(body)["usage"]["input_tokens"] == 6


WEATHER = {"name": "weather", "arguments": {"city": "Tromsø", "days": [1, 2]}}


class TestToolCalls:
    def test_openai_calls_come_whole(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        server.reply(tool_calls=[WEATHER, {"name": "now", "id": "call_7"}])

        choice = openai_client.chat.completions.create(**chat()).choices[0]

        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None
        weather, now = choice.message.tool_calls or []
        assert weather.type == now.type == "function"
        assert json.loads(weather.function.arguments) == WEATHER["arguments"]
        assert (now.id, now.function.name, now.function.arguments) == ("call_7", "now", "{}")

    def test_openai_calls_come_in_pieces(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        server.reply("Let me look.", tool_calls=[WEATHER])

        with openai_client.chat.completions.stream(**chat()) as stream:
            choice = stream.get_final_completion().choices[0]

        assert choice.message.content == "Let me look."
        (call,) = choice.message.tool_calls or []
        assert call.function.name == "weather"
        assert json.loads(call.function.arguments) == WEATHER["arguments"]

    @pytest.mark.parametrize("arguments", [WEATHER["arguments"], json.dumps(WEATHER["arguments"])])
    @pytest.mark.parametrize("stream", [False, True])
    def test_anthropic_calls_are_blocks(
        self,
        server: FakeServer,
        anthropic_client: anthropic.Anthropic,
        stream: bool,
        arguments: Any,
    ) -> None:
        server.reply("Let me look.", tool_calls=[{"name": "weather", "arguments": arguments}])

        if stream:
            with anthropic_client.messages.stream(**messages()) as events:
                message = events.get_final_message()
        else:
            message = anthropic_client.messages.create(**messages())

        text, call = message.content
        assert message.stop_reason == "tool_use"
        assert (text.type, call.type) == ("text", "tool_use")
        assert call.to_dict()["input"] == WEATHER["arguments"]

    def test_broken_arguments_are_sent_as_they_stand(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        server.reply(tool_calls=[{"name": "weather", "arguments": '{"city": "Tro'}])

        choice = openai_client.chat.completions.create(**chat()).choices[0]

        (call,) = choice.message.tool_calls or []
        assert call.function.arguments == '{"city": "Tro'


class TestReasoning:
    def test_openai_compatible_servers_send_a_field(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        server.reply("Four.", reasoning="Two and two.")
        server.reply("Four.", reasoning="Two and two.")

        whole = openai_client.chat.completions.create(**chat())
        stream = list(openai_client.chat.completions.create(**chat(stream=True)))

        message = whole.choices[0].message
        assert message.to_dict()["reasoning_content"] == "Two and two."
        deltas = [chunk.choices[0].delta.to_dict() for chunk in stream]
        assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "Two and two."
        assert whole.usage is not None
        assert whole.usage.completion_tokens == 4
        assert whole.usage.completion_tokens_details is not None
        assert whole.usage.completion_tokens_details.reasoning_tokens == 3

    @pytest.mark.parametrize("stream", [False, True])
    def test_anthropic_sends_a_thinking_block(
        self, server: FakeServer, anthropic_client: anthropic.Anthropic, stream: bool
    ) -> None:
        server.reply("Four.", reasoning="Two and two.")

        if stream:
            with anthropic_client.messages.stream(**messages()) as events:
                message = events.get_final_message()
        else:
            message = anthropic_client.messages.create(**messages())

        thinking, text = message.content
        assert thinking.to_dict() == {
            "type": "thinking",
            "thinking": "Two and two.",
            "signature": "fake",
        }
        assert text.to_dict() == {"type": "text", "text": "Four."}
        assert message.usage.output_tokens == 4


class TestLogprobs:
    def test_openai_sends_those_of_every_word_where_they_are_asked_for(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        server.reply(["It is", "No"])
        server.reply("It is")
        asked = chat(logprobs=True, top_logprobs=2)

        whole = openai_client.chat.completions.create(**asked)
        stream = list(openai_client.chat.completions.create(**asked, stream=True))

        first, second = (choice.logprobs.content for choice in whole.choices)
        assert [token.token for token in first] == ["It", " is"]
        assert [[top.token for top in token.top_logprobs] for token in second] == [["No", "No?"]]
        assert second[0].logprob == second[0].top_logprobs[0].logprob
        assert second[0].logprob > second[0].top_logprobs[1].logprob
        logprobs = [chunk.choices[0].logprobs for chunk in stream]
        assert [token for some in logprobs if some for token in some.content] == first

    def test_nobody_gets_them_unasked(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        assert openai_client.chat.completions.create(**chat()).choices[0].logprobs is None


class TestOtherAPIs:
    @pytest.mark.parametrize("stream", [False, True])
    def test_the_older_completions_are_answered(self, server: FakeServer, stream: bool) -> None:
        server.reply("Oslo it is", finish_reason="length")

        with openai.OpenAI(**openai_options(server)) as client:
            asked: dict[str, Any] = {"model": "m", "prompt": "The capital", "logprobs": 1}
            answer = client.completions.create(**asked, stream=stream)
            pieces = list(answer) if stream else [answer]

        choices = [piece.choices[0] for piece in pieces]
        assert "".join(choice.text for choice in choices) == "Oslo it is"
        assert choices[-1].finish_reason == "length"
        tokens = [token for one in choices if one.logprobs for token in one.logprobs.tokens]
        assert tokens == ["Oslo", " it", " is"]

    def test_several_prompts_have_answers_each(self, server: FakeServer) -> None:
        with openai.OpenAI(**openai_options(server)) as client:
            answer = client.completions.create(model="m", prompt=["one", "two"], n=2)

        assert len(answer.choices) == 4
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (2, 16)

    @pytest.mark.parametrize("form", [{}, {"encoding_format": "float"}])
    def test_embeddings_depend_on_the_text_alone(
        self, server: FakeServer, form: dict[str, Any]
    ) -> None:
        texts = ["a red boat", "a blue boat", "tax law", "a red boat", ""]

        with openai.OpenAI(**openai_options(server)) as client:
            answer = client.embeddings.create(model="m", input=texts, dimensions=32, **form)

        red, blue, tax, again, empty = (item.embedding for item in answer.data)
        assert red == again
        assert {len(vector) for vector in (red, blue, tax, empty)} == {32}
        near, far = (sum(map(float.__mul__, red, other)) for other in (blue, tax))
        assert near > far
        assert sum(number**2 for number in red) == pytest.approx(1)
        assert answer.usage.total_tokens == answer.usage.prompt_tokens == 11

    def test_embeddings_are_not_streamed(self, server: FakeServer) -> None:
        status, body = post(server, "/v1/embeddings", {"input": "x", "stream": True})

        assert (status, "embeddings are not streamed" in body) == (500, True)


class TestFailures:
    @sync_caller
    @pytest.mark.parametrize(
        ("status", "openai_class", "anthropic_class"),
        [
            (400, "BadRequestError", "BadRequestError"),
            (401, "AuthenticationError", "AuthenticationError"),
            (402, "APIStatusError", "PaymentRequiredError"),
            (403, "PermissionDeniedError", "PermissionDeniedError"),
            (404, "NotFoundError", "NotFoundError"),
            (409, "ConflictError", "ConflictError"),
            (422, "UnprocessableEntityError", "UnprocessableEntityError"),
            (429, "RateLimitError", "RateLimitError"),
            (500, "InternalServerError", "InternalServerError"),
            (503, "InternalServerError", "ServiceUnavailableError"),
            (529, "InternalServerError", "OverloadedError"),
        ],
    )
    def test_the_sdk_raises_its_own_class(
        self, server: FakeServer, ask: Ask, status: int, openai_class: str, anthropic_class: str
    ) -> None:
        server.fail(status, message="Not today.")
        module, name = (openai, openai_class) if ask in OPENAI else (anthropic, anthropic_class)

        with pytest.raises(getattr(module, name), match=r"Not today\.") as raised:
            ask(server)

        assert type(raised.value).__name__ == name
        assert raised.value.status_code == status

    @pytest.mark.parametrize(
        ("status", "openai_type", "openai_code", "anthropic_type"),
        [
            (400, "invalid_request_error", None, "invalid_request_error"),
            (401, "invalid_request_error", "invalid_api_key", "authentication_error"),
            (404, "invalid_request_error", "model_not_found", "not_found_error"),
            (418, "server_error", None, "api_error"),
            (429, "requests", "rate_limit_exceeded", "rate_limit_error"),
            (500, "server_error", None, "api_error"),
            (529, "server_error", None, "overloaded_error"),
        ],
    )
    def test_the_error_body_is_that_of_the_provider(
        self,
        server: FakeServer,
        status: int,
        openai_type: str,
        openai_code: str | None,
        anthropic_type: str,
    ) -> None:
        server.fail(status, message="No.")
        server.fail(status, message="No.")

        of_openai, of_anthropic = (json.loads(post(server, path, chat())[1]) for path in PATHS)

        assert of_openai == {
            "error": {"message": "No.", "type": openai_type, "param": None, "code": openai_code}
        }
        assert of_anthropic == {
            "type": "error",
            "error": {"type": anthropic_type, "message": "No."},
            "request_id": "req_fake_2",
        }

    @every_caller
    def test_retry_after_is_a_header(self, server: FakeServer, ask: Ask) -> None:
        server.fail(429, retry_after=7, headers={"X-Other": "1"})
        module: Any = openai if ask in OPENAI else anthropic

        with pytest.raises(module.RateLimitError) as raised:
            ask(server)

        assert raised.value.response.headers["retry-after"] == "7"
        assert raised.value.response.headers["x-other"] == "1"

    def test_code_and_type_are_where_the_sdks_look(self, server: FakeServer) -> None:
        for _ in range(2):
            server.fail(429, code="insufficient_quota", type="insufficient_quota")

        with pytest.raises(openai.RateLimitError) as of_openai:
            openai_whole(server)
        with pytest.raises(anthropic.RateLimitError) as of_anthropic:
            anthropic_whole(server)

        assert (of_openai.value.code, of_openai.value.type) == ("insufficient_quota",) * 2
        assert of_anthropic.value.error_code == "insufficient_quota"
        assert str(of_anthropic.value.type) == "insufficient_quota"

    @every_caller
    def test_after_a_failure_the_next_script_is_played(self, server: FakeServer, ask: Ask) -> None:
        server.fail(500)
        server.reply("better")
        module: Any = openai if ask in OPENAI else anthropic

        with pytest.raises(module.InternalServerError):
            ask(server)

        assert ask(server).text == "better"

    def test_an_error_body_in_openai_is_a_completion_without_choices(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        server.error_body("Upstream is gone.")

        completion = openai_client.chat.completions.create(**chat())

        assert completion.choices is None
        assert completion.to_dict()["error"]["message"] == "Upstream is gone."

    def test_an_error_body_in_anthropic_is_a_message_without_content(
        self, server: FakeServer
    ) -> None:
        server.error_body("Upstream is gone.")

        status, body = post(server, "/v1/messages", messages())

        assert status == 200
        assert json.loads(body)["error"] == {"type": "api_error", "message": "Upstream is gone."}

    @every_stream
    def test_an_error_in_a_stream_is_raised_by_the_sdk(self, server: FakeServer, ask: Ask) -> None:
        server.error_body("Upstream is gone.")
        module: Any = openai if ask in OPENAI else anthropic

        with pytest.raises(module.APIError, match=r"Upstream is gone\."):
            ask(server)


class TestBrokenAnswers:
    @sync_caller
    def test_a_cut_answer_is_a_broken_connection(self, server: FakeServer, ask: Ask) -> None:
        server.cut("one two three four", after=2)

        with pytest.raises(Exception, match=r"Connection error|peer closed connection") as raised:
            ask(server)

        # The Anthropic SDK lets the error of its HTTP library out of a stream.
        expected = "RemoteProtocolError" if ask is anthropic_stream else "APIConnectionError"
        assert type(raised.value).__name__ == expected

    @pytest.mark.parametrize("words", [0, 1, 2, 4, 9])
    def test_a_cut_stream_gives_the_words_before(
        self, server: FakeServer, openai_client: openai.OpenAI, words: int
    ) -> None:
        server.cut("one two three four", after=words)
        stream = openai_client.chat.completions.create(**chat(stream=True))
        chunks: list[Any] = []

        with pytest.raises(openai.APIConnectionError):
            chunks.extend(stream)

        heard = heard_chunks(chunks)
        assert heard.text.split() == ["one", "two", "three", "four"][:words]
        assert heard.finish_reason is None

    def test_a_cut_is_not_a_client_that_left(self, server: FakeServer) -> None:
        server.cut("one two three")

        with pytest.raises(openai.APIConnectionError):
            openai_stream(server)

        assert not server.last.closed_early.is_set()

    @every_caller
    def test_an_unfinished_answer_has_no_finish_reason(self, server: FakeServer, ask: Ask) -> None:
        server.unfinished("The end is")

        heard = ask(server)

        assert heard.text == "The end is"
        assert heard.finish_reason is None

    @pytest.mark.parametrize(
        ("path", "mark"),
        [("/v1/chat/completions", "[DONE]"), ("/v1/messages", "message_stop")],
    )
    def test_an_unfinished_stream_has_no_end_mark(
        self, server: FakeServer, path: str, mark: str
    ) -> None:
        server.reply("The end.")
        server.unfinished("The end is")

        _, whole = post(server, path, chat(stream=True))
        _, unfinished = post(server, path, chat(stream=True))

        assert mark in whole
        assert mark not in unfinished


class TestWaiting:
    @every_caller
    def test_a_hanging_server_times_the_client_out(self, server: FakeServer, ask: Ask) -> None:
        server.hang()
        module: Any = openai if ask in OPENAI else anthropic

        with pytest.raises(module.APITimeoutError):
            ask(server, timeout=0.3)

        server.wait_for(1)
        assert server.last.closed_early.wait(5)

    def test_a_gated_stream_waits_after_its_first_word(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        gate = threading.Event()
        server.reply("one two three", gate=gate)
        heard = []

        for chunk in openai_client.chat.completions.create(**chat(stream=True)):
            if chunk.choices[0].delta.content:
                heard.append(chunk.choices[0].delta.content)
                gate.set()

        assert heard == ["one", " two", " three"]

    def test_a_gated_stream_of_anthropic_waits_after_its_first_word(
        self, server: FakeServer, anthropic_client: anthropic.Anthropic
    ) -> None:
        gate = threading.Event()
        server.reply("one two three", gate=gate)
        heard = []

        with anthropic_client.messages.stream(**messages()) as stream:
            for text in stream.text_stream:
                heard.append(text)
                gate.set()

        assert heard == ["one", " two", " three"]

    @sync_caller
    def test_nobody_is_answered_in_full_before_the_gate_opens(
        self, server: FakeServer, ask: Ask
    ) -> None:
        gate = threading.Event()
        server.reply("one two", gate=gate)

        with ThreadPoolExecutor() as pool:
            answer = pool.submit(ask, server)
            server.wait_for(1)
            assert not answer.done()
            gate.set()

            assert answer.result(TIMEOUT).text == "one two"

    def test_a_gate_that_never_opens_breaks_off(
        self, server: FakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("llm_magic.testing.exchange.WAIT_LIMIT", 0.05)
        server.reply("one two", gate=threading.Event())

        with pytest.raises(openai.APIConnectionError):
            openai_stream(server)

    def test_closing_a_stream_of_openai_is_noticed(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        server.reply("one two three", gate=threading.Event())

        with openai_client.chat.completions.create(**chat(stream=True)) as stream:
            next(iter(stream))

        assert server.last.closed_early.wait(5)

    def test_closing_a_stream_of_anthropic_is_noticed(
        self, server: FakeServer, anthropic_client: anthropic.Anthropic
    ) -> None:
        server.reply("one two three", gate=threading.Event())

        with anthropic_client.messages.stream(**messages()) as stream:
            next(iter(stream.text_stream))

        assert server.last.closed_early.wait(5)

    def test_cancelling_a_task_is_noticed(self, server: FakeServer) -> None:
        server.reply("one two three", gate=threading.Event())

        async def ask_and_cancel() -> None:
            async with openai.AsyncOpenAI(**openai_options(server)) as client:
                task = asyncio.create_task(client.chat.completions.create(**chat()))
                await asyncio.to_thread(server.wait_for, 1)
                task.cancel()
                await asyncio.wait([task])

        asyncio.run(ask_and_cancel())

        assert server.last.closed_early.wait(5)

    def test_a_client_that_leaves_a_long_stream_is_noticed_without_a_gate(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        # More than any socket buffer holds, so that the server cannot have written it all.
        server.reply("word " * 100_000)

        with openai_client.chat.completions.create(**chat(stream=True)) as stream:
            next(iter(stream))

        assert server.last.closed_early.wait(TIMEOUT)

    @every_caller
    def test_a_client_that_heard_everything_did_not_leave_early(
        self, server: FakeServer, ask: Ask
    ) -> None:
        ask(server)
        server.close()

        assert not server.last.closed_early.is_set()

    def test_latency_is_added_to_every_completion(self) -> None:
        with FakeServer(latency=0.05) as server:
            before = time.monotonic()
            openai_whole(server)

        assert time.monotonic() - before >= 0.05


class TestRequests:
    def test_a_request_is_seen_as_it_was_sent(
        self, server: FakeServer, openai_client: openai.OpenAI
    ) -> None:
        before = time.monotonic()

        openai_client.chat.completions.create(**chat(seed=3), extra_headers={"X-Mine": "1"})

        (request,) = server.requests
        assert isinstance(request, SeenRequest)
        assert request is server.last
        assert (request.method, request.path) == ("POST", "/v1/chat/completions")
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["x-mine"] == "1"
        assert request.body["seed"] == 3
        assert json.loads(request.raw) == request.body
        assert before <= request.arrived <= time.monotonic()

    def test_no_key_is_printed(self, server: FakeServer) -> None:
        openai_whole(server)

        assert KEY not in repr(server.requests)
        assert "How are you?" in repr(server.requests)

    def test_clear_forgets_requests_and_scripts(self, server: FakeServer) -> None:
        openai_whole(server)
        server.reply("scripted")

        server.clear()

        assert server.count == 0
        assert server.requests == []
        assert openai_whole(server).text.startswith("You said")

    def test_the_last_of_no_requests_is_an_error(self, server: FakeServer) -> None:
        with pytest.raises(IndexError, match="no request has come yet"):
            server.last  # noqa: B018

    def test_waiting_in_vain_says_how_many_came(self, server: FakeServer) -> None:
        openai_whole(server)

        with pytest.raises(TimeoutError, match="1 of 2 requests"):
            server.wait_for(2, timeout=0.01)

    def test_a_chunked_request_is_read(self, server: FakeServer) -> None:
        body = json.dumps(chat("in pieces")).encode()
        connection = http.client.HTTPConnection("127.0.0.1", port(server), timeout=TIMEOUT)

        connection.request("POST", "/v1/messages", iter([body[:9], body[9:]]), encode_chunked=True)
        answer = json.loads(connection.getresponse().read())
        connection.close()

        assert answer["content"][0]["text"] == "You said: in pieces"


PATHS = ["/v1/chat/completions", "/v1/messages"]


class TestHTTP:
    def test_the_events_of_anthropic_come_in_order(self, server: FakeServer) -> None:
        server.reply("one two", usage=(5, 2))

        _, body = post(server, "/v1/messages", messages(stream=True))

        lines = body.splitlines()
        events = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
        data = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
        assert events == [item["type"] for item in data]
        assert events == [
            "message_start",
            "ping",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
        assert data[0]["message"]["usage"]["input_tokens"] == 5
        assert data[-2]["usage"] == {"output_tokens": 2}

    def test_a_connection_serves_many_requests(self, server: FakeServer) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port(server), timeout=TIMEOUT)
        sockets = set()

        for body in [chat(), chat(stream=True), chat(), b"no JSON"]:
            data = body if isinstance(body, bytes) else json.dumps(body)
            connection.request("POST", "/v1/chat/completions", data)
            connection.getresponse().read()
            sockets.add(connection.sock)
        connection.close()

        assert len(sockets) == 1
        assert None not in sockets

    def test_an_unknown_path_is_a_clear_404(self, server: FakeServer) -> None:
        server.reply("kept for a completion")

        status, body = post(server, "/v1/moderations", chat())

        assert status == 404
        assert "no POST /v1/moderations here" in json.loads(body)["error"]["message"]
        assert openai_whole(server).text == "kept for a completion"

    def test_an_unknown_path_of_anthropic_is_a_not_found_error(
        self, anthropic_client: anthropic.Anthropic
    ) -> None:
        with pytest.raises(anthropic.NotFoundError, match="there are POST") as raised:
            anthropic_client.messages.count_tokens(**chat())

        assert raised.value.type == "not_found_error"

    @pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff"])
    def test_a_body_that_is_no_json_object_is_a_400(self, server: FakeServer, body: bytes) -> None:
        server.reply("kept for a completion")

        status, answer = post(server, "/v1/chat/completions", body)

        assert status == 400
        assert "not a JSON object" in json.loads(answer)["error"]["message"]
        assert server.last.body == {}
        assert server.last.raw == body
        assert openai_whole(server).text == "kept for a completion"

    def test_a_query_is_kept_and_does_not_matter(self, server: FakeServer) -> None:
        status, _ = post(server, "/v1/messages?beta=true", messages())

        assert status == 200
        assert server.last.path == "/v1/messages?beta=true"

    def test_models_are_listed_in_both_dialects(self) -> None:
        with (
            FakeServer(models=["small", "large"]) as server,
            openai.OpenAI(**openai_options(server)) as of_openai,
            anthropic.Anthropic(**anthropic_options(server)) as of_anthropic,
        ):
            names = [[model.id for model in sdk.models.list()] for sdk in (of_openai, of_anthropic)]

        assert names == [["small", "large"]] * 2

    @pytest.mark.parametrize(
        "sent",
        [
            b"",
            b"\x16\x03\x01 hello\r\n\r\n",
            b"POST /v1/messages HTTP/1.1\r\ncontent-le",
            b"POST /v1/messages HTTP/1.1\r\ncontent-length: 9\r\n\r\n{",
            b"POST /v1/messages HTTP/1.1\r\ncontent-length: many\r\n\r\n",
        ],
    )
    def test_what_is_not_a_whole_request_is_hung_up_on(
        self, server: FakeServer, sent: bytes
    ) -> None:
        with socket.create_connection(("127.0.0.1", port(server)), TIMEOUT) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)

            assert client.recv(1) == b""

        assert server.count == 0

    def test_a_client_may_ask_before_it_sends_its_body(self, server: FakeServer) -> None:
        body = json.dumps(messages()).encode()
        head = f"POST /v1/messages HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: {len(body)}"

        with socket.create_connection(("127.0.0.1", port(server)), TIMEOUT) as client:
            client.sendall(f"{head}\r\nconnection: close\r\n\r\n".encode())
            assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(body)

            with client.makefile("rb") as reader:
                assert reader.readline() == b"HTTP/1.1 200 OK\r\n"


class TestConcurrency:
    @sync_caller
    def test_each_of_32_threads_hears_its_own_answer(self, server: FakeServer, ask: Ask) -> None:
        together = threading.Barrier(32)

        def work(number: int) -> str:
            together.wait(TIMEOUT)
            return ask(server, f"number {number}").text

        with ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(work, range(32)))

        assert answers == [f"You said: number {number}" for number in range(32)]

    def test_every_script_is_played_once(self, server: FakeServer) -> None:
        expected = [f"answer {number}" for number in range(32)]
        for text in expected:
            server.reply(text)

        with openai.OpenAI(**openai_options(server)) as client, ThreadPoolExecutor(32) as pool:
            requests = [chat(str(number)) for number in range(32)]
            create = client.chat.completions.create
            heard = list(pool.map(lambda request: create(**request), requests))

        assert sorted(c.choices[0].message.content or "" for c in heard) == sorted(expected)
        texts = {r["messages"][0]["content"]: c for r, c in zip(requests, heard, strict=True)}
        arrived = [r.body["messages"][0]["content"] for r in server.requests]
        assert [texts[prompt].choices[0].message.content for prompt in arrived] == expected


class TestClosing:
    @sync_caller
    def test_close_is_prompt_and_leaves_no_thread(self, ask: Ask) -> None:
        # Other servers may be running, that of the browser tests for one.
        others = set(threading.enumerate())
        with ThreadPoolExecutor() as pool:
            with FakeServer() as server:
                server.hang()
                server.reply("one two", gate=threading.Event())
                waiting = [pool.submit(ask, server) for _ in range(2)]
                server.wait_for(2)
                before = time.monotonic()

            assert time.monotonic() - before < 2
            left = set(threading.enumerate()) - others
            assert not [thread for thread in left if thread.name.startswith("fake-llm")]
            for answer in waiting:
                # Which error it is differs by SDK and by how far the answer had come.
                assert answer.exception(TIMEOUT) is not None

        assert not any(request.closed_early.is_set() for request in server.requests)

    def test_closing_twice_does_no_harm(self) -> None:
        server = FakeServer()
        server.start()

        server.close()
        server.close()

    def test_a_server_that_does_not_run_has_no_address(self) -> None:
        with pytest.raises(RuntimeError, match="with FakeServer"):
            FakeServer().url  # noqa: B018

    def test_a_running_server_cannot_be_started_again(self, server: FakeServer) -> None:
        with pytest.raises(RuntimeError, match="runs already"):
            server.start()

    def test_nothing_is_left_open(self) -> None:
        """Python itself complains about sockets that were not closed."""
        script = """
            import gc, http.client, json
            from llm_magic.testing import FakeServer
            with FakeServer() as server:
                server.cut("one two")
                for _ in range(2):
                    client = http.client.HTTPConnection(server.url.removeprefix("http://"))
                    client.request("POST", "/v1/messages", json.dumps({"stream": True}))
                    try:
                        client.getresponse().read()
                    except http.client.IncompleteRead:
                        pass
                    client.close()
            del server
            gc.collect()
        """

        done = python("-X", "dev", "-W", "error", "-c", "if 1:" + script)

        assert (done.returncode, done.stderr) == (0, "")


PLUGIN_TEST = """
import os
import openai

def test_the_sdk_finds_the_server(fake_llm):
    fake_llm.reply("Oslo")
    with openai.OpenAI(max_retries=0) as client:
        completion = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "The capital of Norway?"}]
        )
    assert completion.choices[0].message.content == "Oslo"
    assert fake_llm.last.headers["authorization"].startswith("Bearer fake-")

def test_the_environment_is_that_of_the_server(fake_llm):
    assert os.environ["OPENAI_BASE_URL"] == fake_llm.openai_url
    assert os.environ["ANTHROPIC_BASE_URL"] == fake_llm.anthropic_url
    assert len(os.environ["OPENAI_API_KEY"]) >= 16
    assert len(os.environ["ANTHROPIC_API_KEY"]) >= 16
    assert os.environ["NO_PROXY"].split(",")[0] == "127.0.0.1"
    assert fake_llm.count == 0

def test_and_is_restored_afterwards():
    assert "OPENAI_BASE_URL" not in os.environ
"""


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if "OPENAI" not in name}
    environment = {**kept, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, **options
    )


class TestPlugin:
    def test_the_fixture_points_the_sdks_to_a_server(self, tmp_path: Path) -> None:
        (tmp_path / "test_app.py").write_text(PLUGIN_TEST)
        plugin = ["-p", "no:llm_magic", "-p", "llm_magic.testing.plugin"]

        done = python("-X", "dev", "-m", "pytest", "-q", "-W", "error", *plugin, cwd=tmp_path)

        assert "3 passed" in done.stdout, done.stdout + done.stderr

    def test_loading_it_does_not_load_the_server(self) -> None:
        code = (
            "import sys, llm_magic.testing.plugin; "
            "print([name for name in sys.modules if name.startswith('llm_magic.testing.')])"
        )

        done = python("-c", code)

        assert done.stdout.strip() == "['llm_magic.testing.plugin']", done.stderr
