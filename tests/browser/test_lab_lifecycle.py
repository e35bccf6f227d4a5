"""Pages and kernels come and go; a page shows what the kernel knows, or that it is gone."""

from __future__ import annotations

import json
from threading import Event

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.usefixtures("extension")

LOAD = "%load_ext llm_magic"
ASK = "%%complete\nAre you still there?"
# Some seconds of calls: what is told before the server listens for a new page is lost.
MANY = 50
CALLS = f"import llm_magic\nfor n in range({MANY}):\n    llm_magic.complete(f'Busy {{n}}?')"
CONNECTED = """() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel
  ?.connectionStatus === 'connected'"""
COMMS = """import comm
print(sorted(one.target_name for one in comm.get_comm_manager().comms.values()))"""
PRINT = "url => (0, eval)(`console.debug('activated')\\n//# sourceURL=${url}`)"
CRASH = "import os\nos._exit(1)"
DIALOG = ".jp-Dialog .jp-mod-accept"
BEGIN_COMMAND = "name => { void window.jupyterapp.commands.execute(name); }"
CONSOLE = """async () => {
  const { path, sessionContext } = window.jupyterapp.shell.currentWidget.context;
  const kernelPreference = { id: sessionContext.session.kernel.id };
  const console = await window.jupyterapp.commands.execute('console:create',
    { path, kernelPreference, insertMode: 'split-bottom', activate: false });
  await console.sessionContext.ready;
  await window.jupyterapp.commands.execute('console:inject',
    { path, code: "get_ipython().run_line_magic('llm', 'mode REPLAY')" });
}"""


def switch(tab):
    shown = tab.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    return shown.get_by_label("Replay mode of llm-magic")


def status(tab):
    return tab.page.locator(".jp-LlmMagic-status")


@pytest.mark.own_page
def test_a_reload_finds_the_kernel_again_and_a_restart_or_crash_is_seen(tab):
    name = "lifecycle.ipynb"
    tab.models.reply("Still here.")
    tab.open(name, LOAD, ASK, CRASH, metadata={"llm_magic": {"mode": "DISABLED"}})
    tab.run(0)
    tab.run(1)
    expect(status(tab)).to_contain_text("llm-magic: DISABLED · $0.00")
    switch(tab).select_option("CAPTURE")
    expect(switch(tab)).to_have_value("CAPTURE")

    tab.save()
    tab.page.reload()
    tab.opened(name)
    # The kernel goes on as it is; what the notebook carries is for its beginning.
    expect(switch(tab)).to_have_value("CAPTURE")
    expect(status(tab)).to_contain_text("llm-magic: CAPTURE")

    tab.restart(name)
    expect(status(tab)).to_have_text("llm-magic: not loaded")
    expect(switch(tab)).to_have_value("DISABLED")
    tab.run(0)
    expect(status(tab)).to_contain_text("llm-magic: DISABLED")

    tab.begin(2)
    tab.page.locator(DIALOG).click()
    expect(status(tab)).to_have_text("llm-magic: not loaded")
    tab.opened(name)
    tab.run(0)
    expect(status(tab)).to_contain_text("llm-magic: DISABLED")


@pytest.mark.own_page
def test_a_page_that_is_loaded_while_a_cell_runs_hears_of_its_calls(tab):
    first, last = Event(), Event()
    tab.models.reply("One of many.", gate=first)
    for _ in range(MANY - 2):
        tab.models.reply("One of many.")
    tab.models.reply("The last.", gate=last)
    tab.open("busy.ipynb", LOAD, CALLS)
    tab.run(0)
    tab.begin(1)
    tab.models.wait_for(1, timeout=30)
    tab.save()

    tab.page.reload()
    tab.page.wait_for_function(CONNECTED)
    expect(status(tab)).to_have_text("llm-magic: not loaded")
    first.set()
    expect(status(tab)).to_contain_text("llm-magic: FALLBACK")
    tab.models.wait_for(MANY, timeout=60)
    last.set()
    tab.opened("busy.ipynb")
    switch(tab).select_option("DISABLED")
    expect(status(tab)).to_contain_text("llm-magic: DISABLED")


