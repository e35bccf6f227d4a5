"""OpenTracy's functions and Router, on our client."""

from __future__ import annotations

import asyncio
import inspect
import pickle
from traceback import TracebackException
from typing import Any

import openai
import pytest

from llm_magic import client, exceptions
from llm_magic.compat import opentracy as ot
from llm_magic.compat.shapes import AsyncPieces, Pieces
from llm_magic.testing import FakeServer

GPT, CLAUDE = "openai/gpt-4o-mini", "anthropic/claude-sonnet-4-6"
HELLO = [{"role": "user", "content": "hello"}]


pytestmark = pytest.mark.usefixtures("no_waiting")


def variables(error: BaseException) -> str:
    """What a traceback with variables shows of our code."""
    traceback = TracebackException.from_exception(error, capture_locals=True)
    return str([frame.locals for frame in traceback.stack if "llm_magic" in frame.filename])


def asked(**options: Any) -> ot.ModelResponse:
    response = ot.completion(**{"model": GPT, "messages": HELLO, **options})
    assert isinstance(response, ot.ModelResponse)
    return response


# completion, acompletion


def test_acompletion_takes_the_same_parameters() -> None:
    first, second = (inspect.signature(f) for f in (ot.completion, ot.acompletion))

    assert first.parameters == second.parameters


def test_a_response_is_a_dict_with_attributes_and_what_opentracy_adds(server: FakeServer) -> None:
    server.reply("Hi!", usage=(1_000_000, 0))

    response = asked(temperature=0, max_tokens=20, user="me")

    assert response["choices"][0]["message"]["content"] == response.choices[0].message.content
    assert (response._provider, response._cost, response._cost_known) == ("openai", 0.15, True)
    assert isinstance(response._cost, float)
    assert response._latency_ms > 0
    assert response._routing == {"alias": GPT, "selected_model": GPT}
    assert [attempt["error"] for attempt in response._attempts] == [None]
    assert server.last.body == {
        "model": "gpt-4o-mini",
        "messages": HELLO,
        "temperature": 0,
        "max_tokens": 20,
        "user": "me",
    }
    copy = pickle.loads(pickle.dumps(response))
    assert (type(copy), copy._cost) == (ot.ModelResponse, 0.15)
    with pytest.raises(AttributeError):
        response.nope  # noqa: B018


def test_an_unknown_price_is_0_and_says_so(server: FakeServer) -> None:
    response = asked(model="openai/my-own-model")

    assert (response._cost, response._cost_known) == (0.0, False)
    assert client.default().history.totals().unknown == 1


def test_calls_are_recorded_replayed_and_metered(server: FakeServer) -> None:
    live = asked()

    replay = asked(mode="REPLAY")

    assert (server.count, replay) == (1, live)
    assert (replay.source, replay._cost, replay._cost_known) == ("replay", 0.0, True)
    totals = client.default().history.totals()
    assert (totals.live, totals.saved) == (1, live.cost)


def test_a_key_that_is_passed_stays_with_its_model(
    server: FakeServer, anthropic_server: FakeServer
) -> None:
    server.fail(500)

    response = asked(api_key="passed-0123456789abcdef", fallbacks=[CLAUDE])

    assert response._routing == {"alias": GPT, "selected_model": CLAUDE}
    assert "passed-0123456789abcdef" in server.last.headers["authorization"]
    assert "passed" not in str(anthropic_server.last.headers)


@pytest.mark.parametrize("model", [GPT, CLAUDE])
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_ours_and_openais_whatever_the_provider(
    server: FakeServer, model: str, stream: bool
) -> None:
    server.fail(429, message="slow down")

    with pytest.raises(openai.APIError, match="slow down") as caught:
        list(ot.completion(model, HELLO, stream=stream))

    assert isinstance(caught.value, openai.RateLimitError)
    assert isinstance(caught.value, exceptions.RateLimitError)
    assert caught.value.status_code == 429
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (exceptions.RateLimitError, str(caught.value))


@pytest.mark.parametrize("stream", [False, True])
def test_a_key_is_in_no_variable_that_a_traceback_shows(server: FakeServer, stream: bool) -> None:
    key = "passed-0123456789abcdef"
    router = ot.Router(entries(GPT, GPT, api_key=key), num_retries=0)

    def fail(ask: Any, *asked: Any, **options: Any) -> str:
        server.fail(400)
        with pytest.raises(exceptions.BadRequestError) as caught:
            list(ask(*asked, HELLO, stream=stream, **options))
        return variables(caught.value)

    assert key not in fail(ot.completion, GPT, api_key=key, fallbacks=[CLAUDE])
    assert key not in fail(router.completion, "gpt")


VALUE_ERRORS = {
    "no-such-family": "Cannot resolve provider for model 'no-such-family'",
    "nobody/x": "Unknown provider: nobody",
    "groq/x": "No API key for groq",
    "auto": "Cannot resolve provider for model 'auto'",
}


