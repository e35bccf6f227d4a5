r"""Markdown that a model wrote, as HTML that cannot do anything.

Model text is hostile: a page that it read may speak through it, and JupyterLab runs what a fresh
output holds. So HTML in it is shown, not used; an image is shown as its source, because fetching
it would tell its server what the address says; a link is a link for http and https only.

LaTeX is kept as it came, and only LaTeX is typeset. JupyterLab, nbconvert and the classic notebook
hand every ``text/html`` output to MathJax, which would take "$5 and $6" for a formula, so the
whole is marked ``mathjax_ignore`` (MathJax 3 and later) and ``tex2jax_ignore`` (MathJax 2), and
each formula found here ``mathjax_process tex2jax_process``, which both honour inside of it.
Wrapping single dollar signs was rejected: MathJax also looks for ``\begin``, ``\ref`` and pairs
that Markdown's own unescaping makes.

A formula is ``\(..\)``, ``\[..\]``, ``$$..$$``, ``\begin{align}..\end{align}`` and the like, or
``$..$`` by Pandoc's rule: no space after the first dollar sign, none before the second, and no
digit after it. Formulas with commands that link, load, style or redefine are shown as source.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llm_magic.notebook import highlighting

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

__all__ = ["code_blocks", "to_html"]

_IGNORE = "tex2jax_ignore mathjax_ignore"
_PROCESS = "tex2jax_process mathjax_process"


def to_html(text: str) -> str:
    """Harmless HTML of Markdown text, in one ``<div>``; any text will do.

    >>> print(to_html("**Hi** <b>$5</b>"))
    <div class="llm-magic-markdown tex2jax_ignore mathjax_ignore">
    <p><strong>Hi</strong> &lt;b&gt;$5&lt;/b&gt;</p>
    </div>
    """
    try:
        body = _parser().render(text)
    except Exception:
        # The answer is paid for; what the parser trips over is still shown.
        body = f"<pre>{html.escape(text)}</pre>\n"
    return f'<div class="llm-magic-markdown {_IGNORE}">\n{body}</div>'


def code_blocks(text: str) -> list[tuple[str, str]]:
    """Language and code of every fenced block, in order; the language may be empty."""
    try:
        tokens = _parser(inline=False).parse(text)
    except Exception:
        return []
    return [(_language(token), token.content) for token in tokens if token.type == "fence"]


@functools.cache
def _parser(*, inline: bool = True) -> MarkdownIt:
    from markdown_it import MarkdownIt

    # 20, the preset's nesting, is ten lists in lists.
    options = {"html": False, "linkify": False, "maxNesting": _DEEPEST, "xhtmlOut": False}
    parser = MarkdownIt("commonmark", options)
    parser.enable(["table", "strikethrough"])
    parser.disable(["html_block", "html_inline"])
    parser.validateLink = _is_web_address  # type: ignore[method-assign]

    parser.block.ruler.before("table", "formula", _block_formula, {"alt": _INTERRUPTED})
    parser.inline.ruler.before("escape", "formula", _inline_formula)
    parser.core.ruler.after("block", "depth", _guard_depth)
    parser.core.ruler.push("links", _guard_links)
    for name, rule in _RENDER.items():
        parser.add_render_rule(name, rule)
    if not inline:
        parser.core.ruler.disable("inline")
    return parser


_DEEPEST = 60


def _guard_depth(state: StateCore) -> None:
    """Refuse what is nested too deeply: the parser drops it without a word."""
    if any(token.level >= _DEEPEST - 1 for token in state.tokens):
        raise ValueError("nested too deeply")


# Links


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(re.match(r"https?://", url, re.I) and parts.hostname)


def _guard_links(state: StateCore) -> None:
    """Keep only the links that may be followed, and send nothing along with them.

    The parser asks :func:`_is_web_address` too, but ``[x]()`` becomes a link all the same.
    """
    for token in state.tokens:
        safe = True
        for child in token.children or ():
            if child.type == "link_open":
                address = str(child.attrs.get("href", ""))
                safe = _is_web_address(address)
                child.attrs = {
                    "href": address,
                    "rel": "noopener noreferrer nofollow",
                    "target": "_blank",
                }
                child.hidden = not safe
            elif child.type == "link_close":
                child.hidden = not safe


# Formulas

_INTERRUPTED = ["paragraph", "reference", "blockquote", "list"]

# How far the end of a formula is looked for: text full of openings must not take forever.
_LONGEST = 5_000
_MOST_LINES = 100

_ENVIRONMENT = (
    r"\\begin\{(?P<name>(?:align|alignat|aligned|alignedat|array|[bBpvV]?matrix|smallmatrix|cases"
    r"|CD|displaymath|eqnarray|equation|flalign|gather|gathered|math|multline|split)\*?)\}"
)
_INLINE = {
    "$": [
        re.compile(r"\$\$(?=\s*[^\s$])(?:[^\\$`]|\\.|\$(?!\$))+\$\$", re.DOTALL),
        re.compile(r"\$(?![\s$])(?:[^\\$`]|\\.)+(?<!\s)\$(?!\d)", re.DOTALL),
    ],
    "\\": [
        re.compile(r"\\\((?:[^\\`]|\\[^)])*\\\)", re.DOTALL),
        re.compile(r"\\\[(?:[^\\`]|\\[^\]])*\\\]", re.DOTALL),
        re.compile(_ENVIRONMENT + r"(?:[^\\`]|\\(?!end\{(?P=name)\}).)*\\end\{(?P=name)\}", re.S),
    ],
}
_OPENING = re.compile(rf"\$\$|\\\[|{_ENVIRONMENT}")
_CONTROL = re.compile(r"\\end\{[A-Za-z]+\*?\}|\\.|\$\$")
_TAIL = re.compile(r"[ \t]*[.,;:]?[ \t]*")

# Links, addresses (a cursor may be one), other people's macros: not for a model to use. MathJax's
# own safe mode lets http, file and cursor images pass, and not every page has it.
_REFUSED = re.compile(
    r"\\(?:href|url|style|class|cssId|data|bbox|mmlToken|require|includegraphics|def|let"
    r"|(?:new|renew|provide)(?:command|environment|tagform)|usetagform|mathtoolsset|setOptions"
    r"|Declare[A-Za-z]+)(?![A-Za-z])"
)


def _inline_formula(state: StateInline, silent: bool) -> bool:
    for pattern in _INLINE.get(state.src[state.pos], ()):
        found = pattern.match(state.src, state.pos, min(state.posMax, state.pos + _LONGEST))
        if found:
            if not silent:
                state.push("formula_inline", "span", 0).content = found[0]
            state.pos = found.end()
            return True
    return False


def _block_formula(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A formula on lines of its own, where a leading + or = must not make a list or a heading."""
    first = state.bMarks[start] + state.tShift[start]
    opening = _OPENING.match(state.src, first, state.eMarks[start])
    if not opening or state.is_code_block(start):
        return False

    last = _last_line(state, opening, start, end)
    if last is None:
        return False
    if not silent:
        state.line = last + 1
        token = state.push("formula_block", "div", 0)
        token.block = True
        token.content = state.getLines(start, last + 1, state.blkIndent, False).strip()
        token.map = [start, last + 1]
    return True


