"""OpenTelemetry: one span a call, by the conventions for generative AI, into the real SDK."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry import context
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import llm_magic
from llm_magic import client, dropped, failover, history, replay, secrets, telemetry
from llm_magic.exceptions import (
    BudgetExceededError,
    ProviderError,
    ReplayMissError,
    SchemaError,
)
from llm_magic.testing import FakeServer

PRICED = "openai/gpt-4o-mini"
CLAUDE = "anthropic/claude-haiku-4-5"


class Sdk:
    """The SDK of OpenTelemetry, with an exporter that keeps spans in memory."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    @property
    def span(self) -> ReadableSpan:
        (span,) = self.spans
        return span


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "_state", telemetry._State())
    monkeypatch.setattr(failover, "FIRST_WAIT", 0.0)


@pytest.fixture
def sdk() -> Iterator[Sdk]:
    sdk = Sdk()
    telemetry.enable(sdk.provider)
    yield sdk
    telemetry.disable()
    sdk.provider.shutdown()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def error_type(span: ReadableSpan) -> Any:
    return attributes(span).get("error.type")


# What a span tells


def test_a_live_call_is_a_client_span(sdk: Sdk, server: FakeServer) -> None:
    server.reply("Oslo", usage=(1000, 500), model="gpt-4o-mini-2024-07-18")

    with llm_magic.run("cell"):
        answer = client.complete("The capital of Norway?", model=PRICED, temperature=0.5)

    assert (sdk.span.name, sdk.span.kind) == ("chat gpt-4o-mini", SpanKind.CLIENT)
    assert sdk.span.status.status_code is StatusCode.UNSET
    assert attributes(sdk.span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.id": answer.id,
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 500,
        "server.address": "127.0.0.1",
        "server.port": int(server.url.rpartition(":")[2]),
        "llm_magic.source": "live",
        "llm_magic.mode": "FALLBACK",
        "llm_magic.key": answer.key,
        "llm_magic.ordinal": 0,
        "llm_magic.run": "cell",
        "llm_magic.session": history.session(),
        "llm_magic.attempts": 1,
        "llm_magic.cost_usd": 0.00045,
        "llm_magic.cost_source": "list",
    }


def test_a_replay_is_a_span_that_used_nothing(sdk: Sdk, server: FakeServer) -> None:
    server.reply("Oslo", usage=(1000, 500))
    client.complete("The capital of Norway?", model=PRICED)

    client.complete("The capital of Norway?", model=PRICED, mode="REPLAY")

    told = attributes(sdk.spans[1])
    assert (told["llm_magic.source"], told["llm_magic.attempts"]) == ("replay", 0)
    assert (told["llm_magic.cost_usd"], told["llm_magic.saved_usd"]) == (0.0, 0.00045)
    assert told["llm_magic.saved.input_tokens"] == 1000
    assert told["llm_magic.saved.output_tokens"] == 500
    assert not [name for name in told if name.startswith(("gen_ai.usage", "server."))]


def test_an_unknown_cost_is_missing_and_never_0(sdk: Sdk, server: FakeServer) -> None:
    client.complete("Why?", model="openai/gpt-unheard-of")

    told = attributes(sdk.span)
    assert "llm_magic.cost_usd" not in told
    assert told["llm_magic.cost_source"] == "unknown"


