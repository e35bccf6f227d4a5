"""A notebook in two views is one notebook, and what is done with it stays with it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.usefixtures("extension")

LOAD = "%load_ext llm_magic"
ASK = "%%complete\nWhy two?"
# What the page asks of the kernel from now on.
LISTEN = """() => {
  window.asked = [];
  const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
  kernel.anyMessage.connect((_, { direction, msg }) => {
    if (direction === 'send' && msg.header.msg_type === 'comm_msg')
      window.asked.push(msg.content.data.type);
  });
}"""
CLOSE = "() => window.jupyterapp.shell.currentWidget.close()"
# The other one is what people look at before the kernel has answered.
RUN_AND_LEAVE = """async name => {
  const { commands, shell } = window.jupyterapp;
  const running = commands.execute('llm-magic:run-all-replay');
  const other = [...shell.widgets('main')].find(widget => widget.context?.path === name);
  shell.activateById(other.id);
  await running;
}"""


def switches(tab):
    return tab.page.get_by_label("Replay mode of llm-magic")


def status(tab):
    return tab.page.locator(".jp-LlmMagic-status")


def test_two_views_of_a_notebook_are_told_the_same_and_save_one_cassette(tab):
    tab.models.reply("To compare.")
    path = tab.open("views.ipynb", LOAD, ASK)
    tab.command("docmanager:clone")
    expect(switches(tab)).to_have_count(2)
    tab.run_all()

    expect(status(tab)).to_contain_text("llm-magic: FALLBACK")
    tab.command("llm-magic:mode-replay")  # which ends once the notebook carries it
    for shown in switches(tab).all():
        expect(shown).to_have_value("REPLAY")
    tab.page.evaluate(LISTEN)
    tab.save()
    told = tab.notices().get_by_text("views.cassette.jsonl saved")
    expect(told).to_have_count(1)
    assert tab.page.evaluate("window.asked") == ["save"]
    assert "To compare." in path.with_name("views.cassette.jsonl").read_text()

    tab.page.evaluate(CLOSE)
    expect(switches(tab)).to_have_count(1)
    switches(tab).select_option("DISABLED")
    expect(status(tab)).to_contain_text("llm-magic: DISABLED")
    tab.carries("DISABLED")
    tab.save()
    tab.reload("views.ipynb")
    tab.command("docmanager:clone")
    expect(switches(tab)).to_have_count(2)
    for shown in switches(tab).all():
        expect(shown).to_have_value("DISABLED")


def test_all_cells_run_in_replay_in_the_notebook_that_was_meant(tab):
    tab.open("left.ipynb", "print('left alone')")
    tab.write("meant.ipynb", LOAD, "%llm mode")
    tab.command("docmanager:open", path="meant.ipynb")
    tab.opened("meant.ipynb")

    tab.page.evaluate(RUN_AND_LEAVE, "left.ipynb")

    expect(tab.page.get_by_text("left alone", exact=True)).to_have_count(0)
    tab.command("docmanager:open", path="meant.ipynb")
    expect(tab.page.get_by_text("mode: REPLAY")).to_be_visible()
