"""The meter shows what the ledger says, in every view, while cells run."""

from __future__ import annotations

import threading
from decimal import Decimal

import pytest

import llm_magic
from llm_magic import CostMeter, complete, config, history
from llm_magic.notebook import meter as meters


@pytest.fixture
def meter(server, wait_for):
    config.default().set("model", "openai/gpt-5-mini")
    server.reply("Four words of answer", usage=(1000, 500))
    return CostMeter()


def test_a_fresh_meter_shows_nothing_spent(meter):
    assert meter.text == (
        "spent: $0.00 · saved by replay: $0.00 · of unknown cost: none · calls: 0 live, 0 replayed"
    )


def test_it_moves_with_a_call_and_shows_the_ledgers_figures(meter, wait_for):
    complete("Why?")

    wait_for(meter, "spent", bool)
    totals = history.totals(session=history.session())
    assert meter.spent == totals.spent == Decimal("0.00125")
    assert "$0.00125" in meter.value


def test_a_replay_is_saved_and_not_spent(meter, wait_for):
    complete("Why?")
    complete("Why?")

    wait_for(meter, "saved", lambda saved: saved == Decimal("0.00125"))
    assert meter.spent == Decimal("0.00125")


def test_a_call_of_unknown_price_is_counted_and_not_zero(meter, wait_for):
    complete("Why?", model="openai/my-own-model")

    wait_for(meter, "unknown", lambda unknown: unknown == 1)
    assert "of unknown cost: 1 call ·" in meter.text


def test_it_moves_while_a_cell_runs(meter, notebook, wait_for):
    seen = threading.Event()
    meter.observe(lambda change: seen.set(), "spent")
    notebook.names["seen"] = seen

    told = notebook.run("import llm_magic\nllm_magic.complete('Why?')\nseen.wait(60)")

    assert told is True


def test_two_meters_show_the_same(meter, wait_for):
    other = CostMeter()
    complete("Why?")

    wait_for(meter, "value", lambda value: "$0.00125" in value)
    wait_for(other, "value", lambda value: value == meter.value)


def test_a_budget_has_a_bar_and_words(meter, wait_for):
    config.default().set("budget", "0.10")
    complete("Why?", max_tokens=600)

    wait_for(meter, "text", lambda text: "budget per session: $0.00125 of $0.10" in text)
    assert 'role="meter"' in meter.value
    assert 'aria-valuenow="1"' in meter.value


@pytest.mark.parametrize(
    ("limit", "colour"),
    [("1", "success"), ("0.0015", "warn"), ("0.00125", "error"), ("0", "error")],
)
def test_a_bar_says_how_far_a_budget_is_used_by_its_colour(meter, limit, colour):
    complete("Why?")
    config.default().set("budget", limit)

    meter.refresh()

    assert f"--jp-{colour}-color1" in meter.value


def test_another_session_is_not_counted(meter):
    history.default().record(session="other", source="live", status="ok", cost=Decimal(5))

    meter.refresh()

    assert meter.spent == 0


def test_a_budget_that_is_none_is_told_in_the_meter(meter, monkeypatch):
    monkeypatch.setenv("LLM_MAGIC_BUDGET", "<b>much</b>")

    meter.refresh()

    assert "LLM_MAGIC_BUDGET" in meter.text
    assert "<b>" not in meter.value


def test_it_stands_for_itself_in_a_terminal(terminal):
    terminal.run("import llm_magic; meter = llm_magic.CostMeter()")

    terminal.run("display(meter)")

    assert terminal.shown == terminal.names["meter"].text


def test_the_public_name_is_the_meter():
    assert llm_magic.CostMeter is meters.CostMeter
