"""``%llm``: what it shows and what it sets."""

from __future__ import annotations

import json
import os
import sqlite3

import pandas
import pytest
from IPython.core.error import UsageError

from llm_magic import config, history, shelf
from llm_magic.exceptions import (
    BudgetExceededError,
    ConfigError,
    LLMMagicError,
    ModeError,
    ModelNameError,
    ReplayMissError,
)
from llm_magic.notebook.commands import COMMANDS
from llm_magic.storage import store


def cells(table):
    """A table without header as a dict, or its rows by their first cell."""
    return {row[0]: row[1] if len(row) == 2 else row[1:] for row in table.rows}


# Mode


def test_the_mode_is_shown_with_its_origin(notebook):
    notebook.run("%llm mode")

    assert notebook.printed == "mode: FALLBACK (default)\n"


def test_the_mode_is_set_for_the_session(notebook, server):
    notebook.run("%llm mode replay")
    shown = notebook.printed

    assert shown == "mode: REPLAY (%llm config)\n"
    notebook.fails("%%complete\nWhy?", ReplayMissError)
    notebook.run("%llm mode FALLBACK")
    notebook.run("%%complete\nWhy?")
    assert server.count == 1


@pytest.mark.parametrize("line", ["mode CAPTURE", "config mode=CAPTURE"])
def test_an_imposed_replay_stays(notebook, monkeypatch, server, line):
    monkeypatch.setenv("LLM_MAGIC_MODE", "REPLAY")
    monkeypatch.setattr(config, "_default", None)

    notebook.run(f"%llm {line}")

    assert "REPLAY, imposed by LLM_MAGIC_MODE" in notebook.printed
    assert "CAPTURE" not in notebook.printed
    notebook.run("%llm mode")
    assert notebook.printed == "mode: REPLAY (LLM_MAGIC_MODE (imposed))\n"


# Models


def test_models_tell_whether_a_key_is_set_and_never_the_key(notebook, server, monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY")

    table = notebook.run("%llm models")

    rows = cells(table)
    assert rows["openai/MODEL"][:2] == ["set", "OPENAI_API_KEY"]
    assert rows["anthropic/MODEL"][:2] == ["not set", "ANTHROPIC_API_KEY"]
    assert rows["echo/MODEL"][0] == "not needed"
    assert os.environ["OPENAI_API_KEY"] not in repr(table) + table._repr_html_()
    assert "default model: openai/gpt-5-mini" in repr(table)


def test_models_tell_where_a_provider_was_moved_to(notebook, server):
    assert cells(notebook.run("%llm models"))["openai/MODEL"][2] == server.openai_url


def test_models_with_a_text_are_a_dataframe(notebook, server, monkeypatch):
    monkeypatch.setenv("OLLAMA_BASE_URL", server.openai_url)
    for name in ("VLLM", "LMSTUDIO", "LLAMACPP"):
        monkeypatch.setenv(f"{name}_BASE_URL", "http://127.0.0.1:9/v1")

    frame = notebook.run("%llm models FAKE-model")

    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["provider"]) == ["ollama"]


def test_an_alias_is_set_shown_and_used(notebook, server):
    notebook.run("%llm alias fast=openai/gpt-5-nano quick=FAST")
    printed = notebook.printed
    notebook.run("%%complete -m Quick\nWhy?")

    assert printed == "fast: openai/gpt-5-nano\nquick: openai/gpt-5-nano\n"
    assert cells(notebook.run("%llm alias"))["fast"] == ["openai/gpt-5-nano", "%llm alias"]
    assert server.last.body["model"] == "gpt-5-nano"


def test_without_aliases_the_way_to_one_is_shown(notebook):
    assert "%llm alias NAME=MODEL" in repr(notebook.run("%llm alias"))


# Money