def _last_line(state: StateBlock, opening: re.Match[str], start: int, end: int) -> int | None:
    """The line on which the formula ends, with nothing but punctuation after it."""
    closing = _closing(opening)
    position = opening.end()
    if state.src.find(closing, position) < 0:
        return None
    # Two dollar signs in a sentence, and two more paragraphs later, are no formula.
    alone = not state.src[position : state.eMarks[start]].strip()
    # When a paragraph of a list asks whether the formula ends it, that stands further left.
    indent = min(state.blkIndent, state.sCount[start])
    for line in range(start, min(end, start + _MOST_LINES)):
        if line > start:
            position = state.bMarks[line] + state.tShift[line]
            if state.isEmpty(line):
                if closing == "$$" and not alone:
                    return None
            elif state.sCount[line] < indent:
                return None
        for control in _CONTROL.finditer(state.src, position, state.eMarks[line]):
            if control[0] == closing:
                tail = _TAIL.fullmatch(state.src, control.end(), state.eMarks[line])
                inside = state.src[opening.end() : control.start()].strip()
                return line if tail and inside else None
    return None


def _closing(opening: re.Match[str]) -> str:
    if opening["name"]:
        return f"\\end{{{opening['name']}}}"
    return {"$$": "$$", "\\[": "\\]"}[opening[0]]


# Rendering of what markdown-it would render in a way that we do not want


def _language(token: Token) -> str:
    words = token.info.split(maxsplit=1)
    return re.sub(r"[^\w+#-]", "", words[0]) if words else ""


def _fence(renderer: Any, tokens: Sequence[Token], index: int, *_: Any) -> str:
    token = tokens[index]
    return highlighting.to_html(token.content, _language(token)) + "\n"


def _image(renderer: Any, tokens: Sequence[Token], index: int, *_: Any) -> str:
    token = tokens[index]
    return html.escape(f"![{token.content}]({token.attrs.get('src', '')})", quote=False)


def _formula(renderer: Any, tokens: Sequence[Token], index: int, *_: Any) -> str:
    token = tokens[index]
    source = html.escape(token.content, quote=False)
    if _REFUSED.search(token.content):
        shown = f"<code>{source}</code>"
        return f"<pre>{shown}</pre>\n" if token.block else shown
    return f'<{token.tag} class="{_PROCESS}">{source}</{token.tag}>' + "\n" * token.block


_RENDER = {
    "fence": _fence,
    "image": _image,
    "formula_block": _formula,
    "formula_inline": _formula,
}
