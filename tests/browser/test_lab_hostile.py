"""Nothing that a notebook's file holds does anything in what our JupyterLab extension shows."""

from __future__ import annotations

import re

import nbformat
import pytest
from hostile import PAYLOADS, completion
from playwright.sync_api import expect

from llm_magic.notebook.display import MIME_TYPE, Answer

pytestmark = pytest.mark.usefixtures("extension")

# Elements and attributes that have no business in an answer or a badge, beyond our own buttons.
LIVE = """() => {
  const allowed = /^(class|open|name|title|role|aria-(label|live)|tabindex|type|start|rel|target)$/;
  const alive = node => {
    if (/^(script|style|i?frame|object|embed|img|svg|math|link|meta|base|form|input|video|audio|x)$/
      .test(node.localName)) return true;
    if (node.localName === 'button' && node.className !== 'jp-LlmMagic-copy') return true;
    return [...node.attributes].some(({ name, value }) =>
      !(allowed.test(name) || (name === 'href' && /^https?:/.test(value))
        || (name === 'data-kind' && /^(live|replayed|stale|failed)$/.test(value))));
  };
  return [...document.querySelectorAll('.jp-LlmMagic-answer *, .jp-LlmMagic-badgeLine *')]
    .filter(node => !node.closest('mjx-container') && alive(node))
    .map(node => node.outerHTML.slice(0, 200));
}"""
# The same of the panel and of the plan, in which there is more, and none of it from a notebook.
LIVE_AROUND = """() => {
  const allowed = RegExp('^(class|open|hidden|name|title|role|aria-[a-z]+|tabindex|type|value'
    + '|scope|colspan|inputmode|autocomplete|placeholder|data-(outcome|level|status))$');
  const elements = RegExp('^(header|h2|h3|p|strong|b|span|div|section|article|details|summary|code'
    + '|pre|time|table|caption|thead|tbody|tr|th|td|dl|dt|dd|ol|ul|li|progress)$');
  const controls = /^(button|input|select|option|form)$/;
  const alive = node => {
    const isControl = controls.test(node.localName)
      && (node.localName === 'option' || node.closest('.jp-LlmMagic-panel'));
    const isFill = ({ name, value }) => name === 'style' && /^width: [\\d.]+%;$/.test(value);
    return !(elements.test(node.localName) || isControl)
      || [...node.attributes].some(one => !allowed.test(one.name) && !isFill(one));
  };
  return [...document.querySelectorAll('.jp-LlmMagic-panel *, .jp-LlmMagic-plan *')]
    .filter(alive)
    .map(node => node.outerHTML.slice(0, 200));
}"""
UNFOLD_ROWS = """panel => {
  for (const row of panel.querySelectorAll('details')) row.open = true;
}"""
SHOW_ALL = """panel => {
  for (const one of panel.querySelectorAll('button'))
    if (one.textContent === 'Show recording') one.click();
}"""
UNFOLD = """() => {
  for (const details of document.querySelectorAll('.jp-LlmMagic-answer details'))
    details.open = true;
}"""
BEGIN_COMMAND = "name => { void window.jupyterapp.commands.execute(name); }"
MALFORMED = [
    None,
    "text",
    [[]],
    {"version": {}, "model": [1], "tokens": "x", "notes": 7, "attempts": {"a": 1}, "key": {}},
    {"version": 1e308, "cost": "1e999999", "tokens": {"output_tokens": 1e308}, "prices": [1]},
    {"version": 1, "model": "m" * 1_000_000, "notes": ["n"] * 100_000, "key": "k" * 1_000_000},
]


def output(bundle):
    return nbformat.v4.new_output("display_data", bundle)


def as_made(text):
    """What our kernel makes of a hostile answer."""
    return Answer(text, completion=completion(text, text)).bundle()


def as_forged(text):
    """What somebody may have written into the file: a payload wherever there is room for one."""
    provenance = {
        "version": 1,
        **dict.fromkeys(("model", "provider", "key", "source", "recorded", "finish_reason"), text),
        **dict.fromkeys(("cost", "saved", "cost_source"), text),
        "ordinal": text,
        "tokens": {text: 1, "output_tokens": 1},
        "prices": {text: text, "output_tokens": "0.5"},
        "notes": [text],
        "attempts": [{"model": text, "error": text, "latency_ms": text, text: text}],
        "prompt_crc32": text,
    }
    # JupyterLab itself fetches the images and sounds of any HTML output, for its table of contents.
    html = re.sub("(https:)?//evil.test/(beacon.png|x.mp3)", "data:,", text)
    return {"text/plain": text, "text/html": html, MIME_TYPE: provenance}