def test_cost_keeps_spent_saved_and_unknown_apart(notebook, server):
    server.reply("a", usage=(1_000_000, 0))
    server.reply("b", usage=None)
    notebook.run("%%complete\nWhy?")
    notebook.run("%%complete\nWhy?")
    notebook.run("%%complete\nWhat?")
    server.fail(500)
    notebook.fails("%%complete\nWho?", Exception)

    rows = cells(notebook.run("%llm cost"))

    assert rows["spent"][0] == rows["saved by replay"][0]
    assert rows["spent"][0].startswith("$0.")
    assert rows["calls of unknown cost"] == ["1", "1"]
    assert rows["live calls"] == ["3", "3"]
    assert rows["replayed calls"] == ["1", "1"]
    assert rows["calls without an answer"] == ["1", "1"]
    # The second answer's provider did not count: nine are estimated.
    assert rows["input tokens, live"] == ["1,000,009", "1,000,009"]


def test_history_is_a_dataframe_of_the_newest_calls(notebook, server):
    for number in range(3):
        notebook.run(f"%%complete\nWhy {number}?")

    frame = notebook.run("%llm history 2")

    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["prompt"]) == ["Why 1?", "Why 2?"]
    assert list(frame["status"]) == ["ok", "ok"]
    assert len(notebook.run("%llm history")) == 3
    assert len(notebook.run("%llm history 0")) == 0


# Cassette


def test_a_damaged_store_is_told_and_repaired(notebook, server, monkeypatch):
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", "analysis.ipynb")
    notebook.run("%%complete\nWhy?")
    notebook.run("%llm cassette save")
    assert notebook.run("%llm cassette check").caption == "everything is in order"
    path = config.default().workspace.working / "recordings" / "cache.db"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE Cache SET value = 'edited by hand'")
    connection.close()

    checked = notebook.run("%llm cassette check")
    repaired = notebook.run("%llm cassette repair")

    assert checked.caption == "1 problem"
    assert "2 rows cannot be used" in checked._repr_html_()
    assert "0 recordings rescued, 1 in a cassette, 0 lost; everything is in order" in repr(repaired)
    with pytest.warns(RuntimeWarning, match="deleted or replaced"):
        notebook.run("%%complete\nWhy?")
    assert server.count == 1
    assert "there was nothing to repair" in notebook.run("%llm cassette repair").caption


def test_a_file_name_in_a_report_is_no_html(notebook, tmp_path):
    (tmp_path / "work" / "<img src=x>.cassette.jsonl").write_text("nothing")

    report = notebook.run("%llm cassette check")

    assert "<img" not in report._repr_html_()
    assert "<img src=x>.cassette.jsonl" in repr(report)


def test_working_files_that_are_elsewhere_are_told(notebook, monkeypatch, tmp_path):
    monkeypatch.setenv("LLM_MAGIC_WORKING", str(tmp_path / "fast"))

    shown = cells(notebook.run("%llm status"))
    cost = notebook.run("%llm cost")

    assert shown["working files"].startswith(str(tmp_path / "fast"))
    assert cost.caption == f"ledger: {shown['working files']}/history.db"


@pytest.mark.parametrize("there", [True, False])
def test_the_status_tells_whether_the_jupyterlab_extension_is_there(
    notebook, there, tmp_path, monkeypatch
):
    # It is installed where Jupyter looks, or it is not, as where pip found no Node.js.
    monkeypatch.setattr("jupyter_core.paths.ENV_JUPYTER_PATH", [str(tmp_path)])
    if there:
        place = tmp_path / "labextensions/llm-magic"
        place.mkdir(parents=True)
        (place / "package.json").write_text("{}")

    told = cells(notebook.run("%llm status"))["JupyterLab extension"]

    assert told.startswith("installed" if there else "not in this environment; pip -v")


