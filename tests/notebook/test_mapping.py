"""``--map``: a prompt for each item, with progress, an estimate, and one's word above an amount."""

from __future__ import annotations

import builtins
import threading

import pandas
import pytest
from IPython.core.error import StdinNotImplementedError, UsageError

from llm_magic import config, history
from llm_magic.exceptions import BadRequestError, ReplayMissError

CELL = "%%complete --map {} --out answers\nSay {{{{ item }}}}"


def asked(server):
    return sorted(request.body["messages"][-1]["content"] for request in server.requests)


def test_a_list_gives_a_list_in_its_order(notebook, server):
    notebook.run("words = ['c', 'a', 'b']")

    notebook.run(CELL.format("words"))

    assert notebook.names["answers"] == [f"You said: Say {word}" for word in "cab"]
    assert asked(server) == ["Say a", "Say b", "Say c"]
    assert history.default().totals().live == 3


def test_a_series_gives_a_series_with_its_index(notebook, server):
    notebook.names["words"] = pandas.Series(["a", "b"], index=["x", "y"], name="word")

    notebook.run(CELL.format("words"))

    answers = notebook.names["answers"]
    assert answers.to_dict() == {"x": "You said: Say a", "y": "You said: Say b"}
    assert answers.name == "word"
    assert answers["x"].cost > 0


def test_the_rows_of_a_frame_are_seen_by_their_columns(notebook, server):
    notebook.names["books"] = pandas.DataFrame(
        {"title": ["Emma", "Ulysses"], "items": [1, 2]}, index=[7, 9]
    )

    notebook.run(
        "%%complete --map 'books[books[\"items\"] > 1]' --out answers\n"
        "{{ row.title }} {{ row['items'] + row.items }} {{ item.title }}"
    )

    assert notebook.names["answers"].to_dict() == {9: "You said: Ulysses 4 Ulysses"}


def test_a_dict_gives_a_dict(notebook, server):
    notebook.run("capitals = {'it': 'Rome', 'no': 'Oslo'}")

    notebook.run("%%complete --map capitals --out answers\n{{ key }}: {{ item }}")

    assert notebook.names["answers"] == {"it": "You said: it: Rome", "no": "You said: no: Oslo"}


def test_nothing_to_ask_gives_nothing(notebook, server):
    notebook.run(CELL.format("[]"))

    assert notebook.names["answers"] == []
    assert server.count == 0


def test_data_is_bound_where_data_was_asked_for(notebook, server):
    for number in (1, 2):
        server.reply(f'{{"n": {number}}}')

    notebook.run("%%complete --map range(2) --at-once 1 --format json --out data\n{{ item }}")

    assert notebook.names["data"] == [{"n": 1}, {"n": 2}]


def test_a_map_replays_as_one_output_that_stays_the_same(notebook, server):
    notebook.run("words = ['abc']")
    notebook.run(CELL.format("words"))
    notebook.run(CELL.format("words"))
    first = list(notebook.outputs)

    notebook.run(CELL.format("words"))

    assert server.count == 1
    assert notebook.outputs == first
    assert len(first) == 1
    assert "1 answer · " in notebook.shown
    assert " · replayed 1" in notebook.shown


def test_equal_items_are_asked_once_and_captured_each(notebook, server):
    notebook.run("twice = ['a', 'a']")
    notebook.run(CELL.format("twice"))
    once = server.count
    for text in ("one", "two"):
        server.reply(text)
    notebook.run(CELL.format("twice --refresh --at-once 1"))

    assert once == 1
    assert notebook.names["answers"] == ["one", "two"]
    notebook.run(CELL.format("twice --mode REPLAY"))
    assert notebook.names["answers"] == ["one", "two"]


def test_progress_and_table_are_one_display(notebook, server, active):
    notebook.run("words = ['<img src=x onerror=alert(1)>', 'b']")

    notebook.run(CELL.format("words"))

    assert len({output["transient"].get("display_id") for output in notebook.outputs}) == 1
    assert "░ " in notebook.outputs[0]["data"]["text/plain"]
    assert " · live 2" in notebook.shown
    assert active(notebook.outputs[-1]["data"]["text/html"]) == []


def test_a_long_result_shows_its_beginning(notebook, server):
    notebook.run(CELL.format("range(30)"))

    assert "and 10 more" in notebook.shown
    assert len(notebook.names["answers"]) == 30


def test_a_failure_fails_the_cell_and_the_next_run_goes_on(notebook, server):
    notebook.run("words = ['a', 'b', 'c']")
    cell = CELL.format("words --at-once 1")
    server.reply("first")
    server.fail(400, message="No.")

    message = notebook.fails(cell, BadRequestError)

    assert "(1 of 3 items answered and recorded)" in message
    assert "answers" not in notebook.names
    assert server.count == 2
    notebook.run(cell)
    assert notebook.names["answers"][0] == "first"
    assert server.count == 4


