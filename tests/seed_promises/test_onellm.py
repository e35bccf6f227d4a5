"""What OneLLM's document promises and OneLLM does not do: seed-behaviour.md §6, seed 003."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

import llm_magic
from llm_magic.compat.onellm import OpenAI, RequestTimeoutError
from llm_magic.testing import FakeServer

GPT, CLAUDE = "openai/gpt-4o-mini", "anthropic/claude-sonnet-4-6"
HELLO = [{"role": "user", "content": "hello"}]
SAID = "You said: hello"

pytestmark = pytest.mark.usefixtures("no_waiting")


def create(*asked: Any, **options: Any) -> Any:
    return OpenAI().chat.completions.create(*asked, **options)


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_a_stream_is_a_plain_iterator(server: FakeServer, model: str) -> None:
    texts = []
    for chunk in create(model=model, messages=HELLO, stream=True):
        texts.append(chunk.choices[0].delta.content or "")

    assert ("".join(texts), server.count) == (SAID, 1)


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_a_delta_has_get(server: FakeServer, model: str) -> None:
    text = ""
    for chunk in create(model=model, messages=HELLO, stream=True):
        if chunk.choices[0].delta.get("content"):
            text += chunk.choices[0].delta["content"]

    assert text == SAID


@pytest.mark.parametrize("model", [GPT, CLAUDE])
@pytest.mark.parametrize("where", ["call", "client"])
def test_the_timeout_counts(server: FakeServer, model: str, where: str) -> None:
    server.hang()
    given: dict[str, Any] = {"timeout": 0.3}
    client = OpenAI(**given) if where == "client" else OpenAI()
    began = time.monotonic()

    with pytest.raises(RequestTimeoutError):
        client.chat.completions.create(HELLO, model, **(given if where == "call" else {}))

    assert time.monotonic() - began < 10
    assert server.requests[0].closed_early.wait(10)


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_are_in_the_answer(server: FakeServer, stream: bool) -> None:
    options: dict[str, Any] = {"logprobs": True, "top_logprobs": 2, "stream": stream}
    answer = create(HELLO, GPT, **options)
    if stream:
        list(answer)
        answer = answer.completion

    tokens = answer.choices[0].logprobs.content
    assert (server.last.body["logprobs"], server.last.body["top_logprobs"]) == (True, 2)
    assert "".join(token.token for token in tokens) == SAID
    assert all(len(token.top_logprobs) == 2 and token.logprob < 0 for token in tokens)


@pytest.mark.parametrize("asked", [(HELLO, GPT), (GPT, HELLO)])
def test_the_documented_order_of_messages_and_model(
    server: FakeServer, asked: tuple[Any, Any]
) -> None:
    assert create(*asked).choices[0].message["content"] == SAID
    assert (server.last.body["model"], server.last.body["messages"]) == ("gpt-4o-mini", HELLO)


@pytest.mark.parametrize("how", ["create", "stream", "acreate"])
@pytest.mark.parametrize(
    "outage", [408, 429, 500, 502, 503, 504, 529, 401, 404, "hang", "refused", "no key"]
)
def test_an_outage_falls_back(
    server: FakeServer,
    anthropic_server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    outage: int | str,
    how: str,
) -> None:
    if outage == "hang":
        server.hang()
    elif outage == "refused":
        server.close()
    elif outage == "no key":
        monkeypatch.delenv("OPENAI_API_KEY")
    else:
        server.fail(int(outage))
    options: dict[str, Any] = {"fallback_models": ["nobody/x", CLAUDE], "stream": how == "stream"}
    if outage == "hang":
        options["timeout"] = 0.3

    if how == "acreate":
        answer = asyncio.run(OpenAI().chat.completions.acreate(HELLO, GPT, **options))
    else:
        answer = create(HELLO, GPT, **options)
    if how == "stream":
        assert "".join(chunk.choices[0].delta.content or "" for chunk in answer) == SAID
        answer = answer.completion

    assert (answer.provider, answer.text) == ("anthropic", SAID)
    assert server.count == (0 if outage in ("refused", "no key") else 1)
    assert anthropic_server.count == 1
    assert "sk-test-openai" not in str(anthropic_server.last.headers)


# Work in the background: a loop of its own on a thread of its own, never in a caller's.
ON_A_THREAD = {"batch.py: asyncio.run(", "notebook/answering.py: asyncio.run("}


def test_no_call_of_ours_runs_an_event_loop() -> None:
    words = ("asyncio.run(", "nest_asyncio", "run_until_complete", "new_event_loop")
    root = Path(llm_magic.__file__).parent

    found = {
        f"{path.relative_to(root).as_posix()}: {word}"
        for path in root.rglob("*.py")
        for word in words
        if word in path.read_text()
    }

    assert found == ON_A_THREAD
