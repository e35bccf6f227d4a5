"""How an answer is shown: safe HTML, plain text and provenance in one output, with a quiet footer.

A live answer streams into one display; a replayed one is displayed once, finished, and is the same
output every time. A terminal gets the text as it comes, because it prints every update again.
"""

from __future__ import annotations

import hashlib
import html
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from IPython import get_ipython
from IPython.display import DisplayHandle, display

from llm_magic import pricing, replay, worddiff
from llm_magic.formats import count, duration, printable, usd
from llm_magic.notebook import cell, highlighting, markdown
from llm_magic.notebook.asides import Aside, asides
from llm_magic.notebook.lab import Provenance
from llm_magic.secrets import redact
from llm_magic.types import Completion

__all__ = [
    "FORMATS",
    "Answer",
    "AnswerText",
    "LiveAnswer",
    "footer",
    "in_terminal",
    "show",
    "visible",
]

MIME_TYPE = "application/vnd.llm-magic+json"


class AnswerText(str):
    """The text of an answer, as ``--out NAME`` binds it: a str that knows where it came from.

    It pickles as a plain str, so that a file or a worker that gets it needs no llm-magic, and
    caches that hash it see the text only.

    Parameters
    ----------
    text : str
        The text.
    completion : Completion, optional
        The answer that it is the text of.
    shown_as : str
        Format in which it shows as the value of a cell; see :class:`Answer`.
    """

    completion: Completion | None
    shown_as: str

    def __new__(
        cls, text: str, completion: Completion | None = None, shown_as: str = "md"
    ) -> AnswerText:
        """A str with the completion beside it."""
        answer = super().__new__(cls, text)
        answer.completion = completion
        answer.shown_as = shown_as
        return answer

    @property
    def cost(self) -> Any:
        """USD as a Decimal; None when the price is unknown."""
        return self.completion and self.completion.cost

    @property
    def usage(self) -> Any:
        """Token counts in OpenAI's shape; None when the provider did not tell."""
        return self.completion and self.completion.get("usage")

    @property
    def parsed(self) -> Any:
        """The answer as data, where a schema was asked for; else None."""
        return self.completion and self.completion.parsed

    def json(self) -> Any:
        """The text, or the first fenced JSON in it, as data.

        Raises
        ------
        ValueError
            When there is no JSON.
        """
        return _parse_json(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        if self.completion is None:
            return {"text/plain": repr(str(self))}
        return Answer(str(self), format=self.shown_as, completion=self.completion).bundle()

    def __copy__(self) -> AnswerText:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> AnswerText:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str(self),)


def footer(completion: Completion) -> str:
    """One quiet line about an answer: model, tokens, cost, live or replayed; then its notes.

    ``openai/gpt-5-mini · 1,204 + 380 tokens · $0.0042 · live 1.8 s``
    """
    usage = completion.tokens
    tokens = f"{count(usage.input_tokens)} + {count(usage.output_tokens)}" if usage else "?"
    parts = [completion.reference or completion.provider, f"{tokens} tokens", usd(completion.cost)]
    if completion.source == "replay":
        day = f" from {completion.recorded.date().isoformat()}" if completion.recorded else ""
        parts.append(f"replayed{day}")
    elif completion.latency_ms is None:
        parts.append("live")
    else:
        parts.append(f"live {duration(completion.latency_ms)}")
    line = " · ".join(_plainly(part) for part in parts if part)
    return "\n".join([line, *(f"note: {_plainly(note)}" for note in completion.notes)])


