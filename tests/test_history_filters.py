"""Filters of the ledger: the same words for sums, rows, frames and exports."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llm_magic.config import Workspace
from llm_magic.exceptions import ParameterError
from llm_magic.history import FILTERS, History
from llm_magic.history.filters import moment, stored_moment

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path):
    ledger = History(Workspace(tmp_path))
    yield ledger
    ledger.close()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (timedelta(days=7), NOW - timedelta(days=7)),
        ("7d", NOW - timedelta(days=7)),
        ("12h", NOW - timedelta(hours=12)),
        ("30 m", NOW - timedelta(minutes=30)),
        ("2w", NOW - timedelta(weeks=2)),
        (NOW, NOW),
        ("2026-11-20T14:00:00+02:00", NOW),
        (datetime(2026, 11, 20, 9), datetime(2026, 11, 20, 9).astimezone()),
        ("2026-11-20", datetime(2026, 11, 20).astimezone()),
        (date(2026, 11, 20), datetime(2026, 11, 20).astimezone()),
        ("today", datetime.combine(date.today(), datetime.min.time()).astimezone()),
    ],
)
def test_a_time_is_what_people_write_for_it(written, expected):
    assert moment(written, now=NOW) == expected


@pytest.mark.parametrize(
    "written", ["yesterweek", "", "7", "d", "2026-13-01", 7, None, "9" * 99 + "d"]
)
def test_what_is_no_time_says_how_to_write_one(written):
    with pytest.raises(ParameterError, match="is no time; write 2026-11-20"):
        moment(written)


def test_times_are_kept_in_one_form_so_that_they_compare_as_text(ledger):
    east = NOW.astimezone(timezone(timedelta(hours=9)))

    ledger.record(started=east)

    assert ledger.rows()[0]["started"] == stored_moment(NOW) == "2026-11-20T12:00:00.000+00:00"


def test_since_begins_with_its_moment_and_before_ends_ahead_of_it(ledger):
    for hour in range(4):
        ledger.record(started=NOW + timedelta(hours=hour), model=str(hour))

    found = ledger.rows(since=NOW + timedelta(hours=1), before=NOW + timedelta(hours=3))

    assert [row["model"] for row in found] == ["1", "2"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("gpt-5", ["openai/gpt-5", "azure/gpt-5"]),
        ("openai/gpt-5", ["openai/gpt-5", "openrouter/openai/gpt-5"]),
        ("openrouter/*", ["openrouter/openai/gpt-5"]),
        ("*gpt-5*", ["openai/gpt-5", "azure/gpt-5", "openrouter/openai/gpt-5", "openai/gpt-5[x]"]),
        ("openai/gpt-5[*", ["openai/gpt-5[x]"]),
        ("gpt-?", []),
        ("gpt", []),
    ],
)
def test_a_model_is_named_with_or_without_its_provider(wanted, found, ledger):
    models = ["openai/gpt-5", "azure/gpt-5", "openrouter/openai/gpt-5", "openai/gpt-5[x]"]
    for reference in models:
        provider, _, model = reference.partition("/")
        ledger.record(provider=provider, model=model)

    rows = ledger.rows(model=wanted)

    assert [f"{row['provider']}/{row['model']}" for row in rows] == found


@pytest.mark.parametrize("wanted", ["a1b2", "Summarise", "%%complete --out x"])
def test_a_cell_is_named_by_its_id_or_by_text_in_its_first_line(wanted, ledger):
    ledger.record(cell_id="a1b2", cell_line="%%complete --out x  # Summarise")
    ledger.record(cell_id="c3d4", cell_line="%%complete")

    assert [row["cell_id"] for row in ledger.rows(cell=wanted)] == ["a1b2"]


@pytest.mark.parametrize("wanted", ["analysis", "analysis.ipynb"])
def test_a_notebook_is_named_with_or_without_its_ending(wanted, ledger):
    ledger.record(notebook="analysis")
    ledger.record(notebook="other")

    assert ledger.totals(notebook=wanted).calls == 1


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_that_is_none_is_none(name, ledger):
    ledger.record(model="a")

    assert ledger.totals(**{name: None}).calls == len(ledger.rows(**{name: None})) == 1


@pytest.mark.parametrize("name", sorted(FILTERS.keys() - {"since", "before"}))
def test_a_value_is_never_sql(name, ledger):
    ledger.record(model="a")

    assert ledger.totals(**{name: "' OR 1=1; DROP TABLE calls; --"}).calls == 0
    assert ledger.totals().calls == 1


@given(st.datetimes(timezones=st.timezones()))
def test_a_time_stands_in_the_ledger_as_isoformat_writes_it(time: datetime) -> None:
    assume(1 < time.year < 9999)

    utc = time.astimezone(UTC)

    assert stored_moment(time) == utc.isoformat(timespec="milliseconds")