@pytest.mark.parametrize(
    ("parameter", "value", "attribute", "told"),
    [
        ("max_tokens", 9, "gen_ai.request.max_tokens", 9),
        ("max_completion_tokens", 9, "gen_ai.request.max_tokens", 9),
        ("temperature", 1, "gen_ai.request.temperature", 1.0),
        ("top_p", 0.9, "gen_ai.request.top_p", 0.9),
        ("frequency_penalty", 0.1, "gen_ai.request.frequency_penalty", 0.1),
        ("presence_penalty", 0.1, "gen_ai.request.presence_penalty", 0.1),
        ("seed", 7, "gen_ai.request.seed", 7),
        ("n", 2, "gen_ai.request.choice.count", 2),
        ("n", 1, "gen_ai.request.choice.count", None),
        ("stop", "END", "gen_ai.request.stop_sequences", ("END",)),
        ("stop", ["A", "B"], "gen_ai.request.stop_sequences", ("A", "B")),
        ("stop", [], "gen_ai.request.stop_sequences", None),
        ("response_format", {"type": "json_object"}, "gen_ai.output.type", "json"),
        ("response_format", "odd", "gen_ai.output.type", None),
        ("temperature", True, "gen_ai.request.temperature", None),
    ],
)
def test_parameters_are_told_by_their_names_there(
    sdk: Sdk, server: FakeServer, parameter: str, value: Any, attribute: str, told: Any
) -> None:
    with contextlib.suppress(ProviderError):
        client.complete("Why?", model=PRICED, **{parameter: value})

    assert attributes(sdk.span).get(attribute) == told


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("mistral/a", "mistral_ai"),
        ("xai/a", "x_ai"),
        ("gemini/a", "gcp.gemini"),
        ("groq/a", "groq"),
        ("ollama/a", "ollama"),
    ],
)
def test_providers_have_their_names_there(
    sdk: Sdk, server: FakeServer, reference: str, name: str
) -> None:
    client.complete("Why?", model=reference, api_base=server.openai_url, api_key="k" * 20)

    assert attributes(sdk.span)["gen_ai.provider.name"] == name


def test_tokens_of_caches_and_thoughts_are_told(sdk: Sdk, server: FakeServer) -> None:
    server.reply(
        "Because.",
        usage={
            "input_tokens": 10,
            "cache_read_input_tokens": 20,
            "cache_creation_input_tokens": 30,
            "output_tokens": 40,
        },
    )
    client.complete("Why?", model=CLAUDE)
    server.reply(
        "Because.",
        usage={
            "prompt_tokens": 9,
            "completion_tokens": 8,
            "completion_tokens_details": {"reasoning_tokens": 7},
        },
    )
    client.complete("Why?", model=PRICED)

    claude, gpt = map(attributes, sdk.spans)
    assert claude["gen_ai.usage.input_tokens"] == 60
    assert claude["gen_ai.usage.cache_read.input_tokens"] == 20
    assert claude["gen_ai.usage.cache_write.input_tokens"] == 30
    assert gpt["gen_ai.usage.reasoning.output_tokens"] == 7


@pytest.mark.parametrize(
    ("api", "model", "name"),
    [
        ("completion", "gpt-3.5-turbo-instruct", "text_completion"),
        ("embedding", "text-embedding-3-small", "embeddings"),
    ],
)
def test_the_other_apis_have_operations_of_their_own(
    sdk: Sdk, server: FakeServer, api: str, model: str, name: str
) -> None:
    client.complete("red", model=f"openai/{model}", api=api)

    told = attributes(sdk.span)
    assert (sdk.span.name, told["gen_ai.operation.name"]) == (f"{name} {model}", name)
    assert ("gen_ai.usage.output_tokens" in told) == (api == "completion")


@pytest.mark.parametrize(
    ("path", "asked", "name"),
    [
        ("chat/completions", {"messages": [{"role": "user", "content": "hi"}]}, "chat gpt-x"),
        ("completions", {"prompt": "hi"}, "text_completion gpt-x"),
        ("embeddings", {"input": "hi"}, "embeddings gpt-x"),
    ],
)
def test_the_call_of_another_library_is_a_span(
    sdk: Sdk, server: FakeServer, path: str, asked: dict[str, Any], name: str
) -> None:
    with llm_magic.attach():
        for _ in range(2):
            httpx2.post(f"{server.openai_url}/{path}", json={"model": "gpt-x", **asked})

    assert [span.name for span in sdk.spans] == [name, name]
    assert [attributes(span)["llm_magic.source"] for span in sdk.spans] == ["live", "replay"]
    assert attributes(sdk.spans[0])["gen_ai.usage.input_tokens"] > 0


