"""What Lab asks of the kernel: modes, budgets, names, recordings, and what takes long."""

from __future__ import annotations

import json
import os
import shutil
from decimal import Decimal
from pathlib import Path

import nbformat
import pytest

from llm_magic import client, complete, config, history
from llm_magic.config import Settings
from llm_magic.notebook.lab_requests import Work
from llm_magic.testing import exchange
from llm_magic.verify import Report

MODEL = "openai/gpt-5-mini"


@pytest.fixture
def named(write_notebook):
    """The kernel of a.ipynb, which is saved."""
    config.default().notebook_hint = "a.ipynb"
    return write_notebook("a.ipynb", "%load_ext llm_magic", f"%%complete -m {MODEL}\nWhy?")


def impose(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(config, "_default", Settings())


def lines(notebook):
    """The recordings in a cassette's file."""
    return Path(f"{notebook}.cassette.jsonl").read_text().splitlines()[1:]


# The mode


@pytest.mark.parametrize("mode", ["REPLAY", "FALLBACK", "DISABLED"])
def test_the_mode_of_a_notebook_counts_at_a_hello(pages, mode):
    pages.hello(mode=mode)

    assert pages.state["mode"] == str(config.default().get("mode")) == mode


def test_a_notebook_that_carries_capture_does_not_ask_anew(pages):
    pages.hello(mode="CAPTURE")

    assert pages.state["mode"] == "FALLBACK"
    assert config.default().session == {}


def test_the_users_own_mode_wins_over_that_of_the_notebook(pages, notebook):
    notebook.run("%llm mode DISABLED")

    pages.hello(mode="REPLAY")

    assert pages.state["mode"] == "DISABLED"


def test_a_page_that_comes_again_changes_nothing(pages):
    pages.hello(mode="REPLAY")
    pages.ask("mode", mode="CAPTURE")

    pages.hello(mode="REPLAY")

    assert pages.state["mode"] == "CAPTURE"


def test_a_mode_is_set_and_left_to_the_settings_again(pages, monkeypatch):
    impose(monkeypatch, "LLM_MAGIC_MODE", "DISABLED")
    pages.hello()

    pages.ask("mode", mode="CAPTURE")
    first = pages.state
    pages.ask("mode", mode=None)

    assert (first["mode"], first["origin"]) == ("CAPTURE", "%llm config")
    assert (pages.state["mode"], pages.state["origin"]) == ("DISABLED", "LLM_MAGIC_MODE")


def test_whoever_sets_a_mode_is_told_the_one_that_was_set_before(pages):
    before = [pages.ask("mode", mode=mode) for mode in ("REPLAY", "CAPTURE", None, None)]

    assert before == [None, "REPLAY", "CAPTURE", None]


def test_an_imposed_replay_is_not_loosened_and_the_reason_is_told(pages, monkeypatch):
    impose(monkeypatch, "LLM_MAGIC_MODE", "REPLAY")
    pages.hello(mode="FALLBACK")

    told = pages.refused("mode", mode="CAPTURE")

    assert told.startswith("mode: REPLAY; LLM_MAGIC_MODE=REPLAY was set where this kernel was st")
    assert pages.state["mode"] == "REPLAY"
    assert config.default().session == {}
    pages.ask("mode", mode="REPLAY")


def test_in_replay_other_libraries_are_built_without_a_key(pages, notebook, monkeypatch):
    notebook.run("%llm attach")

    pages.ask("mode", mode="REPLAY")
    during = os.environ.get("OPENAI_API_KEY")
    pages.ask("mode", mode="FALLBACK")

    assert during
    assert "OPENAI_API_KEY" not in os.environ


# Money


def test_a_budget_is_set_and_taken_away(pages):
    pages.hello()

    pages.ask("budget", per="day", usd="$0.50")
    first = pages.state["budgets"]
    pages.ask("budget", per="day", usd=None)

    assert [(one["per"], one["limit"], one["origin"]) for one in first] == [
        ("day", "0.5", "this session")
    ]
    assert pages.state["budgets"] == []


def test_a_ceiling_stands_beside_a_budget_that_is_set(pages, monkeypatch):
    impose(monkeypatch, "LLM_MAGIC_BUDGET", "1")
    pages.hello()

    pages.ask("budget", per="session", usd="5")
    both = [(one["limit"], one["ceiling"]) for one in pages.state["budgets"]]
    told = pages.refused("budget", per="session", usd=None)

    assert told == "a budget per session of $1.00 stays: it comes from LLM_MAGIC_BUDGET"
    assert both == [("1", True), ("5", False)]
    assert [one["limit"] for one in pages.state["budgets"]] == ["1"]


# Recordings


def test_a_save_writes_the_cassette_and_says_what_it_did(pages, named, server):
    complete("one", model=MODEL)

    saved = pages.ask("save", notebook="a")

    assert saved == {
        "name": "a.cassette.jsonl",
        "total": 1,
        "added": 1,
        "replaced": 0,
        "removed": 0,
        "advice": "",
    }
    assert len(lines("a")) == 1


def test_a_save_of_nothing_makes_no_file(pages, named):
    saved = pages.ask("save", notebook="a")

    assert saved["total"] == 0
    assert not Path("a.cassette.jsonl").exists()


def test_a_save_without_anything_new_leaves_the_file_alone(pages, named, server):
    complete("one", model=MODEL)
    pages.ask("save", notebook="a")
    stamp = os.stat("a.cassette.jsonl").st_mtime_ns

    saved = pages.ask("save", notebook="a")

    assert (saved["total"], saved["added"]) == (1, 0)
    assert os.stat("a.cassette.jsonl").st_mtime_ns == stamp


def test_a_save_of_a_packed_notebook_without_anything_new_makes_no_cassette(pages, named, server):
    complete("one", model=MODEL)
    pages.ask("save", notebook="a")
    pages.ask("pack", notebook="a")
    Path("a.cassette.jsonl").unlink()

    saved = pages.ask("save", notebook="a")

    assert (saved["name"], saved["total"]) == ("a.ipynb", 1)
    assert not Path("a.cassette.jsonl").exists()


def test_a_pack_puts_the_recordings_into_the_notebook(pages, named, server):
    complete("one", model=MODEL)

    told = pages.ask("pack", notebook="a")

    assert told.startswith("a.ipynb carries 1 recording (")
    assert "cassette" in nbformat.read(named, as_version=4).metadata["llm_magic"]


def test_a_recording_is_told_in_full_without_being_used(pages, named, server):
    server.reply("because")
    answer = complete("Why?", model=MODEL, max_tokens=50)
    client.default().shelf.used.clear()

    told = pages.ask("call", key=answer.key, ordinal=0)

    assert told["request"]["messages"] == [{"role": "user", "content": "Why?"}]
    assert told["request"]["parameters"] == {"max_tokens": 50}
    assert told["response"]["choices"][0]["message"]["content"] == "because"
    assert told["recorded"] == answer.recorded.isoformat()
    assert json.loads(json.dumps(told)) == told
    assert client.default().shelf.used == set()


def test_a_recording_with_half_a_character_is_told(pages, named, server, monkeypatch):
    monkeypatch.setattr(exchange, "to_json", lambda value: json.dumps(value).encode())
    server.reply("half \ud83d of it")
    answer = complete("Why?", model=MODEL)

    told = pages.ask("call", key=answer.key, ordinal=0)

    assert told["response"]["choices"][0]["message"]["content"] == "half ? of it"


def test_a_recording_of_the_cassette_is_told(pages, named, server):
    answer = complete("Why?", model=MODEL)
    pages.ask("save", notebook="a")
    client.close()
    for path in Path(".llm_magic").rglob("cache.db*"):
        path.unlink()

    told = pages.ask("call", key=answer.key, ordinal=0)

    assert told["request"]["messages"][0]["content"] == "Why?"


# The name


def test_a_renamed_notebook_keeps_its_cassette_and_what_is_unsaved(pages, named, server):
    complete("saved", model=MODEL)
    pages.ask("save", notebook="a")
    complete("unsaved", model=MODEL)
    pages.hello()
    named.rename("b.ipynb")

    told = pages.ask("renamed", notebook="b")

    assert told is None
    assert not Path("a.cassette.jsonl").exists()
    assert '"notebook":"b.ipynb"' in Path("b.cassette.jsonl").read_text()
    assert pages.state["notebook"] == "b"
    cassette = pages.state["cassette"]
    assert (cassette["name"], cassette["recordings"]) == ("b.cassette.jsonl", 1)
    assert (cassette["unsaved"], cassette["unnamed"]) == (1, 0)
    assert complete("unsaved", model=MODEL, mode="REPLAY").source == "replay"
    assert pages.ask("save", notebook="b")["total"] == 2


def test_what_a_notebook_cost_goes_with_it_and_not_with_its_copy(pages, named, server):
    complete("one", model=MODEL)
    pages.hello()
    spent = pages.state["total"]["spent"]
    assert Decimal(spent) > 0
    shutil.copy(named, "copy.ipynb")

    pages.ask("renamed", notebook="copy")
    assert (pages.state["notebook"], pages.state["total"]["spent"]) == ("copy", "0")
    pages.ask("renamed", notebook="a")
    Path("copy.ipynb").unlink()
    named.rename("b.ipynb")
    pages.ask("renamed", notebook="b")

    assert (pages.state["notebook"], pages.state["total"]["spent"]) == ("b", spent)
    assert history.totals(notebook="a").calls == 0


def test_what_is_recorded_after_a_rename_belongs_to_the_new_name(pages, named, server):
    named.rename("b.ipynb")
    pages.ask("renamed", notebook="b")

    complete("one", model=MODEL)

    assert pages.ask("save", notebook="b")["added"] == 1


def test_a_name_that_the_kernel_knows_already_changes_nothing(pages, named, server):
    complete("one", model=MODEL)
    pages.ask("save", notebook="a")

    assert pages.ask("renamed", notebook="a") is None
    assert len(lines("a")) == 1


def test_a_file_that_is_elsewhere_is_no_name(pages, named):
    told = pages.refused("renamed", notebook="b")

    assert told.startswith("there is no file b.ipynb in the folder that this kernel records in, ")
    assert config.default().workspace.notebook == "a"


def test_a_name_from_the_environment_stays(pages, named, write_notebook, monkeypatch):
    impose(monkeypatch, "LLM_MAGIC_NOTEBOOK", "a.ipynb")
    write_notebook("b.ipynb")

    told = pages.refused("renamed", notebook="b")
    pages.hello(notebook="b")

    assert told == "this kernel goes on as a.ipynb, which LLM_MAGIC_NOTEBOOK names"
    assert pages.state["notebook"] == "a"


def test_a_hello_tells_a_name_that_was_not_known(pages, server, write_notebook):
    write_notebook("a.ipynb")
    complete("one", model=MODEL)

    pages.hello(notebook="a")

    assert pages.state["notebook"] == "a"
    cassette = pages.state["cassette"]
    assert (cassette["unsaved"], cassette["unnamed"]) == (1, 0)


def test_a_hello_tells_of_a_rename_that_nobody_told(pages, named, server):
    complete("one", model=MODEL)
    pages.ask("save", notebook="a")
    named.rename("b.ipynb")

    pages.hello(notebook="b")

    assert pages.state["notebook"] == "b"
    assert len(lines("b")) == 1


def test_a_hello_whose_rename_fails_sets_the_mode_tells_all_and_says_what_failed(
    pages, named, server
):
    complete("one", model=MODEL)
    pages.ask("save", notebook="a")
    path = Path("a.cassette.jsonl")
    path.write_text(f"<<<<<<< HEAD\n{path.read_text()}")
    named.rename("b.ipynb")

    problem = pages.hello(notebook="b", mode="REPLAY")

    assert "a.cassette.jsonl" in problem
    assert (pages.state["notebook"], pages.state["mode"]) == ("b", "REPLAY")
    assert [call["prompt"] for call in pages.calls] == ["one"]


def test_a_second_notebook_on_the_same_kernel_does_not_rename_the_first(
    pages, named, write_notebook
):
    write_notebook("b.ipynb")

    pages.hello(notebook="b")

    assert pages.state["notebook"] == "a"


# What takes long


def test_a_plan_is_told_with_values_of_the_running_kernel(pages, notebook, write_notebook):
    notebook.run("topic = 'love'")
    write_notebook("a.ipynb", f"%%complete -m {MODEL} --max-tokens 100\nWhat is {{{{ topic }}}}?")

    plan = pages.ask("plan", notebook="a")

    (call,) = plan["calls"]
    assert (call["cell"], call["model"], call["status"]) == (1, MODEL, "live")
    assert "$" in call["told"]
    assert plan["total"].startswith("at most $")
    assert plan["remarks"] == ["with values of this kernel: topic"]
    assert json.loads(json.dumps(plan)) == plan


def test_a_verify_is_answered_with_its_report(pages, write_notebook):
    path = write_notebook("a.ipynb", "print('new')")
    content = nbformat.read(path, as_version=4)
    content.cells[0].outputs = [nbformat.v4.new_output("stream", text="old\n")]
    nbformat.write(content, path)

    report = Report.from_dict(pages.ask("verify", notebook="a"))

    assert [one.status for one in report.cells] == ["drifted"]


def test_a_verify_is_stopped_with_its_kernel(pages, write_notebook, tmp_path):
    fifo = tmp_path / "work" / "started"
    os.mkfifo(fifo)
    code = "import os, time\nprint(os.getpid(), file=open('started', 'w'), flush=True)\n"
    write_notebook("a.ipynb", f"{code}time.sleep(600)")
    name = pages.begin("verify", notebook="a")
    verified = int(fifo.read_text())

    stopped = pages.ask("stop", asked=name)

    assert stopped is True
    assert pages.reply(name)["error"] == "verify: stopped"
    with pytest.raises(ProcessLookupError):
        os.kill(verified, 0)
    assert pages.ask("stop", asked=name) is False


def test_unloading_stops_a_verify(pages, write_notebook, tmp_path):
    fifo = tmp_path / "work" / "started"
    os.mkfifo(fifo)
    code = "import os, time\nprint(os.getpid(), file=open('started', 'w'), flush=True)\n"
    write_notebook("a.ipynb", f"{code}time.sleep(600)")
    name = pages.begin("verify", notebook="a")
    verified = int(fifo.read_text())

    pages.bridge.close()

    pages.reply(name)
    with pytest.raises(ProcessLookupError):
        os.kill(verified, 0)


def test_what_takes_long_does_not_keep_others_waiting(pages, write_notebook, tmp_path):
    fifo = tmp_path / "work" / "go"
    os.mkfifo(fifo)
    write_notebook("a.ipynb", "open('go').read()")
    name = pages.begin("verify", notebook="a")

    pages.ask("mode", mode="REPLAY")
    fifo.write_text("")

    assert pages.reply(name)["error"] is None


def test_work_that_is_stopped_before_it_can_be_ends_at_once():
    work, ended = Work(), []

    work.stop()
    work.ends_with(lambda: ended.append(1))
    work.stop()

    assert ended == [1]
