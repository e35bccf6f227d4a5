"""The mode switch in the toolbar of notebooks: what it shows, sets, keeps and does not keep."""

from __future__ import annotations

import json
import re
import sys
from threading import Event

import nbformat
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.usefixtures("extension")

LOAD = "%load_ext llm_magic"
ASK = "%%complete\nWhich mode is this?"
BEGIN_COMMAND = "name => { void window.jupyterapp.commands.execute(name); }"
KERNELS = "() => window.jupyterapp?.serviceManager.kernelspecs.refreshSpecs()"
IS_TOGGLED = "name => window.jupyterapp.commands.isToggled(name)"
IS_ENABLED = "name => window.jupyterapp.commands.isEnabled(name)"


def switch(tab):
    return tab.page.get_by_label("Replay mode of llm-magic")


def kept(path):
    return nbformat.read(path, as_version=4).metadata.get("llm_magic")


def test_the_switch_shows_the_kernels_mode_sets_it_while_a_cell_runs_and_keeps_all_but_capture(tab):
    gate = Event()
    tab.models.reply("It depends.", gate=gate)
    path = tab.open("mode.ipynb", LOAD, ASK, "%llm mode")
    expect(switch(tab)).to_have_value("")
    expect(switch(tab).locator("option[value=CAPTURE]")).to_be_disabled()

    tab.run(0)
    expect(switch(tab)).to_have_value("FALLBACK")
    switch(tab).select_option("DISABLED")
    expect(switch(tab)).to_have_value("DISABLED")
    tab.begin(1)
    tab.models.wait_for(1, timeout=30)
    switch(tab).select_option("CAPTURE")
    expect(switch(tab)).to_have_accessible_description("everything is asked anew and recorded")
    expect(tab.cell(1).locator(".jp-InputArea-prompt").first).to_have_text("[*]:")
    gate.set()
    tab.ended(1)
    tab.run(2)
    expect(tab.output(2)).to_contain_text("mode: CAPTURE")
    tab.carries("DISABLED")
    tab.save()
    assert kept(path) == {"mode": "DISABLED"}

    # With keys only.
    switch(tab).focus()
    tab.page.keyboard.press("F")
    expect(switch(tab)).to_have_value("FALLBACK")
    tab.command("apputils:activate-command-palette")
    tab.page.locator(".jp-ModalCommandPalette input").fill("Mode: REPLAY")
    tab.page.keyboard.press("Enter")
    expect(switch(tab)).to_have_value("REPLAY")
    assert tab.page.evaluate(IS_TOGGLED, "llm-magic:mode-replay")

    switch(tab).select_option("")
    expect(switch(tab)).to_have_value("FALLBACK")
    tab.carries(None)
    tab.save()
    assert kept(path) is None


def test_a_mode_chosen_before_llm_magic_is_loaded_counts_from_the_first_cell_on(tab):
    name = "mode-start.ipynb"
    path = tab.open(name, LOAD, ASK)

    switch(tab).select_option("REPLAY")
    tab.carries("REPLAY")
    tab.run_all()

    expect(tab.output(1)).to_contain_text("ReplayMissError")
    tab.save()
    assert kept(path) == {"mode": "REPLAY"}

    # Here the cells are with the kernel before llm-magic can be spoken to.
    tab.command("notebook:clear-all-cell-outputs")
    tab.page.evaluate(BEGIN_COMMAND, "notebook:restart-run-all")
    tab.page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(tab.output(1)).to_contain_text("ReplayMissError")
    tab.opened(name)
    expect(switch(tab)).to_have_value("REPLAY")
    assert tab.models.requests == []


def test_nothing_is_run_in_replay_where_nothing_could_be_replayed(tab):
    # As where it is not installed.
    tab.open("mode-none.ipynb", "import sys\nsys.modules['llm_magic'] = None", "print('live')")
    tab.run(0)

    tab.command("llm-magic:run-all-replay")

    expect(tab.notices()).to_contain_text("this kernel has no llm-magic, so no cell was run")
    expect(tab.output(1)).to_have_text("")


def test_a_notebook_without_the_magics_is_in_its_mode_too(tab):
    code = "import llm_magic\nllm_magic.complete('Plain', model='openai/gpt-5-mini').text"
    tab.open("mode-plain.ipynb", code)
    output = tab.output(0)

    tab.command("llm-magic:run-all-replay")
    expect(output).to_contain_text("ReplayMissError")
    switch(tab).select_option("REPLAY")
    tab.carries("REPLAY")
    tab.command("notebook:clear-all-cell-outputs")
    expect(output).not_to_contain_text("ReplayMissError")
    tab.run_all()

    expect(output).to_contain_text("ReplayMissError")
    assert tab.models.requests == []


@pytest.mark.own_page
def test_a_capture_in_the_metadata_is_no_mode_and_the_setting_is_that_of_silent_notebooks(tab):
    folder = tab.lab.settings / "llm-magic"
    folder.mkdir(exist_ok=True)
    path = folder / "plugin.jupyterlab-settings"
    path.write_text(json.dumps({"defaultMode": "REPLAY"}))
    try:
        tab.open("mode-default.ipynb", LOAD, ASK, metadata={"llm_magic": {"mode": "CAPTURE"}})
        expect(switch(tab)).to_have_value("REPLAY")
    finally:
        path.unlink()
    tab.run_all()

    expect(tab.output(1)).to_contain_text("ReplayMissError")
    assert tab.models.requests == []


def test_replay_imposed_from_outside_greys_the_switch_and_says_why(tab):
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Imposed",
        "language": "python",
        "env": {"LLM_MAGIC_MODE": "REPLAY"},
    }
    folder = tab.lab.data / "kernels" / "imposed"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    kernelspec = {"name": "imposed", "display_name": "Imposed"}
    metadata = {"kernelspec": kernelspec, "llm_magic": {"mode": "DISABLED"}}
    tab.page.evaluate(KERNELS)
    tab.open("mode-imposed.ipynb", LOAD, "%llm mode", metadata=metadata)
    expect(switch(tab)).to_have_value("DISABLED")

    tab.run_all()

    expect(switch(tab)).to_be_disabled()
    expect(switch(tab)).to_have_value("REPLAY")
    expect(switch(tab)).to_have_accessible_description(re.compile("from outside: LLM_MAGIC_MODE="))
    assert not tab.page.evaluate(IS_ENABLED, "llm-magic:mode-fallback")
    expect(tab.output(1)).to_contain_text("mode: REPLAY")
