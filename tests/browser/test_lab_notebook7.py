"""Our extension in Notebook 7, which is made of the same parts and has no status bar."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.usefixtures("extension"), pytest.mark.own_page]

LOAD = "%load_ext llm_magic"
ASK = "%%complete\nIs this Notebook 7?"


def test_the_switch_the_badges_and_the_panel_are_in_notebook_7_too(tab):
    # Its own parts load the same settings at a time, and ask for a file browser that is not there.
    tab.forgives = True
    tab.models.reply("It is.")
    tab.write("seven.ipynb", LOAD, ASK)
    tab.page.goto(tab.lab.link("seven.ipynb", app="notebooks"))
    tab.opened("seven.ipynb")
    switch = tab.page.get_by_label("Replay mode of llm-magic")

    tab.run(0)
    tab.run(1)
    expect(tab.cell(1).locator(".jp-LlmMagic-badge")).to_contain_text("live")
    switch.select_option("REPLAY")
    expect(switch).to_have_value("REPLAY")
    tab.run(1)

    expect(tab.cell(1).locator(".jp-LlmMagic-badge")).to_contain_text("replayed")
    expect(tab.page.locator(".jp-LlmMagic-status")).to_have_count(0)
    tab.command("llm-magic:open-panel")
    panel = tab.page.get_by_role("region", name="llm-magic: cost, calls and recordings")
    expect(panel).to_contain_text("REPLAY · answers come from recordings only")
    assert len(tab.models.requests) == 1
