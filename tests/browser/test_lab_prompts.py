"""Cells that begin with %%complete read as prompts: Markdown, marked expressions, options."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.usefixtures("extension")

PROMPT = r"""%%complete -m openai/gpt-5-mini
# Summarise *this*

- {{ text.upper() }} in `code`, x^{{2}} and \{{ this }}
- don't worry"""
# The mime type of a cell's model, which the notebook and other extensions go by.
MIME = "() => window.jupyterapp.shell.currentWidget.content.activeCell.model.mimeType"

# All the ways in which letters are shown in a part of an editor.
LOOKS = """part => [...new Set([part, ...part.querySelectorAll('*')].map(node => {
  const { color, fontStyle, fontWeight, textDecorationLine } = getComputedStyle(node);
  return [color, fontStyle, fontWeight, textDecorationLine].join(' ');
}))]"""


def marks(tab, name, index=0):
    return tab.cell(index).locator(f".jp-LlmMagic-{name}")


def weight(tab, text, index=0):
    """How bold a text is shown: headings of Markdown are."""
    shown = tab.cell(index).locator(".cm-line span", has_text=text).last
    return shown.evaluate("node => getComputedStyle(node).fontWeight")


def test_a_prompt_reads_as_one_as_long_as_it_is_one_and_is_saved_as_it_was(tab):
    path = tab.open("prompts.ipynb", PROMPT, "# a comment\nx = '{{ text }}'")
    before = json.loads(path.read_text())

    expect(marks(tab, "options")).to_have_text("%%complete -m openai/gpt-5-mini")
    expect(marks(tab, "magic")).to_have_text("%%complete")
    expect(marks(tab, "placeholder")).to_have_text(["{{ text.upper() }}"])
    assert weight(tab, "Summarise") == "700"
    expect(marks(tab, "placeholder", 1)).to_have_count(0)
    # What Lab's theme makes of Markdown is its own affair.
    faint = [text for _, text in tab.unreadable(tab.cell(0).locator(".cm-content"))]
    assert not [text for text in faint if "%%complete" in text or "{{ text" in text]

    # One character less, and it is Python again.
    tab.cell(0).locator(".cm-line").first.click()
    tab.page.keyboard.press("Control+Home")
    tab.page.keyboard.press("Delete")
    expect(marks(tab, "options")).to_have_count(0)
    expect(marks(tab, "placeholder")).to_have_count(0)
    tab.page.keyboard.type("%")
    expect(marks(tab, "placeholder")).to_have_count(1)
    assert tab.page.evaluate(MIME) == "text/x-ipython"
    tab.save()
    after = json.loads(path.read_text())
    assert [cell["source"] for cell in after["cells"]] == [
        cell["source"] for cell in before["cells"]
    ]
    assert [cell["metadata"] for cell in after["cells"]] == [{}, {}]

    # In other cells it is no prompt.
    tab.command("notebook:change-cell-to-markdown")
    expect(marks(tab, "placeholder")).to_have_count(0)
    tab.command("notebook:change-cell-to-code")
    expect(marks(tab, "placeholder")).to_have_count(1)

    # A kernel that tells its language again changes nothing, nor does a new page.
    tab.restart("prompts.ipynb")
    expect(marks(tab, "placeholder")).to_have_count(1)
    tab.save()
    tab.reload("prompts.ipynb")
    expect(marks(tab, "placeholder")).to_have_count(1)


def test_python_in_a_prompt_looks_like_plain_text(tab):
    tab.open("plain.ipynb", "%%complete\nplain words\n{{ reviews[1] + a ** b ** c }}")
    expect(marks(tab, "placeholder")).to_have_text("{{ reviews[1] + a ** b ** c }}")

    plain = tab.cell(0).locator(".cm-line").nth(1).evaluate(LOOKS)
    assert marks(tab, "placeholder").evaluate(LOOKS) == plain


def test_tab_offers_options_and_models_in_the_first_line(tab):
    tab.open("complete.ipynb", "%load_ext llm_magic", "%%complete\nHi")
    tab.run(0)
    tab.cell(1).locator(".cm-line").first.click()
    offered = tab.page.locator(".jp-Completer-item")

    tab.page.keyboard.press("End")
    tab.page.keyboard.type(" --te")
    tab.page.keyboard.press("Tab")
    expect(offered.get_by_text("--temperature")).to_be_visible()
    expect(offered.get_by_text("--template")).to_be_visible()
    tab.page.keyboard.type("mpe")
    tab.page.keyboard.press("Enter")
    expect(marks(tab, "options", 1)).to_have_text("%%complete --temperature")

    tab.page.keyboard.type(" 0 -m open")
    tab.page.keyboard.press("Tab")
    expect(offered.get_by_text("openai/", exact=True)).to_be_visible()