class Answer:
    """An answer, or what has arrived of it, for :func:`IPython.display.display`.

    Parameters
    ----------
    text : str
        Text so far; a completion with several choices brings its own.
    format : str
        ``md``, ``text``, ``code``, ``json``, ``html`` (its source) or ``none``.
    completion : Completion, optional
        The finished answer, for footer and provenance.
    done : bool
        Whether more is to come.
    error : str or Exception, optional
        Why the answer is incomplete.
    """

    def __init__(
        self,
        text: str,
        *,
        format: str = "md",
        completion: Completion | None = None,
        done: bool = True,
        error: str | BaseException | None = None,
    ) -> None:
        if format not in FORMATS:
            raise ValueError(f"unknown format {format!r} (formats: {', '.join(FORMATS)})")
        texts = completion.texts if completion is not None else []
        self.texts = [visible(choice) for choice in (texts if len(texts) > 1 else [text])]
        self.asides = [
            [Aside(_one_line(visible(aside.title)), visible(aside.text)) for aside in beside]
            for beside in (asides(completion) if completion is not None else ())
        ]
        self.format = format
        self.completion = completion
        self.done = done
        self.error = None if error is None else _one_line(visible(str(error)))
        # Now: an answer in the background is shown when another cell runs.
        self._checksum = cell.checksum()

    def __repr__(self) -> str:
        return self.plain()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return self.bundle()

    def bundle(self) -> dict[str, Any]:
        """The answer in every form, by mime type; none for the format ``none``."""
        if self.format == "none":
            return {}
        bundle: dict[str, Any] = {"text/plain": self.plain(), "text/html": self.html()}
        if self.completion is not None:
            bundle[MIME_TYPE] = provenance(self.completion, self._checksum)
        return bundle

    def plain(self) -> str:
        """The answer for a terminal and for search: text, blank line, footer."""
        blocks = [
            "\n\n".join([*([text] if text else []), *(aside.plain() for aside in beside)])
            for text, beside in self._choices()
        ]
        if len(blocks) > 1:
            blocks = [f"{_heading(number)}:\n{block}" for number, block in enumerate(blocks, 1)]
        return "\n\n".join(block for block in [*blocks, "\n".join(self._remarks())] if block)

    def html(self) -> str:
        """The answer for a notebook; it needs no JavaScript, no kernel and no trust."""
        render = FORMATS[self.format] or _source
        blocks = [
            # What a model only thought or called has nothing above it: it is the answer.
            "".join([render(text), *(aside.html(unfolded=not text) for aside in beside)])
            for text, beside in self._choices()
        ]
        body = blocks[0] if len(blocks) == 1 else _tabs(blocks, self._group())
        remarks = self._remarks()
        if remarks:
            lines = "<br>".join(html.escape(line) for line in remarks)
            body += f'<div class="llm-magic-footer {_IGNORE}" style="{_MUTED}">{lines}</div>'
        return f'<div class="llm-magic-answer">{_style(body)}{body}</div>'

    def _choices(self) -> list[tuple[str, list[Aside]]]:
        """Every text, with what stands beside it."""
        beside = [*self.asides, *([] for _ in self.texts)]
        return list(zip(self.texts, beside, strict=False))

    def _group(self) -> str:
        """A name for the tabs of this answer, the same whenever the cell runs again.

        Another cell that shows the same answer has other tabs: opening one here must not close
        one there.
        """
        run = replay.current_run()
        key = self.completion.key if self.completion is not None else ""
        line = run.cell.get("line", "") if run is not None else ""
        return hashlib.sha256("\0".join([line, key, *self.texts]).encode()).hexdigest()[:12]

    def _remarks(self) -> list[str]:
        if not self.done:
            return ["…"]
        lines = [] if self.error is None else [f"incomplete: {self.error}"]
        if self.completion is not None:
            lines += visible(footer(self.completion)).splitlines()
        if self.format == "json" and self.error is None and not all(map(_is_json, self.texts)):
            lines.append("note: the answer is not JSON, so it is shown as it came")
        return lines


def provenance(completion: Completion, checksum: int | None = None) -> Provenance:
    """Where an answer came from, as the output's metadata; equal for every replay of it.

    Parameters
    ----------
    completion : Completion
        The answer.
    checksum : int, optional
        CRC-32 of the cell that shows it.
    """
    replayed = completion.source == "replay"
    return Provenance(
        version=1,
        model=_sendable(completion.reference),
        provider=_sendable(completion.provider),
        key=completion.key,
        ordinal=completion.ordinal,
        source=completion.source,
        recorded=completion.recorded.isoformat() if completion.recorded else None,
        cost=_decimal(completion.cost),
        saved=_decimal(completion.saved),
        cost_source=completion.cost_source,
        tokens=completion.tokens.to_dict() if completion.tokens else None,
        prices=_prices(completion),
        latency_ms=None if replayed else completion.latency_ms,
        finish_reason=_sendable(_finish_reason(completion)),
        notes=[visible(str(note)) for note in completion.notes],
        attempts=_attempts(completion),
        prompt_crc32=checksum,
    )