def cells(*makers):
    """A notebook's cells: of each payload one, with all that is made of it."""
    for text in PAYLOADS.values():
        text = text.encode("utf-8", "replace").decode()
        outputs = [output(make(text)) for make in makers]
        yield nbformat.v4.new_code_cell(f"%%complete -m {text}", outputs=outputs)


def test_no_payload_does_anything_in_an_answer_a_badge_or_a_prompt(tab):
    tab.open("hostile-answers.ipynb", *cells(as_made, as_forged))
    answers = tab.page.locator(".jp-LlmMagic-answer")
    expect(answers).to_have_count(2 * len(PAYLOADS))
    expect(tab.page.locator(".jp-LlmMagic-badge")).to_have_count(len(PAYLOADS))

    tab.page.evaluate(UNFOLD)

    expect(tab.page.get_by_text("Run %load_ext llm_magic").first).to_be_visible()
    assert tab.page.evaluate(LIVE) == []
    assert tab.page.evaluate("window.ran") is None
    assert tab.problems == []


def test_no_payload_does_anything_in_the_panel_or_in_a_plan(tab):
    name = PAYLOADS["image that fails"]
    texts = [text.encode("utf-8", "replace").decode() for text in PAYLOADS.values()]
    for text in texts:
        tab.models.reply(text)
    tab.models.fail(400, message=name)
    code = (
        "import contextlib, llm_magic\n"
        f"for text in {texts!r}:\n"
        f"    llm_magic.complete(text, model={'openai/' + name!r})\n"
        f"with contextlib.suppress(Exception):\n    llm_magic.complete({name!r} * 2)"
    )
    drifted = "\n".join(f"print({text!r})" for text in texts)
    saved = nbformat.v4.new_output("stream", text="\n".join(reversed(texts)))
    tab.open(
        "hostile-panel.ipynb",
        "%load_ext llm_magic",
        code,
        f"%%complete --mode REPLAY\n{name * 3}",
        "%llm budget 1",
        nbformat.v4.new_code_cell(drifted, outputs=[saved], execution_count=1),
        f"%%complete -m openai/{name}\n{{{{ 1 }}}}",
        f"raise ValueError({name!r})",
    )
    tab.command("llm-magic:open-panel")
    panel = tab.page.locator(".jp-LlmMagic-panel")
    for index in range(4):
        tab.run(index)
    calls = panel.get_by_role("list", name="Calls, newest first").get_by_role("listitem")
    expect(calls).to_have_count(len(texts) + 2)

    panel.evaluate(UNFOLD_ROWS)
    expect(calls.first).to_contain_text("not recorded")
    expect(calls.nth(1)).to_contain_text(f"answered 400: {name}")
    expect(panel.locator(".jp-LlmMagic-misses")).to_contain_text(name * 3)
    expect(panel.get_by_role("table", name="By model")).to_contain_text(name)
    panel.evaluate(SHOW_ALL)
    expect(panel.get_by_role("group", name="Response")).to_have_count(len(texts))
    panel.get_by_role("button", name="Verify").click()
    expect(panel.locator(".jp-LlmMagic-report")).to_contain_text("drifted")
    expect(panel.locator(".jp-LlmMagic-report")).to_contain_text(name)
    assert tab.page.evaluate(LIVE_AROUND) == []

    tab.page.evaluate(BEGIN_COMMAND, "llm-magic:plan")
    plan = tab.page.locator(".jp-LlmMagic-plan")
    expect(plan).to_contain_text(name)
    assert tab.page.evaluate(LIVE_AROUND) == []
    assert tab.page.evaluate("window.ran") is None
    assert tab.problems == []
    tab.page.keyboard.press("Escape")


def test_provenance_that_is_none_is_shown_as_an_answer_all_the_same(tab):
    outputs = [
        output({"text/plain": "plain", "text/html": "<p>Still <b>here</b></p>", MIME_TYPE: found})
        for found in MALFORMED
    ]
    outputs.append(output({"text/plain": "nothing but text", MIME_TYPE: {}}))
    outputs.append(output({MIME_TYPE: {}}))
    tab.open("malformed.ipynb", "x", outputs=outputs)

    answers = tab.page.locator(".jp-LlmMagic-answer")
    expect(answers).to_have_count(len(outputs))
    for index in range(len(MALFORMED)):
        expect(answers.nth(index)).to_contain_text("Still here")
    expect(answers.nth(len(MALFORMED))).to_contain_text("nothing but text")
    expect(answers.last).to_contain_text("nothing is known of this answer")
    expect(tab.page.locator(".jp-LlmMagic-badge")).to_have_count(0)
    assert tab.page.evaluate(LIVE) == []
