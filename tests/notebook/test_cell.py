"""A cell is a run: identical calls in it get numbers, and a failed one drops nothing."""

from __future__ import annotations

import json
import threading
import zlib

import pytest

from llm_magic import client, config, history, replay
from llm_magic.exceptions import ReplayMissError
from llm_magic.notebook import cell
from llm_magic.notebook.display import MIME_TYPE

SETUP = """
import llm_magic
def ask(mode=None):
    return llm_magic.complete("Again?", model="openai/gpt-5-mini", mode=mode)
"""


@pytest.fixture
def asking(notebook, server):
    """A notebook with a function `ask`, and a server that answers 1, 2, 3, ..."""
    notebook.run(SETUP)
    for number in range(1, 10):
        server.reply(str(number))
    return notebook


def replayed(notebook, number):
    """The stored answers: as many replays as asked for, in one cell."""
    return notebook.run(f"[ask('REPLAY').text for _ in range({number})]")


def test_each_cell_counts_from_the_start(asking):
    asking.run("first = [ask('CAPTURE').text for _ in range(3)]")
    asking.run("second = [ask().text for _ in range(3)]")

    assert asking.names["first"] == asking.names["second"] == ["1", "2", "3"]


def test_an_answer_that_was_never_recorded_is_the_first_one(asking, server):
    asking.run("ask()")
    asking.run("answers = [ask() for _ in range(3)]")

    assert [answer.text for answer in asking.names["answers"]] == ["1", "1", "1"]
    assert [len(answer.notes) for answer in asking.names["answers"]] == [0, 1, 0]
    assert server.count == 1


def test_a_shorter_capture_drops_the_old_tail(asking):
    asking.run("[ask('CAPTURE') for _ in range(3)]", cell_id="one")
    asking.run("[ask('CAPTURE') for _ in range(2)]", cell_id="one")

    assert replayed(asking, 3) == ["4", "5", "4"]


def test_a_capture_that_fails_leaves_the_other_answers(asking):
    asking.run("[ask('CAPTURE') for _ in range(4)]")

    asking.fails("ask('CAPTURE')\nask('CAPTURE')\n1 / 0", ZeroDivisionError)

    assert replayed(asking, 4) == ["5", "6", "3", "4"]


def test_a_call_that_fails_counts_and_leaves_its_old_answer(asking, server):
    asking.run("[ask('CAPTURE') for _ in range(3)]")
    server.clear()
    server.reply("new")
    server.fail(500)

    asking.fails("[ask('CAPTURE') for _ in range(3)]", Exception)

    assert replayed(asking, 3) == ["new", "2", "3"]


def test_a_cell_that_runs_a_cell_goes_on_counting(asking):
    asking.run("[ask('CAPTURE') for _ in range(3)]")

    asking.run(
        "one = ask().text\n"
        "get_ipython().run_cell('inner = ask().text')\n"
        "get_ipython().run_cell('')\n"
        "two = ask().text"
    )

    names = asking.names
    assert (names["one"], names["inner"], names["two"]) == ("1", "2", "3")


def test_outside_of_a_cell_nothing_is_counted(asking):
    asking.run("[ask('CAPTURE') for _ in range(2)]")

    assert [asking.names["ask"]().text for _ in range(2)] == ["1", "1"]
    assert replay.current_run() is None


def test_a_run_ends_however_the_cell_ends(notebook):
    notebook.fails("1 / 0", ZeroDivisionError)
    notebook.fails("1 +", SyntaxError)
    notebook.fails("raise KeyboardInterrupt", KeyboardInterrupt)
    notebook.run("")
    notebook.run("await __import__('asyncio').sleep(0)")

    assert replay.current_run() is None


def test_a_run_ends_when_ipykernel_has_no_result(notebook):
    """It has none after an interrupted ``await``."""
    info = type("Info", (), {"raw_cell": "await x", "cell_id": None})()
    notebook.shell.events.trigger("pre_run_cell", info)
    assert replay.current_run() is not None

    notebook.shell.events.trigger("post_run_cell", None)

    assert replay.current_run() is None


