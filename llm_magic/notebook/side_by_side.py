"""Several models asked the same at once: a table of their answers, tokens, costs and times."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from typing import Any

from IPython.display import DisplayHandle
from IPython.display import display as show_object

from llm_magic import client, config, routing
from llm_magic.batch import Question, Work
from llm_magic.formats import count, counted, duration, usd
from llm_magic.notebook import display
from llm_magic.notebook.display import Answer
from llm_magic.notebook.failing import one_line
from llm_magic.notebook.showing import note_rounds
from llm_magic.types import Completion

__all__ = ["Comparison", "ask"]

_PACE = 0.1  # seconds
_COLUMNS = ("model", "answer", "tokens", "cost", "time")


class Comparison:
    """Answers side by side, for :func:`IPython.display.display`.

    Parameters
    ----------
    models : sequence of str
        As they were named.
    outcomes : sequence of Completion, Exception, str or None
        The answers; text is one that is still coming, None one that never came.
    format : str
        Of the answers; see :class:`Answer`.
    """

    def __init__(self, models: Sequence[str], outcomes: Sequence[Any], format: str = "md") -> None:
        self.models = [display.visible(model) for model in models]
        self.outcomes = list(outcomes)
        self.format = format

    def __repr__(self) -> str:
        blocks = []
        for model, outcome in zip(self.models, self.outcomes, strict=True):
            text = self._answer(outcome).plain() or "nothing was answered"
            blocks.append(f"{model}:\n{text}")
        return "\n\n".join(blocks)

    def _repr_html_(self) -> str:
        names = "".join(f"<th scope='col' style='{_CELL}'>{name}</th>" for name in _COLUMNS)
        rows = "\n".join(map(self._row, self.models, self.outcomes))
        return (
            f'<table class="llm-magic-table"><thead><tr>{names}</tr></thead>\n'
            f"<tbody>{rows}</tbody></table>"
        )

    def _answer(self, outcome: Any) -> Answer:
        if isinstance(outcome, Completion):
            return Answer(outcome.text, format=self.format, completion=outcome)
        if isinstance(outcome, BaseException):
            return Answer("", format=self.format, error=one_line(outcome))
        if outcome is None:
            return Answer("", format=self.format, error="not answered")
        return Answer(outcome, format=self.format, done=False)

    def _row(self, model: str, outcome: Any) -> str:
        cells = [_cell(html.escape(model), _QUIET), _cell(self._shown(outcome))]
        figures = ["", "", ""]
        if isinstance(outcome, Completion):
            usage, spent = outcome.tokens, outcome.latency_ms
            figures = [
                f"{count(usage.input_tokens)} + {count(usage.output_tokens)}" if usage else "?",
                usd(outcome.cost),
                "replayed"
                if outcome.source == "replay"
                else "?"
                if spent is None
                else duration(spent),
            ]
        tokens, *measured = figures
        cells.append(_cell(tokens, _QUIET))
        cells += [_cell(figure, f"{_QUIET} {MEASURED}") for figure in measured]
        return f"<tr>{''.join(cells)}</tr>"

    def _shown(self, outcome: Any) -> str:
        """The answer without a footer, whose figures stand beside it."""
        if isinstance(outcome, Completion):
            notes = "".join(f"<br>note: {html.escape(display.visible(n))}" for n in outcome.notes)
            return Answer(outcome.text, format=self.format).html() + notes
        return self._answer(outcome).html()


# Cells that differ from run to run; llm_magic.verify.volatile knows the word.
MEASURED = "llm-magic-measured"
_QUIET = "tex2jax_ignore mathjax_ignore"  # figures have dollar signs, and no formulas
_CELL = "text-align: left; vertical-align: top; overflow-wrap: anywhere"


def _cell(inner: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f"<td{named} style='{_CELL}'>{inner}</td>"


def ask(models: Sequence[str], questions: Sequence[Question], format: str) -> list[Completion]:
    """The answers of several models, displayed side by side.

    Parameters
    ----------
    models : sequence of str
        As they were named, for the table.
    questions : sequence of Question
        One for each.
    format : str
        How the answers are shown; ``none`` shows nothing.

    Raises
    ------
    LLMMagicError
        The first error, after all the others had their turn; the table has the rest.
    """
    for model in models:
        routing.resolve(model, config.default())  # a wrong name is told before anything is sent
    table = Comparison(models, [""] * len(questions), format)
    screen = _Screen(table)
    try:
        with Work(client.default(), questions, at_once=len(questions), on_error="go on") as work:
            for number, news in work.events():
                if isinstance(news, str):
                    table.outcomes[number] += news
                else:
                    table.outcomes[number] = news
                screen.refresh(live=isinstance(news, str))
    except KeyboardInterrupt as error:
        kept = sum(isinstance(one, Completion) for one in table.outcomes)
        error.args = (f"stopped ({count(kept)} of {counted(len(models), 'model')} answered)",)
        table.outcomes = [one if isinstance(one, Completion) else error for one in table.outcomes]
        screen.finish()
        raise
    screen.finish()
    errors = [one for one in table.outcomes if isinstance(one, BaseException)]
    if errors:
        raise errors[0]
    return [note_rounds(completion) for completion in table.outcomes]


class _Screen:
    """One display of a table, updated while something live comes; replays are displayed once."""

    def __init__(self, table: Comparison) -> None:
        self._table = table
        self._handle: Any = None
        self._next = 0.0
        self._silent = table.format == "none" or display.in_terminal()

    def refresh(self, *, live: bool) -> None:
        now = time.monotonic()
        if self._silent or now < self._next or not (live or self._handle):
            return
        self._next = now + _PACE
        self._show()

    def finish(self) -> None:
        if self._table.format == "none":
            return
        if display.in_terminal():
            print(repr(self._table))
        elif self._handle is None:
            show_object(self._table)
        else:
            self._show()

    def _show(self) -> None:
        if self._handle is None:
            self._handle = DisplayHandle()
            self._handle.display(self._table)
        else:
            self._handle.update(self._table)
