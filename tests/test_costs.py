"""Costs by model, cell, day and the like."""

from __future__ import annotations

from decimal import Decimal

import pandas
import pytest

from llm_magic import costs, history, tag
from llm_magic.client import Client
from llm_magic.config import Workspace
from llm_magic.exceptions import ParameterError
from llm_magic.history import History
from llm_magic.recordings import now

MINI = "openai/gpt-4o-mini"


@pytest.fixture
def ledger(tmp_path):
    ledger = History(Workspace(tmp_path))
    yield ledger
    ledger.close()


@pytest.fixture
def mixed(ledger):
    common = {"started": now(), "status": "ok", "provider": "openai", "notebook": "a"}
    live = {**common, "source": "live", "input_tokens": 100, "output_tokens": 10}
    ledger.record(**live, model="gpt", cost=Decimal("0.1"), cache_read_tokens=50)
    ledger.record(**live, model="gpt", cost=Decimal("0.2"), reasoning_tokens=4, tag="x")
    ledger.record(**live, model="own", cost=None, usage_source="estimated")
    ledger.record(**common, source="replay", model="gpt", saved=Decimal("0.1"), cost=Decimal(0))
    ledger.record(**{**common, "status": "error"}, source="live", model="claude", cost=Decimal(2))
    return ledger


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("model", ["openai/claude", "openai/gpt", "openai/own"]),
        ("provider", ["openai"]),
        ("notebook", ["a"]),
        ("tag", [None, "x"]),
        ("cell", [None]),
        ("session", [history.session()]),
        ("day", [str(now().astimezone().date())]),
    ],
)
def test_costs_are_told_apart_by_a_word(by, groups, mixed):
    found = mixed.grouped(by)

    assert list(found) == groups
    assert sum(totals.spent for totals in found.values()) == mixed.totals().spent == Decimal("2.3")
    assert sum(totals.calls for totals in found.values()) == 5


def test_a_row_of_the_frame_has_money_calls_tokens_and_the_cached_share(mixed):
    frame = mixed.costs("model").set_index("model")

    row = frame.loc["openai/gpt"]
    assert row["spent"] == pytest.approx(0.3)
    assert row["saved"] == pytest.approx(0.1)
    assert [row[name] for name in ("calls", "live", "replayed", "unknown", "failed")] == [
        3,
        2,
        1,
        0,
        0,
    ]
    assert (row["uncached_input_tokens"], row["cache_read_tokens"]) == (150, 50)
    assert (row["output_tokens"], row["reasoning_tokens"], row["cached_share"]) == (20, 4, 0.25)
    assert pandas.isna(frame.loc["openai/claude", "cached_share"])


def test_the_frame_has_its_dtypes_for_an_empty_ledger_too(ledger, mixed):
    dtypes = mixed.costs("day").dtypes

    assert dtypes.equals(mixed.costs("day", tag="nobody's").dtypes)


def test_a_cell_is_told_by_its_first_line(ledger):
    ledger.record(cell_id="a1", cell_line="%%complete --out x")
    ledger.record(cell_id="b2")

    assert set(ledger.grouped("cell")) == {"%%complete --out x", "b2"}


def test_the_report_is_a_table_with_the_sum_of_all_and_a_chart(mixed):
    lines = str(costs.report(mixed, "model")).splitlines()

    assert lines[0].startswith(
        "model          spent  saved  unknown  calls  live  replayed  failed"
    )
    assert [line.split()[0] for line in lines[1:5]] == [
        *("openai/claude", "openai/gpt", "openai/own", "all"),
    ]
    assert lines[4].split()[1:4] == ["$2.30", "$0.10", "1"]
    assert lines[2].endswith("25%")
    assert "1 call with estimated tokens" in lines[5]
    assert lines[-1].startswith("spent per hour, ")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"by": "modle"}, "costs by 'modle': did you mean model"),
        ({"model": "openai/gtp"}, "no call has model 'openai/gtp'; did you mean openai/gpt"),
        ({"tag": "y"}, "no call has tag 'y'; use one of: x"),
        ({"cell": "y"}, "no call has cell 'y'; no call has one"),
        ({"model": "own", "tag": "x"}, "no call matches: model own, tag x"),
        ({"since": "soon"}, "'soon' is no time"),
    ],
)
def test_what_does_not_exist_is_told_with_the_nearest_that_does(asked, told, mixed):
    with pytest.raises(ParameterError, match=told):
        costs.report(mixed, **asked)


def test_a_folder_without_calls_says_so(ledger):
    with pytest.raises(ParameterError, match="nothing was asked in this folder yet"):
        costs.report(ledger)


def test_what_was_deleted_is_told_under_the_table(mixed):
    mixed.delete(before="2020-01-01")
    assert "deleted" not in costs.report(mixed).caption()

    mixed.record(started=now().replace(year=2000), source="live", status="ok")
    mixed.delete(before="2020-01-01")

    assert "calls before 2020-01-01 were deleted" in costs.report(mixed).caption()


def test_a_live_call_brings_tier_tools_and_who_counted(server):
    client = Client(".", model=MINI, timeout=20)
    server.reply("Because.", usage=None)
    with tag("here"):
        client.complete("Why?")
    server.reply("Because.", usage=(10, 5))
    client.complete("What?")

    estimated, told = client.history.rows()
    assert (estimated["usage_source"], told["usage_source"]) == ("estimated", "provider")
    assert (estimated["tag"], told["tag"]) == ("here", None)
    assert (told["tool_calls"], told["reserved"]) == (0, None)
    assert client.history.totals().estimated == 1
    client.close()