def test_unloading_ends_the_run(notebook):
    notebook.run("%unload_ext llm_magic")

    assert replay.current_run() is None


def test_the_ledger_and_the_recording_name_the_cell(asking):
    asking.run("\n  # A title\nask()", cell_id="cell-7")

    (row,) = history.default().rows()
    assert (row["cell_id"], row["cell_line"], row["run"]) == ("cell-7", "# A title", "cell-7")
    (recording,) = (variant.line for _, _, variant in client.default().shelf.recordings.all())
    assert json.loads(recording)["cell"] == {"id": "cell-7", "line": "# A title"}


def test_the_first_line_is_short_and_holds_no_key(asking, monkeypatch):
    key = "sk-proj-SECRET-0123456789abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", key)

    asking.run(f"ask()  # {key} {'x' * 100}")

    (row,) = history.default().rows()
    assert "SECRET" not in row["cell_line"]
    assert len(row["cell_line"]) <= 100


def test_vs_code_tells_the_notebook_in_a_variable(asking, tmp_path):
    asking.names["__vsc_ipynb_file__"] = str(tmp_path / "work" / "analysis.ipynb")

    asking.run("ask()")

    assert [row["notebook"] for row in history.default().rows()] == ["analysis"]
    assert config.default().workspace.notebook == "analysis"


def test_a_name_that_was_told_stays(asking):
    asking.run("ask()")
    asking.run("%llm cassette save analysis.ipynb")
    asking.run("ask('CAPTURE')")
    asking.run("%llm cassette save")

    assert [row["notebook"] for row in history.default().rows()] == [None, "analysis"]
    assert asking.printed == "analysis.cassette.jsonl: 1 recording (1 replaced)\n"


def test_a_miss_still_counts(asking):
    asking.run("[ask('CAPTURE') for _ in range(2)]")

    asking.run(
        "try:\n"
        "    llm_magic.complete('Other', model='openai/gpt-5-mini', mode='REPLAY')\n"
        "except llm_magic.ReplayMissError:\n"
        "    answers = [ask().text, ask().text]"
    )

    assert asking.names["answers"] == ["1", "2"]
    with pytest.raises(ReplayMissError):
        client.default().complete("Other", model="openai/gpt-5-mini", mode="REPLAY")


def test_an_answer_carries_the_checksum_of_the_cell_that_shows_it(notebook):
    source = "%%complete -m echo/echo --out answer\nWas ist größer?\n"
    notebook.run(source)
    live = notebook.outputs[-1]["data"][MIME_TYPE]["prompt_crc32"]
    notebook.run(source)
    replayed = notebook.outputs[-1]["data"][MIME_TYPE]["prompt_crc32"]

    elsewhere = notebook.run("answer")._repr_mimebundle_()[MIME_TYPE]["prompt_crc32"]

    assert live == replayed == zlib.crc32(source.encode())
    assert elsewhere is None


def test_a_cell_that_runs_another_one_is_still_the_one_that_people_see(notebook):
    source = "get_ipython().run_cell('%%complete -m echo/echo\\nWhy?')\nNone"

    notebook.run(source)

    assert notebook.outputs[-1]["data"][MIME_TYPE]["prompt_crc32"] == zlib.crc32(source.encode())


def test_a_background_answer_carries_the_checksum_of_its_cell(notebook, server):
    source = "%%complete -m openai/gpt-5-mini --background --out answer\nWhy?"
    gate = threading.Event()
    server.reply("because", gate=gate)
    notebook.run(source)
    notebook.run("other = 1")

    gate.set()
    notebook.run("done = await answer")

    shown = [one["data"] for one in notebook.outputs if MIME_TYPE in one["data"]]
    assert shown[-1][MIME_TYPE]["prompt_crc32"] == zlib.crc32(source.encode())


def test_the_checksums_of_old_cells_are_forgotten(notebook, monkeypatch):
    monkeypatch.setattr(cell, "_MOST_CHECKSUMS", 3)
    monkeypatch.setattr(cell, "_checksums", {})

    for number in range(6):
        notebook.run(f"x = {number}")

    assert len(cell._checksums) == 3
