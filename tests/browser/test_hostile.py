"""Nothing that a model, a file or a name says does anything in a real, trusted notebook."""

from __future__ import annotations

from pathlib import Path

from hostile import PAYLOADS, displays
from playwright.sync_api import expect

NAME = "<img src=x onerror=pwned()>"

# Elements and attributes that a display of ours never has.
LIVE = """() => {
  const alive = node => {
    // Our JupyterLab extension has buttons to copy with.
    if (node.localName === 'button' && node.className !== 'jp-LlmMagic-copy') return true;
    if (/^(script|i?frame|object|embed|img|svg|math|link|meta|base|form|input|video|audio)$/
      .test(node.localName)) return true;
    return [...node.attributes].some(({ name, value }) =>
      /^(on|srcset$|src$|data-commandlinker|id$)/.test(name) ||
      (name === 'href' && !/^https?:/.test(value)) || /url\\(/.test(value));
  };
  return [...document.querySelectorAll('.jp-RenderedHTMLCommon *')]
    .filter(node => !node.closest('mjx-container') && alive(node))
    .map(node => node.outerHTML.slice(0, 200));
}"""
# Of each payload the displays, by name; one that breaks out of its place is missing here.
SHOWN = """cell => [...cell.querySelectorAll('.jp-RenderedHTMLCommon')].map(output =>
  Object.fromEntries([...output.querySelectorAll(':scope > [lang]')].map(
    node => [node.lang, node.textContent])))"""

# One output for a payload, not one for a display: nine hundred outputs take long to render.
SHOW = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from hostile import PAYLOADS, displays, html_of

for text in PAYLOADS.values():
    parts = [f"<div lang='{{name}}'>{{html_of(shown)}}</div>" for name, shown in displays(text)]
    display({{"text/html": "".join(parts), "text/plain": ""}}, raw=True)
"""
COMMANDS = """
from IPython.display import display

for line in ["status", "mode", "models", "alias", "cost", "budget", "config", "history",
             "cassette", "cassette list", "cassette diff", "cassette save",
             "cassette show " + answer.completion.key[:12], "forget --text pwned", "no<b>such"]:
    try:
        display(get_ipython().run_line_magic("llm", line))
    except Exception as error:
        print(error)
"""


def nothing_happened(tab):
    assert tab.page.evaluate("window.ran") is None
    assert tab.page.evaluate(LIVE) == []
    assert tab.problems == []


def test_every_display_shows_hostile_texts_and_runs_none(tab):
    tab.open("hostile-displays.ipynb", "%load_ext llm_magic", SHOW, "%%complete\n$x^2$")
    tab.models.reply("$x^2$")
    for index in range(3):
        tab.run(index)
    tab.typeset()

    shown = tab.cell(1).evaluate(SHOWN)

    for text, seen in zip(PAYLOADS.values(), shown, strict=True):
        assert list(seen) == [name for name, _ in displays(text)]
        if "pwned()" in text:
            assert [name for name in seen if "pwned()" not in seen[name]] == []
    nothing_happened(tab)


def test_names_that_are_markup_are_names(tab):
    asks = f'%%complete -m "openai/{NAME}" --out answer\n{NAME} {{{{7*7}}}}'
    cells = [
        "%load_ext llm_magic",
        f'%llm alias "<b>pwned()=openai/{NAME}"',
        asks,
        COMMANDS,
        "%%complete --mode REPLAY\n<script>pwned()</script>",
        f'%%complete -m "{NAME}"\nhi',
        "%%complete\nfail",
        "%%complete\nbreak off",
        f"raise ValueError({NAME!r})",
    ]
    tab.models.reply(f"{NAME} **done**")
    tab.models.fail(400, message=f"no {NAME} \x1b[2J")
    tab.models.cut(f"{NAME} and more", after=5)
    name = f"{NAME}.ipynb"
    tab.open(name, *cells)
    for index in range(len(cells)):
        tab.run(index)

    expect(tab.output(1)).to_contain_text(f"<b>pwned(): openai/{NAME}")
    expect(tab.output(2)).to_contain_text(f"{NAME} done")
    expect(tab.output(2)).to_contain_text(f"openai/{NAME} · ")
    expect(tab.output(3)).to_contain_text(f"{NAME}.cassette.jsonl")
    expect(tab.output(4)).to_contain_text("<script>pwned()</script>")
    for index in (5, 6, 7, 8):
        expect(tab.output(index)).to_contain_text(NAME)
    nothing_happened(tab)
    tab.save()
    tab.reload(name)
    expect(tab.output(2)).to_contain_text(f"{NAME} done")
    nothing_happened(tab)
