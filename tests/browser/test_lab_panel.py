"""The side panel of our JupyterLab extension: what it tells, what it does, where it leads."""

from __future__ import annotations

import os
import re
from threading import Event

import nbformat
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.usefixtures("extension")

LOAD = "%load_ext llm_magic"
WALL = "%%complete --out wall"
ACTIVE = re.compile(r"\bjp-mod-active\b")
EDIT = """([index, code]) =>
  window.jupyterapp.shell.currentWidget.content.widgets[index].model.sharedModel.setSource(code)"""
CUT = "part => part.scrollWidth > part.clientWidth"
TOO_WIDE = """panel => [...panel.querySelectorAll('.jp-LlmMagic-sectionBody, .jp-LlmMagic-groups')]
  .filter(part => part.scrollWidth > part.clientWidth).map(part => part.textContent)"""
ROOM = """field => {
  const { font, paddingLeft, paddingRight } = getComputedStyle(field);
  const pen = Object.assign(document.createElement('canvas').getContext('2d'), { font });
  const room = field.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
  return room - pen.measureText(field.placeholder).width;
}"""
SCROLLS = "panel => panel.offsetWidth === 250 && panel.clientWidth < 240"
LAST = "([list, link]) => [...list.querySelectorAll('button')].at(-1) === link"


def ask(words, line="%%complete"):
    """A cell that asks what no other test does: recordings are those of the folder."""
    return f"{line}\n{words}"


@pytest.fixture
def panel(tab):
    """The panel, once it is shown."""

    def shown():
        tab.command("llm-magic:open-panel")
        return tab.page.get_by_role("region", name="llm-magic: cost, calls and recordings")

    return shown


def section(panel, name):
    return panel.locator("details.jp-LlmMagic-section").filter(
        has=panel.page.get_by_role("heading", name=name)
    )


def calls(panel):
    return panel.get_by_role("list", name="Calls, newest first").get_by_role("listitem")


def test_calls_and_sums_are_told_as_they_happen(tab, panel):
    gate = Event()
    tab.models.reply("A stone that people made.", gate=gate)
    tab.models.fail(400, message="no such thing")
    tab.open("happen.ipynb", LOAD, ask("What is a roof tile?"), ask("And a wall?", WALL))
    shown = panel()
    expect(shown).to_contain_text("llm-magic is not loaded here yet")
    tab.run(0)
    expect(shown.get_by_role("heading", name="happen")).to_be_visible()
    expect(shown).to_contain_text("FALLBACK · what is recorded is replayed")
    expect(shown).to_contain_text("No calls yet.")

    tab.begin(1)
    expect(calls(shown)).to_have_count(1)
    expect(calls(shown)).to_contain_text("under way")
    calls(shown).locator("summary").click()
    gate.set()
    tab.ended(1)
    expect(calls(shown)).to_contain_text("live")
    expect(calls(shown)).to_contain_text("openai/gpt-5-mini")
    expect(calls(shown).get_by_role("group", name="Prompt")).to_have_text("What is a roof tile?")

    tab.run(1)
    tab.run(2)
    expect(calls(shown)).to_have_count(3)
    expect(calls(shown).nth(0)).to_contain_text("failed")
    expect(calls(shown).nth(1)).to_contain_text("replayed")
    money = section(shown, "Money")
    expect(money.get_by_role("row", name="Live")).to_have_text("Live22")
    expect(money.get_by_role("table", name="By model").locator("tbody")).to_have_count(1)
    expect(money.get_by_role("table", name="By cell").locator("tbody")).to_have_count(2)

    shown.get_by_label("Filter calls").fill("wall failed")
    expect(calls(shown)).to_have_count(1)
    calls(shown).locator("summary").click()
    expect(calls(shown)).to_contain_text("no such thing")
    money.get_by_role("button", name="cell 2: %%complete", exact=True).click()
    expect(tab.cell(1)).to_have_class(ACTIVE)
    calls(shown).get_by_role("button", name="Go to cell").click()
    expect(tab.cell(2)).to_have_class(ACTIVE)
    assert tab.unreadable(shown) == []