def test_a_cassette_is_saved_under_the_name_that_is_told(notebook, server, tmp_path):
    notebook.run("%%complete\nWhy?")
    status = cells(notebook.run("%llm cassette"))
    assert status["cassette"] == "notebook not known"
    assert status["recorded without a notebook"] == "1"

    notebook.run("%llm cassette save analysis.ipynb")

    assert notebook.printed == "analysis.cassette.jsonl: 1 recording (1 new)\n"
    lines = (tmp_path / "work" / "analysis.cassette.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["notebook"] == "analysis.ipynb"
    assert json.loads(lines[1])["response"]["choices"][0]["message"]["content"] == "You said: Why?"
    assert "sk-test" not in "".join(lines)
    status = cells(notebook.run("%llm cassette status"))
    assert (status["cassette"], status["recordings in it"], status["not saved yet"]) == (
        "analysis.cassette.jsonl",
        "1",
        "0",
    )


def test_saving_adopts_only_what_this_session_used(notebook, server):
    notebook.run("%%complete\nOf before?")
    notebook.run("%reload_ext llm_magic")
    notebook.run("%%complete\nOf now?")

    notebook.run("%llm cassette save analysis")

    assert notebook.printed == "analysis.cassette.jsonl: 1 recording (1 new)\n"


def test_saving_a_known_notebook_needs_no_name(notebook, server, monkeypatch, tmp_path):
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", str(tmp_path / "work" / "report.ipynb"))
    notebook.run("%%complete\nWhy?")
    assert cells(notebook.run("%llm cassette"))["not saved yet"] == "1"

    notebook.run("%llm cassette save")
    first = notebook.printed
    notebook.run("%llm cassette save")

    assert first == "report.cassette.jsonl: 1 recording (1 new)\n"
    assert notebook.printed == "report.cassette.jsonl: 1 recording (nothing changed)\n"


def test_there_may_be_nothing_to_save(notebook):
    notebook.run("%llm cassette save analysis")

    assert "nothing is recorded for analysis" in notebook.printed
    assert not os.path.exists("analysis.cassette.jsonl")


# Status and settings


@pytest.mark.parametrize("line", ["", "status"])
def test_the_status_is_everything_at_a_glance(notebook, server, line):
    notebook.run("%%complete\nWhy?")

    status = cells(notebook.run(f"%llm {line}"))

    assert status["mode"] == "FALLBACK (default)"
    assert status["model"] == "openai/gpt-5-mini"
    assert status["notebook"] == "not known"
    assert status["folder"] == os.getcwd()
    assert status["spent"].startswith("$0.0000")


def test_a_folder_that_cannot_be_written_is_named_as_such(notebook, monkeypatch):
    for module in (history.database, shelf, store):
        monkeypatch.setattr(module, "writable", lambda _: False)

    notebook.run("%reload_ext llm_magic")

    assert cells(notebook.run("%llm status"))["folder"].endswith("(read-only)")
    assert "in memory" in repr(notebook.run("%llm cost"))


def test_settings_are_shown_with_their_origin_and_set(notebook, monkeypatch):
    monkeypatch.setenv("LLM_MAGIC_TIMEOUT", "7")

    notebook.run("%llm config model=echo/echo history_text=no")
    printed = notebook.printed
    rows = cells(notebook.run("%llm config"))

    assert printed == "model: echo/echo\nhistory_text: False\n"
    assert rows["model"][:2] == ["echo/echo", "%llm config"]
    assert rows["timeout"][:2] == ["7.0", "LLM_MAGIC_TIMEOUT"]
    assert rows["mode"][:2] == ["FALLBACK", "default"]
    assert set(rows) == set(config.OPTIONS)


def test_a_magic_option_wins_over_a_setting(notebook, server):
    notebook.run("%llm config model=openai/gpt-5")
    notebook.run("%%complete -m openai/gpt-5-nano\nWhy?")

    assert server.last.body["model"] == "gpt-5-nano"


# Misuse


@pytest.mark.parametrize(
    ("line", "kind", "told"),
    [
        ("modle", UsageError, "%llm modle: no such command; did you mean mode or models?"),
        ("zzz", UsageError, "use one of: "),
        ("'mode", UsageError, "No closing quotation"),
        ("mode REPLY", ModeError, "did you mean REPLAY?"),
        ("mode A B", UsageError, "%llm mode MODE: one word, not 2"),
        ("models x y", UsageError, "%llm models TEXT: one word, not 2"),
        ("alias fast", UsageError, "write fast=provider/model"),
        ("alias fast=", UsageError, "write fast=provider/model"),
        ("alias a/b=echo/echo", ConfigError, "an alias is one word without a slash"),
        ("alias fast=opanai/gpt-5", ModelNameError, "did you mean openai"),
        ("cost x", UsageError, "%llm cost: no option x"),
        ("status x", UsageError, "%llm status takes nothing more"),
        ("history x", UsageError, "%llm history x: how many calls? write a number"),
        ("history -1", UsageError, "write a number"),
        ("history ²", UsageError, "write a number"),
        ("history 1 2", UsageError, "one word, not 2"),
        ("cassette sav", UsageError, "did you mean save?"),
        ("cassette save", UsageError, "write %llm cassette save NOTEBOOK.ipynb"),
        ("cassette save a b", UsageError, "one word, not 2"),
        ("cassette save ../a.ipynb", UsageError, "a file name, without a folder"),
        ("cassette save ''", UsageError, "a file name, without a folder"),
        ("cassette status x", UsageError, "takes nothing more"),
        ("cassette check x", UsageError, "takes nothing more"),
        ("cassette repair x", UsageError, "takes nothing more"),
        ("config model", UsageError, "write model=VALUE"),
        ("config modle=x", ConfigError, "no setting 'modle'; did you mean"),
        ("config mode=x", ModeError, "REPLAY, FALLBACK, CAPTURE, DISABLED"),
        ("config timeout=soon", ConfigError, "timeout = 'soon'"),
        ("config timeout=-1", ConfigError, "a number of seconds above 0"),
        ("config model=", ConfigError, "it takes text"),
        ("config history_text=maybe", ConfigError, "true or false"),
    ],
)
def test_misuse_is_one_line_that_says_what_to_do(notebook, line, kind, told):
    message = notebook.fails(f"%llm {line}", kind)

    assert message.startswith(f"{kind.__name__}: ")
    assert told in message
    assert message.count("\n") == 0


def test_the_manual_lists_the_commands(notebook):
    pages = []
    notebook.shell.set_hook("show_in_pager", lambda self, data, **_: pages.append(data), 0)

    notebook.run("%llm?")

    assert all(f"%llm {name}" in pages[0]["text/plain"] for name in COMMANDS)


# Recordings: list, show, diff, prune, forget


@pytest.fixture
def report(notebook, server, monkeypatch, tmp_path):
    """A notebook of a known name with two saved recordings and an unsaved one."""
    monkeypatch.setenv("LLM_MAGIC_NOTEBOOK", str(tmp_path / "work" / "report.ipynb"))
    notebook.run("%%complete\nWhy?")
    notebook.run("%%complete\nWhat?")
    notebook.run("%llm cassette save")
    notebook.run("%%complete --format text\nWho?")
    return notebook


def keys(table):
    """Prompts of a table of recordings, and the beginnings of their keys."""
    return {row[5]: row[0] for row in table.rows}


def test_recordings_are_listed_with_what_is_unsaved(report):
    table = report.run("%llm cassette list")

    assert {row[5]: (row[1], row[2], row[4], row[6]) for row in table.rows} == {
        "Why?": ("0", "openai/gpt-5-mini", "%%complete", "saved"),
        "What?": ("0", "openai/gpt-5-mini", "%%complete", "saved"),
        "Who?": ("0", "openai/gpt-5-mini", "%%complete --format text", "unsaved"),
    }
    assert keys(report.run("%llm cassette list 'you said: who'")).keys() == {"Who?"}
    assert "0 of 3 recordings" in repr(report.run("%llm cassette list zebra"))


def test_with_the_name_unknown_the_recordings_of_the_folder_are_listed(notebook, server):
    notebook.run("%%complete\nWhy?")

    assert notebook.run("%llm cassette list").rows[0][5:] == ["Why?", "no notebook"]


def test_a_recording_is_shown_as_text_and_escaped_html(report, server):
    server.reply("<script>alert(1)</script> \x1b[2J")
    report.run("%%complete -T 0.5\nWhere?")
    prefix = keys(report.run("%llm cassette list"))["Where?"]

    shown = report.run(f"%llm cassette show {prefix[:10]}")

    assert "--- user\nWhere?\n\n--- answer\n<script>" in repr(shown)
    assert "temperature: 0.5" in repr(shown)
    assert "<script" not in shown._repr_html_()
    assert "\x1b" not in repr(shown) + shown._repr_html_()


def test_the_difference_of_a_save_is_shown_before_it(report):
    report.run("%%complete --refresh\nWhy?")

    rows = {row[4]: row[0] for row in report.run("%llm cassette diff").rows}

    assert rows == {"Why?": "replaced", "Who?": "new"}
    report.run("%llm cassette save")
    assert "report.cassette.jsonl has everything" in repr(report.run("%llm cassette diff"))


def test_pruning_shows_what_it_would_drop_and_asks(report, server):
    assert "used all recordings" in (report.run("%llm cassette prune") or report.printed)
    report.run("%reload_ext llm_magic")
    message = report.fails("%llm cassette prune --yes", UsageError)
    report.run("%%complete\nWhy?")

    shown = report.run("%llm cassette prune")
    report.run("%llm cassette prune --yes")

    assert "run all cells first" in message
    assert keys(shown).keys() == {"What?", "Who?"}
    assert "2 recordings dropped" in report.printed
    assert {row[4]: row[0] for row in report.run("%llm cassette diff").rows} == {"What?": "removed"}
    report.run("%llm cassette save")
    assert keys(report.run("%llm cassette list")).keys() == {"Why?"}


@pytest.mark.parametrize("how", ["KEY", "--text 'You said: Why?'", "--text 'Why?'"])
def test_forgetting_shows_first_and_then_removes_everywhere(report, tmp_path, how):
    report.run("%llm mode REPLAY")
    report.run("%%complete\nWhy?")
    report.run("%llm mode FALLBACK")
    how = how.replace("KEY", keys(report.run("%llm cassette list"))["Why?"])
    (tmp_path / "work" / ".git").mkdir()

    shown = report.run(f"%llm forget {how}")
    before = keys(report.run("%llm cassette list"))
    report.run(f"%llm forget {how} --yes")

    assert keys(shown).keys() == {"Why?"}
    assert "nothing is removed yet" in repr(shown)
    assert before.keys() == {"Why?", "What?", "Who?"}
    assert report.printed.startswith("removed: 1 recording (report.cassette.jsonl), the texts of 2")
    assert "git log --all -- report.cassette.jsonl" in report.printed
    assert keys(report.run("%llm cassette list")).keys() == {"What?", "Who?"}
    frame = report.run("%llm history")
    assert list(frame["prompt"].dropna()) == ["What?", "Who?"]
    assert frame["cost"].notna().sum() == 4
    history.close()
    work = tmp_path / "work"
    for path in [*work.glob("*.jsonl"), *work.glob(".llm_magic/**/*.db*")]:
        assert b"Why?" not in path.read_bytes(), path


def test_a_cell_is_forgotten_by_its_first_line(report):
    report.run("%llm forget --cell 'format text' --yes")

    assert keys(report.run("%llm cassette list")).keys() == {"Why?", "What?"}


def test_texts_of_calls_without_a_recording_are_forgotten_too(report):
    report.fails("%%complete --mode REPLAY\nNever asked before", ReplayMissError)

    report.run("%llm forget --text 'Never asked' --yes")

    assert "removed: 0 recordings, the texts of 1 row of the ledger" in report.printed
    assert report.run("%llm history 1")["prompt"].isna().all()


def test_an_ambiguous_key_lists_the_matches_in_one_line(report, monkeypatch):
    monkeypatch.setattr("llm_magic.inventory._SHORTEST_PREFIX", 0)

    for line in ("cassette show ''", "forget '' --yes"):
        message = report.fails(f"%llm {line}", LLMMagicError)
        assert message.count("\n") == 0
        assert "is the beginning of several keys: " in message
    assert len(report.run("%llm cassette list").rows) == 3


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("cassette show abc", "too short for a key; write 4 digits"),
        ("cassette show zzzzzz", "nothing is recorded under a key that begins with"),
        ("cassette list a b", "one word, not 2"),
        ("cassette diff x", "takes nothing more"),
        ("cassette diff", "write %llm cassette save NOTEBOOK.ipynb"),
        ("cassette prune x", "takes nothing more"),
        ("cassette prun", "did you mean prune?"),
        ("forget", "%llm forget KEY, --cell TEXT or --text TEXT"),
        ("forget --text a b", '"quote text"'),
        ("forget --txt a", "--text TEXT"),
        ("forget --text ''", "the text is empty"),
        ("forget --text nowhere", "nothing like that is recorded"),
    ],
)
def test_misuse_of_recordings_is_one_line_too(notebook, line, told):
    message = notebook.fails(f"%llm {line}", (UsageError, LLMMagicError))

    assert told in message
    assert message.count("\n") == 0