def test_the_cell_is_told_by_its_id(sdk: Sdk) -> None:
    run = replay.begin_run("a1b2", cell={"id": "a1b2", "line": "%%complete a private line"})

    client.complete("hi", model="echo/echo")
    replay.end_run(run, ok=True)

    assert attributes(sdk.span)["llm_magic.cell"] == "a1b2"
    assert "private" not in sdk.span.to_json()


# Errors and attempts


@pytest.mark.parametrize("ask", [client.complete, client.stream])
def test_a_miss_is_an_error(sdk: Sdk, ask: Callable[..., Any]) -> None:
    with pytest.raises(ReplayMissError):
        ask("Why?", model=PRICED, mode="REPLAY")

    assert sdk.span.status.status_code is StatusCode.ERROR
    assert error_type(sdk.span) == "ReplayMissError"
    assert attributes(sdk.span)["llm_magic.source"] == "replay"


def test_a_call_is_one_span_however_often_it_is_tried(sdk: Sdk, server: FakeServer) -> None:
    server.fail(429)
    server.fail(503)

    client.complete("Why?", model=PRICED, num_retries=2)

    assert sdk.span.status.status_code is StatusCode.UNSET
    assert attributes(sdk.span)["llm_magic.attempts"] == 3
    assert error_type(sdk.span) is None
    assert [dict(event.attributes or {}) for event in sdk.span.events] == [
        {
            "llm_magic.attempt": number,
            "gen_ai.request.model": "gpt-4o-mini",
            "error.type": name,
        }
        for number, name in [(1, "RateLimitError"), (2, "OverloadedError")]
    ]


def test_the_model_that_answered_is_told(sdk: Sdk, server: FakeServer) -> None:
    server.fail(401)

    client.complete("Why?", model=PRICED, fallbacks=[CLAUDE], max_tokens=9)

    told = attributes(sdk.span)
    assert (sdk.span.name, told["gen_ai.provider.name"]) == ("chat claude-haiku-4-5", "anthropic")
    assert [event.name for event in sdk.span.events] == ["llm_magic.attempt"]


def test_when_all_failed_the_error_is_the_one_that_is_raised(sdk: Sdk, server: FakeServer) -> None:
    server.fail(401)
    server.fail(500)

    with pytest.raises(ProviderError) as raised:
        client.complete("Why?", model=PRICED, fallbacks=[CLAUDE])

    assert error_type(sdk.span) == type(raised.value).__name__ == "AuthenticationError"
    assert len(sdk.span.events) == 2


def test_a_call_that_a_budget_refuses_is_an_error_that_sent_nothing(
    sdk: Sdk, server: FakeServer
) -> None:
    with llm_magic.budget(0), pytest.raises(BudgetExceededError):
        client.complete("Why?", model=PRICED)

    assert error_type(sdk.span) == "BudgetExceededError"
    assert attributes(sdk.span)["llm_magic.attempts"] == 0
    assert "llm_magic.source" not in attributes(sdk.span)


def test_an_answer_that_does_not_fit_is_an_error_with_its_cost(
    sdk: Sdk, server: FakeServer
) -> None:
    server.reply("no JSON", usage=(1000, 500))

    with pytest.raises(SchemaError):
        client.complete("Why?", model=PRICED, schema="name, age int")

    assert error_type(sdk.span) == "SchemaError"
    assert attributes(sdk.span)["llm_magic.cost_usd"] == 0.00045


def test_a_task_that_is_cancelled_ends_its_span(sdk: Sdk, server: FakeServer) -> None:
    async def ask() -> None:
        gate = threading.Event()
        server.reply("late", gate=gate)
        task = asyncio.create_task(client.acomplete("Why?", model=PRICED))
        await asyncio.to_thread(server.wait_for, 1)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        gate.set()

    asyncio.run(ask())

    assert error_type(sdk.span) == "CancelledError"