def test_cells_that_begin_alike_are_rows_of_their_own_that_lead_to_them(tab, panel):
    tab.open("twins.ipynb", LOAD, *[ask(f"What is twin {number}?") for number in range(1, 10)])
    shown = panel()
    tab.run_all()
    cells = section(shown, "Money").get_by_role("group", name="By cell")
    links = cells.get_by_role("button", name="%%complete")
    expect(links).to_have_text([f"cell {number}: %%complete" for number in range(2, 11)])

    links.nth(1).click()
    expect(tab.cell(2)).to_have_class(ACTIVE)
    links.nth(0).click()
    expect(tab.cell(1)).to_have_class(ACTIVE)
    expect(links.last).not_to_be_in_viewport()
    cells.focus()
    tab.page.keyboard.press("End")
    expect(links.last).to_be_in_viewport()
    assert tab.unreadable(shown) == []
    tab.photograph("twins")
    assert shown.evaluate(SCROLLS)
    assert shown.evaluate(TOO_WIDE) == []
    assert shown.get_by_label("Filter calls").evaluate(ROOM) >= 0

    gone = links.first.element_handle()
    tab.command("notebook:delete-cell")
    tab.page.wait_for_function(LAST, arg=[cells.element_handle(), gone])
    gone.click()
    expect(tab.notices()).to_contain_text("That cell is not in the notebook any more: %%complete")
    links.first.click()
    expect(tab.cell(1)).to_have_class(ACTIVE)


def test_a_miss_is_explained_with_what_mends_it_until_it_is_mended(tab, panel):
    cells = ask("What is a stone?"), "%llm mode REPLAY", ask("And a rock?", WALL)
    tab.open("miss.ipynb", LOAD, *cells, "%llm mode FALLBACK")
    shown = panel()
    for index in range(4):
        tab.run(index)
    miss = section(shown, "Not recorded (1)")
    expect(miss.get_by_role("group", name="Why")).to_contain_text("nearest:")
    expect(miss.get_by_role("listitem")).to_have_text(
        ["%llm mode FALLBACKCopy", "run this cell", "%llm cassette saveCopy"]
    )
    expect(calls(shown).first).to_contain_text("not recorded")

    miss.get_by_role("button", name="Copy").first.click()
    expect(miss.get_by_role("button", name="Copied")).to_have_count(1)
    shown.get_by_label("Filter calls").focus()
    tab.page.keyboard.press("Control+V")
    expect(shown.get_by_label("Filter calls")).to_have_value("%llm mode FALLBACK")
    tab.run(0)
    miss.get_by_role("button", name="Go to cell").click()
    expect(tab.cell(3)).to_have_class(ACTIVE)
    shown.get_by_label("Filter calls").fill("")
    assert calls(shown).first.locator(".jp-LlmMagic-ellipsis").first.evaluate(CUT) is False
    assert tab.unreadable(shown) == []
    tab.photograph("miss")

    tab.run(4)
    tab.run(3)
    expect(miss).to_be_hidden()
    tab.command("notebook:delete-cell")
    shown.get_by_label("Filter calls").fill("rock live")
    calls(shown).locator("summary").click()
    calls(shown).get_by_role("button", name="Go to cell").click()
    expect(tab.notices()).to_contain_text(
        "That cell is not in the notebook any more: %%complete --out wall"
    )


def test_a_budget_is_set_warns_and_is_removed_and_a_ceiling_stays(tab, panel):
    ceiling = "import os; os.environ['LLM_MAGIC_BUDGET_PER_PROCESS'] = '0.5'"
    tab.open("budget.ipynb", f"{ceiling}\n{LOAD}", ask("What is a cent?"))
    shown = panel()
    tab.run(0)
    budgets = section(shown, "Budgets")
    expect(budgets).to_contain_text("$0.00 of $0.50")
    outside = "set in LLM_MAGIC_BUDGET_PER_PROCESS"
    expect(budgets).to_contain_text(f"{outside} · can only be lowered here")
    typed = budgets.get_by_label("Budget in USD")

    typed.fill("a lot")
    expect(budgets.get_by_role("alert")).to_have_text("Type an amount in USD, such as 0.50")
    typed.fill("0.0000095")
    typed.press("Enter")
    meter = budgets.get_by_role("meter", name="budget per session")
    expect(meter).to_have_attribute("aria-valuenow", "0")
    expect(typed).to_have_value("")
    tab.run(1)
    expect(tab.output(1)).to_contain_text("BudgetExceededError")
    typed.fill("1")
    typed.press("Enter")
    expect(meter).to_have_attribute("aria-valuetext", "$0.00 of $1.00")
    tab.run(1)
    typed.fill("0.00001")
    typed.press("Enter")
    expect(meter).to_have_attribute("data-level", re.compile("warning|error"))
    assert tab.unreadable(shown) == []
    tab.photograph("budget")

    budgets.get_by_role("button", name="Remove").click()
    expect(budgets.get_by_role("status")).to_have_text("Removed: per session")
    expect(meter).to_have_count(0)
    budgets.get_by_label("What the budget is for").select_option("process")
    typed.fill("5")
    budgets.get_by_role("button", name="Set").click()
    expect(budgets.get_by_role("status")).to_have_text("Set: $5.00 per process")
    expect(budgets.get_by_role("meter", name="budget per process")).to_have_count(2)
    expect(budgets).to_contain_text(f"of $0.50$0.50 left · {outside}")
    expect(budgets).to_contain_text("of $5.00$5.00 left · set in this session")

    budgets.get_by_label("What the budget is for").select_option("cell")
    typed.fill("0.02")
    typed.press("Enter")
    expect(budgets).to_contain_text("per run of a cell at most $0.02set in this session")


