"""Whatever a text holds, the HTML of every display shows it and does nothing."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hostile import PAYLOADS, completion, displays, html_of

from llm_magic.formats import printable
from llm_magic.notebook.display import Answer

TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "div", "blockquote", "pre", "hr", "br", "style"),
    *("a", "b", "code", "del", "details", "em", "ins", "ol", "s", "span", "strong", "summary"),
    *("li", "table", "caption", "tbody", "td", "th", "thead", "tr", "ul"),
}
ATTRIBUTES = {"class", "open", "rel", "scope", "scoped", "start", "style", "target"}
VOID = {"br", "hr"}


class Reader(HTMLParser):
    """Reads HTML, and fails on what a display of ours never holds."""

    def __init__(self, shown):
        super().__init__()
        self.open = []
        self.text = ""
        self.styles = []
        self.feed(shown)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert tag in TAGS, tag
        for name, value in attributes:
            assert allowed(tag, name, value), (tag, name, value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["style"]:
            self.styles.append(data)
        else:
            self.text += data

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def allowed(tag, name, value):
    if name == "href":
        return tag == "a" and urlsplit(value).scheme in ("http", "https")
    if name == "name":
        return tag == "details" and re.fullmatch(r"llm-magic-[0-9a-f]{12}", value)
    if name == "style":
        return "url" not in value and "expression" not in value
    return name in ATTRIBUTES or (tag, name) == ("table", "border")


@pytest.fixture(params=PAYLOADS.values(), ids=PAYLOADS)
def text(request):
    return request.param


def test_a_hostile_text_is_shown_and_does_nothing(text):
    for name, shown in displays(text):
        read = Reader(html_of(shown))

        assert ("pwned()" in text) <= ("pwned()" in read.text), name
        assert not re.search(r"url\(|@import|pwned|evil", "".join(read.styles)), name


def test_nothing_in_plain_text_drives_a_terminal(text):
    for name, shown in displays(text):
        if name != "value":  # the text itself; its display is plain
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", repr(shown)), name


@pytest.mark.parametrize("format", ["text", "html"])
def test_a_text_is_shown_letter_for_letter(text, format):
    shown = html_of(Answer(text, format=format, completion=completion("answer")))

    assert printable(text).rstrip("\n") in Reader(shown).text


def test_every_display_reaches_the_notebook(text):
    for name, shown in displays(text):
        bundle = getattr(shown, "_repr_mimebundle_", dict)()

        assert json.dumps([bundle, html_of(shown)], ensure_ascii=False).encode(), name