# A miss


def test_a_miss_shows_the_nearest_recording_in_traceback_and_display(report):
    report.run("%%complete\nWrite a long poem about <b>the sea</b>")

    message = report.fails(
        "%%complete --mode REPLAY\nWrite a short poem about <b>the sea</b>", ReplayMissError
    )

    assert "Write a [-long-]{+short+} poem" in message
    assert message.startswith("ReplayMissError: no recording for openai/gpt-5-mini")
    shown = report.outputs[-1]["data"]
    assert "<b>" not in shown["text/html"]
    assert "<ins" in shown["text/html"]
    assert "[-long-]{+short+}" in shown["text/plain"]


def test_a_miss_in_a_terminal_is_text_only(terminal, server):
    terminal.run("%%complete -m openai/gpt-5-mini\nWrite a long poem")

    with pytest.raises(ReplayMissError) as caught:
        terminal.run("%%complete -m openai/gpt-5-mini --mode REPLAY\nWrite a short poem")

    assert "[-long-]{+short+}" in str(caught.value)
    assert not terminal.outputs


# budget


def test_a_budget_is_set_shown_and_taken_away(notebook, server):
    notebook.run("%llm budget 0.50")
    assert notebook.printed == "budget per session: $0.50\n"
    notebook.run("%llm budget 2 --per day")
    assert notebook.printed == "budget per day: $2.00\n"

    table = repr(notebook.run("%llm budget"))
    assert [line.split()[:2] for line in table.splitlines()[1:]] == [
        ["session", "$0.50"],
        ["day", "$2.00"],
    ]

    notebook.run("%llm budget off")
    assert notebook.printed == "budget per session: none\n"
    rows = repr(notebook.run("%llm budget")).splitlines()[1:]
    assert [line.split()[0] for line in rows] == ["day"]
    assert rows[0].endswith("this session")


def test_a_cell_that_a_budget_does_not_admit_fails_in_one_line(notebook, server):
    notebook.run("%llm budget 0.000001 --per call")

    said = notebook.fails("%%complete -m openai/gpt-5-mini\nWhy?", BudgetExceededError)

    assert said.startswith("BudgetExceededError: not sent: this call can cost up to $")
    assert "\n" not in said
    assert server.requests == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("budget lots", "budget per session: it takes an amount in USD, such as 0.50"),
        ("budget 1e-20 --per day", "the least is $0.000001; 0 stops all that costs"),
        ("budget 1 --per weak", "day, process"),
        ("budget 1 2 3", "%llm budget USD"),
    ],
)
def test_a_wrong_budget_is_told_in_one_line(line, told, notebook):
    said = notebook.fails(f"%llm {line}", (UsageError, ConfigError))

    assert told in said
    assert "\n" not in said