def test_the_cassette_is_saved_verified_and_packed(tab, panel):
    pinned = ask("What is a tape?", "%%complete -m openai/gpt-5-mini")
    path = tab.open("cassette.ipynb", LOAD, pinned, "print('one')")
    shown = panel()
    tab.run_all()
    cassette = section(shown, "Cassette")
    expect(cassette).to_contain_text("Not saved yet1")

    cassette.get_by_role("button", name="Save").click()
    expect(cassette).to_contain_text("cassette.cassette.jsonl saved: 1 new")
    expect(cassette).to_contain_text("Not saved yet0")
    cassette.get_by_role("button", name="Verify").click()
    expect(cassette).to_contain_text("The notebook runs again: 3 cells the same.")
    expect(cassette).to_contain_text("Stale0")

    tab.page.evaluate(EDIT, [2, "print('another')"])
    cassette.get_by_role("button", name="Verify").click()
    expect(cassette).to_contain_text("Verifying …")
    expect(cassette).to_contain_text("2 of 3 cells are the same.")
    expect(cassette.get_by_role("group", name="Details")).to_contain_text("+another")
    cassette.get_by_role("button", name="cell 3: print('another')").click()
    expect(tab.cell(2)).to_have_class(ACTIVE)
    assert tab.unreadable(shown) == []
    cassette.scroll_into_view_if_needed()
    tab.photograph("verify")

    cassette.get_by_role("button", name="Pack").click()
    expect(cassette).to_contain_text("cassette.ipynb carries 1 recording")
    tab.save()
    assert "cassette" in nbformat.read(path, as_version=4).metadata["llm_magic"]


def test_nothing_is_packed_while_a_cell_runs_whose_output_would_be_lost(tab, panel):
    gate = Event()
    tab.models.reply("Slow and whole", gate=gate)
    tab.open("running.ipynb", LOAD, ask("What is slow?"))
    shown = panel()
    tab.run(0)
    cassette = section(shown, "Cassette")
    tab.begin(1)
    expect(tab.output(1)).to_contain_text("Slow")

    cassette.get_by_role("button", name="Pack").click()
    expect(cassette).to_contain_text("A cell is running. Pack the notebook when it has ended.")
    gate.set()
    tab.ended(1)
    cassette.get_by_role("button", name="Pack").click()

    expect(cassette).to_contain_text("running.ipynb carries 1 recording")
    expect(tab.output(1)).to_contain_text("Slow and whole")


def test_a_verify_is_stopped_while_a_cell_of_it_runs(tab, panel):
    pipe = tab.lab.root / "it runs"
    os.mkfifo(pipe)
    tab.open("stop.ipynb", LOAD, "open('it runs', 'w').close()\nwhile True: pass")
    shown = panel()
    tab.run(0)
    cassette = section(shown, "Cassette")

    cassette.get_by_role("button", name="Verify").click()
    pipe.read_text()
    expect(cassette).to_contain_text("Verifying …")
    cassette.get_by_role("button", name="Stop").click()

    expect(cassette).to_contain_text("Stopped.")
    expect(cassette).not_to_contain_text("Verifying …")
    cassette.get_by_role("button", name="Pack").click()
    expect(cassette.get_by_role("alert")).to_contain_text("nothing is recorded for stop.ipynb")


def test_the_panel_follows_the_notebook_that_people_look_at(tab, panel):
    tab.write("second.ipynb", LOAD)
    tab.open("first.ipynb", LOAD, ask("Who is first?"))
    shown = panel()
    tab.run_all()
    expect(calls(shown)).to_have_count(1)
    shown.get_by_label("Filter calls").fill("first")

    tab.command("docmanager:open", path="second.ipynb")
    tab.opened("second.ipynb")
    expect(shown.get_by_role("heading", name="second")).to_be_visible()
    expect(shown).to_contain_text("llm-magic is not loaded here yet")
    expect(calls(shown)).to_have_count(0)

    tab.command("docmanager:open", path="first.ipynb")
    expect(shown.get_by_role("heading", name="first")).to_be_visible()
    expect(calls(shown)).to_have_count(1)
    expect(shown.get_by_label("Filter calls").first).to_have_value("first")
    tab.opened("first.ipynb")
    tab.restart("first.ipynb")
    expect(shown.get_by_text("llm-magic is not loaded here yet").first).to_be_visible()
