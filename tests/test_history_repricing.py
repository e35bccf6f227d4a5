"""Repricing and deleting: on request only, and what is counted says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from llm_magic import history, prices
from llm_magic.client import Client
from llm_magic.exceptions import ParameterError
from llm_magic.recordings import now

OWN = "openai/my-ft"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def client(server):
    client = Client(".", model=OWN, timeout=20)
    yield client
    client.close()
    prices.clear()


def settled(client):
    scopes = history.session_scope(history.session()), history.day_scope(now())
    return {counter.settled for counter in client.history.counters(scopes).values()}


def test_a_price_that_is_known_now_makes_unknown_calls_known(client, server):
    server.reply("Because.", usage=(1000, 500))
    client.complete("Why?")
    client.complete("Why?")
    prices.set(OWN, input=1, output=2)

    told = client.history.reprice()

    live, replay = client.history.rows()
    assert (live["cost"], live["cost_source"], live["answer"]) == ("0.002", "user", "Because.")
    assert (replay["cost"], replay["saved"], replay["cost_source"]) == ("0", "0.002", "replay")
    totals = client.history.totals()
    assert (totals.spent, totals.saved, totals.unknown) == (Decimal("0.002"), Decimal("0.002"), 0)
    assert settled(client) == {Decimal("0.002")}
    assert told.calls == 2
    assert str(told).splitlines()[1:] == [
        "openai/my-ft  live    1      $0.00   1               $0.002",
        "openai/my-ft  replay  1      $0.00   1               $0.002",
        "2 calls repriced",
    ]


def test_another_price_of_yours_replaces_the_old_one(client, server):
    prices.set(OWN, input=1, output=2)
    server.reply("Because.", usage=(1000, 500))
    client.complete("Why?")
    prices.set(OWN, input=2, output=4)

    client.history.reprice(model=OWN)

    (row,) = client.history.rows()
    assert (row["cost"], row["price_table"]) == ("0.004", "user")
    assert '"input_mtok": "2"' in row["prices"]
    assert settled(client) == {Decimal("0.004")}
    assert client.history.reprice().calls == 0


def test_what_was_set_aside_for_an_unknown_outcome_makes_room(client):
    prices.set(OWN, input=1, output=2)
    tokens = dict.fromkeys(history.usage_columns.__globals__["TOKENS"], 0)
    call = client.history.begin(
        provider="openai", model="my-ft", started=now(), reserved=Decimal("0.5")
    )
    client.history.finish(call, status="ok", cost=None, **{**tokens, "output_tokens": 1000})
    assert settled(client) == {Decimal("0.5")}

    client.history.reprice()

    assert settled(client) == {Decimal("0.002")}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"cost": Decimal("0.7"), "cost_source": "provider"}, "the provider said so"),
        ({"cost": Decimal(0), "cost_source": "unbilled"}, "it was not billed"),
        ({"usage_source": "estimated"}, "its tokens were estimated"),
        ({"output_tokens": None}, "its tokens are unknown"),
        ({"cost": Decimal("0.7"), "prices": {"input_mtok": "1", "output_mtok": "2"}}, "searches"),
        ({"prices": {"input_mtok": "1", "output_mtok": "2"}}, "pictures, of unknown cost"),
        ({"model": "nobody-knows-it"}, "it has no price today either"),
        ({"started": None}, "nobody knows when it was"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_row_is_left_as_it_is_where_a_price_would_be_a_guess(changes, why, client):
    prices.set(OWN, input=1, output=2)
    tokens = dict.fromkeys(history.usage_columns.__globals__["TOKENS"], 10)
    row = {"source": "live", "status": "ok", "provider": "openai", "model": "my-ft"}
    client.history.record(**{**row, "started": now(), **tokens, **changes})
    before = client.history.rows()

    assert str(client.history.reprice()) == "no call has another price today"

    assert client.history.rows() == before


def test_a_price_that_was_declared_and_is_not_now_stays(client, server):
    prices.set(OWN, input=1, output=2)
    server.reply("Because.", usage=(1000, 500))
    client.complete("Why?")
    prices.clear()

    assert client.history.reprice().calls == 0
    assert client.history.totals().spent == Decimal("0.002")


def test_filters_pick_what_is_repriced(client, server):
    client.complete("Why?")
    client.complete("What?", model="openai/other")
    prices.set("openai/*", input=1, output=2)

    told = client.history.reprice(model="openai/other", since="1h")

    assert set(told.models) == {("openai/other", "live")}
    assert client.history.totals().unknown == 1


def test_a_list_price_of_that_day_stays_the_one_of_that_day(client, server):
    client.complete("Why?", model="openai/gpt-4o-mini")

    assert client.history.reprice().calls == 0


# Deleting


@pytest.fixture
def old(client):
    for days, cost in [(0, "0.5"), (400, "0.25"), (500, None)]:
        client.history.record(
            started=NOON - timedelta(days=days),
            source="live",
            status="ok",
            cost=None if cost is None else Decimal(cost),
            prompt="a secret " * 300,
        )
    return client.history


def test_deleted_calls_leave_the_sums_which_say_from_when_they_count(old):
    gone = old.delete(before="2026-01-01")

    assert (gone.calls, gone.spent, gone.unknown) == (2, Decimal("0.25"), 1)
    totals = old.totals()
    assert (totals.calls, totals.spent) == (1, Decimal("0.5"))
    assert totals.since == datetime(2026, 1, 1).astimezone()
    assert old.totals(source="live").since == old.totals(since="2020-01-01").since == totals.since


def test_what_was_deleted_is_kept_as_a_line_of_its_own(old):
    old.delete(before="2026-01-01")

    with old._database() as database:
        rows = database.execute("SELECT kind, calls, spent, unknown FROM rewrites").fetchall()
    assert rows == [("deleted", 2, "0.25", 1)]


def test_calls_go_with_the_notebook_that_is_called_otherwise_now(client):
    record = client.history.record
    record(notebook="a", source="live", status="ok", cost=Decimal("0.5"))
    record(notebook="b", source="live", status="ok", cost=Decimal("0.25"))
    before = client.history.totals()
    assert client.history.totals(notebook="c").calls == 0

    assert client.history.rename("a", "c") == 1

    assert client.history.totals(notebook="c").spent == Decimal("0.5")
    assert client.history.totals(notebook="a").calls == 0
    assert client.history.totals() == before
    with client.history._database() as database:
        assert database.execute("SELECT kind, calls FROM rewrites").fetchall() == [("renamed", 1)]


def test_calls_under_way_are_not_deleted(client):
    client.history.begin(started=NOON)

    assert client.history.delete(before=now()).calls == 0
    assert client.history.totals() == history.Totals(calls=1, live=1)


def test_a_budget_still_knows_what_was_deleted(client, server):
    prices.set(OWN, input=1, output=2)
    server.reply("Because.", usage=(1000, 500))
    client.complete("Why?")

    client.history.delete(before=now() + timedelta(seconds=1))

    assert settled(client) == {Decimal("0.002")}
    assert client.history.totals().calls == 0


def test_deleted_texts_are_gone_from_the_file_and_vacuum_gives_the_space_back(old):
    for number in range(200):
        old.record(started=NOON - timedelta(days=600), prompt=f"a secret {number} " * 300)
    old.delete(before="2030-01-01")

    assert old.vacuum() > 200_000

    assert b"a secret" not in old.path.read_bytes()
    assert old.totals().calls == 0


def test_a_deletion_needs_a_time(old):
    with pytest.raises(ParameterError, match="is no time"):
        old.delete(before="long ago")
    assert old.totals().calls == 3
