"""What goes wrong, who may be asked and what is misuse, through every entry point over real HTTP.

What goes right is in ``test_contract.py``.
"""

from __future__ import annotations

import asyncio
import importlib
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from asking import HOWS, ask

from llm_magic import exceptions
from llm_magic.client import Client
from llm_magic.exceptions import ParameterError, ProviderError
from llm_magic.testing import FakeServer
from llm_magic.types import Completion

REMOTE = ["openai/gpt-5-mini", "anthropic/claude-sonnet-4-6"]


ERRORS = {
    400: exceptions.BadRequestError,
    401: exceptions.AuthenticationError,
    429: exceptions.RateLimitError,
    500: exceptions.ServerError,
    529: exceptions.OverloadedError,
}


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("status", ERRORS)
@pytest.mark.parametrize("model", REMOTE)
def test_an_error_answer_is_one_request_one_row_and_no_recording(
    client: Client, server: FakeServer, model: str, status: int, how: str
) -> None:
    server.fail(status, message="no")

    with pytest.raises(ERRORS[status], match=f"answered {status}: .*no"):
        ask(client, how, "Why?", model=model)

    (row,) = client.history.rows()
    assert server.count == 1
    assert (row["status"], row["cost"], row["error"]) == ("error", "0", ERRORS[status].__name__)
    assert list(client.shelf.recordings.all()) == []


BROKEN = {
    "cut": lambda server: server.cut("one two three four", after=2),
    "unfinished": lambda server: server.unfinished("one two three four"),
}


@pytest.mark.parametrize("how", ["stream", "astream"])
@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("model", REMOTE)
def test_a_stream_without_its_end_is_incomplete_and_not_stored(
    client: Client, server: FakeServer, model: str, broken: str, how: str
) -> None:
    BROKEN[broken](server)

    with pytest.raises(ProviderError) as caught:
        ask(client, how, "Why?", model=model)

    (row,) = client.history.rows()
    assert caught.value.partial.startswith("one two")
    assert (row["status"], row["cost"], row["answer"]) == ("incomplete", None, caught.value.partial)
    assert client.history.totals().unknown == 1
    assert list(client.shelf.recordings.all()) == []


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("model", REMOTE)
def test_a_server_that_hangs_is_given_up_after_the_timeout(
    client: Client, server: FakeServer, model: str, how: str
) -> None:
    server.hang()

    with pytest.raises(TimeoutError, match="did not answer in time"):
        ask(client, how, "Why?", model=model, timeout=0.3)

    (row,) = client.history.rows()
    assert (row["status"], row["cost"]) == ("error", None)
    assert server.requests[0].closed_early.wait(10)


@pytest.mark.parametrize("how", ["stream", "astream"])
@pytest.mark.parametrize("model", REMOTE)
def test_an_exception_in_the_loop_closes_the_connection_and_stores_nothing(
    client: Client, server: FakeServer, model: str, how: str
) -> None:
    gate = threading.Event()
    server.reply("one two three", gate=gate)

    async def read() -> None:
        async with client.astream("Why?", model=model) as stream:
            async for chunk in stream:
                if chunk.text:
                    raise KeyboardInterrupt

    def read_sync() -> None:
        with client.stream("Why?", model=model) as stream:
            for chunk in stream:
                if chunk.text:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(read()) if how == "astream" else read_sync()

    (row,) = client.history.rows()
    assert (row["status"], row["cost"], row["answer"]) == ("interrupted", None, "one")
    assert server.requests[0].closed_early.wait(10)
    assert list(client.shelf.recordings.all()) == []


@pytest.mark.parametrize("model", REMOTE)
def test_threads_and_tasks_share_a_client_and_each_gets_its_own_answer(
    client: Client, server: FakeServer, model: str
) -> None:
    def one(number: int) -> str:
        return client.complete(f"question {number}", model=model).text

    async def many() -> list[Completion]:
        questions = (client.acomplete(f"task {number}", model=model) for number in range(100))
        return await asyncio.gather(*questions)

    with ThreadPoolExecutor(10) as pool:
        texts = list(pool.map(one, range(50)))
    answers = asyncio.run(many())

    assert texts == [f"You said: question {number}" for number in range(50)]
    assert [answer.text for answer in answers] == [f"You said: task {n}" for n in range(100)]
    assert client.history.totals().live == 150


