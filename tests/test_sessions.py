"""Logs of calls are views on the ledger: what was spent, what was said, what each model used."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from llm_magic import budget, client, forgetting, history, sessions
from llm_magic.client import Client
from llm_magic.exceptions import (
    BudgetExceededError,
    ParameterError,
    ProviderError,
    ReplayMissError,
)
from llm_magic.sessions import CallLog, ModelUsage
from llm_magic.testing import FakeServer

# $0.15 and $0.60 for a million tokens.
PRICED = "openai/gpt-4o-mini"
UNPRICED = "openai/gpt-unheard-of"
COST = Decimal("0.00045")
SMALL = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}


@pytest.fixture
def asker(server: FakeServer) -> Iterator[Client]:
    asker = Client(".", model=PRICED, timeout=20)
    yield asker
    asker.close()


@pytest.fixture
def ask(asker: Client, server: FakeServer) -> Any:
    """Ask something that costs COST when it is live."""

    def ask(prompt: Any, answer: str = "Because.", **options: Any) -> Any:
        server.reply(answer, usage=(1000, 500), model="gpt-4o-mini-2024-07-18")
        return asker.complete(prompt, **options)

    return ask


def said(*texts: str) -> list[dict[str, str]]:
    """A conversation of user and assistant in turns."""
    roles = ["user", "assistant"] * len(texts)
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]


# Money


def test_only_calls_since_the_start_count(asker: Client, ask: Any) -> None:
    ask("before")
    log = sessions.start(asker)
    assert (log.spent, log.saved, log.unknown) == (0, 0, 0)

    ask("after")

    assert (log.spent, log.saved, log.unknown) == (COST, 0, 0)


def test_a_replay_is_saved_and_not_spent(asker: Client, ask: Any) -> None:
    log = sessions.start(asker)

    ask("Why?")
    ask("Why?")

    assert (log.spent, log.saved) == (COST, COST)


def test_an_unknown_cost_is_counted_and_never_0(asker: Client) -> None:
    log = sessions.start(asker)

    asker.complete("Why?", model=UNPRICED)

    assert (log.spent, log.unknown) == (0, 1)


def test_calls_after_the_stop_do_not_count_and_a_second_stop_changes_nothing(
    asker: Client, ask: Any
) -> None:
    log = sessions.start(asker)
    ask("inside")
    log.stop()

    ask("outside")
    log.stop()

    assert log.spent == COST
    assert len(log.logged_history(compact=False)) == 1


def test_a_log_that_ended_before_the_first_call_is_empty(asker: Client, ask: Any) -> None:
    log = sessions.start(asker)
    log.stop()

    ask("outside")

    assert log.spent == 0
    assert log.logged_history() == {}


def test_logs_overlap(asker: Client, ask: Any) -> None:
    outer = sessions.start(asker)
    ask("one")
    inner = sessions.start(asker)
    ask("two")
    inner.stop()
    ask("three")

    assert (inner.spent, outer.spent) == (COST, 3 * COST)


def test_calls_of_other_threads_count(asker: Client, server: FakeServer) -> None:
    log = sessions.start(asker)
    for _ in range(8):
        server.reply("a", usage=(1000, 500))

    threads = [threading.Thread(target=asker.complete, args=[f"{n}"]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert log.spent == 8 * COST


def test_a_call_under_way_counts_when_it_has_ended(asker: Client, server: FakeServer) -> None:
    log = sessions.start(asker)
    server.reply("a b c", usage=(1000, 500))
    stream = asker.stream("Why?")
    next(stream)
    log.stop()
    assert (log.spent, log.unknown) == (0, 0)

    for _ in stream:
        pass

    assert log.spent == COST


def test_calls_of_another_session_do_not_count(
    asker: Client, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = sessions.start(asker)

    with monkeypatch.context() as other:
        other.setattr("llm_magic.history.ids._session", "another")
        ask("Why?")

    assert log.spent == 0


def test_without_a_client_it_is_the_ledger_of_the_process(server: FakeServer) -> None:
    log = sessions.start()
    server.reply("a", usage=(1000, 500))

    client.complete("Why?", model=PRICED)

    assert log.spent == COST


def test_a_log_outlives_the_closing_of_the_ledger(asker: Client, ask: Any) -> None:
    ask("before")
    log = sessions.start(asker)
    ask("inside")

    history.close()

    assert log.spent == COST


def test_a_log_survives_that_the_row_before_it_is_deleted(asker: Client, ask: Any) -> None:
    ask("long before")
    ask("before")
    log = sessions.start(asker)
    ask("inside")

    with closing(sqlite3.connect(".llm_magic/history.db")) as ledger, ledger:
        ledger.execute("DELETE FROM calls WHERE prompt = 'before'")

    assert log.spent == COST


# What was said


def test_the_full_history_has_requests_and_responses(asker: Client, ask: Any) -> None:
    log = sessions.start(asker)

    answer = ask("Why?", temperature=0.5, max_tokens=9)

    assert log.logged_history(compact=False) == {
        0: {
            "request": {
                "model": "gpt-4o-mini",
                "messages": said("Why?"),
                "temperature": 0.5,
                "max_tokens": 9,
            },
            "response": {**answer.to_dict(), "cost": 0.00045},
        }
    }


def test_a_replay_is_logged_as_its_live_call(asker: Client, ask: Any) -> None:
    log = sessions.start(asker)
    ask("Why?")
    ask("Why?", mode="REPLAY")

    logged = log.logged_history(compact=False)

    assert logged[0] == logged[1]


def test_calls_without_an_answer_are_not_logged(asker: Client, server: FakeServer) -> None:
    log = sessions.start(asker)
    server.fail(400)

    with pytest.raises(ProviderError):
        asker.complete("Why?")
    with pytest.raises(ReplayMissError):
        asker.complete("Why?", mode="REPLAY")

    assert log.logged_history(compact=False) == {}


def test_the_compact_history_has_an_entry_a_conversation(asker: Client, ask: Any) -> None:
    log = sessions.start(asker)
    ask("Why?")
    ask("Else?", "No.")
    ask(said("Why?", "Because.", "Really?"), "Yes.")

    whole = said("Why?", "Because.", "Really?", "Yes.")
    count = {"model": "gpt-4o-mini-2024-07-18", **SMALL}
    assert log.logged_history() == {
        key(said("Else?", "No.")): {"created_at": [1], "cost": [0.00045], "token_count": [count]},
        key(whole): {"created_at": [0, 2], "cost": [0.00045] * 2, "token_count": [count] * 2},
    }


def test_a_conversation_that_is_repeated_loses_no_call(asker: Client, ask: Any) -> None:
    log = sessions.start(asker)
    for _ in range(2):
        ask("Why?")
        ask(said("Why?", "Because.", "Really?"), "Yes.")

    (entry,) = log.logged_history().values()

    assert sorted(entry["created_at"]) == [0, 1, 2, 3]
    assert entry["cost"] == [0.00045] * 4


def test_an_unknown_cost_is_none_in_the_history(asker: Client) -> None:
    log = sessions.start(asker)

    asker.complete("Why?", model=UNPRICED)

    assert [entry["cost"] for entry in log.logged_history().values()] == [[None]]
    assert log.logged_history(compact=False)[0]["response"]["cost"] is None


@pytest.mark.parametrize("compact", [True, False])
def test_a_history_can_be_written_as_json(asker: Client, ask: Any, compact: bool) -> None:
    log = sessions.start(asker)
    ask("Why?")

    assert json.loads(json.dumps(log.logged_history(compact=compact)))


def test_prompts_of_the_older_api_are_logged_as_prompts(asker: Client, server: FakeServer) -> None:
    log = sessions.start(asker)

    asker.complete("Once upon", api="completion", model="openai/gpt-3.5-turbo-instruct")

    request = log.logged_history(compact=False)[0]["request"]
    assert request == {"model": "gpt-3.5-turbo-instruct", "prompt": ["Once upon"]}
    assert [json.loads(place)[0] for place in log.logged_history()] == ["Once upon"]


def test_without_a_recording_it_is_what_the_ledger_knows(asker: Client, ask: Any) -> None:
    log = sessions.start(asker)

    ask(said("Why?", "Because.", "Really?"), "Yes.", mode="DISABLED")

    assert log.logged_history(compact=False)[0] == {
        "request": {"model": "gpt-4o-mini", "messages": said("Really?")},
        "response": {
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Yes."},
                    "finish_reason": "stop",
                }
            ],
            "usage": SMALL,
            "cost": 0.00045,
        },
    }


def test_what_a_later_capture_replaced_is_not_taken_for_the_earlier_answer(
    asker: Client, ask: Any
) -> None:
    log = sessions.start(asker)
    ask("Why?", "First.")
    asker.complete("Why?", mode="REPLAY")
    ask("Why?", "Second.", mode="CAPTURE")

    answers = [
        entry["response"]["choices"][0]["message"]["content"]
        for entry in log.logged_history(compact=False).values()
    ]
    assert answers == ["First.", "First.", "Second."]


def test_of_a_forgotten_call_only_the_figures_are_left(asker: Client, ask: Any) -> None:
    log = sessions.start(asker)
    ask("my secret plan", "noted")
    forgetting.find_forgettable(asker.shelf, asker.history, text="secret").do()

    logged = log.logged_history(compact=False)

    assert "secret" not in json.dumps(logged)
    assert "noted" not in json.dumps(logged)
    assert logged[0]["response"]["usage"] == SMALL
    assert log.spent == COST


def test_numbers_go_on_where_another_log_is(asker: Client, ask: Any) -> None:
    log = sessions.start(asker)
    ask("one")
    earlier = log.logged_history(compact=False)

    second = sessions.start(asker, first=log.next)
    ask("two")

    whole = second.logged_history(compact=False, earlier=earlier)
    assert [entry["request"]["messages"] for entry in whole.values()] == [said("one"), said("two")]
    assert (list(whole), list(earlier), second.next) == ([0, 1], [0], 2)


def test_a_compact_history_goes_on_with_an_earlier_one(asker: Client, ask: Any) -> None:
    log = sessions.start(asker)
    ask("Why?")
    earlier = log.logged_history()
    before = json.dumps(earlier)

    second = sessions.start(asker, first=log.next)
    ask(said("Why?", "Because.", "Really?"), "Yes.")

    (entry,) = second.logged_history(earlier=earlier).values()
    assert entry["created_at"] == [0, 1]
    assert json.dumps(earlier) == before


def test_recordings_are_looked_for_in_other_folders_too(
    asker: Client, ask: Any, tmp_path: Any
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    class Cache(Client):
        def _ledger_at(self, workspace: Any) -> Any:
            return asker.history

    cache = Cache(elsewhere, model=PRICED)
    log = sessions.start(asker)
    cache.complete(said("Why?", "Because.", "Really?"))

    alone, both = (
        log.logged_history(compact=False, shelves=shelves)[0]["request"]["messages"]
        for shelves in ([], [cache.shelf])
    )
    cache.close()
    assert (len(alone), len(both)) == (1, 3)


def key(messages: list[dict[str, str]]) -> str:
    return json.dumps(messages, sort_keys=True)


# What each model used


@pytest.fixture
def mixed(asker: Client, ask: Any) -> CallLog:
    """Two live calls and a replay."""
    log = sessions.start(asker)
    ask("one")
    ask("two")
    ask("one", mode="REPLAY")
    return log


def test_actual_is_live_alone_and_total_has_replays_at_their_price(mixed: CallLog) -> None:
    name = "gpt-4o-mini-2024-07-18"

    assert mixed.usage(replays=False) == {name: ModelUsage(2 * COST, 0, 2000, 1000)}
    assert mixed.usage(replays=True) == {name: ModelUsage(3 * COST, 0, 3000, 1500)}


SUMMARY = """\
{rule}
Usage summary excluding cached usage:
Total cost: $0.0009
* Model 'gpt-4o-mini-2024-07-18': cost: $0.0009, prompt_tokens: 2000, completion_tokens: 1000, \
total_tokens: 3000