@pytest.mark.parametrize("model", VALUE_ERRORS)
def test_the_value_errors_of_the_document(server: FakeServer, model: str) -> None:
    with pytest.raises(ValueError, match=VALUE_ERRORS[model]):
        asked(model=model)

    assert server.count == 0


# Streams


def test_a_stream_is_of_chunks_with_a_choice_each_and_has_a_completion(server: FakeServer) -> None:
    stream = ot.completion(GPT, HELLO, stream=True)
    assert isinstance(stream, Pieces)

    chunks = list(stream)

    assert all(isinstance(chunk, ot.StreamChunk) for chunk in chunks)
    texts = [chunk.choices[0].delta.content for chunk in chunks]
    assert "".join(filter(None, texts)) == stream.completion.text == "You said: hello"
    assert chunks[-1].usage.total_tokens == 4


def test_a_stream_can_be_closed_early(server: FakeServer) -> None:
    stream = ot.completion(GPT, HELLO, stream=True)
    assert isinstance(stream, Pieces)

    with stream:
        next(stream)
        next(stream)

    assert client.default().history.rows()[0]["status"] == "closed"


def test_an_awaited_stream_can_be_closed_early(server: FakeServer) -> None:
    async def read() -> None:
        stream = await ot.acompletion(GPT, HELLO, stream=True)
        assert isinstance(stream, AsyncPieces)
        async with stream:
            await anext(stream)
        again = await ot.acompletion(GPT, HELLO, stream=True, mode="DISABLED")
        assert isinstance(again, AsyncPieces)
        await anext(again)
        await again.aclose()

    asyncio.run(read())

    assert [row["status"] for row in client.default().history.rows()] == ["closed"] * 2


# Router


def entries(*models: str, **about: Any) -> list[dict[str, Any]]:
    return [{"model_name": "gpt", "model": model, **about} for model in models]


def turn(router: ot.Router, **options: Any) -> str:
    """The model that answered a question that was not asked before."""
    turn.number += 1  # type: ignore[attr-defined]
    messages = [{"role": "user", "content": f"question {turn.number}"}]  # type: ignore[attr-defined]
    response = router.completion("gpt", messages, **options)
    assert isinstance(response, ot.ModelResponse)
    return response._routing["selected_model"].removeprefix("openai/")


turn.number = 0  # type: ignore[attr-defined]


def test_round_robin_takes_turns(server: FakeServer) -> None:
    router = ot.Router(entries("openai/a", "openai/b", "openai/c"))

    assert [turn(router) for _ in range(4)] == ["a", "b", "c", "a"]


def test_least_cost_asks_the_cheapest_and_what_nobody_knows_last(server: FakeServer) -> None:
    models = ["openai/my-own", "openai/gpt-4o", "openai/gpt-4o-mini"]
    router = ot.Router(entries(*models), strategy="least-cost", num_retries=0)
    server.fail(500)
    server.fail(500)

    assert turn(router) == "my-own"

    assert [seen.body["model"] for seen in server.requests] == ["gpt-4o-mini", "gpt-4o", "my-own"]


