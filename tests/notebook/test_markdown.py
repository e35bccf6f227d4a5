"""Text of a model becomes HTML that shows it and does nothing."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magic.notebook import markdown
from llm_magic.notebook.markdown import code_blocks, to_html

TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "div", "blockquote", "pre", "hr", "br"),
    *("a", "code", "em", "s", "span", "strong", "ol", "ul", "li"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
ALIGNMENT = {"text-align:left", "text-align:right", "text-align:center"}
CLASSES = {
    "div": {
        "llm-magic-markdown tex2jax_ignore mathjax_ignore",
        "tex2jax_process mathjax_process",
    },
    "span": {"tex2jax_process mathjax_process", "c", "k", "s", "m", "nb", "nt", "gd", "gi"},
    "pre": {"llm-magic-code"},
}
VOID = {"br", "hr"}


def allowed(tag, name, value):
    """Whether an attribute may stand in the output, by what it can do."""
    return {
        "class": value in CLASSES.get(tag, ())
        or (tag == "code" and re.fullmatch(r"language-[\w+#-]+", value) is not None),
        "href": tag == "a" and urlsplit(value).scheme in ("http", "https"),
        "rel": value == "noopener noreferrer nofollow",
        "target": value == "_blank",
        "start": tag == "ol" and value.isdigit(),
        "style": (tag in ("td", "th") and value in ALIGNMENT)
        or (tag == "pre" and "url" not in value),
    }.get(name, False)


class Inspector(HTMLParser):
    """Reads HTML as a browser would, and fails on what may not be there."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.seen = []
        self.text = ""

    def handle_starttag(self, tag, attributes):
        assert tag in TAGS, tag
        for name, value in attributes:
            assert allowed(tag, name, value), (tag, name, value)
        if tag == "a":
            assert {"href", "rel", "target"} == {name for name, _ in attributes}
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def inspect(text):
    inspector = Inspector()
    inspector.feed(to_html(text))
    inspector.close()
    assert not inspector.open
    return inspector


def body(text):
    """The HTML without the surrounding division."""
    start, end = '<div class="llm-magic-markdown tex2jax_ignore mathjax_ignore">\n', "</div>"
    shown = to_html(text)
    assert shown.startswith(start)
    assert shown.endswith(end)
    return re.sub(r'(<pre[^>]*) style="[^"]*"', r"\1", shown[len(start) : -len(end)].rstrip("\n"))


def formulas(text):
    """What MathJax is allowed to see, unescaped, as a browser hands it over."""
    found = re.findall(r'<(?:span|div) class="tex2jax_process[^>]*>(.*?)</', to_html(text), re.S)
    return [part.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for part in found]


ATTACKS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=https://evil.test/x.js></SCRIPT>",
    "<img src=x onerror=alert(1)>",
    "<img src='https://evil.test/beacon.png'>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<math><mtext></mtext><style>*{background:url(//evil.test)}</style></math>",
    "<style>@import 'https://evil.test/x.css';</style>",
    "<link rel=stylesheet href=https://evil.test/x.css>",
    "<base href=https://evil.test/>",
    "<meta http-equiv=refresh content='0;url=https://evil.test'>",
    "<form action=https://evil.test><input name=q autofocus onfocus=alert(1)></form>",
    "<object data=data:text/html,x></object><embed src=x>",
    "<details open ontoggle=alert(1)>x</details>",
    "<a href='javascript:alert(1)'>x</a>",
    "</div></div><script>alert(1)</script>",
    "<!-- --><script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?php echo 1 ?><!DOCTYPE html>",
    "<div\n\nonclick=alert(1)>x</div>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#115;cript:alert(1))",
    "[x](&#x6A&#x61&#x76&#x61&#x73&#x63&#x72&#x69&#x70&#x74&#x3A;alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](<java\tscript:alert(1)>)",
    "[x](<\x01javascript:alert(1)>)",
    "[x](< javascript:alert(1)>)",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](data:image/svg+xml,<svg onload=alert(1)>)",
    "[x](file:///etc/passwd)",
    "[x](mailto:a@b.test)",
    "[x](//evil.test)",
    "[x](/api/contents)",
    "[x](\\\\evil.test)",
    "[x](http:evil.test)",
    "[x](http:///evil.test)",
    "[x](https:\\\\evil.test)",
    "[x](http://[)",
    "[x](blob:https://evil.test/1)",
    "[x](command:workbench.action.terminal.new)",
    "[x]()",
    "[x](<>)",
    "[x](#)",
    "[x]\n\n[x]: javascript:alert(1)",
    "[x]\n\n[x]: data:text/html,<script>alert(1)</script>",
    "<javascript:alert(1)>",
    "<data:text/html,x>",
    "<a@b.test>",
    "[x](https://ok.test \"onmouseover='alert(1)'\")",
    '[x](https://ok.test"onmouseover="alert(1))',
    '[x](https://ok.test/"><script>alert(1)</script>)',
    "![x](https://evil.test/beacon.png)",
    "![x](javascript:alert(1))",
    "![x](data:image/png;base64,AAAA)",
    '![" onerror="alert(1)](https://evil.test/x.png "t")',
    "![x][y]\n\n[y]: https://evil.test/beacon.png",
    "[![x](https://evil.test/beacon.png)](javascript:alert(1))",
    '```"><script>alert(1)</script>\ncode\n```',
    "```js onload=alert(1)\n</code></pre><script>alert(1)</script>\n```",
    "~~~<b>\nx\n~~~",
    "`<script>alert(1)</script>`",
    "    <script>alert(1)</script>",
    "|<script>|\n|:-:|\n|<img src=x onerror=alert(1)>|",
    "$<script>alert(1)</script>$",
    "$$\n</div><script>alert(1)</script>\n$$",
    "\\(</span><img src=x onerror=alert(1)>\\)",
    "\\[\n<img src=x onerror=alert(1)>\n\\]",
    "\\begin{align}</div><script>alert(1)</script>\\end{align}",
    "$\\href{javascript:alert(1)}{x}$",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "\\<script>alert(1)\\</script>",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
    "\ud800<script>alert(1)</script>\udfff",
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("around", ["{}", "> {}", "- a\n- {}", "# {}", "**a {} b**", "a {}\nb"])
def test_an_attack_is_shown_and_does_nothing(attack, around):
    inspect(around.format(attack))