# Where a span stands


def test_its_parent_is_the_current_span(sdk: Sdk, server: FakeServer) -> None:
    with sdk.tracer.start_as_current_span("cell") as cell:
        client.complete("Why?", model=PRICED)

    call = sdk.spans[0]
    assert call.parent == cell.get_span_context()


def test_tasks_have_parents_of_their_own(sdk: Sdk, server: FakeServer) -> None:
    async def ask(name: str) -> None:
        with sdk.tracer.start_as_current_span(name):
            await client.acomplete(name, model=PRICED)

    async def both() -> None:
        await asyncio.gather(ask("a"), ask("b"))

    asyncio.run(both())

    names = {span.context.span_id: span.name for span in sdk.spans if span.context}
    calls = [span for span in sdk.spans if span.kind is SpanKind.CLIENT]
    assert {names[call.parent.span_id] for call in calls if call.parent} == {"a", "b"}


def test_a_thread_has_the_parent_of_its_context(sdk: Sdk, server: FakeServer) -> None:
    def ask(inherited: context.Context | None) -> None:
        if inherited is not None:
            context.attach(inherited)
        client.complete(f"Why? {inherited}", model=PRICED)

    with sdk.tracer.start_as_current_span("cell") as cell:
        for inherited in (None, context.get_current()):
            thread = threading.Thread(target=ask, args=[inherited])
            thread.start()
            thread.join()

    assert [span.parent for span in sdk.spans[:2]] == [None, cell.get_span_context()]


# Streams


def read(server: FakeServer) -> None:
    for _ in client.stream("Why?", model=PRICED):
        pass


def close(server: FakeServer) -> None:
    with client.stream("Why?", model=PRICED) as stream:
        next(stream)


def leave(server: FakeServer) -> None:
    with contextlib.suppress(ZeroDivisionError), client.stream("Why?", model=PRICED) as stream:
        next(stream)
        raise ZeroDivisionError


def drop(server: FakeServer) -> None:
    stream = client.stream("Why?", model=PRICED)
    next(stream)
    del stream
    dropped.wait()


def drop_unread(server: FakeServer) -> None:
    client.stream("Why?", model=PRICED)
    dropped.wait()


def break_off(server: FakeServer) -> None:
    server.cut("one two three", after=1)
    with contextlib.suppress(ProviderError):
        read(server)


def refuse(server: FakeServer) -> None:
    server.fail(400)
    with contextlib.suppress(ProviderError):
        read(server)


ENDS = {
    read: None,
    close: None,
    leave: "ZeroDivisionError",
    drop: "GeneratorExit",
    drop_unread: "GeneratorExit",
    break_off: "ConnectionFailedError",
    refuse: "BadRequestError",
}


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_the_span_of_a_stream_ends_when_the_stream_does(
    sdk: Sdk, server: FakeServer, end: Callable[[FakeServer], None]
) -> None:
    end(server)

    assert error_type(sdk.span) == ENDS[end]
    assert attributes(sdk.span)["gen_ai.request.stream"] is True


async def aread(server: FakeServer) -> None:
    async for _ in client.astream("Why?", model=PRICED):
        pass


async def aclose(server: FakeServer) -> None:
    async with client.astream("Why?", model=PRICED) as stream:
        await anext(stream)


async def abreak_off(server: FakeServer) -> None:
    server.cut("one two three", after=1)
    with contextlib.suppress(ProviderError):
        await aread(server)


ASYNC_ENDS = {aread: None, aclose: None, abreak_off: "ConnectionFailedError"}


@pytest.mark.parametrize("end", ASYNC_ENDS, ids=lambda end: end.__name__)
def test_the_span_of_an_awaited_stream_ends_when_the_stream_does(
    sdk: Sdk, server: FakeServer, end: Callable[[FakeServer], Any]
) -> None:
    asyncio.run(end(server))

    assert error_type(sdk.span) == ASYNC_ENDS[end]