def _prices(completion: Completion) -> dict[str, str] | None:
    each = pricing.per_token(completion.get("usage"), completion.tokens, completion.prices)
    return {bucket: f"{price:f}" for bucket, price in each.items()} if each is not None else None


def _attempts(completion: Completion) -> list[dict[str, Any]]:
    """Every request that was sent, where not the first one was answered."""
    if not any(attempt.get("error") for attempt in completion.attempts):
        return []
    return [
        {
            "model": visible(str(attempt.get("model"))),
            "error": _one_line(visible(attempt["error"])) if attempt.get("error") else None,
            "latency_ms": attempt.get("latency_ms"),
        }
        for attempt in completion.attempts
    ]


def _sendable(text: str | None) -> str | None:
    # One half of a surrogate pair in a name would keep the whole output from the notebook.
    return None if text is None else visible(str(text))


def _decimal(amount: Any) -> str | None:
    return None if amount is None else f"{amount:f}"


def _finish_reason(completion: Completion) -> str | None:
    choices = completion.get("choices")
    return choices[0].get("finish_reason") if choices else None


class LiveAnswer:
    """An answer while it streams: one display, updated at most every ``interval`` seconds.

    There is no timer behind it: it looks at the clock when text is added, so nothing happens in a
    notebook between cells.

    Parameters
    ----------
    format : str
        As of :class:`Answer`.
    clock : callable
        Seconds, for tests.
    interval : float
        Least time between two updates; more when rendering itself takes long.
    handle : object, optional
        Has ``update(answer)``, and is given each one; by default an output of the cell is.
    """

    def __init__(
        self,
        format: str = "md",
        *,
        clock: Callable[[], float] = time.monotonic,
        interval: float = 0.1,
        handle: Any = None,
    ) -> None:
        self._format = Answer("", format=format).format
        self._clock = clock
        self._interval = interval
        self._pieces: list[str] = []
        self._handle = handle
        self._next = 0.0
        self._ended = False
        self._in_terminal = handle is None and in_terminal()

    @property
    def text(self) -> str:
        """What has arrived."""
        return "".join(self._pieces)

    def add(self, text: str) -> None:
        """Append text, and show it when it is time."""
        if not text or self._ended:
            return
        self._pieces.append(text)
        if self._format == "none":
            return
        if self._in_terminal:
            _print(visible(text))
            return
        started = self._clock()
        if self._handle is None or started >= self._next:
            self._update(Answer(self.text, format=self._format, done=False))
            # A long answer takes long to render: leave most of the time to the stream.
            finished = self._clock()
            self._next = max(started + self._interval, finished + 4 * (finished - started))

    def finish(self, completion: Completion) -> None:
        """Show the finished answer: exactly one update, the last."""
        self._end(Answer(completion.text, format=self._format, completion=completion))

    def fail(self, error: str | BaseException) -> None:
        """Keep the partial text and say that it is incomplete; without text there is nothing to."""
        if self._pieces:
            self._end(Answer(self.text, format=self._format, error=error))
        self._ended = True

    def _end(self, answer: Answer) -> None:
        if self._ended:
            return
        self._ended = True
        if self._format == "none":
            return
        if self._in_terminal:
            self._print_rest(answer)
        elif self._handle is None:
            display(answer)
        else:
            self._handle.update(answer)

    def _update(self, answer: Answer) -> None:
        if self._handle is None:
            # Kept before it shows anything: an interrupt in between must not lose the display.
            self._handle = DisplayHandle()
            self._handle.display(answer)
        else:
            self._handle.update(answer)

    def _print_rest(self, answer: Answer) -> None:
        rest = answer.plain()
        if self._pieces:
            # The first choice is on the screen already.
            rest = rest.removeprefix("choice 1:\n" if len(answer.texts) > 1 else "")
            rest = "\n\n" + rest.removeprefix(answer.texts[0]).lstrip("\n")
        _print(rest + "\n")


def show(completion: Completion, format: str = "md") -> None:
    """Display a finished answer once: no display id, no update, the same output every time."""
    answer = Answer(completion.text, format=format, completion=completion)
    if format == "none":
        return
    if in_terminal():
        _print(answer.plain() + "\n")
    else:
        display(answer)


