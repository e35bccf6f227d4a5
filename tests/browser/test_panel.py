"""The panel in a real JupyterLab: what people see, press and keep."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import nbformat
import pytest
from hostile import PAYLOADS
from nbconvert import HTMLExporter
from playwright.sync_api import expect

from llm_magic import cli

LOAD = "%load_ext llm_magic"
PANEL = "%llm panel"
CALL = "import llm_magic\nprint(llm_magic.complete('Are you there?').text)"
OUT = Path(__file__).parent / "out"


def button(tab, name, cell=1):
    return tab.output(cell).get_by_role("button", name=name)


def ask(tab, prompt):
    tab.output(1).get_by_label("Prompt").fill(prompt)
    button(tab, "Complete").click()


def test_an_answer_streams_in_readable_while_the_kernel_is_free_and_stop_hangs_up(tab):
    gate = Event()
    tab.models.reply("A **brick** and `the rest` of a [link](https://example.org)", gate=gate)
    tab.models.reply("Second and the rest", gate=Event())
    tab.open("panel.ipynb", f"{LOAD}\n%llm budget 1", PANEL, "print('free', 6 * 7)")
    tab.run(0)
    tab.run(1)

    ask(tab, "What is a brick?")
    expect(tab.output(1)).to_contain_text("A …")
    tab.run(2)
    expect(tab.output(2)).to_contain_text("free 42")
    gate.set()
    expect(tab.output(1)).to_contain_text("A brick and the rest")
    expect(tab.output(1)).to_contain_text("1 live, 0 replayed")
    expect(tab.output(1).get_by_role("meter", name="budget per session")).to_be_visible()
    assert tab.unreadable(tab.output(1)) == []

    ask(tab, "And then?")
    expect(tab.output(1)).to_contain_text("Second …")
    button(tab, "Stop").click()
    expect(tab.output(1)).to_contain_text("incomplete: stopped")
    expect(tab.output(1)).to_contain_text("stopped; nothing of this answer was stored")
    assert tab.models.last.closed_early.wait(60)


def test_a_model_picked_in_the_panel_is_the_one_that_complete_asks(tab):
    tab.models.reply("Hello")
    tab.open("pick.ipynb", LOAD, PANEL, "%%complete\nHello?", "%llm config model=openai/gpt-4o")
    tab.run(0)
    tab.run(1)

    tab.output(1).get_by_label("Find").fill("4.1-nano")
    models = tab.output(1).get_by_role("listbox", name="models")
    expect(models.locator("option")).to_have_count(1)
    models.select_option(index=0)
    expect(tab.output(1)).to_contain_text("default model: openai/gpt-4.1-nano (from %llm config)")
    tab.run(2)

    expect(tab.output(2)).to_contain_text("openai/gpt-4.1-nano ·")
    assert tab.models.last.body["model"] == "gpt-4.1-nano"
    tab.run(3)
    expect(tab.output(1)).to_contain_text("default model: openai/gpt-4o (from %llm config)")
    expect(tab.output(1).get_by_label("Temperature")).to_be_enabled()


def test_the_meter_moves_while_a_cell_runs_and_stop_waits_for_the_cell(tab):
    first, second = Event(), Event()
    tab.models.reply("Panel answer", gate=first)
    tab.models.reply("One")
    tab.models.reply("Two more", gate=second)
    calls = "import llm_magic\nfor prompt in ('one', 'two'):\n    llm_magic.complete(prompt)"
    tab.open("meter.ipynb", LOAD, PANEL, calls)
    tab.run(0)
    tab.run(1)
    ask(tab, "Panel question")
    expect(tab.output(1)).to_contain_text("Panel …")

    tab.begin(2)
    expect(tab.output(1)).to_contain_text("$0.00000225")
    expect(tab.cell(2).locator(".jp-InputArea-prompt").first).to_have_text("[*]:")
    button(tab, "Stop").click()
    expect(tab.cell(2).locator(".jp-InputArea-prompt").first).to_have_text("[*]:")

    second.set()
    tab.ended(2)
    expect(tab.output(1)).to_contain_text("stopped; nothing of this answer was stored")


def test_a_call_is_found_in_the_history_and_asked_again(tab):
    tab.models.reply("The very first answer")
    tab.open("history.ipynb", LOAD, PANEL, "%complete Tell me something")
    tab.run(0)
    tab.run(1)
    tab.run(2)
    panel = tab.output(1)

    panel.get_by_role("tab", name="History").click()
    panel.get_by_label("Filter").fill("something")
    panel.get_by_role("listbox", name="calls").select_option(index=0)
    expect(panel).to_contain_text("The very first answer")
    button(tab, "Copy as cell").click()
    expect(panel.get_by_label("Cell")).to_have_value(
        "%%complete -m openai/gpt-5-mini\nTell me something"
    )
    tab.photograph("history")
    button(tab, "Ask again").click()

    expect(panel.get_by_role("tab", name="Ask")).to_have_attribute("aria-selected", "true")
    expect(panel).to_contain_text("The very first answer")
    expect(panel).to_contain_text("replayed from")
    expect(panel).to_contain_text("1 live, 1 replayed")
    assert tab.models.count == 1


def test_the_panel_survives_a_reload_and_can_be_read_when_its_kernel_is_gone(tab):
    tab.models.reply("Yes")
    tab.open("reload.ipynb", LOAD, PANEL, CALL)
    tab.run(0)
    tab.run(1)
    tab.run(2)
    expect(tab.output(1)).to_contain_text("1 live, 0 replayed")
    snapshot = tab.output(1).locator(".llm-magic-snapshot")
    expect(snapshot).to_be_hidden()
    tab.save()

    tab.reload("reload.ipynb")
    expect(tab.output(1).get_by_label("Prompt")).to_be_visible()
    expect(snapshot).to_be_hidden()

    assert tab.problems == []
    tab.restart("reload.ipynb")
    tab.reload("reload.ipynb")
    expect(snapshot).to_be_visible()
    expect(snapshot).to_contain_text("1 live, 0 replayed")
    expect(snapshot).to_contain_text("openai/gpt-5-mini")
    expect(tab.output(1)).to_contain_text("Error displaying widget: model not found")
    # What the page had asked of the kernel that went away is cancelled, and told as errors.
    tab.problems.clear()


def test_hostile_texts_and_names_do_nothing_in_the_panel(tab):
    texts = [text.encode("utf-8", "replace").decode() for text in PAYLOADS.values()]
    for text in texts:
        tab.models.reply(text)
    tab.open(
        "hostile-widgets.ipynb",
        f"{LOAD}\nimport llm_magic\ntexts = {texts!r}\n"
        "for text in texts:\n    llm_magic.complete(text)",
        "shown = llm_magic.panel()\nshown",
        "import warnings\nshown.history.refresh(); shown.cassette.refresh()\n"
        "shown.ask.picker.value = texts[0]\nshown.ask.prompt.value = texts[0]\n"
        "parts = []\n"
        "for rows in (shown.history.rows, shown.cassette.rows):\n"
        "    for identity in rows.identities:\n"
        "        rows.pick(identity)\n"
        "        parts += [shown.history.opened.value, shown.cassette.shown.value]\n"
        "shown.ask.output.value = ''.join(dict.fromkeys(parts))",
    )
    for cell in range(3):
        tab.run(cell)

    expect(tab.output(1)).to_contain_text("pwned()")
    assert tab.page.evaluate("window.ran") is None


@pytest.fixture
def exported(tmp_path, monkeypatch):
    """The HTML of a notebook with a panel that ran without a front end, with and without state."""
    monkeypatch.chdir(tmp_path)
    source = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(code)
            for code in (f"{LOAD}\n%llm config model=echo/echo", PANEL, CALL)
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(source, "panel.ipynb")
    assert cli.main(["run", "panel.ipynb", "-o", "run.ipynb"]) == 0
    notebook = nbformat.read("run.ipynb", as_version=4)
    assert notebook.metadata.widgets
    with_state = HTMLExporter().from_notebook_node(notebook)[0]
    del notebook.metadata["widgets"]
    return {"with": with_state, "without": HTMLExporter().from_notebook_node(notebook)[0]}


def test_the_panel_can_be_read_in_nbconverts_html_offline(browser, exported, tmp_path):
    page = browser.new_page()
    for state, shown in exported.items():
        path = tmp_path / f"{state}.html"
        path.write_text(shown)

        page.goto(path.as_uri())

        snapshot = page.locator(".llm-magic-snapshot")
        expect(snapshot).to_be_visible()
        expect(snapshot).to_contain_text("1 live, 0 replayed")
        expect(snapshot).to_contain_text("echo/echo")
        page.screenshot(path=OUT / f"nbconvert-{state}-state.png")
    page.close()
