"""The history: sorted, filtered, opened, asked again, copied."""

from __future__ import annotations

import pytest

import llm_magic
from llm_magic import history
from llm_magic.notebook.history_tab import HistoryTab

MODEL = "openai/gpt-4o"


@pytest.fixture
def asked():
    """What the tab wanted to ask again."""
    return []


@pytest.fixture
def tab(server, asked, wait_for):
    server.reply("A **small** fruit", usage=(1, 1))
    server.reply("A long one", usage=(1000, 1000))
    for prompt in ("apple", "banana"):
        llm_magic.complete(prompt, model=MODEL)
    tab = HistoryTab(lambda *question: asked.append(question))
    tab.refresh()
    yield tab
    tab.close()


def prompts(tab):
    return [line.split()[-1] for line in tab.rows.lines]


def test_the_newest_call_comes_first(tab):
    assert prompts(tab) == ["banana", "apple"]


def test_sort_and_reverse(tab):
    tab.by.value = "cost"
    assert prompts(tab) == ["banana", "apple"]

    tab.rising.value = True
    assert prompts(tab) == ["apple", "banana"]


def test_the_filter_looks_at_answers_too(tab):
    tab.filter.value = "fruit"

    assert prompts(tab) == ["apple"]


def test_other_sessions_are_shown_when_asked_for(tab):
    history.default().record(
        session="other", source="live", status="ok", prompt="cherry", model="m", provider="p"
    )

    tab.scope.value = "this folder"

    assert sorted(prompts(tab)) == ["apple", "banana", "cherry"]


def test_an_open_call_shows_prompt_and_answer(tab):
    tab.rows.pick(tab.rows.identities[1])

    assert "<strong>small</strong>" in tab.opened.value
    assert "apple" in tab.opened.value
    assert not tab.run_again.disabled


def test_new_calls_show_up_unless_somebody_looks_at_one(tab):
    tab.rows.pick(tab.rows.identities[1])
    llm_magic.complete("cherry", model=MODEL)

    tab.refresh()
    assert prompts(tab) == ["banana", "apple"]

    tab.rows.pick(None)
    tab.refresh()
    assert prompts(tab) == ["cherry", "banana", "apple"]


def test_ask_again_asks_the_very_same(tab, asked):
    tab.rows.pick(tab.rows.identities[1])

    tab.run_again.click()

    assert asked == [([{"role": "user", "content": "apple"}], {"model": MODEL})]


def test_copy_shows_the_exact_cell(tab):
    tab.rows.pick(tab.rows.identities[1])

    tab.copy.click()

    assert tab.cell.value == "%%complete -m openai/gpt-4o\napple"
    assert tab.cell.layout.display == ""


def test_another_call_hides_the_cell_of_the_one_before(tab):
    tab.rows.pick(tab.rows.identities[1])
    tab.copy.click()

    tab.rows.pick(tab.rows.identities[0])

    assert (tab.cell.value, tab.cell.layout.display) == ("", "none")


def test_a_call_that_cannot_be_asked_again_says_why(tab, asked):
    llm_magic.complete("cherry", model=MODEL, mode="DISABLED")
    tab.refresh()
    tab.rows.pick(tab.rows.identities[0])

    tab.run_again.click()

    assert asked == []
    assert "nothing is recorded under its key" in tab.told
