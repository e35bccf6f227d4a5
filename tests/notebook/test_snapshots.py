"""Widgets are read without their kernel, and leave nothing behind."""

from __future__ import annotations

import re
import threading

import ipywidgets
import nbformat
import pytest
from ipywidgets.widgets.widget import _instances
from nbconvert import HTMLExporter

from llm_magic import CostMeter, ModelPicker, complete, panel
from llm_magic.notebook import changes

WIDGET = "application/vnd.jupyter.widget-view+json"
LOAD = "%load_ext llm_magic\n%llm config model=echo/echo"


_SCRIPT = re.compile("<script.*?</script>", re.DOTALL)


@pytest.fixture(params=[CostMeter, ModelPicker, panel], ids=["meter", "picker", "panel"])
def widget(request, wait_for):
    return request.param()


def test_a_bundle_has_the_widget_html_and_text(widget, active):
    bundle = widget._repr_mimebundle_()

    assert bundle[WIDGET]["model_id"] == widget.model_id
    assert bundle["text/plain"].strip()
    assert bundle["text/html"].startswith('<div class="llm-magic-snapshot')
    assert active(bundle["text/html"]) == []


def test_a_notebook_gets_the_widget_and_beside_it_the_snapshot(notebook):
    notebook.run("import llm_magic; llm_magic.CostMeter()")

    first, second = (output["data"] for output in notebook.outputs)
    assert WIDGET in first
    assert first["text/html"] == ""
    assert WIDGET not in second
    assert "saved by replay" in second["text/html"]
    assert "saved by replay" in second["text/plain"]


def test_the_snapshot_is_hidden_where_the_page_shows_the_widget(widget):
    mark = widget._mark

    assert (
        f"body:has(.{mark}) .{mark}-snapshot {{ display: none; }}"
        in (widget._repr_mimebundle_()["text/html"])
    )


def test_a_terminal_gets_the_text_once(terminal):
    terminal.run("import llm_magic; llm_magic.CostMeter()")

    (output,) = terminal.outputs
    assert output["data"].keys() == {"text/plain"}


def test_the_snapshot_is_brought_up_to_date_after_the_cell_that_called(notebook):
    notebook.run("%llm config model=echo/echo")
    notebook.run("import llm_magic; llm_magic.CostMeter()")
    shown = notebook.outputs[1]["transient"]["display_id"]

    notebook.run("llm_magic.complete('Hello')")

    told = [one for one in notebook.outputs if one.get("transient")]
    updates = [one for one in told if one["transient"]["display_id"] == shown]
    assert [one["update"] for one in updates] == [True]
    assert "1 live" in updates[0]["data"]["text/html"]


def test_a_cell_that_changes_nothing_updates_nothing(notebook):
    notebook.run("import llm_magic; llm_magic.CostMeter()")

    notebook.run("1 + 1")

    assert [one for one in notebook.outputs if one.get("update")] == []


def test_closing_closes_all_that_is_in_it(wait_for):
    before = set(_instances)
    shown = panel()

    shown.close()

    assert set(_instances) == before


def test_unloading_leaves_no_widget_no_thread_and_no_hook(notebook):
    hooks = {name: list(found) for name, found in notebook.shell.events.callbacks.items()}
    before, threads = set(_instances), set(threading.enumerate())
    notebook.run("import llm_magic\none, two = llm_magic.panel(), llm_magic.panel()\none\ntwo")
    notebook.run("llm_magic.CostMeter(); llm_magic.ModelPicker()")

    notebook.run("%unload_ext llm_magic")

    assert set(_instances) == before
    # The ledger's stays with the process.
    begun = {one.name for one in set(threading.enumerate()) - threads}
    assert [name for name in begun if name.startswith("llm-magic")] in ([], ["llm-magic ledger"])
    left = {name: list(found) for name, found in notebook.shell.events.callbacks.items()}
    assert all(set(left[name]) <= set(hooks[name]) for name in hooks)
    assert changes._closers == []


def test_a_closed_widget_still_says_what_it_knew(notebook):
    notebook.run("import llm_magic; meter = llm_magic.CostMeter(); meter.close()")

    notebook.run("display(meter)")

    assert "spent: $0.00" in notebook.shown


@pytest.fixture
def executed(write_notebook, run_notebook, tmp_path):
    """A notebook with all widgets, run in a kernel; its widgets' state is stored."""
    path = write_notebook(
        "widgets.ipynb",
        LOAD,
        "%llm panel",
        "import llm_magic\nllm_magic.ModelPicker()",
        "llm_magic.CostMeter()",
        "llm_magic.complete('Hello').source",
    )
    run_notebook(path)
    return nbformat.read(tmp_path / "run.ipynb", as_version=4)


def test_the_html_of_nbconvert_can_be_read_with_and_without_the_widgets_state(executed):
    pages = [HTMLExporter().from_notebook_node(executed)[0]]
    executed.metadata.pop("widgets", None)
    pages.append(HTMLExporter().from_notebook_node(executed)[0])

    for page in (_SCRIPT.sub("", page) for page in pages):
        assert page.count('class="llm-magic-snapshot') == 3
        assert page.count("1 live, 0 replayed") == 2
        assert "default model: echo/echo" in page


def test_the_saved_notebook_has_the_snapshots_as_text(executed):
    texts = [
        output.data["text/plain"]
        for cell in executed.cells
        for output in cell.outputs
        if "data" in output and WIDGET not in output.data
    ]

    assert sum("calls: 1 live, 0 replayed" in text for text in texts) == 2


def test_a_call_that_nobody_watches_is_not_told(wait_for):
    complete("Hello", model="echo/echo")

    assert changes._watching is None


def test_widgets_of_others_are_left_alone(wait_for):
    slider = ipywidgets.IntSlider()
    panel().close()

    assert slider.comm is not None
    slider.close()
