"""DESIGN §5 over real HTTP: what happened × plain, stream before the first token, stream after it.

Each row counts the requests at each server, the order of providers, the keys they saw, and the
attempts in the ledger.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from asking import HOWS, ask

from llm_magic import exceptions, failover, history, run
from llm_magic.client import Client
from llm_magic.exceptions import LLMMagicError
from llm_magic.testing import FakeServer

OPENAI, CLAUDE = "openai/gpt-5-mini", "anthropic/claude-sonnet-4-6"
OPENAI_KEY, CLAUDE_KEY = "first-key-0123456789abcdef", "other-key-0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failover, "FIRST_WAIT", 0.0)


@pytest.fixture
def primary(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", OPENAI_KEY)
        yield server


@pytest.fixture
def fallback(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer() as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.anthropic_url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", CLAUDE_KEY)
        yield server


def fail(server: FakeServer, what: Any, times: int = 1) -> None:
    for _ in range(times):
        if what == "refused":
            server.close()
        elif what == "hang":
            server.hang()
        elif what == "quota":
            server.fail(429, code="insufficient_quota", type="insufficient_quota", message="empty")
        elif what == "context":
            server.fail(400, code="context_length_exceeded", message="too long")
        elif what == "unsupported":
            server.fail(400, code="unsupported_parameter", message="Unsupported parameter")
        else:
            server.fail(what, message="no", retry_after=0 if what == 429 else None)


# What happened; requests with num_retries=1 to the first model, and to the fallback (None: raised).
TABLE: list[tuple[Any, int, int | None]] = [
    (408, 2, 1),
    (409, 2, 1),
    (425, 2, 1),
    (429, 2, 1),
    (500, 2, 1),
    (502, 2, 1),
    (503, 2, 1),
    (529, 2, 1),
    ("hang", 2, 1),
    ("refused", 0, 1),
    (401, 1, 1),
    (403, 1, 1),
    (404, 1, 1),
    ("quota", 1, 1),
    (400, 1, None),
    (422, 1, None),
    ("context", 1, 1),
    ("unsupported", 1, 1),
]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("what", "first", "second"), TABLE, ids=lambda value: str(value))
def test_what_is_asked_again_and_who_is_asked_next(
    client: Client,
    primary: FakeServer,
    fallback: FakeServer,
    what: Any,
    first: int,
    second: int | None,
    how: str,
) -> None:
    fail(primary, what, times=2)
    options: dict[str, Any] = {"model": OPENAI, "fallbacks": [CLAUDE], "num_retries": 1}
    if what == "hang":
        options["timeout"] = 0.3

    if second is None:
        with pytest.raises(LLMMagicError) as caught:
            ask(client, how, "Why?", **options)
        attempts = caught.value.attempts
    else:
        completion = ask(client, how, "Why?", **options)
        assert completion.provider == "anthropic"
        assert client.complete("Why?", model=CLAUDE, mode="REPLAY").text == completion.text
        attempts = completion.attempts

    sent = max(first, 2) if what == "refused" else first
    assert (primary.count, fallback.count) == (first, second or 0)
    assert [one["model"] for one in attempts] == [OPENAI] * sent + [CLAUDE] * (second or 0)
    rows = [row for row in client.history.rows() if row["source"] == "live"]
    assert [row["attempt"] for row in rows] == list(range(len(attempts)))
    assert len({row["call"] for row in rows[1:]} | {rows[0]["id"]}) == 1
    assert [row["status"] for row in rows[:sent]] == ["error"] * sent
    for server, key in ((primary, OPENAI_KEY), (fallback, CLAUDE_KEY)):
        for seen in server.requests:
            others = {OPENAI_KEY, CLAUDE_KEY} - {key}
            assert not any(other in str(seen.headers) + str(seen.raw) for other in others)


@pytest.mark.parametrize("how", ["stream", "astream"])
@pytest.mark.parametrize("broken", ["cut", "unfinished"])
def test_after_the_first_token_nobody_else_is_asked(
    client: Client, primary: FakeServer, fallback: FakeServer, broken: str, how: str
) -> None:
    getattr(primary, broken)("one two three")

    with pytest.raises(exceptions.ProviderError) as caught:
        ask(client, how, "Why?", model=OPENAI, fallbacks=[CLAUDE], num_retries=3)

    assert caught.value.partial
    assert (primary.count, fallback.count) == (1, 0)
    assert [row["status"] for row in client.history.rows()] == ["incomplete"]
    assert list(client.shelf.recordings.all()) == []


@pytest.mark.parametrize("how", HOWS)
def test_one_retry_of_a_500_is_two_requests_and_the_first_error_is_raised(
    client: Client, primary: FakeServer, how: str
) -> None:
    primary.fail(500, message="first")
    primary.fail(503, message="second")

    with pytest.raises(exceptions.ServerError, match="first") as caught:
        ask(client, how, "Why?", model=OPENAI, num_retries=1)

    assert primary.count == 2
    assert [one["model"] for one in caught.value.attempts] == [OPENAI, OPENAI]
    assert "second" in caught.value.attempts[1]["error"]


@pytest.mark.parametrize("how", HOWS)
def test_a_retry_that_succeeds_is_one_answer_and_two_rows(
    client: Client, primary: FakeServer, how: str
) -> None:
    primary.fail(503, message="busy")
    primary.reply("at last")

    completion = ask(client, how, "Why?", model=OPENAI, num_retries=1)

    assert completion.text == "at last"
    assert [row["status"] for row in client.history.rows()] == ["error", "ok"]
    assert client.history.totals().unknown == 0


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("broken", ["opnai/gpt-5", "no-such-family", "openai/gpt-5-mini"])
def test_an_unknown_name_or_a_missing_key_goes_to_the_next_model_at_once(
    client: Client, fallback: FakeServer, monkeypatch: pytest.MonkeyPatch, broken: str, how: str
) -> None:
    completion = ask(
        client, how, "Why?", model=broken, fallbacks=["nobody/x", CLAUDE], num_retries=2
    )

    assert completion.provider == "anthropic"
    assert len(completion.attempts) == 3
    assert fallback.count == 1


def test_all_candidates_are_looked_up_before_any_is_asked(
    client: Client, primary: FakeServer, fallback: FakeServer
) -> None:
    client.complete("Why?", model=CLAUDE)
    fallback.clear()

    completion = client.complete("Why?", model=OPENAI, fallbacks=[CLAUDE])

    assert (completion.source, completion.provider) == ("replay", "anthropic")
    assert (primary.count, fallback.count) == (0, 0)


# Answers of several models, in a folder of several notebooks

BOTH: dict[str, Any] = {"model": OPENAI, "fallbacks": [CLAUDE]}


def notebook(monkeypatch: pytest.MonkeyPatch, name: str | None) -> Client:
    """Go on in another process, which works in this notebook."""
    if name is None:
        monkeypatch.delenv("LLM_MAGIC_NOTEBOOK", raising=False)
    else:
        monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", f"{name}.ipynb")
    return Client(".", mode="FALLBACK")


def other_answer(
    monkeypatch: pytest.MonkeyPatch, primary: FakeServer, name: str = "another"
) -> None:
    """Another notebook has an answer of the first model, saved."""
    primary.reply("of another notebook")
    with closing(notebook(monkeypatch, name)) as client:
        client.complete("Why?", model=OPENAI)
        client.shelf.save(name)


@pytest.mark.parametrize("own", [False, True], ids=["never answered", "answered before"])
@pytest.mark.parametrize("then", ["same process", "saved", "new process", "store deleted"])
def test_what_a_fallback_answered_replays_where_another_notebook_has_the_first_models_answer(
    primary: FakeServer, fallback: FakeServer, monkeypatch: pytest.MonkeyPatch, then: str, own: bool
) -> None:
    other_answer(monkeypatch, primary)
    mine = notebook(monkeypatch, "mine")
    if own:
        mine.complete("Why?", **BOTH, mode="CAPTURE")
        mine.shelf.save("mine")
    fail(primary, 500)
    fallback.reply("captured")
    mine.complete("Why?", **BOTH, mode="CAPTURE")

    if then != "same process":
        mine.shelf.save("mine")
    if then in ("new process", "store deleted"):
        mine.close()
        mine = notebook(monkeypatch, "mine")
    if then == "store deleted":
        history.close()
        shutil.rmtree(".llm_magic")
    replayed = mine.complete("Why?", **BOTH)

    assert (replayed.source, replayed.text) == ("replay", "captured")
    assert mine.preview("Why?", **BOTH).recording.reference == CLAUDE
    mine.close()
    with closing(notebook(monkeypatch, "another")) as other:
        assert other.complete("Why?", **BOTH).text == "of another notebook"


def test_without_a_notebook_too_what_was_captured_comes_before_what_others_have(
    primary: FakeServer, fallback: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_answer(monkeypatch, primary)
    fail(primary, 500)
    fallback.reply("captured")

    with closing(notebook(monkeypatch, None)) as client:
        client.complete("Why?", **BOTH, mode="CAPTURE")
        replayed = client.complete("Why?", **BOTH)

    assert (replayed.source, replayed.text) == ("replay", "captured")


def test_what_only_others_have_comes_in_the_order_of_the_models(
    primary: FakeServer, fallback: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_answer(monkeypatch, primary)
    with closing(notebook(monkeypatch, "third")) as third:
        third.complete("Why?", model=CLAUDE)

    with closing(notebook(monkeypatch, "mine")) as client:
        replayed = client.complete("Why?", **BOTH)

    assert (replayed.source, replayed.text) == ("replay", "of another notebook")
    assert client.shelf.status("mine").unsaved == 1


def test_answers_of_different_models_in_one_run_replay_in_their_order(
    client: Client, primary: FakeServer, fallback: FakeServer
) -> None:
    primary.reply("first")
    fallback.reply("second")
    with run("capture"):
        client.complete("Why?", **BOTH, mode="CAPTURE")
        fail(primary, 500)
        client.complete("Why?", **BOTH, mode="CAPTURE")

    with run("replay"):
        texts = [client.complete("Why?", **BOTH, mode="REPLAY").text for _ in range(3)]

    # Nobody was asked a third time: the first answer stands in.
    assert texts == ["first", "second", "first"]


def test_answers_that_another_cell_asked_a_fallback_for_do_not_replace_a_stand_in(
    client: Client, primary: FakeServer, fallback: FakeServer
) -> None:
    primary.reply("first")
    with run("asked with a fallback"):
        client.complete("Why?", **BOTH)
    for text in ("other", "another"):
        fallback.reply(text)
    with run("asks the fallback itself"):
        for _ in range(2):
            client.complete("Why?", model=CLAUDE, mode="CAPTURE")

    with run("replay"):
        texts = [client.complete("Why?", **BOTH, mode="REPLAY").text for _ in range(2)]

    assert texts == ["first", "first"]


def test_an_own_stand_in_comes_before_that_of_another_notebook(
    primary: FakeServer, fallback: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_answer(monkeypatch, primary)
    fail(primary, 500)
    fallback.reply("captured")

    with closing(notebook(monkeypatch, "mine")) as client:
        with run("capture"):
            client.complete("Why?", **BOTH, mode="CAPTURE")
        with run("replay"):
            texts = [client.complete("Why?", **BOTH, mode="REPLAY").text for _ in range(2)]

    assert texts == ["captured", "captured"]


def test_a_fallbacks_whole_answer_comes_before_a_closed_stream_of_another_notebook(
    primary: FakeServer, fallback: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(notebook(monkeypatch, "another")) as other:
        with other.stream("Why?", model=OPENAI) as stream:
            next(stream)
        other.shelf.save("another")
    with closing(notebook(monkeypatch, "third")) as third:
        third.complete("Why?", model=CLAUDE)

    with closing(notebook(monkeypatch, "mine")) as client:
        replayed = client.complete("Why?", **BOTH, mode="REPLAY")

    assert replayed.provider == "anthropic"


def test_a_key_that_is_passed_goes_to_the_first_model_only(
    client: Client, primary: FakeServer, fallback: FakeServer
) -> None:
    primary.fail(401, message="unknown key")

    client.complete("Why?", model=OPENAI, api_key="passed-key-0123456789", fallbacks=[CLAUDE])

    assert "passed-key-0123456789" in str(primary.last.headers)
    assert "passed-key" not in str(fallback.last.headers)
    assert CLAUDE_KEY in str(fallback.last.headers)


def test_retry_after_is_waited_for(
    client: Client, primary: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("llm_magic.client.time.sleep", waited.append)
    primary.fail(429, message="slow down", retry_after=7)

    client.complete("Why?", model=OPENAI, num_retries=1)

    assert waited == [7.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_retries": -1}, "a number from 0"),
        ({"fallbacks": "openai/x"}, "a list of models, not one text"),
    ],
)
def test_misuse_is_told_before_anything_is_sent(
    client: Client, primary: FakeServer, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(exceptions.ParameterError, match=message):
        client.complete("Why?", model=OPENAI, **options)

    assert primary.count == 0