def test_a_miss_fails_before_anything_is_sent(notebook, server):
    message = notebook.fails(CELL.format("range(1) --mode REPLAY"), ReplayMissError)

    assert "no recording" in message
    assert server.count == 0


# Estimate and one's word


@pytest.fixture
def dear(notebook):
    """A notebook in which a map of two calls is above the amount."""
    notebook.run("%llm config confirm_above=0.0001")
    return notebook


def costly(options=""):
    return (
        f"%%complete --map range(2) {options} --max-tokens 1000 --out answers\nSay {{{{ item }}}}"
    )


def test_a_dry_run_tells_the_cost_and_asks_nothing(notebook, server):
    notebook.run(costly("--dry-run"))

    assert notebook.printed.startswith("--map range(2): 2 calls, at most $0.00")
    assert notebook.shown.endswith("user:\nSay 0")
    assert "answers" not in notebook.names
    assert server.count == 0


@pytest.mark.parametrize("error", [EOFError, StdinNotImplementedError, OSError])
def test_where_nobody_can_be_asked_it_is_refused(dear, server, monkeypatch, error):
    def ask(question):
        raise error

    monkeypatch.setattr(builtins, "input", ask)

    message = dear.fails(costly(), UsageError)

    assert "2 calls, at most $0.00" in message
    assert "add --yes" in message
    assert server.count == 0


@pytest.mark.parametrize(("word", "count"), [("y", 2), ("Yes", 2), ("n", 0), ("", 0)])
def test_it_takes_a_yes(dear, server, monkeypatch, word, count):
    questions = []
    monkeypatch.setattr(builtins, "input", lambda text: questions.append(text) or word)

    if count:
        dear.run(costly())
    else:
        assert "not confirmed; nothing was asked" in dear.fails(costly(), UsageError)

    assert server.count == count
    assert "Go ahead?" in questions[0]


def test_a_yes_in_the_line_and_a_replay_need_no_word(dear, server):
    dear.run(costly("--yes"))

    dear.run(costly())

    assert server.count == 2


def test_an_unknown_price_needs_ones_word(notebook, server):
    message = notebook.fails(costly("-m openai/my-own"), UsageError)

    assert "2 calls of unknown cost" in message


def test_a_terminal_without_input_is_refused(terminal, server):
    terminal.run("%llm config confirm_above=0 model=openai/gpt-5-mini")

    assert "add --yes" in terminal.fails(costly(), UsageError)


def test_a_terminal_sees_a_line_that_is_written_over(terminal, server):
    terminal.run("%llm config model=openai/gpt-5-mini")

    terminal.run(costly())

    assert "\r████████████████████ 2 of 2 · $0.00" in terminal.printed
    assert "2 answers · " in terminal.printed
    assert terminal.outputs == []


# Misuse


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("wrods", "--map wrods: no variable wrods; did you mean words?"),
        ("'\"text\"'", "a list, Series, dict or DataFrame, not str"),
        ("3", "a list, Series, dict or DataFrame, not int"),
        ("1/0", "--map 1/0: ZeroDivisionError: division by zero"),
        ("'words['", "--map words[: SyntaxError"),
        ("words.nope", "AttributeError"),
    ],
)
def test_what_has_no_items_is_one_line(notebook, server, expression, told):
    notebook.run("words = ['a']")

    message = notebook.fails(CELL.format(expression), UsageError)

    assert told in message
    assert message.count("\n") == 0
    assert server.count == 0


def test_an_unknown_column_is_told(notebook, server):
    notebook.names["books"] = pandas.DataFrame({"title": ["Emma"]})

    with pytest.raises(ValueError, match="no column 'titel'; did you mean title"):
        notebook.run("%%complete --map books\n{{ row.titel }}")


def test_settings_tell_the_amount(notebook):
    assert config.default().get("confirm_above") == 1


def test_an_interrupted_map_keeps_what_was_answered(start_kernel, server):
    gate = threading.Event()
    server.reply("first")
    server.reply("one two", gate=gate)
    kernel = start_kernel()
    kernel.run("%load_ext llm_magic\n%llm config model=openai/gpt-5-mini")
    request = kernel.begin("%%complete --map range(4) --at-once 1 --out answers\nSay {{ item }}")
    server.wait_for(2)

    kernel.manager.interrupt_kernel()
    _, reply = kernel.finish(request)
    gate.set()

    assert reply["ename"] == "KeyboardInterrupt"
    assert reply["evalue"] == "stopped (1 of 4 items answered and recorded)"
    assert kernel.printed("print('answers' in dir())") == "False\n"
    kernel.run("x = %complete --mode REPLAY Say 0")
    assert kernel.printed("print(x)") == "first\n"
    assert server.count == 2
