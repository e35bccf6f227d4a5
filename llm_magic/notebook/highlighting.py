"""Program text as HTML with its words marked, in the colours of JupyterLab's theme.

Pygments finds the words; they get its short class names, of the broadest kind that has a colour.
The colours are JupyterLab's own variables, so the same HTML is right in light and in dark, and
without them (nbconvert, GitHub) it is readable. There is no copy button: it would take a script,
which static HTML has not; code stands in a ``<pre>``, to be selected.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["CLASS", "LANGUAGES", "STYLE", "to_html"]

CLASS = "llm-magic-code"

# Class, the kind of word in Pygments, and its look. Lab's colours for comments and operators are
# too faint on a dark page (4.1 and 3.9 to 1, where reading takes 4.5), so these have none of them.
_LOOKS = (
    ("c", "Comment", "color: var(--jp-content-font-color2, #616161); font-style: italic"),
    ("k", "Keyword", "color: var(--jp-mirror-editor-keyword-color, #008000); font-weight: bold"),
    ("s", "Literal.String", "color: var(--jp-mirror-editor-string-color, #ba2121)"),
    ("m", "Literal.Number", "color: var(--jp-mirror-editor-number-color, #007a00)"),
    ("nb", "Name.Builtin", "color: var(--jp-mirror-editor-builtin-color, #008000)"),
    ("nt", "Name.Tag", "color: var(--jp-mirror-editor-keyword-color, #008000)"),
    ("gd", "Generic.Deleted", "color: var(--jp-mirror-editor-string-color, #ba2121)"),
    ("gi", "Generic.Inserted", "color: var(--jp-mirror-editor-number-color, #007a00)"),
)
STYLE = "\n".join(f".{CLASS} .{name} {{ {look} }}" for name, _, look in _LOOKS)

# A line at the side keeps two blocks apart; on a grey ground the colours would be too faint.
_BLOCK = (
    "border-left: 2px solid var(--jp-border-color2, #bdbdbd); margin: 0.5em 0; padding-left: 8px"
)

# A model names the language: some of Pygments' five hundred lexers take forever over odd text.
LANGUAGES = """
bash c c# c++ console cpp cs csharp css diff docker dockerfile go golang haskell html ini ipython
java javascript js json julia kotlin lua make makefile perl php py python python3 r rb rs ruby rust
scala sh shell sql swift toml ts typescript xml yaml yml zsh
""".split()  # noqa: SIM905
_LONGEST = 20_000


def to_html(code: str, language: str = "") -> str:
    """The text in a ``<pre>``, with its words marked where the language is known.

    >>> to_html("return 1 < x", "python")
    '<pre class="llm-magic-code" style="..."><code class="language-python">\
<span class="k">return</span> <span class="m">1</span> &lt; x</code></pre>'

    Parameters
    ----------
    code : str
        Program text; hostile text will do.
    language : str
        What follows the fence in Markdown, such as ``python``; empty when nobody said.
    """
    named = f' class="language-{html.escape(language)}"' if language else ""
    try:
        marked = _marked(code, language.lower())
    except Exception:
        # The answer is paid for; what a lexer trips over is still shown.
        marked = None
    if marked is None:
        return f'<pre style="{_BLOCK}"><code{named}>{_escape(code)}</code></pre>'
    return f'<pre class="{CLASS}" style="{_BLOCK}"><code{named}>{marked}</code></pre>'


def _marked(code: str, language: str) -> str | None:
    """The code with marked words; None where it is shown as it is."""
    if language not in LANGUAGES or len(code) > _LONGEST:
        return None
    words = list(_lexer(language)(code))
    # What the lexer made tidy is not what the model wrote.
    if "".join(text for _, text in words) != code:
        return None
    return "".join(
        f'<span class="{name}">{_escape(text)}</span>' if name else _escape(text)
        for name, text in words
    )


@functools.cache
def _lexer(language: str) -> Callable[[str], Iterator[tuple[str, str]]]:
    """Cuts code into words with their classes."""
    # Not needed to load the extension, which people wait for.
    from pygments.lexers import get_lexer_by_name
    from pygments.token import string_to_tokentype

    kinds = {string_to_tokentype(kind): name for name, kind, _ in _LOOKS}

    def class_of(kind: Any) -> str:
        while kind is not None and kind not in kinds:
            kind = kind.parent
        return kinds.get(kind, "")

    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    return lambda code: ((class_of(kind), text) for kind, text in lexer.get_tokens(code))


def _escape(text: str) -> str:
    return html.escape(text, quote=False)
