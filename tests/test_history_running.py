"""Sums that go on from where they stood are the sums of all rows, whoever writes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_magic import history
from llm_magic.config import Workspace
from llm_magic.history import History
from llm_magic.history.sums import GROUPED, SUMMED, Sums
from llm_magic.recordings import now


@pytest.fixture
def two(tmp_path):
    """One file, open twice: what two kernels of a folder have."""
    ledgers = [History(Workspace(tmp_path)) for _ in range(2)]
    yield ledgers
    for ledger in ledgers:
        ledger.close()


def counted_anew(ledger):
    with ledger._database() as database:
        return Sums().add(database.execute(f"SELECT {SUMMED} FROM calls {GROUPED}")).totals()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["begin", "finish", "forgotten", "record", "replay", "delete", "vacuum", "read"]
        ),
        st.sampled_from([0, 1]),
        st.none() | st.decimals(0, 10, places=9),
    ),
    max_size=25,
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
@given(steps=STEPS)
def test_they_are_those_of_all_rows_after_any_steps_of_two_kernels(two, steps):
    under_way = []
    for what, who, amount in steps:
        ledger = two[who]
        match what:
            case "begin":
                under_way.append(ledger.begin(model="a", started=now()))
            case "finish" if under_way:
                ledger.finish(under_way.pop(), status="ok", cost=amount, input_tokens=5)
            case "forgotten" if under_way:
                # Another container took it for dead, and it ends after all.
                ledger.finish(under_way[-1], status="unknown")
                two[0].totals()
                ledger.finish(under_way.pop(), status="ok", cost=amount)
            case "record":
                ledger.record(started=now(), source="live", status="error", cost=amount)
            case "replay":
                ledger.record(started=now(), source="replay", status="ok", saved=amount)
            case "delete":
                ledger.delete(before=now() + timedelta(seconds=1))
            case "vacuum":
                ledger.vacuum()
            case _:
                two[1 - who].totals()

    for ledger in two:
        total = ledger.totals()
        assert total == replace(counted_anew(ledger), since=total.since)


def test_a_call_is_in_the_sums_when_another_kernel_ends_it(two):
    one, other = two
    call = one.begin(model="a", started=now())
    assert (other.totals().live, other.totals().spent) == (1, 0)

    one.finish(call, status="ok", cost=Decimal("0.25"))

    assert (other.totals().live, other.totals().spent) == (1, Decimal("0.25"))


def test_only_so_many_are_kept(two):
    for number in range(50):
        two[0].totals(tag=f"experiment {number}")

    assert len(two[0]._sums) == 16


def test_the_version_is_another_one_after_each_change(two):
    one, other = two
    seen = [(one.version(), other.version())]
    for change in (
        lambda: one.record(model="a"),
        lambda: other.finish(other.begin(model="b", started=now()), status="ok"),
        lambda: one.delete(before=now() + timedelta(seconds=1)),
    ):
        change()
        seen.append((one.version(), other.version()))

    assert (one.version(), other.version()) == seen[-1]
    assert len({mine for mine, _ in seen}) == len({theirs for _, theirs in seen}) == 4


def test_watchers_are_told_of_each_write_outside_of_the_lock(two, tmp_path):
    told = []
    end = history.on_change(lambda: told.append(two[0].totals().calls))

    two[0].finish(two[0].begin(model="a", started=now()), status="ok")
    two[0].record(model="b")
    end()
    two[0].record(model="c")

    assert told == [1, 1, 2]
