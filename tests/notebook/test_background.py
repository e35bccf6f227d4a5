"""``--background``: an answer that comes while the notebook goes on."""

from __future__ import annotations

import threading

import pytest

from llm_magic import history
from llm_magic.config import Settings
from llm_magic.exceptions import LLMMagicError, ModelNameError, ReplayMissError, ServerError
from llm_magic.notebook import background
from llm_magic.notebook.display import AnswerText

CELL = "%%complete --background --out answer {}\nWhy?"


@pytest.fixture
def gate(server):
    """The server holds its next answer back after the first word, until this is set."""
    opened = threading.Event()
    server.reply("one two three", gate=opened)
    yield opened
    opened.set()


def test_it_returns_at_once_and_the_answer_comes(notebook, server, gate):
    notebook.run(CELL.format(""))
    under_way = notebook.names["answer"]
    assert not under_way.done
    assert "under way" in repr(under_way)

    gate.set()
    answer = under_way.result()

    assert answer == "one two three"
    assert isinstance(answer, AnswerText)
    assert answer.cost > 0
    assert under_way.done
    assert notebook.shown.startswith("one two three\n\nopenai/gpt-5-mini · ")


def test_it_can_be_awaited(notebook, server, gate):
    notebook.run(CELL.format(""))
    gate.set()

    notebook.run("text = await answer")

    assert notebook.names["text"] == "one two three"


def test_the_cost_lands_on_the_cell_that_asked(notebook, server, gate):
    notebook.run(CELL.format(""), cell_id="asks")
    gate.set()
    notebook.run("answer.result()", cell_id="waits")

    (row,) = history.default().rows()
    assert row["cell_id"] == "asks"


def test_what_is_cancelled_is_not_stored(notebook, server, gate):
    notebook.run(CELL.format(""))
    server.wait_for(1)

    notebook.names["answer"].cancel()

    assert notebook.names["answer"].done
    with pytest.raises(LLMMagicError, match="stopped; nothing of this answer was stored"):
        notebook.names["answer"].result()
    assert "incomplete: stopped" in notebook.shown
    notebook.fails("%%complete --mode REPLAY\nWhy?", ReplayMissError)
    assert not background._open


def test_an_interrupt_of_its_cell_stops_it(notebook, server, gate):
    with pytest.raises(KeyboardInterrupt):
        notebook.run("answer = %complete --background Why?\nraise KeyboardInterrupt")

    assert notebook.names["answer"].done
    assert history.default().rows()[-1]["status"] in ("interrupted", "incomplete")


def test_the_end_of_another_cell_stops_nothing(notebook, server, gate):
    notebook.run(CELL.format(""))
    with pytest.raises(KeyboardInterrupt):
        notebook.run("raise KeyboardInterrupt")

    assert not notebook.names["answer"].done


def test_a_failure_is_one_line_in_the_display_and_raised_when_asked_for(notebook, server):
    server.fail(500, message="<b>Broken</b>\nhere")
    notebook.run(CELL.format(""))

    with pytest.raises(ServerError):
        notebook.run("answer.result()")

    assert notebook.printed.startswith("ServerError: ")
    with pytest.raises(ServerError):
        notebook.run("await answer")


def test_a_recorded_answer_is_there_at_once_and_shown_once(notebook, server):
    notebook.run("%%complete\nWhy?")

    notebook.run(CELL.format(""))

    assert notebook.names["answer"].done
    assert notebook.names["answer"].result() == "You said: Why?"
    assert len(notebook.outputs) == 1
    assert server.count == 1


@pytest.mark.parametrize(
    ("option", "kind"), [("--mode REPLAY", ReplayMissError), ("-m opnai/x", ModelNameError)]
)
def test_what_cannot_be_asked_fails_the_cell(notebook, server, option, kind):
    notebook.fails(CELL.format(option), kind)

    assert "answer" not in notebook.names


def test_answers_of_one_cell_come_side_by_side(notebook, server):
    opened = threading.Event()
    for text in ("one", "two"):
        server.reply(f"{text} more", gate=opened)

    notebook.run(
        "def ask():\n    under_way = %complete --background --refresh Why?\n    return under_way\n"
        "both = [ask(), ask()]"
    )
    server.wait_for(2)
    opened.set()

    assert sorted(one.result() for one in notebook.names["both"]) == ["one more", "two more"]


def test_the_extension_ends_with_nothing_under_way(notebook, server, gate):
    notebook.run(CELL.format(""))
    under_way = notebook.names["answer"]

    notebook.run("%unload_ext llm_magic")

    assert under_way.done
    assert not [one for one in threading.enumerate() if one.name == "llm-magic batch"]


def test_a_terminal_is_not_written_into(terminal, server):
    terminal.run("%%complete --background -m openai/gpt-5-mini --out answer\nWhy?")

    assert terminal.names["answer"].result() == "You said: Why?"
    assert terminal.outputs == []
    assert terminal.printed == ""


# In a real kernel


LOAD = "%load_ext llm_magic\n%llm config model=openai/gpt-5-mini"


def test_a_kernel_goes_on_and_the_display_of_the_first_cell_fills(start_kernel, server, gate):
    kernel = start_kernel()
    kernel.run(LOAD)
    kernel.run(CELL.format(""))
    assert kernel.printed("print(answer.done)") == "False\n"
    gate.set()

    messages = kernel.run("text = await answer\nprint(text, text.cost > 0)")

    told = [one["content"] for one in messages]
    assert {"name": "stdout", "text": "one two three True\n"} in told
    shown = [one["data"]["text/plain"] for one in told if "display_id" in one.get("transient", {})]
    assert shown[-1].startswith("one two three\n\nopenai/gpt-5-mini · ")


def test_an_interrupt_of_a_cell_that_waits_stops_the_answer(start_kernel, server, gate):
    kernel = start_kernel()
    kernel.run(LOAD)
    kernel.run(CELL.format(""))
    kernel.run(
        "wait = answer._future.result\n"
        "def told(timeout):\n    print('waiting', flush=True)\n    return wait(timeout)\n"
        "answer._future.result = told"
    )
    request = kernel.begin("answer.result()")
    kernel.message(request, lambda message: message["msg_type"] == "stream")

    kernel.manager.interrupt_kernel()
    _, reply = kernel.finish(request)

    assert reply["ename"] == "KeyboardInterrupt"
    assert kernel.printed("print(answer.done, answer)").startswith("True <no answer: stopped")


def test_an_interrupt_stops_all_models_of_the_cell(start_kernel, server):
    opened = threading.Event()
    for _ in range(2):
        server.reply("one two three", gate=opened)
    kernel = start_kernel()
    kernel.run(LOAD)
    request = kernel.begin("%%complete -m openai/gpt-5-mini,openai/gpt-5 --out answers\nWhy?")
    kernel.message(request, lambda message: "one" in str(message["content"].get("data")))
    server.wait_for(2)

    kernel.manager.interrupt_kernel()
    _, reply = kernel.finish(request)
    opened.set()

    assert reply["ename"] == "KeyboardInterrupt"
    assert kernel.printed("print('answers' in dir())") == "False\n"
    statuses = [row["status"] for row in history.at(Settings(".").workspace).rows()]
    assert statuses == ["interrupted", "interrupted"]
