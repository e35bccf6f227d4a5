"""``--map``: a prompt for each item of a list, Series or dict, or each row of a DataFrame."""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from IPython.core.error import StdinNotImplementedError, UsageError
from IPython.display import DisplayHandle
from IPython.display import display as show_object

from llm_magic import batch, client, templates
from llm_magic.batch import Estimate, Question, Work
from llm_magic.exceptions import did_you_mean
from llm_magic.formats import count, counted, usd
from llm_magic.notebook import display
from llm_magic.notebook.asking import Asked
from llm_magic.notebook.display import AnswerText
from llm_magic.notebook.showing import cost_of, note_rounds
from llm_magic.notebook.tables import Table
from llm_magic.types import Completion

__all__ = ["map_prompt", "preview"]

_PACE = 0.1  # seconds
_SHOWN = 20
_LONGEST = 120


def map_prompt(asked: Asked, namespace: Mapping[str, Any]) -> Any:
    """The answers to a prompt for each item, in the shape that the items came in.

    Parameters
    ----------
    asked : Asked
        With ``--map EXPR``.
    namespace : mapping
        The user's variables.

    Raises
    ------
    UsageError
        For what cannot be gone over, and for a cost that nobody agreed to.
    LLMMagicError
        Of the first call that failed. What was answered before is recorded.
    """
    labels, questions, gather = _questions(asked, namespace)
    _confirm(batch.estimate(client.default(), questions), asked)
    progress = _Progress(len(questions), silent=asked.format == "none")
    completions = _ask(questions, asked.options.at_once or batch.AT_ONCE, progress)
    progress.finish(_table(labels, completions))
    answers = [AnswerText(one.text, one, asked.format) for one in completions]
    return gather([asked.value(answer) for answer in answers])


def preview(asked: Asked, namespace: Mapping[str, Any]) -> None:
    """Show what it would cost, and the first of its calls; nothing is asked."""
    _, questions, _ = _questions(asked, namespace)
    asker = client.default()
    print(f"--map {asked.options.map}: {batch.estimate(asker, questions)}")
    for question in questions[:1]:
        show_object(asker.preview(question.prompt, stream=True, **question.options))


def _questions(
    asked: Asked, namespace: Mapping[str, Any]
) -> tuple[list[Any], list[Question], Callable[[list[Any]], Any]]:
    labels, names, gather = _items(asked, namespace)
    questions = [Question(*asked.call({**namespace, **extra})) for extra in names]
    return labels, questions, gather


def _items(asked: Asked, namespace: Mapping[str, Any]) -> Any:
    expression = asked.options.map
    found = templates.expressions(asked.text) if asked.expands else []
    used = {node.id for tree in found for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if not used & {"item", "key", "row"}:
        raise UsageError(
            f"--map {expression}: the prompt has no {{{{ item }}}}, so all calls would be the same"
        )
    try:
        # The user's own expression, in the user's own cell, with the user's own variables.
        values = eval(expression, dict(namespace))  # noqa: S307
        return batch.items(values)
    except NameError as error:
        known = (name for name in namespace if not name.startswith("_"))
        hint = did_you_mean(str(error.name), known, show_all=False)
        told = f"no variable {error.name}" + (f"; {hint}" if hint else "")
    except TypeError as error:
        told = str(error)
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
    raise UsageError(f"--map {expression}: {' '.join(told.split())}")


def _confirm(seen: Estimate, asked: Asked) -> None:
    """Ask whether it may cost that much, where it can be more than the setting says."""
    limit = asked.settings.get("confirm_above")
    if asked.options.yes or not seen.live or not seen.exceeds(limit):
        return
    # What a budget does not admit is refused call by call; this is about the whole.
    told = f"--map: {seen}; more than {usd(limit)} (confirm_above) wants your word"
    if display.in_terminal() and not sys.stdin.isatty():
        raise UsageError(f"{told}: add --yes")
    try:
        answer = input(f"{told}. Go ahead? [y/N] ")
    except (EOFError, OSError, StdinNotImplementedError):
        raise UsageError(f"{told}: add --yes") from None
    if answer.strip().lower() not in ("y", "yes"):
        raise UsageError("--map: not confirmed; nothing was asked")


def _ask(questions: Sequence[Question], at_once: int, progress: _Progress) -> list[Completion]:
    error: BaseException | None = None
    try:
        with Work(client.default(), questions, at_once=at_once) as work:
            for _, news in work.events():
                if isinstance(news, Completion):
                    progress.add(news)
    except KeyboardInterrupt as interrupt:
        error = interrupt
    failed = [error, *(one for one in work.outcomes if isinstance(one, Exception))]
    error = next(filter(None, failed), None)
    if error is None:
        return [note_rounds(one) for one in work.outcomes if isinstance(one, Completion)]
    kept = sum(isinstance(one, Completion) for one in work.outcomes)
    told = f"{count(kept)} of {counted(len(questions), 'item')} answered and recorded"
    error.args = (f"{str(error) or 'stopped'} ({told})", *error.args[1:])
    raise error


class _Progress:
    """How far it is, while live answers come; then the table, in its place.

    Replays are displayed once, finished. A terminal has a line that is written over.
    """

    def __init__(self, total: int, *, silent: bool) -> None:
        self.done = 0
        self._total = total
        self._silent = silent
        self._paid: list[Completion] = []
        self._next = 0.0
        self._handle: Any = None
        self._in_terminal = display.in_terminal()

    def add(self, completion: Completion) -> None:
        self.done += 1
        if completion.source == "live":
            self._paid.append(completion)
        now = time.monotonic()
        if self._paid and not self._silent and now >= self._next:
            self._next = now + _PACE
            self._write()

    def finish(self, table: Table) -> None:
        if self._silent:
            return
        if self._in_terminal:
            line = f"\r{self}\n" if self._paid else ""
            print(f"{line}{table!r}")
        elif self._handle is None:
            show_object(table)
        else:
            self._handle.update(table)

    def __repr__(self) -> str:
        filled = 20 * self.done // self._total
        bar = "█" * filled + "░" * (20 - filled)
        return f"{bar} {count(self.done)} of {count(self._total)} · {usd(cost_of(self._paid))}"

    def _write(self) -> None:
        if self._in_terminal:
            print(f"\r{self}", end="", flush=True)
        elif self._handle is None:
            self._handle = DisplayHandle()
            self._handle.display(self)
        else:
            self._handle.update(self)


def _table(labels: Sequence[Any], completions: Sequence[Completion]) -> Table:
    """The first answers, and what all of them used and cost."""
    rows = [
        (_short(label), _short(one.text))
        for label, one in zip(labels[:_SHOWN], completions, strict=False)
    ]
    more = len(completions) - len(rows)
    told = [f"and {count(more)} more"] if more else []
    return Table(["item", "answer"], rows, "\n".join([*told, _sum(completions)]))


def _sum(completions: Sequence[Completion]) -> str:
    """One line as the footer of an answer, of all of them."""
    usages = [one.tokens for one in completions if one.tokens is not None]
    going_in = sum(usage.input_tokens for usage in usages)
    coming_out = sum(usage.output_tokens for usage in usages)
    live = sum(one.source == "live" for one in completions)
    sources = [(live, "live"), (len(completions) - live, "replayed")]
    told = ", ".join(f"{word} {count(number)}" for number, word in sources if number)
    return " · ".join(
        [
            counted(len(completions), "answer"),
            f"{count(going_in)} + {count(coming_out)} tokens",
            usd(cost_of(completions)),
            told or "replayed 0",
        ]
    )


def _short(value: Any) -> str:
    line = " ".join(display.visible(str(value)).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