def test_a_stream_that_is_half_read_has_no_span_yet(sdk: Sdk, server: FakeServer) -> None:
    stream = client.stream("Why?", model=PRICED)
    next(stream)
    assert sdk.spans == []

    for _ in stream:
        pass

    told = attributes(sdk.span)
    assert told["gen_ai.response.time_to_first_chunk"] > 0
    assert told["gen_ai.response.finish_reasons"] == ("stop",)


def test_a_stream_that_was_closed_has_the_finish_reason_error(sdk: Sdk, server: FakeServer) -> None:
    close(server)

    assert attributes(sdk.span)["gen_ai.response.finish_reasons"] == ("error",)


# What was said


def test_nothing_that_was_said_is_in_a_span(sdk: Sdk, server: FakeServer) -> None:
    server.reply("a private answer")
    client.complete("a private question", model=PRICED)
    server.fail(400, message="what is a private question?")
    with pytest.raises(ProviderError):
        client.complete("a private error", model=PRICED)

    assert "private" not in "".join(span.to_json() for span in sdk.spans)


def test_content_is_told_when_it_is_asked_for(sdk: Sdk, server: FakeServer) -> None:
    telemetry.enable(sdk.provider, capture_content=True)
    weather = {"name": "weather", "arguments": {"city": "Oslo"}, "id": "c1"}
    server.reply("Let me see.", tool_calls=[weather])

    client.complete(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Rain?"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c0", "function": {"name": "weather", "arguments": "no JSON"}}
                ],
            },
            {"role": "tool", "tool_call_id": "c0", "content": "12 mm"},
        ],
        model=PRICED,
    )

    told = attributes(sdk.span)
    assert json.loads(told["gen_ai.input.messages"]) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Rain?"}]},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "c0", "name": "weather", "arguments": "no JSON"}],
        },
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "c0", "response": "12 mm"}],
        },
    ]
    assert json.loads(told["gen_ai.output.messages"]) == [
        {
            "role": "assistant",
            "finish_reason": "tool_calls",
            "parts": [
                {"type": "text", "content": "Let me see."},
                {
                    "type": "tool_call",
                    "id": "c1",
                    "name": "weather",
                    "arguments": {"city": "Oslo"},
                },
            ],
        }
    ]


def test_a_file_is_told_by_its_hash(sdk: Sdk, server: FakeServer) -> None:
    telemetry.enable(sdk.provider, capture_content=True)
    pixel = b"\x89PNG\r\n\x1a\n" + b"pixels" * 50

    client.complete("What is it?", model=PRICED, files=[pixel])

    said = attributes(sdk.span)["gen_ai.input.messages"]
    assert "sha256:" in said
    assert len(said) < 400


def test_a_key_that_parameters_carry_is_in_no_span(sdk: Sdk, server: FakeServer) -> None:
    telemetry.enable(sdk.provider, capture_content=True)
    secret = "of-a-gateway-0123456789"
    server.fail(401, message=f"Incorrect key: {secret}")

    with contextlib.suppress(ProviderError):
        client.complete("Why?", model=PRICED, extra_body={"api_key": secret})

    told = sdk.span.to_json()
    assert "Incorrect key: {{secret:api_key}}" in told
    assert secret not in told


def test_known_keys_are_in_no_span(sdk: Sdk, server: FakeServer) -> None:
    telemetry.enable(sdk.provider, capture_content=True)
    secret = "key-that-somebody-pasted-0123"
    secrets.register("PASTED_API_KEY", secret)
    server.reply(f"Your key is {secret}.")
    server.fail(401)

    def no_other(error: Exception, reference: str) -> None:
        raise PermissionError(f"{secret} is for OpenAI alone")

    client.complete(f"Is {secret} good?", model=PRICED, stop=secret)
    with pytest.raises(PermissionError):
        client.complete("Why?", model=PRICED, fallbacks=[CLAUDE], on_fallback=no_other)

    told = "".join(span.to_json() for span in sdk.spans)
    assert secret not in told
    assert told.count("{{secret:PASTED_API_KEY}}") == 4