def in_terminal() -> bool:
    """Whether there is no notebook: a terminal prints every update of a display again."""
    return getattr(get_ipython(), "kernel", None) is None


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


# Formats

_IGNORE = "tex2jax_ignore mathjax_ignore"  # a footer has dollar signs, and no formulas
_MUTED = (
    "color: var(--jp-ui-font-color2, #616161); font-size: var(--jp-ui-font-size0, 0.83em);"
    " margin-top: 4px; overflow-wrap: anywhere"
)
_WRAP = "white-space: pre-wrap; overflow-wrap: anywhere"


def _source(text: str) -> str:
    return f'<pre style="{_WRAP}">{html.escape(text, quote=False)}</pre>'


def _code(text: str) -> str:
    blocks = markdown.code_blocks(text) or [("", text)]
    return "\n".join(highlighting.to_html(code, language) for language, code in blocks)


def _json(text: str) -> str:
    try:
        tidy = json.dumps(_parse_json(text), indent=2, ensure_ascii=False)
    except ValueError:
        return _source(text)
    return highlighting.to_html(tidy, "json")


# One row a format: from text to HTML. ``html`` is shown as source: it is never live.
FORMATS: dict[str, Callable[[str], str] | None] = {
    "md": markdown.to_html,
    "text": _source,
    "code": _code,
    "json": _json,
    "html": _source,
    "none": None,
}


# Choices

_CHOICES = "llm-magic-choices"

# The tabs stand in a row above the text of the open one. A browser that cannot do this, or a viewer
# that drops the style (JupyterLab does for a notebook that nobody trusts), shows them one below the
# other, to be unfolded.
_TABS = f"""@supports selector(details::details-content) {{
.{_CHOICES} {{ display: flex; flex-wrap: wrap; column-gap: 4px }}
.{_CHOICES} > details {{ display: contents }}
.{_CHOICES} > details > summary {{ list-style: none; padding: 2px 10px; cursor: pointer;
  color: var(--jp-ui-font-color2, #616161); border-bottom: 2px solid transparent }}
.{_CHOICES} > details[open] > summary {{ color: var(--jp-ui-font-color1, #212121);
  border-bottom-color: var(--jp-brand-color1, #1976d2) }}
.{_CHOICES} > details::details-content {{ order: 1; flex: 0 0 100%; min-width: 0 }}
}}"""


def _tabs(blocks: Sequence[str], group: str) -> str:
    """The blocks under their headings, the first one open; opening one closes the others."""
    tabs = "".join(
        f'<details name="llm-magic-{group}"{" open" if number == 1 else ""}>'
        f"<summary>{_heading(number)}</summary>{block}</details>"
        for number, block in enumerate(blocks, 1)
    )
    return f'<div class="{_CHOICES}">{tabs}</div>'


def _heading(number: int) -> str:
    return f"choice {number}"


def _style(body: str) -> str:
    """The styles that the body needs; most answers need none."""
    styles = ((f'class="{highlighting.CLASS}"', highlighting.STYLE), (f'class="{_CHOICES}"', _TABS))
    used = "\n".join(style for marker, style in styles if marker in body)
    return f"<style>{used}</style>" if used else ""


def _parse_json(text: str) -> Any:
    candidates = [str(text)]
    blocks = markdown.code_blocks(text)
    for wanted in ("json", ""):
        candidates += [code for language, code in blocks if language.lower() == wanted][:1]
    for candidate in candidates:
        try:
            return json.loads(candidate)
        except (ValueError, RecursionError):
            continue
    raise ValueError(f"the answer is not JSON: it begins with {_one_line(text)[:40]!r}")


def _is_json(text: str) -> bool:
    try:
        _parse_json(text)
    except ValueError:
        return False
    return True


def visible(text: str) -> str:
    """The text without characters that would drive a terminal, and without known keys."""
    return printable(redact(text))


def _one_line(text: str) -> str:
    return " ".join(str(text).split())


def _plainly(text: str) -> str:
    """One line in which nothing is hidden: what turns the rest of a line around shows its code."""
    return worddiff.visible(_one_line(text))
