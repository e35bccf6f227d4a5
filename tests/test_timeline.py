"""Spend over time as a chart, in HTML and in characters."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from xml.etree import ElementTree

import pytest

from llm_magic import timeline
from llm_magic.config import Workspace
from llm_magic.history import History

START = datetime(2026, 1, 5, 12).astimezone()  # a Monday


@pytest.fixture
def ledger(tmp_path):
    ledger = History(Workspace(tmp_path))
    yield ledger
    ledger.close()


def spend(ledger, *when_and_cost):
    for after, cost in when_and_cost:
        ledger.record(
            started=START + after,
            source="live",
            status="ok",
            cost=None if cost is None else Decimal(cost),
        )


DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def test_days_in_which_nothing_was_spent_are_there(ledger):
    spend(ledger, (0 * DAY, "1"), (0 * DAY, "1"), (3 * DAY, "0.5"), (5 * DAY, None))

    chart = timeline.read(ledger)

    assert chart.unit == "day"
    assert [str(bar) for bar in chart.bars] == [
        "2026-01-05: $2.00",
        "2026-01-06: $0.00",
        "2026-01-07: $0.00",
        "2026-01-08: $0.50",
        "2026-01-09: $0.00",
        "2026-01-10: $0.00 and 1 call of unknown cost",
    ]
    assert str(chart) == (
        "█··▃·?\nspent per day, 2026-01-05 to 2026-01-10; most $2.00 (2026-01-05);"
        " 1 call of unknown cost not in it"
    )


@pytest.mark.parametrize(
    ("span", "unit", "bars"),
    [
        (0 * DAY, "hour", 1),
        (5 * HOUR, "hour", 6),
        (2 * DAY, "day", 3),
        (59 * DAY, "day", 60),
        (60 * DAY, "week", 9),
        (419 * DAY, "week", 60),
        (700 * DAY, "month", 2),
    ],
)
def test_the_longer_the_time_the_longer_what_a_bar_stands_for(span, unit, bars, ledger):
    spend(ledger, (0 * DAY, "1"), (span, "1"))

    chart = timeline.read(ledger)

    assert (chart.unit, len(chart.bars)) == (unit, bars)
    assert sum(bar.spent for bar in chart.bars) == 2


def test_filters_pick_what_is_drawn(ledger):
    ledger.record(started=START, source="live", status="ok", cost=Decimal(1), tag="a")
    ledger.record(started=START, source="live", status="ok", cost=Decimal(2), tag="b")

    assert sum(bar.spent for bar in timeline.read(ledger, tag="b").bars) == 2


def test_without_calls_it_says_so(ledger):
    chart = timeline.read(ledger)

    assert str(chart).strip() == "no calls"
    assert chart.to_html() == "<div>no calls</div>"


def test_the_drawing_is_plain_html_that_a_screen_reader_can_tell(ledger):
    spend(ledger, (0 * DAY, "1"), (3 * DAY, "0.0001"), (5 * DAY, None))

    figure = ElementTree.fromstring(timeline.read(ledger).to_html())

    plot = figure.find("div[@role='img']")
    assert plot.get("aria-label") == figure.find("figcaption").text
    assert plot.get("aria-label").startswith("spent per day, 2026-01-05 to 2026-01-10; most $1.00")
    bars = plot.findall("div")
    assert [bar.get("title") for bar in bars][3] == "2026-01-08: $0.0001"
    heights = [int(re.search(r"; height: (\d+)%", bar.get("style"))[1]) for bar in bars]
    assert heights == [100, 0, 0, 3, 0, 0]
    assert "dashed" in bars[5].get("style")
    assert {element.tag for element in figure.iter()} <= {"figure", "div", "span", "figcaption"}


def test_its_colours_are_those_of_the_theme_with_others_where_there_is_none(ledger):
    spend(ledger, (0 * DAY, "1"), (3 * DAY, None))

    found = re.findall(r"var\((--jp-[\w-]+)(, )?", timeline.read(ledger).to_html())

    assert len(found) > 3
    assert all(fallback for _, fallback in found)