@given(st.text())
def test_any_text_becomes_allowed_html(text):
    inspect(text)


@given(st.text(alphabet=st.characters()))
def test_halves_of_surrogate_pairs_do_no_harm(text):
    inspect(text)


@given(
    st.lists(st.sampled_from([*ATTACKS, "$", "$$", "\\(", "\\[", "\\]", "`", "\n", "\n\n", "["]))
)
def test_attacks_put_together_become_allowed_html(parts):
    inspect("".join(parts))


@given(st.text(alphabet="$\\()[]`*_<>!a1 \n-+=|~#\"'&;:{}"))
def test_any_punctuation_becomes_allowed_html(text):
    inspect(text)


def test_text_that_the_parser_trips_over_is_shown_as_it_is(monkeypatch):
    class Broken:
        def render(self, text):
            raise RecursionError

        parse = render

    monkeypatch.setattr(markdown, "_parser", lambda **_: Broken())

    assert body("**<b>**") == "<pre>**&lt;b&gt;**</pre>"
    assert code_blocks("```\n```") == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("**bold** *it* ~~gone~~", "<p><strong>bold</strong> <em>it</em> <s>gone</s></p>"),
        ("# Title", "<h1>Title</h1>"),
        ("***", "<hr>"),
        ("a\\\nb", "<p>a<br>\nb</p>"),
        ("3. c", '<ol start="3">\n<li>c</li>\n</ol>'),
        ("a<b & c", "<p>a&lt;b &amp; c</p>"),
        ("https://a.test", "<p>https://a.test</p>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("[x](notes.md)", "<p>[x](notes.md)</p>"),
        ("[x]()", "<p>x</p>"),
        ("![a *b*](https://a.test/b.png)", "<p>![a *b*](https://a.test/b.png)</p>"),
        ("```\na<b\n```", "<pre><code>a&lt;b\n</code></pre>"),
        (
            "```c++ title\nx\n```",
            '<pre class="llm-magic-code"><code class="language-c++">x\n</code></pre>',
        ),
        ('```a"b<c\nx\n```', '<pre><code class="language-abc">x\n</code></pre>'),
    ],
)
def test_markdown_is_shown(text, shown):
    assert body(text) == shown


@pytest.mark.parametrize(
    "address", ["https://a.test/b?c=d&e", "HTTP://a.test", "http://1.2.3.4:5/"]
)
def test_links_to_the_web_open_elsewhere_and_tell_nothing(address):
    inspector = inspect(f"[x]({address} 'title')")

    assert "a" in inspector.seen
    assert 'rel="noopener noreferrer nofollow" target="_blank"' in to_html(f"<{address}>")


def test_a_table_keeps_its_alignment():
    shown = to_html("|a|b|\n|:-|-:|\n|1|2|")

    assert '<td style="text-align:right">2</td>' in shown


def test_lists_in_lists_are_shown_to_the_last():
    depth = 20

    shown = to_html("\n".join("  " * level + f"- level{level}" for level in range(depth)))

    assert f"level{depth - 1}" in shown


@pytest.mark.parametrize("depth", [1, 58, 59, 60, 61, 200])
@pytest.mark.parametrize("opening", ["> ", "- "])
def test_what_is_nested_too_deeply_is_shown_as_source(opening, depth):
    assert "the end" in inspect(opening * depth + "the end").text


@pytest.mark.parametrize(
    "formula",
    [
        r"\(a_1 * b_2 * c\)",
        r"\(\{x \mid x < 3 \& y > 2\}\)",
        r"$a_1 b_1$",
        r"$x$",
        r"$\$5 * x * y$",
        r"$$\sum_{i=1}^n *i*$$",
        r"\[x^2 + \text{if $y$} \\[2pt] z\]",
        r"\begin{pmatrix}a & b \\ c & d\end{pmatrix}",
        "\\(a\n= b\\)",
    ],
)
def test_a_formula_in_a_sentence_is_left_as_it_is(formula):
    assert formulas(f"So _this_ {formula}, or *that*.") == [formula]