def test_an_unknown_price_is_none_and_counted_and_the_answer_is_kept(
    client: Client, server: FakeServer
) -> None:
    completion = client.complete("Why?", model="openai/my-own-model")

    assert (completion.cost, completion.cost_source) == (None, "unknown")
    assert client.history.totals().unknown == 1
    assert client.complete("Why?", model="openai/my-own-model").source == "replay"
    assert client.history.totals().unknown == 1


def test_an_own_base_url_gets_no_standard_key_and_has_recordings_of_its_own(
    client: Client, server: FakeServer
) -> None:
    url = server.openai_url.replace("127.0.0.1", "user:hidden@localhost")
    client.complete("Why?", model=REMOTE[0])

    completion = client.complete("Why?", model=REMOTE[0], api_base=url)

    assert completion.source == "live"
    assert "sk-test" not in str(server.last.headers)
    stored = [variant for _, _, variant in client.shelf.recordings.all()]
    assert len(stored) == 2
    assert not any("hidden" in variant.line for variant in stored)


def test_a_proxy_in_the_environment_shares_the_recordings(
    client: Client, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.complete("Why?", model=REMOTE[0])

    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")

    assert client.complete("Why?", model=REMOTE[0]).source == "replay"


def test_a_missing_key_is_a_value_error_that_says_which_variable(
    client: Client, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")

    with pytest.raises(
        ValueError, match=r"No API key for openai\. Set OPENAI_API_KEY or pass api_"
    ):
        client.complete("Why?", model=REMOTE[0])

    assert server.count == 0
    assert client.history.rows()[0]["cost"] == "0"


MISUSES = {
    "no prompt": ((7,), {}, "a prompt is text or a list of messages, not int"),
    "empty": (("",), {}, "the prompt is empty"),
    "not a message": ((["hi"],), {}, r"messages\[0\] is no message"),
    "stream": (("hi",), {"stream": True}, r"use stream\(\)"),
    "sample": (("hi",), {"sample": -1}, "counts answers from 0"),
    "not JSON": (("hi",), {"stop": object()}, "parameters.stop: object cannot be sent"),
    "not a number": (("hi",), {"temperature": float("nan")}, "cannot be keyed"),
}


@pytest.mark.parametrize("case", MISUSES)
def test_misuse_is_an_error_before_anything_is_sent(
    client: Client, server: FakeServer, case: str
) -> None:
    arguments, options, message = MISUSES[case]

    with pytest.raises(ParameterError, match=message):
        client.complete(*arguments, model=REMOTE[0], **options)

    assert server.count == 0


def test_a_read_only_answer_is_given_though_it_cannot_be_recorded(
    client: Client, server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(client.shelf.store, "_cache", None)
    monkeypatch.setattr(client.shelf.store, "read_only", True)

    with pytest.warns(RuntimeWarning, match=r"not recorded: .* read-only"):
        completion = client.complete("Why?", model=REMOTE[0])

    assert completion.text == "You said: Why?"
    assert "not recorded" in completion.notes[-1]


SDK_CLASSES = {400: "BadRequestError", 401: "AuthenticationError", 429: "RateLimitError"}


@pytest.mark.parametrize("status", SDK_CLASSES)
@pytest.mark.parametrize("model", REMOTE)
def test_code_that_catches_the_sdks_error_still_works(
    client: Client, server: FakeServer, model: str, status: int
) -> None:
    sdk = importlib.import_module(model.partition("/")[0])
    server.fail(status, message="no")

    with pytest.raises(getattr(sdk, SDK_CLASSES[status])) as caught:
        client.complete("Why?", model=model)

    assert caught.value.status_code == status
    assert isinstance(caught.value, ERRORS[status])
    assert not hasattr(caught.value, "response")


def test_an_error_survives_pickling(client: Client, server: FakeServer) -> None:
    server.fail(429, message="no", retry_after=3)
    with pytest.raises(exceptions.RateLimitError) as caught:
        client.complete("Why?", model=REMOTE[0])

    copy = pickle.loads(pickle.dumps(caught.value))

    assert type(copy) is exceptions.RateLimitError
    assert (str(copy), copy.retry_after) == (str(caught.value), 3)