def test_two_pages_and_a_console_on_one_kernel_stay_in_step(tab, browser):
    name = "two-pages.ipynb"
    tab.open(name, LOAD)
    tab.run(0)
    other = type(tab)(tab.lab, browser.new_page())
    other.page.goto(tab.lab.link(name).replace("/lab/", "/lab/workspaces/other/"))
    other.opened(name)
    expect(switch(other)).to_have_value("FALLBACK")

    switch(other).select_option("DISABLED")
    expect(switch(tab)).to_have_value("DISABLED")
    tab.page.evaluate(CONSOLE)
    expect(switch(tab)).to_have_value("REPLAY")
    expect(switch(other)).to_have_value("REPLAY")
    assert other.problems == []
    other.page.close()
    # The console is a second connection to the kernel, which JupyterLab gives no comms.
    assert {problem[:23] for problem in tab.problems} <= {"console: Comm not found"}
    tab.problems.clear()


def test_a_page_that_is_left_leaves_nothing_in_the_kernel_and_an_unload_is_quiet(tab):
    name = "left-behind.ipynb"
    tab.open(name, LOAD, COMMS, "%unload_ext llm_magic")
    tab.run(0)
    for _ in range(2):
        expect(status(tab)).to_contain_text("llm-magic: FALLBACK")
        tab.save()
        tab.reload(name)
    expect(status(tab)).to_contain_text("llm-magic: FALLBACK")

    tab.run(1)

    expect(tab.output(1)).to_have_text("['llm_magic', 'llm_magic.control']")
    tab.run(2)
    expect(status(tab)).to_have_text("llm-magic: not loaded")


def test_whatever_our_extension_prints_fails_its_test(tab):
    tab.open("prints.ipynb", "1")
    assert tab.problems == []

    tab.page.evaluate(PRINT, f"{tab.lab.url}lab/extensions/llm-magic/static/ours.js")
    tab.page.evaluate(PRINT, f"{tab.lab.url}lab/extensions/another/static/theirs.js")

    assert [problem.split(" (")[0] for problem in tab.problems] == ["console: activated"]
    tab.problems.clear()


def test_a_notebook_has_a_mode_of_its_own_and_one_without_llm_magic_is_left_alone(tab):
    plain = "print('CompleteMagics' in get_ipython().config, len(_ih))"
    path = tab.write("without-magic.ipynb", plain)
    tab.open("with-magic.ipynb", LOAD)
    tab.run(0)
    switch(tab).select_option("REPLAY")
    expect(status(tab)).to_contain_text("llm-magic: REPLAY")

    tab.command("docmanager:open", path="without-magic.ipynb")
    tab.opened("without-magic.ipynb")
    tab.run(0)
    tab.save()
    expect(tab.page.get_by_text("False 2", exact=True)).to_be_visible()
    expect(status(tab)).to_have_text("llm-magic: not loaded")
    expect(switch(tab)).to_have_value("")
    assert "llm_magic" not in json.loads(path.read_text())["metadata"]
    assert not path.with_name("without-magic.cassette.jsonl").exists()

    tab.command("docmanager:open", path="with-magic.ipynb")
    expect(status(tab)).to_contain_text("llm-magic: REPLAY")


@pytest.mark.own_page
def test_without_the_extension_the_kernel_part_works_as_before(tab):
    path = tab.lab.page_config
    before = path.read_text()
    disabled = {"disabledExtensions": {"llm-magic": True}}
    path.write_text(json.dumps({**json.loads(before), **disabled}))
    try:
        tab.models.reply("As before.")
        tab.open("without.ipynb", LOAD, ASK)
    finally:
        path.write_text(before)
    tab.run_all()

    expect(tab.output(1)).to_contain_text("As before.")
    expect(tab.output(0)).to_be_empty()
    expect(status(tab)).to_have_count(0)
    # JupyterLab's own words for a comm that nobody in the page knows.
    assert [problem.split(" (")[0] for problem in tab.problems] == [
        "console: Exception opening new comm"
    ]
    tab.problems.clear()
