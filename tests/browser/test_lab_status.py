"""Mode and money of the current notebook in JupyterLab's status bar."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.usefixtures("extension")

LOAD = "%load_ext llm_magic"
ASK = "%%complete --max-tokens 100\nWhat does it cost?"


def item(tab):
    return tab.page.locator(".jp-LlmMagic-status")


def test_the_status_bar_tells_money_warns_of_a_budget_and_opens_the_panel(tab):
    # gpt-5-mini: $0.25 and $2.00 per million tokens.
    tab.models.reply("A little.", usage=(1000, 1000))
    tab.open("status.ipynb", LOAD, ASK, "%llm budget 0.0026", "%llm budget 0.00225", ASK)
    expect(item(tab)).to_have_text("llm-magic: not loaded")

    tab.run(0)
    expect(item(tab)).to_have_text("llm-magic: FALLBACK · $0.00 spent · $0.00 saved")
    tab.run(1)
    expect(item(tab)).to_have_text("llm-magic: FALLBACK · $0.00225 spent · $0.00 saved")
    tab.run(1)
    expect(item(tab)).to_contain_text("$0.00225 spent · $0.00225 saved")
    expect(item(tab)).to_have_attribute("data-level", "fine")

    tab.run(2)
    expect(item(tab)).to_contain_text("$0.00035 left, 86 % of the budget per session is used")
    expect(item(tab)).to_have_attribute("data-level", "warning")
    assert tab.unreadable(item(tab)) == []
    tab.run(3)
    expect(item(tab)).to_have_attribute("data-level", "error")
    assert tab.unreadable(item(tab)) == []
    button = item(tab).get_by_role("button")
    expect(button).to_have_accessible_description(
        re.compile("all sessions of this notebook: .* 1 live, 1 replayed")
    )

    button.focus()
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#llm-magic-panel")).to_be_focused()
    tab.page.keyboard.press("Tab")
    expect(tab.page.locator("#llm-magic-panel summary").first).to_be_focused()
    tab.command("launcher:create")
    expect(item(tab)).to_be_hidden()
