"""Badges of cells: read from the outputs that a notebook holds, whatever happens to its cells."""

from __future__ import annotations

import contextlib
import json
import zlib
from datetime import UTC, datetime
from decimal import Decimal

import nbformat
import pytest
from playwright.sync_api import expect

from llm_magic.notebook.display import MIME_TYPE, Answer
from llm_magic.types import Completion, Usage

pytestmark = pytest.mark.usefixtures("extension")

SELECT = "index => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = index; }"
SCROLL = "index => window.jupyterapp.shell.currentWidget.content.scrollToItem(index, 'center')"


def answered(source, *texts, replayed=False):
    """A cell with the outputs that a run of it left."""
    outputs = []
    for text in texts:
        completion = Completion(
            {"choices": [{"message": {"content": text}}]},
            reference="openai/gpt-5-mini",
            cost=Decimal(0) if replayed else Decimal("0.0042"),
            saved=Decimal("0.0042") if replayed else None,
            tokens=Usage(uncached_input_tokens=1204, output_tokens=380),
            source="replay" if replayed else "live",
            recorded=datetime(2026, 11, 20, tzinfo=UTC),
            latency_ms=1800.0,
        )
        bundle = Answer(text, completion=completion).bundle()
        bundle[MIME_TYPE]["prompt_crc32"] = zlib.crc32(source.encode())
        outputs.append(nbformat.v4.new_output("display_data", bundle))
    return nbformat.v4.new_code_cell(source, outputs=outputs, execution_count=1)


def failed(source):
    error = nbformat.v4.new_output("error", ename="E", evalue="no", traceback=["E: no"])
    return nbformat.v4.new_code_cell(source, outputs=[error], execution_count=1)


def badge(tab, index):
    return tab.cell(index).locator(".jp-LlmMagic-badge")


@contextlib.contextmanager
def windowed(tab):
    """A notebook as it is by default: only the cells in sight are in the page."""
    path = tab.lab.settings / "@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    before = path.read_text()
    path.write_text(json.dumps({**json.loads(before), "windowingMode": "full"}))
    try:
        yield
    finally:
        path.write_text(before)


def test_every_cell_says_where_its_answer_came_from_and_what_it_cost(tab):
    live = answered("%%complete\nWhat is a brick?", "Clay.")
    cells = [
        live,
        answered("%%complete\nAnd now?", "Clay again.", replayed=True),
        answered("show(a); show(b); show(c)", "One", "Two", "Three"),
        failed("%%complete --mode REPLAY\nAnd then?"),
        failed("1 / 0"),
        "x = 1",
    ]
    tab.open("badges.ipynb", *cells)

    expect(badge(tab, 0)).to_have_text("live · $0.0042 · gpt-5-mini")
    expect(badge(tab, 0)).to_have_accessible_name("llm-magic: live · $0.0042 · gpt-5-mini")
    expect(badge(tab, 0)).to_have_attribute(
        "title",
        "asked live\n"
        + ("openai/gpt-5-mini · 1,204 + 380 tokens · $0.0042 · live · recorded on 2026-11-20"),
    )
    expect(badge(tab, 1)).to_have_text("replayed · saved $0.0042 · gpt-5-mini")
    expect(badge(tab, 2)).to_have_text("live · 3 answers · $0.0126 · gpt-5-mini")
    expect(badge(tab, 3)).to_have_text("failed")
    for index in (4, 5):
        expect(badge(tab, index)).to_have_count(0)
    # It covers neither what is written nor the buttons of the cell, even in a cell of one line.
    tab.page.evaluate(SELECT, 2)
    buttons = tab.cell(2).locator(".jp-cell-toolbar svg").last
    # They come once JupyterLab knows that there is room for them.
    expect(buttons).to_be_visible()
    place, button = badge(tab, 2).bounding_box(), buttons.bounding_box()
    text = tab.cell(2).get_by_text("One", exact=True).bounding_box()
    assert button["y"] + button["height"] <= place["y"]
    assert place["y"] + place["height"] <= text["y"] + text["height"] / 2
    for index in range(4):
        assert tab.unreadable(tab.cell(index).locator(".jp-LlmMagic-badgeLine")) == []

    tab.page.evaluate(SELECT, 0)
    tab.command("notebook:clear-cell-output")
    expect(badge(tab, 0)).to_be_hidden()


def test_a_prompt_with_an_option_that_there_is_not_has_failed(tab):
    tab.open("misuse.ipynb", "%load_ext llm_magic", "%%complete --nosuch\nWhat is a brick?")
    tab.run(0)

    tab.run(1)

    expect(tab.output(1)).to_contain_text("UsageError: ")
    expect(badge(tab, 1)).to_have_text("failed")
    expect(badge(tab, 0)).to_have_count(0)


def test_a_badge_is_stale_while_the_prompt_is_another_than_the_one_answered(tab):
    tab.open("stale.ipynb", answered("%%complete\nWhat is a brick?", "Clay.", replayed=True))
    expect(badge(tab, 0)).to_have_text("replayed · saved $0.0042 · gpt-5-mini")

    tab.cell(0).locator(".cm-line").last.click()
    tab.page.keyboard.press("End")
    tab.page.keyboard.type("!")

    expect(badge(tab, 0)).to_have_text("stale · saved $0.0042 · gpt-5-mini")
    tab.photograph("badge-stale")
    tab.page.keyboard.press("Control+z")
    expect(badge(tab, 0)).to_have_text("replayed · saved $0.0042 · gpt-5-mini")


@pytest.mark.own_page
def test_badges_go_with_their_cells_in_a_windowed_notebook(tab):
    cells = [answered(f"%%complete\n{number}", f"Answer {number}") for number in range(60)]
    cells[1] = answered("%%complete\nyes", "Yes", replayed=True)
    with windowed(tab):
        tab.open("windowed.ipynb", *cells)
    replayed = tab.page.locator(".jp-LlmMagic-badge", has_text="replayed")
    expect(replayed).to_have_count(1)

    tab.page.evaluate(SCROLL, 59)
    expect(replayed).to_have_count(0)
    expect(tab.page.get_by_text("Answer 59")).to_be_visible()
    tab.page.evaluate(SCROLL, 0)
    expect(replayed).to_be_visible()

    tab.page.evaluate(SELECT, 1)
    tab.command("notebook:move-cell-up")
    expect(badge(tab, 0)).to_have_text("replayed · saved $0.0042 · gpt-5-mini")
    expect(badge(tab, 1)).to_have_text("live · $0.0042 · gpt-5-mini")
    tab.command("notebook:copy-cell")
    tab.command("notebook:paste-cell-below")
    expect(badge(tab, 1)).to_have_text("replayed · saved $0.0042 · gpt-5-mini")
    expect(badge(tab, 0)).to_have_count(1)


def test_the_setting_takes_badges_away_and_brings_them_back(tab):
    tab.open("setting.ipynb", answered("%%complete\nWhat is a brick?", "Clay."))
    expect(badge(tab, 0)).to_be_visible()
    setting = tab.page.get_by_label("Badges on cells")

    tab.command("settingeditor:open", query="llm-magic")
    setting.uncheck()
    tab.page.get_by_role("tab", name="setting.ipynb").click()
    expect(badge(tab, 0)).to_be_hidden()

    tab.page.get_by_role("tab", name="Settings").first.click()
    setting.check()
    tab.page.get_by_role("tab", name="setting.ipynb").click()
    expect(badge(tab, 0)).to_be_visible()
