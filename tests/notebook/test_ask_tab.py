"""The form asks on a thread of its own, and stops when it is told to."""

from __future__ import annotations

import threading
from threading import Event

import pytest

from llm_magic import client, config, history
from llm_magic.notebook.ask_tab import AskTab, takes
from llm_magic.notebook.snapshots import close_tree


@pytest.fixture
def form(server, wait_for):
    config.default().set("model", "openai/gpt-5-mini")
    form = AskTab()
    form.prompt.value = "Why?"
    yield form
    close_tree(form)


def answered(form):
    form.complete.click()
    form.join()


def test_complete_asks_and_shows_the_answer(form, server):
    server.reply("**Because** of that")
    form.system.value = "Be brief"
    form.parameters["max_tokens"].value = "50"

    answered(form)

    assert "<strong>Because</strong> of that" in form.output.value
    assert [message["content"] for message in server.last.body["messages"]] == ["Be brief", "Why?"]
    assert server.last.body["max_completion_tokens"] == 50


def test_the_answer_streams_while_the_kernel_goes_on(form, server, wait_for):
    gate = Event()
    server.reply("First the rest", gate=gate)
    form.complete.click()

    wait_for(form.output, "value", lambda value: "First" in value)
    assert "rest" not in form.output.value
    assert (form.complete.disabled, form.stop.disabled) == (True, False)

    gate.set()
    form.join()
    assert "First the rest" in form.output.value
    assert (form.complete.disabled, form.stop.disabled) == (False, True)


def test_stop_closes_the_connection_and_stores_nothing(form, server, wait_for):
    server.reply("First the rest", gate=Event())
    form.complete.click()
    wait_for(form.output, "value", lambda value: "First" in value)

    form.stop.click()
    form.join()

    assert server.last.closed_early.wait(60)
    assert form.told == "stopped; nothing of this answer was stored"
    assert "incomplete: stopped" in form.output.value
    assert history.default().rows()[-1]["status"] == "interrupted"
    assert list(client.default().shelf.recordings.all()) == []


def test_stop_before_the_first_word_stops(form, server):
    server.hang()
    form.complete.click()
    server.wait_for(1)

    form.stop.click()
    form.join()

    assert server.last.closed_early.wait(60)
    assert form.output.value == ""


def test_a_long_stream_is_shown_ten_times_a_second_at_most(form, server):
    server.reply(" ".join(map(str, range(2000))))
    updates = []
    form.output.observe(updates.append, "value")

    answered(form)

    row = history.default().rows()[-1]
    assert "1999" in form.output.value
    assert len(updates) <= 3 + row["latency_ms"] / 100


def test_a_second_question_waits_for_nobody_and_is_refused(form, server):
    gate = Event()
    server.reply("First the rest", gate=gate)
    form.complete.click()

    form.ask("And?", {})

    assert form.told == "one answer is under way; stop it first"
    gate.set()
    form.join()
    assert server.count == 1


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        ("max_tokens", "many", "Max tokens 'many': such as 500"),
        ("prompt", " ", "the prompt is empty; write one above"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_sent(form, server, field, text, told):
    (form.prompt if field == "prompt" else form.parameters[field]).value = text

    answered(form)

    assert form.told == told
    assert server.count == 0


def test_an_error_of_the_provider_is_one_line(form, server):
    server.fail(400, message="no\x1b[31m <img src=x onerror=alert(1)>\nnever")

    answered(form)

    assert "\n" not in form.told
    assert "<img" not in form.children[-2].children[-1].value


def test_an_answer_in_the_panel_takes_no_number_of_the_cell_that_runs(form, notebook, server):
    server.reply("panel")
    server.reply("cell")
    notebook.names["ask"] = lambda: answered(form)

    notebook.run("ask()\nimport llm_magic\nllm_magic.complete('Else?')")

    rows = history.default().rows()
    assert [row["cell_line"] for row in rows] == [None, "ask()"]
    assert rows[0]["run"] == "panel"


def test_a_capture_in_the_panel_keeps_the_other_answers_of_a_cell(form, notebook, server):
    for number in range(3):
        server.reply(str(number))
    ask = "llm_magic.complete('Why?', mode='CAPTURE').text"
    notebook.run(f"import llm_magic\n[{ask} for _ in range(3)]")
    server.reply("new")
    form.mode.value = "CAPTURE"

    answered(form)

    again = "llm_magic.complete('Why?', mode='REPLAY').text"
    assert notebook.run(f"[{again} for _ in range(3)]") == ["new", "1", "2"]


def test_the_mode_is_that_of_the_session(form, notebook, wait_for):
    form.mode.value = "CAPTURE"
    assert str(config.default().get("mode")) == "CAPTURE"

    config.default().set("mode", "DISABLED")
    form.refresh()
    assert form.mode.value == "DISABLED"


def test_an_imposed_replay_greys_the_modes_and_says_why(monkeypatch, wait_for):
    monkeypatch.setenv("LLM_MAGIC_MODE", "REPLAY")

    form = AskTab()

    assert form.mode.disabled
    assert form.mode.value == "REPLAY"
    assert "imposed" in form.children[1].children[-1].value
    close_tree(form)


@pytest.mark.parametrize(
    ("model", "name", "taken"),
    [
        ("openai/gpt-4o", "temperature", True),
        ("openai/gpt-5-mini", "temperature", False),
        ("openai/gpt-4o", "reasoning_effort", False),
        ("openai/gpt-5-mini", "max_tokens", True),
        ("deepseek/deepseek-reasoner", "top_p", False),
        ("anthropic/claude-3-5-haiku-latest", "temperature", True),
        ("no such/model", "temperature", True),
    ],
)
def test_what_a_model_takes_is_what_the_table_says(model, name, taken):
    assert takes(model, name) is taken


def test_a_field_that_the_model_does_not_take_is_grey_and_not_sent(form, server):
    form.picker.value = "openai/gpt-4o"
    form.parameters["temperature"].value = "0.3"

    form.picker.value = "openai/gpt-5-mini"
    answered(form)

    assert form.parameters["temperature"].disabled
    assert "temperature" not in server.last.body


def test_what_was_not_sent_stands_under_the_answer_and_is_no_warning(form, server):
    form.ask("Why?", {"temperature": 0.3})
    form.join()

    assert form.told == ""
    assert "temperature" in form.output.value


def test_closing_hangs_up(form, server, wait_for):
    server.reply("First the rest", gate=Event())
    form.complete.click()
    wait_for(form.output, "value", lambda value: "First" in value)

    close_tree(form)

    assert server.last.closed_early.wait(60)
    assert [one.name for one in threading.enumerate() if "answer" in one.name] == []