# On and off


def test_without_being_switched_on_there_is_no_span(sdk: Sdk, server: FakeServer) -> None:
    telemetry.disable()

    client.complete("Why?", model=PRICED)

    assert sdk.spans == []


@pytest.mark.parametrize("how", ["environment", "pyproject", "%llm config"])
def test_the_setting_switches_it_on(how: str, run_python: Any, tmp_path: Path) -> None:
    (tmp_path / "work" / "pyproject.toml").write_text(
        f"[tool.llm_magic]\ntelemetry = {str(how == 'pyproject').lower()}\n"
    )
    on = {
        "environment": "os.environ['LLM_MAGIC_TELEMETRY'] = 'on'",
        "pyproject": "",
        "%llm config": "config.default().set('telemetry', 'on')",
    }[how]

    done = run_python(
        GLOBAL + f"import os\n{on}\nclient.complete('hi', model='echo/echo')\n" + SHOW
    )

    assert done.stdout == "['chat echo']\n", done.stderr


# A program whose process has a tracer provider.
GLOBAL = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from llm_magic import client, config, telemetry
exporter = InMemorySpanExporter()
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))
"""
SHOW = "print([span.name for span in exporter.get_finished_spans()])\n"


def test_disable_wins_over_the_setting(run_python: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_MAGIC_TELEMETRY", "on")

    done = run_python(
        GLOBAL + "telemetry.disable()\nclient.complete('hi', model='echo/echo')\n" + SHOW
    )

    assert done.stdout == "[]\n", done.stderr


def test_the_sdk_of_a_provider_adds_no_span_of_its_own(run_python: Any, server: FakeServer) -> None:
    done = run_python(
        GLOBAL + f"telemetry.enable()\nclient.complete('hi', model={CLAUDE!r})\n" + SHOW
    )

    assert done.stdout == "['chat claude-haiku-4-5']\n", done.stderr


def test_while_it_is_off_nothing_of_opentelemetry_is_imported(run_python: Any) -> None:
    done = run_python(
        "import sys, llm_magic\n"
        "llm_magic.complete('hi', model='echo/echo')\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )

    assert done.stdout == "[]\n", done.stderr


# As if OpenTelemetry, or all of it but what comes with the anthropic SDK, were not installed.
WITHOUT = """
import sys, warnings
from importlib.abc import MetaPathFinder
class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == {missing!r} or name.startswith({missing!r} + '.'):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import llm_magic
"""


@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.sdk"])
def test_without_the_extra_enable_says_what_to_install(run_python: Any, missing: str) -> None:
    done = run_python(
        WITHOUT.format(missing=missing)
        + "try:\n    llm_magic.telemetry.enable()\n"
        + "except llm_magic.exceptions.ConfigError as error:\n    print(error)\n"
    )

    needed = 'telemetry needs the OpenTelemetry SDK: pip install "llm-magic[otel]"\n'
    assert done.stdout == needed, done.stderr


@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.sdk"])
def test_without_the_extra_the_setting_warns_once_and_replays_say_nothing(
    run_python: Any, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.complete("hi", model="echo/echo")
    client.close()
    history.close()
    monkeypatch.setenv("LLM_MAGIC_TELEMETRY", "on")

    done = run_python(
        WITHOUT.format(missing=missing)
        + "warnings.simplefilter('always')\n"
        + "def ask(text, mode):\n"
        + "    with warnings.catch_warnings(record=True) as caught:\n"
        + "        source = llm_magic.complete(text, model='echo/echo', mode=mode).source\n"
        + "    print(source, [str(one.message) for one in caught])\n"
        + "ask('hi', 'REPLAY')\n"
        + "ask('more', 'FALLBACK')\n"
        + "ask('still more', 'FALLBACK')\n"
    )

    told = 'no spans are made: telemetry needs the OpenTelemetry SDK: pip install "llm-magic[otel]"'
    assert done.stdout == f"replay []\nlive [{told!r}]\nlive []\n", done.stderr


def test_a_processor_that_fails_loses_no_answer(server: FakeServer) -> None:
    class Failing(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            raise RuntimeError("no disk")

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Failing())
    telemetry.enable(provider)

    with pytest.warns(RuntimeWarning, match="the call's span is not whole: no disk"):
        answer = client.complete("Why?", model=PRICED)

    assert answer.text == "You said: Why?"
    assert history.totals().live == 1


# To a collector


class Collector:
    """An OTLP/HTTP receiver on loopback, that keeps what it is sent."""

    def __init__(self) -> None:
        received: list[tuple[str, ExportTraceServiceRequest]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                received.append((self.path, ExportTraceServiceRequest.FromString(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *words: object) -> None:
                """Say nothing."""

        self.received = received
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01])
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for _, request in self.received
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


# Tells every address that the process connects to.
WATCHED = """
import sys
told = set()
def audit(event, arguments):
    if event == 'socket.connect' and isinstance(arguments[1], tuple):
        told.add(arguments[1][0])
    elif event == 'socket.getaddrinfo':
        told.add(arguments[0])