def test_lowest_latency_tries_each_once_then_the_fastest(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = ot.Router(entries("openai/a", "openai/b"), strategy="lowest-latency")
    assert [turn(router), turn(router)] == ["a", "b"]
    slow, fast = router._deployments["gpt"]
    slow.answered_ms, fast.answered_ms = 900.0, 5.0

    assert [turn(router) for _ in range(3)] == ["b", "b", "b"]


def test_lowest_latency_never_prefers_a_dead_deployment(server: FakeServer) -> None:
    router = ot.Router(
        entries("openai/dead", "openai/alive"), strategy="lowest-latency", num_retries=0
    )
    server.fail(500)
    assert turn(router) == "alive"

    assert [turn(router) for _ in range(3)] == ["alive"] * 3

    asked = [seen.body["model"] for seen in server.requests]
    assert asked.count("dead") == 1
    dead, alive = router.get_stats()["gpt"]
    assert (dead["requests"], dead["errors"], dead["error_rate"]) == (1, 1, 1.0)
    assert (dead["avg_latency_ms"], alive["errors"]) == (None, 0)
    assert alive["avg_latency_ms"] > 0


def test_a_fast_deployment_that_dies_loses_its_place(server: FakeServer) -> None:
    models = entries("openai/fast", "openai/slow")
    router = ot.Router(models, strategy="lowest-latency", num_retries=0)
    fast, slow = router._deployments["gpt"]
    fast.requests, fast.answered_ms = 1, 10.0
    slow.requests, slow.answered_ms = 1, 25.0

    for _ in range(2):
        server.fail(500)
        turn(router)
        slow.answered_ms = 25.0 * slow.requests

    assert turn(router) == "slow"
    assert server.last.body["model"] == "slow"
    assert server.count == 5


def test_weighted_random_goes_by_weight_and_draws_the_same_in_every_process(
    server: FakeServer,
) -> None:
    models = [*entries("openai/often", weight=3), *entries("openai/rare", weight=1)]
    models += entries("openai/never", weight=0)

    draws = [
        [turn(router) for _ in range(20)]
        for router in (ot.Router(models, strategy="weighted-random") for _ in range(2))
    ]

    assert draws[0] == draws[1]
    assert draws[0].count("often") > draws[0].count("rare") > 0
    assert "never" not in draws[0]


def test_every_deployment_has_its_own_key_and_address(server: FakeServer) -> None:
    with FakeServer() as other:
        router = ot.Router(
            [
                *entries("openai/a", api_key="first-0123456789abcdef"),
                *entries("openai/a", api_key="second-0123456789abcde", api_base=other.openai_url),
            ],
            num_retries=0,
        )
        server.fail(401)

        turn(router)

    assert "first-0123456789abcdef" in server.last.headers["authorization"]
    assert "second-0123456789abcde" in other.last.headers["authorization"]
    assert "first" not in str(other.last.headers)
    assert "first-0123456789" not in repr(router._deployments)
    assert [one["errors"] for one in router.get_stats()["gpt"]] == [1, 0]


def test_fallback_names_come_after_all_deployments(server: FakeServer) -> None:
    others = [{"model_name": "other", "model": "openai/b"}]
    router = ot.Router(
        entries("openai/a") + others, fallbacks=[{"gpt": ["other", CLAUDE]}], num_retries=1
    )
    for _ in range(4):
        server.fail(503)

    assert turn(router) == CLAUDE

    asked = [seen.body["model"] for seen in server.requests]
    assert asked == ["a", "a", "b", "b", "claude-sonnet-4-6"]
    assert router.get_stats()["other"][0]["errors"] == 2


def test_a_router_streams_and_awaits_and_counts(server: FakeServer) -> None:
    router = ot.Router(entries("openai/a", "openai/b"), num_retries=0)

    async def ask() -> str:
        response = await router.acompletion("gpt", HELLO)
        assert isinstance(response, ot.ModelResponse)
        stream = await router.acompletion("gpt", HELLO, stream=True, mode="DISABLED")
        assert isinstance(stream, AsyncPieces)
        return response.text + "".join([chunk.text async for chunk in stream])

    assert asyncio.run(ask()) == "You said: hello" * 2
    server.cut("one two three", after=2)
    with pytest.raises(exceptions.ProviderError):
        list(router.completion("gpt", HELLO, stream=True, mode="DISABLED"))

    first, second = router.get_stats()["gpt"]
    assert (first["requests"], first["errors"]) == (2, 1)
    assert (second["requests"], second["errors"]) == (1, 0)


def test_a_replay_is_found_whoevers_turn_it_is_and_is_no_request(server: FakeServer) -> None:
    models = entries("openai/a", "openai/b")
    live = ot.Router(models).completion("gpt", HELLO)
    router = ot.Router(models)
    router._turns["gpt"] = 1

    replay = router.completion("gpt", HELLO, mode="REPLAY")

    assert replay == live
    assert server.count == 1
    assert [one["requests"] for one in router.get_stats()["gpt"]] == [0, 0]


def test_two_keys_for_one_model_are_one_call_in_a_run(server: FakeServer) -> None:
    from llm_magic import run

    keys = [f"key-{number}-0123456789abcdef" for number in range(2)]
    router = ot.Router([entry for key in keys for entry in entries("openai/a", api_key=key)])

    with run("three"):
        responses = [router.completion("gpt", HELLO, mode="CAPTURE") for _ in range(3)]

    assert [one.ordinal for one in responses if isinstance(one, ot.ModelResponse)] == [0, 1, 2]


MISUSES: dict[str, tuple[dict[str, Any], str]] = {
    "strategy": ({"strategy": "round robin"}, "did you mean round-robin"),
    "field": ({"model_list": entries("openai/a", api_kye="x")}, "did you mean api_key"),
    "no model": ({"model_list": [{"model_name": "gpt"}]}, "a model_name and a model"),
    "weight": ({"model_list": entries("openai/a", weight=-1)}, "a number from 0"),
}


@pytest.mark.parametrize("case", MISUSES)
def test_a_router_says_what_is_wrong_with_its_arguments(case: str) -> None:
    options, message = MISUSES[case]

    with pytest.raises(ValueError, match=message):
        ot.Router(**{"model_list": entries("openai/a"), **options})


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="no deployment is named 'gtp'; did you mean gpt"):
        ot.Router(entries("openai/a")).completion("gtp", HELLO)

    with pytest.raises(ValueError, match="engine is not supported yet"):
        ot.Router(entries("openai/a")).completion("gpt", HELLO, force_engine=True)
