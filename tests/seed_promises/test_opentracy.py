"""What OpenTracy's document promises and OpenTracy does not do: seed-behaviour.md §6, seed 002."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llm_magic.compat import opentracy as ot
from llm_magic.exceptions import MissingKeyError, ProviderError
from llm_magic.testing import FakeServer

GPT, CLAUDE = "openai/gpt-4o-mini", "anthropic/claude-sonnet-4-6"
HELLO = [{"role": "user", "content": "hello"}]

pytestmark = pytest.mark.usefixtures("no_waiting")


@pytest.mark.parametrize(
    ("status", "requests"),
    [(400, 1), (401, 1), (403, 1), (404, 1), (422, 1), (429, 3), (500, 3), (503, 3), (529, 3)],
)
@pytest.mark.parametrize("stream", [False, True])
def test_num_retries_are_for_transient_errors_alone(
    server: FakeServer, status: int, requests: int, stream: bool
) -> None:
    for _ in range(requests):
        server.fail(status, retry_after=0)

    with pytest.raises(ProviderError):
        list(ot.completion(GPT, HELLO, num_retries=2, stream=stream))

    assert server.count == requests


def test_one_retry_is_two_requests(server: FakeServer) -> None:
    server.fail(500)
    server.fail(500)

    with pytest.raises(ProviderError):
        ot.completion(GPT, HELLO, num_retries=1)

    assert server.count == 2


def test_fallbacks_are_asked_for_streams_too_each_with_its_own_key(
    server: FakeServer, anthropic_server: FakeServer
) -> None:
    server.fail(500)

    chunks = ot.completion(
        GPT, HELLO, stream=True, fallbacks=[CLAUDE], api_key="first-0123456789abcdef"
    )

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "You said: hello"
    assert (server.count, anthropic_server.count) == (1, 1)
    assert "first-0123456789abcdef" in server.last.headers["authorization"]
    assert "first" not in str(anthropic_server.last.headers)


def test_routing_is_filled(server: FakeServer) -> None:
    server.fail(500)

    response: Any = ot.completion(GPT, HELLO, fallbacks=[CLAUDE])

    assert response._routing == {"alias": GPT, "selected_model": CLAUDE}


def test_routing_from_the_engine_is_the_documented_error_as_long_as_there_is_no_engine(
    server: FakeServer,
) -> None:
    with pytest.raises(ValueError, match=r"^Cannot resolve provider for model 'openai/gpt-4o-m"):
        ot.completion(GPT, HELLO, force_engine=True)

    assert server.count == 0


@pytest.mark.parametrize("awaited", [False, True])
def test_engine_auto_is_the_documented_error_and_no_provider_is_asked_for_auto(
    server: FakeServer, awaited: bool
) -> None:
    with pytest.raises(ValueError, match=r"^Cannot resolve provider for model 'auto'"):
        asyncio.run(ot.acompletion("auto", HELLO)) if awaited else ot.completion("auto", HELLO)

    assert server.count == 0


@pytest.mark.parametrize("force_direct", [False, True])
def test_anthropic_is_asked_directly_at_its_own_path(
    server: FakeServer, force_direct: bool
) -> None:
    response: Any = ot.completion(CLAUDE, HELLO, force_direct=force_direct)

    assert server.last.route == "POST /v1/messages"
    assert (response._provider, response.text) == ("anthropic", "You said: hello")


@pytest.mark.parametrize(
    ("model", "variable", "path"),
    [
        ("openai.gpt-oss-120b", "AWS_BEDROCK_BASE_URL", "/chat/completions"),
        ("anthropic.claude-opus-5", "ANTHROPIC_BEDROCK_MANTLE_BASE_URL", "/v1/messages"),
    ],
)
def test_bedrock_is_asked_directly(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, model: str, variable: str, path: str
) -> None:
    monkeypatch.setenv(variable, server.url)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-0123456789abcdef")

    response: Any = ot.completion(f"bedrock/{model}", HELLO, force_direct=True)

    assert (server.last.path, server.count) == (path, 1)
    assert "bedrock-0123456789abcdef" in server.last.headers["authorization"]
    assert (response._provider, response.text) == ("bedrock", "You said: hello")


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_acompletion_gives_the_same_shape(server: FakeServer, model: str) -> None:
    async def awaited() -> tuple[Any, list[Any]]:
        response = await ot.acompletion(model, HELLO)
        stream: Any = await ot.acompletion(model, HELLO, stream=True, mode="DISABLED")
        return response, [chunk async for chunk in stream]

    response, chunks = asyncio.run(awaited())
    waited = ot.completion(model, HELLO, mode="DISABLED")
    waited_chunks = list(ot.completion(model, HELLO, stream=True, mode="DISABLED"))

    assert type(response) is type(waited) is ot.ModelResponse
    assert response.keys() == waited.keys()
    assert {type(chunk) for chunk in [*chunks, *waited_chunks]} == {ot.StreamChunk}
    for one, other in zip(chunks, waited_chunks, strict=True):
        assert one.choices == other.choices
    assert chunks[0].choices[0].delta.get("role") == "assistant"


@pytest.mark.parametrize("force_direct", [False, True])
def test_no_api_key_is_the_documented_error_with_force_direct_too(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, force_direct: bool
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")

    with pytest.raises(MissingKeyError, match=r"^No API key for openai"):
        ot.completion(GPT, HELLO, force_direct=force_direct)

    assert server.count == 0


def test_an_unknown_parameter_travels_in_the_body(server: FakeServer) -> None:
    ot.completion(GPT, HELLO, foo={"bar": 1})

    assert server.last.body["foo"] == {"bar": 1}


def test_an_own_server_is_sent_no_key_of_anybodys(server: FakeServer) -> None:
    with FakeServer() as other:
        ot.completion(GPT, HELLO, api_base=other.openai_url)

    assert "sk-test" not in str(other.last.headers)
    assert other.last.body["model"] == "gpt-4o-mini"