sys.addaudithook(audit)
from llm_magic import client, telemetry
"""
EXPLICIT = """
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter({url!r} + '/v1/traces')))
telemetry.enable(provider, capture_content=True)
"""
ASK = f"""
for mode in ('CAPTURE', 'REPLAY'):
    client.complete('Why?', model={PRICED!r}, mode=mode, stop=['END'])
try:
    client.complete('Else?', model={PRICED!r}, mode='REPLAY')
except KeyError:
    pass
telemetry.disable()
print(sorted(told))
"""


@pytest.mark.parametrize("how", ["a provider of the user's", "the environment"])
def test_a_collector_gets_the_spans_and_nobody_else_is_asked(
    run_python: Any,
    server: FakeServer,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    if how == "the environment":
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("LLM_MAGIC_TELEMETRY", "on")
        switch = ""
    else:
        switch = EXPLICIT.format(url=collector.url)

    done = run_python(WATCHED + switch + ASK)

    assert done.stdout == "['127.0.0.1']\n", done.stderr
    assert done.stderr == ""
    assert {path for path, _ in collector.received} == {"/v1/traces"}
    live, replayed, missed = collector.spans
    assert [told(span)["llm_magic.source"] for span in collector.spans] == [
        "live",
        "replay",
        "replay",
    ]
    assert (live.name, live.kind, missed.status.code) == ("chat gpt-4o-mini", 3, 2)
    assert told(live)["gen_ai.usage.input_tokens"] > 0
    assert told(replayed)["llm_magic.saved_usd"] == told(live)["llm_magic.cost_usd"] > 0
    assert told(missed)["error.type"] == "ReplayMissError"
    assert ("gen_ai.input.messages" in told(live)) == (switch != "")


def told(span: Any) -> dict[str, Any]:
    """The attributes of a span as it was sent, but for the lists."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_where_replay_is_imposed_no_connection_is_opened(
    run_python: Any, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.complete("hi", model="echo/echo")
    client.close()
    history.close()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("LLM_MAGIC_TELEMETRY", "on")
    monkeypatch.setenv("LLM_MAGIC_MODE", "REPLAY")

    done = run_python(
        WATCHED + "client.complete('hi', model='echo/echo')\ntelemetry.disable()\nprint(told)\n"
    )

    assert (done.stdout, done.stderr) == ("set()\n", "")
    assert collector.received == []