Usage summary including cached usage:
Total cost: $0.00135
* Model 'gpt-4o-mini-2024-07-18': cost: $0.00135, prompt_tokens: 3000, completion_tokens: 1500, \
total_tokens: 4500
{rule}""".format(rule="-" * 100)


def test_the_summary_has_both(mixed: CallLog) -> None:
    assert mixed.usage_summary() == SUMMARY
    assert mixed.usage_summary(["actual", "total"]) == SUMMARY


@pytest.mark.parametrize(
    ("mode", "there", "not_there"),
    [("actual", "excluding", "including"), ("total", "including", "excluding")],
)
def test_the_summary_has_one(mixed: CallLog, mode: str, there: str, not_there: str) -> None:
    summary = mixed.usage_summary(mode)

    assert f"{there} cached" in summary
    assert not_there not in summary


@pytest.mark.parametrize("mode", ["all", "", [], ["actual", "sum"]])
def test_another_mode_is_an_error(mixed: CallLog, mode: Any) -> None:
    with pytest.raises(ParameterError, match="'actual', 'total' or 'both'"):
        mixed.usage_summary(mode)


def test_the_summary_of_live_calls_alone_says_so_once(asker: Client, ask: Any) -> None:
    log = sessions.start(asker)
    ask("one")

    assert "All completions are non-cached" in log.usage_summary()
    assert log.usage_summary().count("Total cost") == 1


def test_the_summary_of_replays_alone_says_so(asker: Client, ask: Any) -> None:
    ask("one")
    log = sessions.start(asker)
    ask("one", mode="REPLAY")

    assert "No actual cost incurred" in log.usage_summary("actual")
    assert "Total cost: $0.00045" in log.usage_summary()


def test_an_unknown_cost_is_a_question_mark_with_its_count(asker: Client, ask: Any) -> None:
    log = sessions.start(asker)
    asker.complete("Why?", model=UNPRICED)
    asker.complete("Why not?", model=UNPRICED)
    assert "Total cost: $? (2 calls of unknown cost)" in log.usage_summary("actual")

    ask("one")

    assert "Total cost: $0.00045 and 2 calls of unknown cost" in log.usage_summary("actual")


def test_what_was_never_asked_is_in_no_summary(asker: Client) -> None:
    log = sessions.start(asker)

    with pytest.raises(ReplayMissError):
        asker.complete("Why?", mode="REPLAY")
    with budget(0), pytest.raises(BudgetExceededError):
        asker.complete("Why?")

    assert log.usage(replays=True) == {}


def test_the_summary_of_an_empty_log_says_so(asker: Client, ask: Any) -> None:
    ask("before")

    assert sessions.start(asker).usage_summary().startswith("No usage summary")