@pytest.mark.parametrize(
    "formula",
    [
        "$$\na_1\n= b\n+ c\n- d\n$$",
        "$$\na\n\n# b\n$$",
        "$$ a\n= b $$",
        "\\[\n1. x\n\\\\[2pt]\n> y\n\\]",
        "\\[ a \\]",
        "\\begin{align*}\na &= b \\\\\n+ c &= d\n\\end{align*}",
        "\\begin{cases}\na\n\nb\n\\end{cases}",
        "$$x$$.",
    ],
)
@pytest.mark.parametrize("before", ["", "Text\n", "Text:\n\n", "# Title\n"])
def test_a_formula_on_its_own_lines_is_left_as_it_is(formula, before):
    assert formulas(f"{before}{formula}\n\nand more") == [formula]


@pytest.mark.parametrize(
    "text",
    ["- a\n  \\[\n  x\n  + y\n  \\]\n- b", "> \\[\n> x\n> + y\n> \\]", "1. a\n\\[\nx\n+ y\n\\]\n"],
)
def test_a_formula_stands_in_lists_and_quotes(text):
    assert formulas(text) == ["\\[\nx\n+ y\n\\]"]


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and $6.",
        "From $5 to $6, or US$7.",
        "$5-$6",
        "$ 5 $ and $x $",
        "a $ b",
        "$$",
        "$$$$",
        "$$ $$",
        r"\$5 and \$6",
        "&#36;5 and 6&#36;",
        "`$x$` and `\\(y\\)`",
        "```\n$x$\n\\[ y \\]\n```",
        "    \\[ y \\]",
        "$5 and `x$`",
        "\\( never closed",
        "\\[\nnever closed",
        "$$ is money\n\nand $$ is too",
        r"\\(x\\)",
        r"\ref{x} \begin{itemize}\end{itemize}",
        "| $a | b$ |\n|-|-|\n",
    ],
)
def test_what_is_no_formula_is_hidden_from_mathjax(text):
    assert formulas(text) == []
    assert to_html(text).startswith(
        '<div class="llm-magic-markdown tex2jax_ignore mathjax_ignore">'
    )


def test_prices_and_formulas_stand_side_by_side():
    text = "It costs $5; solve $x_1 = 6$ for $7."

    assert formulas(text) == ["$x_1 = 6$"]
    assert "It costs $5; solve" in inspect(text).text


@pytest.mark.parametrize(
    "formula",
    [
        r"\href{javascript:alert(1)}{x}",
        r"\href {https://evil.test}{x}",
        r"\style{cursor: url(https://evil.test)}{x}",
        r"\class{jp-mod}{x}",
        r"\cssId{main}{x}",
        r"\bbox[background: url(//evil.test)]{x}",
        r"\mmlToken{mi}[href='https://evil.test']{x}",
        r"\require{html}x",
        r"\let\x\href \x{https://evil.test}{x}",
        r"\def\alpha{0}",
        r"\newcommand{\x}{0}",
        r"\renewcommand{\frac}[2]{0}",
        r"\DeclareMathOperator{\sin}{cos}",
    ],
)
@pytest.mark.parametrize("around", ["${}$", "a \\({}\\) b", "$$\n{}\n$$", "\\[{}\\]"])
def test_a_formula_that_links_loads_or_redefines_is_shown_as_source(formula, around):
    text = around.replace("{}", formula)

    assert formulas(text) == []
    assert text.strip("ab ") in inspect(text).text


@pytest.mark.parametrize(
    "formula", [r"\left( x \right)", r"\data_x", r"\leta", r"\hrefx", r"\defeq"]
)
def test_commands_that_only_begin_alike_are_typeset(formula):
    found = formulas(f"${formula}$")

    assert found == ([] if formula == r"\data_x" else [f"${formula}$"])


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece",
    [
        "\\[\n",
        "$$\nx\n",
        "\\(",
        "\\( \\\\",
        "$a ",
        "${",
        "\\begin{align}\n",
        "\\begin{align} \\e",
        "[",
        "![",
        "<a ",
        "`",
        "*a_ ",
        "> ",
        "$`",
        "\\[ \\)",
        "|a",
    ],
)
def test_text_full_of_openings_is_done_in_time(piece):
    to_html(piece * (20_000 // len(piece)))


def test_code_blocks_come_in_order_with_their_languages():
    text = "```python\na\n```\nand\n\n~~~\nb\n~~~\n- x\n  ```json title\n  {}\n"

    assert code_blocks(text) == [("python", "a\n"), ("", "b\n"), ("json", "{}\n")]


def test_importing_the_module_does_not_import_the_parser():
    code = "import sys, llm_magic.notebook.markdown; print('markdown_it' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_rendering_depends_on_nothing_but_the_text():
    texts = ["[x]\n\n[x]: https://a.test", "[x]", "$a$", "```py\n1\n```"]
    first = [to_html(text) for text in texts]
    shuffled = random.Random(1).sample(texts, len(texts))

    assert [to_html(text) for text in shuffled] == [first[texts.index(text)] for text in shuffled]
