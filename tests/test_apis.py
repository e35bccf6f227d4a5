"""The APIs beside chat: completions of prompts, and embeddings; recorded and metered as chat is."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from asking import HOWS, ask

from llm_magic import exceptions
from llm_magic.client import Client
from llm_magic.exceptions import ParameterError
from llm_magic.testing import FakeServer

TEXT, VECTOR = "openai/gpt-3.5-turbo-instruct", "openai/text-embedding-3-small"
CLAUDE = "anthropic/claude-sonnet-4-6"
TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}


@pytest.mark.parametrize("how", HOWS)
def test_a_completion_has_text_usage_cost_and_replays_through_every_entry_point(
    client: Client, server: FakeServer, how: str
) -> None:
    server.reply(" upon\n  a time", usage=(4, 3))

    completion = ask(client, how, "Once", model=TEXT, api="completion", max_tokens=5, seed=1)

    seen = server.last
    assert seen.route == "POST /v1/completions"
    assert {"prompt": "Once", "max_tokens": 5, "seed": 1}.items() <= seen.body.items()
    assert "messages" not in seen.body
    assert completion.text == " upon\n  a time"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.tokens is not None
    assert (completion.tokens.input_tokens, completion.tokens.output_tokens) == (4, 3)
    assert completion.cost is not None
    assert completion.cost > 0
    (row,) = client.history.rows()
    assert (row["api"], row["status"], row["prompt"]) == ("completion", "ok", "Once")
    for again in HOWS:
        replay = ask(client, again, "Once", model=TEXT, api="completion", max_tokens=5, seed=1)
        assert (replay.source, replay) == ("replay", completion)
    assert server.count == 1


def test_several_prompts_have_choices_each(client: Client, server: FakeServer) -> None:
    completion = client.complete(["one", "two"], model=TEXT, api="completion", n=2)

    assert server.last.body["prompt"] == ["one", "two"]
    assert len(completion.texts) == 4


@pytest.mark.parametrize("how", ["complete", "acomplete"])
def test_an_embedding_has_a_vector_for_every_text_and_replays(
    client: Client, server: FakeServer, how: str
) -> None:
    texts = ["a red boat", "a blue boat", "tax law"]

    vectors = ask(client, how, texts, model=VECTOR, api="embedding", dimensions=16)

    assert server.last.route == "POST /v1/embeddings"
    assert server.last.body["input"] == texts
    red, blue, tax = (one.embedding for one in vectors.data)
    assert len(red) == 16
    near, far = (sum(map(float.__mul__, red, other)) for other in (blue, tax))
    assert near > far
    assert (vectors.texts, vectors.text) == ([], "")
    assert vectors.cost is not None
    assert vectors.tokens is not None
    assert vectors.cost > 0
    assert (vectors.tokens.input_tokens, vectors.tokens.output_tokens) == (8, 0)
    (row,) = client.history.rows()
    assert (row["api"], row["status"], row["output_tokens"]) == ("embedding", "ok", 0)
    replay = ask(client, how, texts, model=VECTOR, api="embedding", dimensions=16, mode="REPLAY")
    assert (replay.source, replay.saved, replay) == ("replay", vectors.cost, vectors)


def test_the_kind_of_api_is_part_of_the_key(client: Client, server: FakeServer) -> None:
    keys = {client.complete("Hi", model=TEXT, api=api).key for api in ("chat", "completion")}

    assert len(keys) == 2
    assert server.count == 2


@pytest.mark.parametrize("api", ["completion", "embedding"])
def test_anthropic_says_that_it_has_no_such_api_and_the_next_model_is_asked(
    client: Client, server: FakeServer, api: str
) -> None:
    with pytest.raises(exceptions.BadRequestError, match=f"anthropic does not support api='{api}'"):
        client.complete("Hi", model=CLAUDE, api=api)
    assert server.count == 0

    answer = client.complete("Hi", model=CLAUDE, api=api, fallbacks=[VECTOR])

    assert answer.provider == "openai"
    assert (client.history.rows()[0]["status"], client.history.rows()[0]["cost"]) == ("error", "0")


def test_echo_goes_on_with_texts_and_makes_no_vectors(client: Client) -> None:
    assert "Once" in client.complete("Once", model="echo/echo", api="completion").text

    with pytest.raises(ValueError, match="echo does not support api='embedding'"):
        client.complete("Once", model="echo/echo", api="embedding")


def test_too_few_vectors_are_no_answer(client: Client, server: FakeServer) -> None:
    server.error_body("nothing here")
    with pytest.raises(exceptions.ProviderError, match="nothing here"):
        client.complete("Hi", model=VECTOR, api="embedding")

    with pytest.raises(exceptions.ProviderError, match="sent 0 vectors for 1 texts"):
        client.complete("Hi", model=VECTOR, api="embedding", extra_body={"input": []})

    assert list(client.shelf.recordings.all()) == []


def test_texts_and_vectors_go_through_a_cassette(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "analysis.ipynb")
    asked: list[dict[str, Any]] = [
        {"prompt": ["one", "two"], "model": VECTOR, "api": "embedding"},
        {"prompt": "Once", "model": TEXT, "api": "completion", "logprobs": 1},
    ]
    first = Client(".", mode="FALLBACK")
    answers = [first.complete(**options) for options in asked]
    first.shelf.save("analysis")
    first.close()
    shutil.rmtree(".llm_magic/recordings")

    second = Client(".", mode="REPLAY")

    assert [second.complete(**options) for options in asked] == answers
    second.close()


MISUSES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "api": ("hi", {"api": "embeddings"}, "did you mean embedding"),
    "tokens": ([1, 2], {"api": "embedding"}, "a text or a list of texts"),
    "messages": ([{"role": "user", "content": "hi"}], {"api": "completion"}, "list of texts"),
    "empty": (["hi", ""], {"api": "embedding"}, "an empty one cannot be sent"),
    "none": ([], {"api": "embedding"}, "an empty one cannot be sent"),
    "system": ("hi", {"api": "completion", "system": "x"}, r"system= goes with api='chat'"),
    "schema": ("hi", {"api": "completion", "schema": "a int"}, r"schema= goes with api='chat'"),
    "tools": ("hi", {"api": "completion", "tools": [TOOL]}, r"tools= goes with api='chat'"),
}


@pytest.mark.parametrize("case", MISUSES)
def test_misuse_is_told_before_anything_is_sent(
    client: Client, server: FakeServer, case: str
) -> None:
    prompt, options, message = MISUSES[case]

    with pytest.raises(ParameterError, match=message):
        client.complete(prompt, model=TEXT, **options)

    assert server.count == 0


def test_an_embedding_is_not_streamed(client: Client) -> None:
    with pytest.raises(ParameterError, match="does not come in pieces"):
        client.stream("hi", model=VECTOR, api="embedding")


def test_a_fallback_may_have_a_key_and_an_address_of_its_own(
    client: Client, server: FakeServer
) -> None:
    with FakeServer() as other:
        server.fail(404)
        theirs = {"model": "openai/b", "api_key": "theirs-0123456789ab", "api_base": other.url}

        completion = client.complete("Hi", model="openai/a", fallbacks=[theirs])

    assert [attempt["candidate"] for attempt in completion.attempts] == [0, 1]
    assert "theirs-0123456789ab" in other.last.headers["authorization"]
    assert "theirs" not in str(server.last.headers)


def test_on_fallback_is_told_the_error_and_may_end_it(client: Client, server: FakeServer) -> None:
    told: list[tuple[str, str]] = []

    def on_fallback(error: Exception, after: str) -> None:
        told.append((type(error).__name__, after))
        if len(told) == 2:
            raise error

    server.fail(404)
    server.fail(401)
    with pytest.raises(exceptions.AuthenticationError) as caught:
        client.complete(
            "Hi", model="openai/a", fallbacks=["openai/b", "openai/c"], on_fallback=on_fallback
        )

    assert told == [("NotFoundError", "openai/b"), ("AuthenticationError", "openai/c")]
    assert len(caught.value.attempts) == server.count == 2
