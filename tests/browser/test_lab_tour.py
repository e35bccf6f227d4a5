"""The first five minutes in JupyterLab, as the README's pictures show them."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.usefixtures("extension")

REVIEWS = """\
reviews = [
    "Arrived in two days, works, the manual is a joke.",
    "Stopped charging after a week. Support never answered.",
]"""
SUMMARY = """\
%%complete --out summary
As a **table**: what do these customers like, what not?

{{ reviews }}"""
TABLE = """\
| | liked | not liked |
|---|---|---|
| 1 | fast delivery | the manual |
| 2 | – | the battery, the *support* |
"""
ANSWER = """\
%%complete --max-tokens 200
Write an apology for this in one sentence: {{ reviews[1] }}"""
APOLOGY = (
    "We are sorry that it stopped charging and that nobody answered you: a new one is on its way."
)


def test_an_analysis_is_asked_once_and_replayed(tab):
    tab.models.reply(TABLE, usage=(1204, 380))
    tab.models.reply(APOLOGY, usage=(210, 96))
    tab.page.set_viewport_size({"width": 1280, "height": 760})
    tab.open("reviews.ipynb", f"%load_ext llm_magic\n%llm budget 0.01\n{REVIEWS}", SUMMARY, ANSWER)
    tab.command("application:toggle-left-area")
    tab.command("llm-magic:open-panel")

    tab.run_all()
    tab.run(1)

    badges = tab.page.locator(".jp-LlmMagic-badge:visible")
    expect(badges).to_contain_text(["replayed · saved $0.001061", "live · $0.0002445"])
    expect(tab.page.locator(".jp-LlmMagic-status")).to_contain_text("$0.001306 spent")
    expect(tab.page.locator("#llm-magic-panel")).to_contain_text("openai/gpt-5-mini")
    expect(tab.output(1).locator("table")).to_contain_text("fast delivery")
    expect(tab.output(1).get_by_role("button", name="Copy").first).to_be_visible()
    tab.photograph("jupyterlab")
