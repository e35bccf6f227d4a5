"""Answers in a real JupyterLab: what people see, press, save and come back to."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from itertools import pairwise
from threading import Event

import nbformat
import pytest
from playwright.sync_api import expect

from llm_magic.notebook.display import Answer
from llm_magic.notebook.tables import Table
from llm_magic.types import Completion, Usage

RICH = r"""## Newton

A *root* of $f$ is found by $x_{n+1} = x_n - \frac{f(x_n)}{f'(x_n)}$, for $0.10 or $0.20:

$$
\int_0^1 x^2\,dx = \frac{1}{3}
$$

```python
def newton(f, df, x=1.0):
    # stop when it moves no more
    for _ in range(50):
        x -= f(x) / df(x)
    return "%.3f" % x
```

| step | value |
|-----:|-------|
| 1    | 1.500 |
| 2    | 1.417 |

- [a page](https://example.org) with more, and `code`
"""
FENCES = """```json
{"a": [1, true, "b"]}
```
```diff
- a
+ b
```
```html
<b class="x">y</b> <!-- z -->
```
```bash
echo "$HOME"  # at home
```"""
CALL = {"name": "weather", "arguments": {"city": "Oslo"}}

# Contrast of every text with what is behind it, by the formula of WCAG 2; the lowest of them.
CONTRAST = """() => {
  const rgba = text => {
    const context = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    context.fillStyle = text;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [R, G, B]) =>
    [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const behind = node => {
    const colour = node ? rgba(getComputedStyle(node).backgroundColor) : [255, 255, 255, 1];
    return colour[3] === 1 ? colour : over(colour, behind(node.parentElement));
  };
  const light = ([r, g, b]) => [r, g, b].map(value => value / 255)
    .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
  const found = [];
  for (const area of document.querySelectorAll('.llm-magic-answer')) {
    const walker = document.createTreeWalker(area, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode.parentElement;
      if (!walker.currentNode.data.trim() || node.closest('style, mjx-container, a')) continue;
      const ground = behind(node);
      const one = light(over(rgba(getComputedStyle(node).color), ground)), two = light(ground);
      found.push([(Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05),
        walker.currentNode.data.trim().slice(0, 40)]);
    }
  }
  return found.sort((a, b) => a[0] - b[0])[0];
}"""

# The height of the first answer at every frame that is painted.
WATCH = """() => {
  window.heights = [];
  const look = () => {
    const area = document.querySelectorAll('.jp-Cell-outputArea')[1];
    if (area) window.heights.push(area.getBoundingClientRect().height);
    requestAnimationFrame(look);
  };
  look();
}"""


def test_an_answer_streams_in_and_the_stop_button_keeps_what_came(tab):
    gate = Event()
    tab.models.reply("First the rest of it", gate=gate)
    tab.open("stopped.ipynb", "%load_ext llm_magic", "%%complete\nCount", "print('next')")
    tab.run(0)

    tab.begin(1)

    expect(tab.output(1)).to_contain_text("First")
    expect(tab.output(1)).not_to_contain_text("rest")
    tab.stop()
    tab.ended(1)
    expect(tab.output(1)).to_contain_text("First")
    expect(tab.output(1)).to_contain_text("incomplete: interrupted")
    expect(tab.output(1)).to_contain_text(
        "KeyboardInterrupt: stopped; nothing of this answer was stored"
    )


def test_a_new_kernel_replays_the_same_answer_and_a_new_page_shows_it(tab):
    tab.models.reply(RICH, reasoning="They want **Newton**.", usage=(1204, 380))
    tab.open("replay.ipynb", "%load_ext llm_magic", "%%complete\nHow do I find a root?")
    tab.page.set_viewport_size({"width": 1200, "height": 1100})
    tab.run_all()
    expect(tab.output(1)).to_contain_text("1,204 + 380 tokens · $0.001061 · live")
    answer = tab.output(1).locator(".llm-magic-markdown")
    expect(answer.locator("mjx-container")).to_have_count(3)

    tab.restart("replay.ipynb")
    tab.run_all()

    expect(tab.output(1)).to_contain_text("1,204 + 380 tokens · $0.00 · replayed from 2")
    expect(answer.locator("mjx-container")).to_have_count(3)
    assert tab.models.count == 1
    tab.save()
    tab.reload("replay.ipynb")
    expect(tab.output(1)).to_contain_text("replayed from 2")
    expect(answer.locator("mjx-container")).to_have_count(3)
    assert answer.inner_text().startswith("Newton")
    expect(tab.output(1).get_by_text("They want **Newton**.")).to_be_hidden()
    tab.output(1).get_by_text("reasoning").click()
    expect(tab.output(1).get_by_text("They want **Newton**.")).to_be_visible()


def test_every_text_can_be_read_in_either_theme(tab):
    tab.models.reply(RICH, reasoning="Why?", tool_calls=[CALL])
    tab.models.reply(f"{FENCES}\n\nso far")
    tab.models.cut("so far it goes", after=2)
    asks = [f"%%complete\n{number}" for number in range(3)]
    tab.open("themes.ipynb", "%load_ext llm_magic", *asks)
    tab.page.set_viewport_size({"width": 1200, "height": 1400})
    tab.run_all()
    expect(tab.output(3)).to_contain_text("incomplete")

    for light in (False, True):
        tab.theme(light=light)
        ratio, text = tab.page.evaluate(CONTRAST)

        assert ratio >= 4.5, text


def test_choices_are_tabs_that_the_keyboard_reaches(tab):
    tab.models.reply(["**Heads**", "*Tails*", "Edge"])
    tab.open(
        "choices.ipynb",
        "%load_ext llm_magic",
        "import llm_magic\nfrom llm_magic.notebook.display import show\n"
        "show(llm_magic.complete('Toss', n=3))",
        "show(llm_magic.complete('Toss', n=3))",
    )
    tab.run_all()
    first, second = (tab.output(index) for index in (1, 2))
    tabs = [first.get_by_text(f"choice {number}") for number in (1, 2, 3)]
    expect(first.get_by_text("Heads")).to_be_visible()
    expect(first.get_by_text("Tails")).to_be_hidden()
    places = [tab.bounding_box() for tab in tabs]
    assert len({place["y"] for place in places}) == 1

    tabs[0].focus()
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Space")

    expect(first.get_by_text("Tails")).to_be_visible()
    expect(first.get_by_text("Heads")).to_be_hidden()
    expect(second.get_by_text("Heads")).to_be_visible()
    assert [tab.bounding_box() for tab in tabs] == places


def test_a_streaming_answer_does_not_jump(tab):
    # A clock that stands shows every word, where a quick machine would show all of them at once.
    tab.open(
        "grow.ipynb",
        f"import llm_magic.notebook.display as display\nwords = {(RICH * 3).split(' ')!r}",
        "live = display.LiveAnswer(interval=0, clock=lambda: 0.0)\n"
        "for word in words: live.add(word + ' ')",
    )
    tab.run(0)
    tab.page.evaluate(WATCH)

    tab.run(1)
    tab.typeset()

    heights = tab.page.evaluate("window.heights")
    assert len(set(heights)) > 5
    # A line of a table is text until the line below it says that it is one.
    assert max(before - after for before, after in pairwise(heights)) < 30


def test_a_miss_says_what_differs(tab):
    cells = [
        "%load_ext llm_magic",
        "%%complete\nWrite a long poem about the sea",
        "%%complete --mode REPLAY -T 0.7\nWrite a short poem about the sea",
    ]
    tab.models.reply("Waves.")
    tab.open("missed.ipynb", *cells)

    tab.run_all()

    shown = tab.output(2)
    expect(shown.locator("del")).to_have_text("long")
    expect(shown.locator("ins")).to_have_text("short")
    expect(shown).to_contain_text("temperature")
    expect(shown).to_contain_text("to mend it")
    expect(shown).to_contain_text("ReplayMissError")


@pytest.fixture
def outputs():
    """What a notebook holds of a rich answer, of three choices and of a table."""
    rich = answer(RICH)
    called = {"function": {"name": "weather", "arguments": "{}"}}
    rich.choices[0].message.update(reasoning_content="They want Newton.", tool_calls=[called])
    shown = [
        Answer(RICH, completion=rich).bundle(),
        Answer("", completion=answer("Heads", "Tails", "Edge")).bundle(),
        {"text/html": Table(["", "all"], [["spent", "$0.01"]])._repr_html_()},
    ]
    return [nbformat.v4.new_output("display_data", data) for data in shown]


def answer(*texts):
    return Completion(
        {"choices": [{"message": {"content": text}} for text in texts]},
        reference="openai/gpt-5-mini",
        cost=Decimal("0.0042"),
        tokens=Usage(uncached_input_tokens=1204, output_tokens=380),
        source="live",
        latency_ms=1800.0,
    )


def readable(place):
    """What a person reads of these outputs, wherever they are shown."""
    line = "openai/gpt-5-mini · 1,204 + 380 tokens · $0.0042 · live 1.8 s"
    for text in ("def newton(f, df, x=1.0)", "1.417", line, "Heads", "choice 3", "spent"):
        expect(place.get_by_text(text).first).to_be_visible()
    for text in ("They want Newton.", "Tails"):
        expect(place.get_by_text(text)).to_be_hidden()
    place.get_by_text("choice 2").click()
    expect(place.get_by_text("Tails")).to_be_visible()


def test_a_notebook_that_nobody_trusts_reads_well(tab, outputs):
    tab.open("untrusted.ipynb", "# somebody else ran this", outputs=outputs)

    expect(tab.output(0).locator("mjx-container").first).to_be_visible()
    readable(tab.output(0))
    assert tab.output(0).locator("style").count() == 0


def test_nbconvert_shows_the_answers(plain_page, outputs, tmp_path):
    cell = nbformat.v4.new_code_cell("# a dead kernel", outputs=outputs)
    path = tmp_path / "export.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    shown = tmp_path / "export.html"
    # Its template would load MathJax and require.js from the network.
    options = ["--HTMLExporter.mathjax_url=", "--HTMLExporter.require_js_url="]
    command = [sys.executable, "-m", "nbconvert", "--to", "html", *options, f"--output={shown}"]
    subprocess.run([*command, path], check=True, capture_output=True)

    plain_page.goto(shown.as_uri())

    readable(plain_page.locator("body"))
