"""What the kernel knows, as Lab is told it; what cannot be read is told in words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from llm_magic import client, complete, config, history, replay, secrets
from llm_magic.budgets import budget
from llm_magic.config import Settings
from llm_magic.history import History
from llm_magic.notebook.lab import State
from llm_magic.notebook.lab_state import Reader
from llm_magic.recordings import now
from llm_magic.shelf import Shelf

COMMON = {"source": "live", "status": "ok", "provider": "openai", "model": "gpt"}


@pytest.fixture
def named(write_notebook):
    """The kernel of a notebook whose name is known."""
    write_notebook("a.ipynb")
    config.default().notebook_hint = "a.ipynb"


def counting(read, counted):
    """The same function; each call of it is counted."""
    return lambda *given, **more: counted.append(1) or read(*given, **more)


def impose(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(config, "_default", Settings())


def test_all_that_was_promised_is_there(named):
    state = Reader().state()

    assert state.keys() == State.__annotations__.keys()
    assert (state["mode"], state["origin"], state["pinned"]) == ("FALLBACK", "default", None)
    assert (state["notebook"], state["problem"]) == ("a", None)


def test_money_is_text_and_told_apart_by_session_notebook_model_and_cell(named, monkeypatch):
    ledger = history.default()
    ledger.record(**COMMON, started=now(), notebook="a", session="earlier", cost=Decimal("0.10"))
    ledger.record(**COMMON, started=now(), notebook="b", session="earlier", cost=Decimal(1))
    ledger.record(**COMMON, started=now(), notebook="a", cell_line="one", cost=Decimal("2.50"))
    ledger.record(**COMMON, started=now(), notebook="a", cell_line="two", cost=None)

    state = Reader().state()

    paid = {"spent": "2.5", "saved": "0", "unknown": 1, "live": 2, "replayed": 0}
    assert state["session"] == paid
    assert state["total"] == paid | {"spent": "2.6", "live": 3}
    assert state["models"] == [{"name": "openai/gpt", "cell_id": None, "sums": paid}]
    assert [(one["name"], one["sums"]["spent"]) for one in state["cells"]] == [
        ("one", "2.5"),
        ("two", "0"),
    ]


def test_cells_that_begin_alike_are_told_apart_by_their_ids():
    ledger = history.default()
    ledger.record(**COMMON, started=now(), cell_id="a", cell_line="%%complete", cost=Decimal(1))
    ledger.record(**COMMON, started=now(), cell_id="b", cell_line="%%complete", cost=Decimal(2))
    ledger.record(**COMMON, started=now(), cell_id="c", cost=Decimal("0.4"))
    ledger.record(**COMMON, started=now(), cell_line="%%complete", cost=Decimal("0.3"))
    ledger.record(**COMMON, started=now(), cost=Decimal("0.2"))
    ledger.record(**COMMON, started=now(), cell_id="b", cell_line="%%complete -v", cost=None)

    cells = Reader().state()["cells"]

    assert [(one["cell_id"], one["name"], one["sums"]["spent"]) for one in cells] == [
        ("b", "%%complete -v", "2"),
        ("a", "%%complete", "1"),
        ("c", "c", "0.4"),
        (None, "%%complete", "0.3"),
        (None, "", "0.2"),
    ]


def test_replay_from_outside_is_pinned_with_its_reason(monkeypatch):
    impose(monkeypatch, "LLM_MAGIC_MODE", "REPLAY")
    config.default().set("mode", "CAPTURE")

    state = Reader().state()

    assert state["mode"] == "REPLAY"
    assert state["pinned"] == {
        "mode": "REPLAY",
        "reason": "LLM_MAGIC_MODE=REPLAY was set where this kernel was started",
    }


def test_budgets_say_how_far_they_are_used_and_which_are_ceilings(monkeypatch):
    impose(monkeypatch, "LLM_MAGIC_BUDGET_PER_DAY", "2")
    config.default().set("budget_per_day", "0.50")

    with budget(0.1):
        found = Reader().state()["budgets"]

    assert [(one["per"], one["limit"], one["left"], one["ceiling"]) for one in found] == [
        ("day", "0.5", "0.5", False),
        ("day", "2", "2", True),
        ("block", "0.1", "0.1", False),
    ]
    assert found[1]["origin"] == "LLM_MAGIC_BUDGET_PER_DAY"


def test_the_cassette_counts_what_is_saved_and_what_is_not(named, server):
    reader = Reader()
    complete("one", model="openai/gpt-5-mini")
    before = reader.state()["cassette"]
    client.default().shelf.save("a")

    after = reader.state()["cassette"]

    assert before == {"name": "a.cassette.jsonl", "recordings": 0, "unsaved": 1, "unnamed": 0}
    assert after == before | {"recordings": 1, "unsaved": 0}


def test_recordings_are_counted_only_after_something_was_written(named, server, monkeypatch):
    reader = Reader()
    complete("one", model="openai/gpt-5-mini")
    reader.state()
    counted = []
    status = Shelf.status
    monkeypatch.setattr(Shelf, "status", lambda *given: counted.append(1) or status(*given))

    complete("one", model="openai/gpt-5-mini")
    reader.state()
    replays = len(counted)
    complete("two", model="openai/gpt-5-mini")
    reader.state()

    assert (replays, len(counted)) == (0, 1)


def test_what_another_kernel_saved_is_seen(named, server):
    reader = Reader()
    complete("one", model="openai/gpt-5-mini")
    reader.state()
    other = Shelf(config.default().workspace)
    other.save("a")
    other.close()

    assert reader.state()["cassette"]["unsaved"] == 0


def test_a_damaged_cassette_is_a_problem_and_the_rest_is_told(named, tmp_path):
    (tmp_path / "work" / "a.cassette.jsonl").write_text("{")

    state = Reader().state()

    assert "a.cassette.jsonl" in state["problem"]
    assert "\n" not in state["problem"]
    assert state["notebook"] == "a"


def test_a_bad_setting_is_a_problem_and_the_rest_is_told(tmp_path, monkeypatch):
    (tmp_path / "work" / "pyproject.toml").write_text("[tool.llm_magic]\nmdoe = 'REPLAY'\n")
    history.default().record(**COMMON, started=now(), cost=Decimal(1))

    state = Reader().state()

    assert "has no setting 'mdoe'; did you mean mode" in state["problem"]
    assert (state["mode"], state["session"]["spent"]) == ("FALLBACK", "1")


def test_a_budget_of_a_cell_is_that_of_the_cell_that_runs_and_unused_while_none_does(server):
    config.default().set("budget_per_cell", 1)
    with replay.run("cell"):
        complete("one", model="openai/gpt-5-mini")
        inside = Reader().state()["budgets"]
    after = Reader().state()["budgets"]

    assert [one["per"] for one in inside] == [one["per"] for one in after] == ["cell"]
    assert inside[0]["settled"] != "0"
    assert (after[0]["limit"], after[0]["settled"], after[0]["left"]) == ("1", "0", "1")


def test_a_key_in_the_name_of_a_cell_is_redacted(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-abcdefghijklmnopqrstuvwxyz")
    secrets.refresh()
    history.default().record(
        **COMMON, started=now(), cell_line="key = 'sk-abcdefghijklmnopqrstuvwxyz'\x1b[31m"
    )

    (cell,) = Reader().state()["cells"]

    assert "abcdefghij" not in cell["name"]
    assert "\x1b" not in cell["name"]


def test_groups_are_counted_only_after_something_was_written(monkeypatch):
    reader = Reader()
    complete("one", model="echo/echo")
    first = reader.state()
    counted = []
    for name in ("grouped", "cells"):
        monkeypatch.setattr(History, name, counting(getattr(History, name), counted))

    again = reader.state()
    unchanged = len(counted)
    complete("one", model="echo/echo")
    after = reader.state()

    assert (again, unchanged, len(counted)) == (first, 0, 2)
    assert [one["sums"]["replayed"] for one in after["models"]] == [1]
