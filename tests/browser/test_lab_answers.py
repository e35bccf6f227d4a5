"""Answers as our JupyterLab extension shows them: as before, with all that is known of them."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.usefixtures("extension")

LOAD = "%load_ext llm_magic"

# Each answer twice: with provenance, which is ours to show, and as the HTML that is beside it.
TWICE = r"""
from decimal import Decimal

from llm_magic.notebook.display import MIME_TYPE, Answer
from llm_magic.types import Completion, Usage

TEXT = '''## Title

A *word* and **more**, $x_{n+1} = 5$, for $0.10:

1. one
2. two `code`

> quoted

```python
def f(x):
    return "a"  # b
```

| left | right |
|:-----|------:|
| long words here | 2 |
'''


def twice(*texts, **options):
    spoken = [{"content": text, "reasoning_content": "Why?"} for text in texts]
    completion = Completion(
        {"choices": [{"message": message} for message in spoken]},
        reference="openai/gpt-5-mini",
        cost=Decimal("0.0042"),
        tokens=Usage(uncached_input_tokens=1204, output_tokens=380),
        source="live",
        latency_ms=1800.0,
        notes=["a note"],
    )
    bundle = Answer(texts[0], completion=completion, **options).bundle()
    display(bundle, raw=True)
    display({name: bundle[name] for name in ("text/plain", "text/html")}, raw=True)


twice(TEXT)
twice("Heads", "Tails")
twice('{"a": [1, true]}', format="json")
twice("```python\nx = 1\n```", format="code")
twice("```diff\n- a\n+ b\n```\n\n```html\n<b class='x'>y</b>\n```")
twice("one line\n\n  another", format="text")
"""
# Where everything stands in an output, and what it looks like.
LOOKS = """cell => [...cell.querySelectorAll('.jp-OutputArea-output')].map(output => {
  const top = output.getBoundingClientRect().top;
  const shown = 'h2, p, li, pre, code span, td, th, blockquote, summary, mjx-container';
  const look = node => {
    const { x, y, width, height } = node.getBoundingClientRect();
    const { color, fontSize, fontWeight, fontStyle, borderLeft } = getComputedStyle(node);
    return [node.localName, x, y - top, width, height, color, fontSize, fontWeight, fontStyle,
      borderLeft].join(' ');
  };
  const parts = [...output.querySelectorAll(shown)].filter(node =>
    node.checkVisibility() && !node.closest('.jp-LlmMagic-about'));
  return [output.getBoundingClientRect().height, ...parts.map(look)];
})"""


def details(tab, index):
    return tab.output(index).locator(".jp-LlmMagic-details")


def test_an_answer_looks_as_its_html_does(tab):
    tab.open("same.ipynb", LOAD, TWICE)
    tab.page.set_viewport_size({"width": 1200, "height": 1600})
    tab.run(0)

    tab.run(1)

    expect(tab.output(1).locator("mjx-container")).to_have_count(2)
    looks = tab.cell(1).evaluate(LOOKS)
    assert len(looks) == 12
    assert all(len(look) > 1 for look in looks)
    for ours, html in zip(looks[::2], looks[1::2], strict=True):
        assert ours == html


def test_below_an_answer_is_what_it_cost_what_was_asked_and_what_came_back(tab):
    tab.page.context.grant_permissions(["clipboard-read"])
    tab.models.fail(500, message="no <b>room</b>")
    tab.models.reply("**Yes**\n\n```python\nx = 1\n```", usage=(1204, 380))
    tab.open("about.ipynb", LOAD, "%%complete --retries 1\nIs <b>this</b> ït? 😀")
    tab.run(0)
    tab.run(1)
    output = tab.output(1)
    expect(details(tab, 1)).to_be_hidden()
    badge = tab.cell(1).locator(".jp-LlmMagic-badge")
    expect(badge).to_have_text("live · $0.001061 · gpt-5-mini")

    output.get_by_text("1,204 + 380 tokens · $0.001061 · live").click()

    expect(details(tab, 1)).to_contain_text("1,204 input tokens × $0.25/M = $0.000301")
    expect(details(tab, 1)).to_contain_text("380 output tokens × $2.00/M = $0.00076")
    expect(details(tab, 1)).to_contain_text("sum: $0.001061")
    expect(details(tab, 1).locator("ol > li")).to_have_count(2)
    expect(details(tab, 1).locator("ol")).to_contain_text("no <b>room</b>")
    details(tab, 1).get_by_text("request and response").click()
    expect(details(tab, 1)).to_contain_text('"content": "Is <b>this</b> ït? 😀"')
    expect(details(tab, 1)).to_contain_text('"choices": [')
    assert tab.unreadable(output) == []

    for name, copied in (
        ("Copy answer", "**Yes**\n\n```python\nx = 1\n```"),
        ("Copy code", "x = 1\n"),
    ):
        output.get_by_role("button", name=name).click()
        expect(output.get_by_role("button", name=name)).to_have_text("Copied")
        assert tab.page.evaluate("navigator.clipboard.readText()") == copied


def test_without_a_kernel_the_answer_stays_and_says_how_to_learn_more(tab):
    tab.models.reply("**Yes**")
    tab.open("kernelless.ipynb", LOAD, "%%complete\nIs this it?")
    tab.run_all()
    tab.save()
    tab.restart("kernelless.ipynb")
    tab.reload("kernelless.ipynb")

    tab.output(1).get_by_text("tokens ·").click()
    details(tab, 1).get_by_text("request and response").click()

    expect(details(tab, 1)).to_contain_text("Run %load_ext llm_magic in this notebook")
    tab.run(0)
    details(tab, 1).get_by_text("request and response").click()
    details(tab, 1).get_by_text("request and response").click()
    expect(details(tab, 1)).to_contain_text('"content": "Is this it?"')
