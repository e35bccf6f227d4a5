"""What is saved with a notebook, and what is planned and run from the command palette."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.usefixtures("extension")

LOAD = "%load_ext llm_magic"
ASK = "%%complete\nWhy save?"
SENT = "name => { void window.jupyterapp.commands.execute(name); }"


def test_the_cassette_is_saved_with_the_notebook_and_follows_its_name(tab):
    tab.models.reply("So that it runs again.")
    path = tab.open("saving.ipynb", LOAD, ASK)
    tab.run_all()
    tab.save()

    expect(tab.notices()).to_contain_text("saving.cassette.jsonl saved: 1 new")
    cassette = path.with_name("saving.cassette.jsonl")
    assert "So that it runs again." in cassette.read_text()

    tab.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.rename('renamed.ipynb')")
    tab.command("llm-magic:save-cassette")
    expect(tab.notices()).to_contain_text("renamed.cassette.jsonl")
    assert "So that it runs again." in path.with_name("renamed.cassette.jsonl").read_text()


def test_costs_are_planned_and_all_cells_run_from_recordings(tab):
    tab.models.reply("It was recorded.")
    tab.open("plan.ipynb", LOAD, ASK, "%%complete\nAnd <b>this</b>?", "%llm mode")
    tab.run(0)
    tab.run(1)

    tab.page.evaluate(SENT, "llm-magic:plan")
    dialog = tab.page.get_by_role("dialog")
    rows = dialog.locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("replay")
    expect(rows.nth(1)).to_contain_text("openai/gpt-5-mini")
    expect(dialog).to_contain_text("for 1 call, 1 replay")
    tab.photograph("plan")
    dialog.get_by_role("button", name="Close").click()
    tab.command("llm-magic:run-all-replay")

    expect(tab.output(1)).to_contain_text("It was recorded.")
    expect(tab.output(2)).to_contain_text("ReplayMissError")
    expect(tab.page.locator(".jp-LlmMagic-status")).to_contain_text("FALLBACK")
    assert len(tab.models.requests) == 1
    tab.run(3)
    expect(tab.output(3)).to_contain_text("mode: FALLBACK")
