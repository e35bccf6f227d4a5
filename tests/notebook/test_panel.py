"""The panel as a whole: its parts work together, and several stay in step."""

from __future__ import annotations

import ipywidgets
import pytest
from hostile import PAYLOADS

import llm_magic
from llm_magic import config, history
from llm_magic.exceptions import ReplayMissError

MODEL = "openai/gpt-5-mini"


@pytest.fixture
def panel(server, wait_for):
    config.default().set("model", MODEL)
    return llm_magic.panel()


def ask(panel, prompt):
    panel.ask.prompt.value = prompt
    panel.ask.complete.click()
    panel.ask.join()


def everything(widget):
    """The widget and all that is in it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from everything(child)


def test_llm_panel_shows_one(notebook):
    shown = notebook.run("%llm panel")

    assert isinstance(shown, type(llm_magic.panel()))
    assert "calls: 0 live" in notebook.shown


def test_a_question_in_the_panel_moves_its_meter(panel, server, wait_for):
    server.reply("Yes", usage=(1000, 500))

    ask(panel, "Are you there?")

    wait_for(panel.meter, "value", lambda value: "$0.00125" in value)
    assert panel.meter.spent == history.totals(session=history.session()).spent


def test_two_panels_stay_in_step(panel, server, wait_for):
    other = llm_magic.panel()
    server.reply("Yes", usage=(1000, 500))

    panel.ask.picker.rows.pick("openai/gpt-4o")
    panel.ask.mode.value = "CAPTURE"
    ask(panel, "Are you there?")

    wait_for(other.ask.picker, "value", lambda value: value == "openai/gpt-4o")
    wait_for(other.ask.mode, "value", lambda value: value == "CAPTURE")
    wait_for(other.meter, "value", lambda value: value == panel.meter.value != "")


def test_history_and_cassette_are_read_when_somebody_looks(server, wait_for):
    llm_magic.complete("Are you there?", model=MODEL)
    panel = llm_magic.panel()
    assert panel.history.rows.lines == panel.cassette.rows.lines == []

    panel.tabs.selected_index = 1
    assert len(panel.history.rows.lines) == 1

    panel.tabs.selected_index = 2
    assert len(panel.cassette.rows.lines) == 1


def test_the_history_shows_a_new_call_when_its_tab_is_open(panel, wait_for):
    panel.tabs.selected_index = 1

    llm_magic.complete("Are you there?")

    wait_for(
        panel.history.rows, "children", lambda found: "Are you there?" in str(found[1].options)
    )


def test_a_call_of_the_history_is_asked_again_and_replays(panel, server, wait_for):
    server.reply("The **first** answer")
    ask(panel, "Are you there?")
    panel.tabs.selected_index = 1
    panel.history.rows.pick(panel.history.rows.identities[0])

    panel.history.run_again.click()
    panel.ask.join()

    assert panel.tabs.selected_index == 0
    assert "<strong>first</strong>" in panel.ask.output.value
    assert "replayed" in panel.ask.output.value
    assert server.count == 1


def test_a_call_of_the_history_is_asked_anew_in_capture(panel, server):
    ask(panel, "Are you there?")
    panel.ask.mode.value = "CAPTURE"
    panel.tabs.selected_index = 1
    panel.history.rows.pick(panel.history.rows.identities[0])

    panel.history.run_again.click()
    panel.ask.join()

    assert server.count == 2


def test_the_cassette_shows_a_new_recording_when_its_tab_is_open(panel, wait_for):
    panel.tabs.selected_index = 2

    llm_magic.complete("Are you there?")

    rows = panel.cassette.rows
    wait_for(rows, "children", lambda found: "Are you there?" in str(found[1].options))


def test_the_snapshot_tells_figures_and_calls_but_no_texts(panel):
    ask(panel, "A private question")

    text = panel.snapshot_text()

    assert "calls: 1 live, 0 replayed" in text
    assert "model: openai/gpt-5-mini · mode: FALLBACK" in text
    assert "openai/gpt-5-mini  live" in text
    assert "private" not in text + panel.snapshot_html()


def test_a_panel_without_a_model_says_what_to_do(server, wait_for):
    panel = llm_magic.panel()

    ask(panel, "Are you there?")

    assert "model" in panel.ask.told
    assert server.count == 0


def test_whatever_a_text_holds_the_panel_shows_it_and_does_nothing(panel, server, active):
    for text in PAYLOADS.values():
        # What a server can send, and a user can write.
        text = text.encode("utf-8", "replace").decode()
        server.reply(text)
        ask(panel, text)
        with pytest.raises(ReplayMissError):
            llm_magic.complete(f"{text}!", model=f"openai/{text}", mode="REPLAY")
        panel.history.refresh()
        panel.history.rows.pick(panel.history.rows.identities[1])
        panel.history.copy.click()
        panel.cassette.refresh()
        panel.cassette.rows.pick(panel.cassette.rows.identities[-1])
        found = [one for one in everything(panel) if isinstance(one, ipywidgets.HTML)]
        shown = "".join(widget.value for widget in found)

        assert active(shown + panel.snapshot_html()) == [], text
        panel.history.rows.pick(None)


def test_no_description_is_read_as_html(panel):
    described = [one for one in everything(panel) if getattr(one, "description", "")]

    assert {getattr(one, "description_allow_html", False) for one in described} == {False}


def test_every_field_has_a_label(panel):
    fields = (ipywidgets.Text, ipywidgets.Textarea, ipywidgets.Dropdown, ipywidgets.Select)

    assert [
        one for one in everything(panel) if isinstance(one, fields) and not one.description
    ] == []
