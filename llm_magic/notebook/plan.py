"""What running a notebook would ask and cost, told without running it: ``llm-magic plan``.

The cells are read in their order. ``%%complete`` and ``%complete`` at the top of a cell, what
``%llm`` sets, and values that are written in the notebook or recorded are understood; a call that
needs more than that is told as one that nobody can know. No cell is run, nothing is sent, and no
recording is written.
"""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError
from IPython.core.inputtransformer2 import TransformerManager

from llm_magic import headless, preview, replay, routing
from llm_magic.budgets import PERIODS, State
from llm_magic.client import Client
from llm_magic.config import Settings
from llm_magic.exceptions import ConfigError, LLMMagicError, SchemaError, did_you_mean
from llm_magic.formats import counted, usd
from llm_magic.notebook import asking
from llm_magic.notebook.asking import Asked
from llm_magic.notebook.display import AnswerText, visible
from llm_magic.notebook.names import Names, UnknownError
from llm_magic.notebook.questions import Question
from llm_magic.notebook.tables import Table
from llm_magic.preview import LIVE, MISS, REPLAY, Preview
from llm_magic.replay import Run
from llm_magic.shelf import Shelf
from llm_magic.types import Completion, Mode

__all__ = ["VERSION", "Plan", "PlannedCall", "plan"]

# Of the shape that to_dict() gives.
VERSION = 1

# How a call can stand, beside live, replay and miss.
UNKNOWN, FAILS = "unknown", "fails"

_LONGEST_LINE, _LONGEST_TEXT = 50, 90


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One call of a notebook, or what may be any number of them.

    Attributes
    ----------
    cell : int
        Number among the code cells, from 1.
    line : str
        First line of the cell.
    status : str
        ``live``, ``replay``, ``miss`` (REPLAY without a recording), ``unknown`` (nobody can know
        without running a cell) or ``fails`` (it cannot be made as it stands).
    reason : str
        Why, for the last two; for a replay, the cell that gets the answer, when it is still to
        come.
    preview : Preview or None
        What would be asked, where that is known.
    """

    cell: int
    line: str
    status: str
    reason: str = ""
    preview: Preview | None = None

    def __str__(self) -> str:
        match self.status:
            case "unknown":
                return f"cannot know ({self.reason})"
            case "fails":
                return f"fails: {self.reason}"
            case "miss":
                return "fails: not recorded, and the mode is REPLAY"
            case "replay":
                return f"replay ({self.reason})" if self.reason else "replay"
        assert self.preview is not None
        return preview.cost_range(self.preview)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, without the prompt."""
        seen = self.preview
        known = (
            {}
            if seen is None
            else {
                "model": seen.reference,
                "mode": str(seen.mode),
                "key": seen.key,
                "input_tokens": seen.input_tokens,
                "notes": list(seen.notes),
            }
        )
        costs = {}
        if seen is not None and self.status == LIVE:
            costs = {
                "least": _text(seen.least),
                "most": _text(seen.most),
                "most_under_budget": _text(seen.most_under_budget),
            }
        named = {"cell": self.cell, "line": self.line, "status": self.status}
        return {**named, "reason": self.reason, **known, **costs}


@dataclass(frozen=True, slots=True)
class Plan:
    """What running a notebook would ask and cost.

    Attributes
    ----------
    notebook : str
        Its file name.
    calls : tuple of PlannedCall
        In the order of the cells; cells that ask nothing have none.
    cells : int
        How many code cells there are.
    budgets : tuple of State
        The caps that would count, and how far they are used.
    from_kernel : tuple of str
        Variables whose values were taken from the running kernel.
    """

    notebook: str
    calls: tuple[PlannedCall, ...]
    cells: int
    budgets: tuple[State, ...] = ()
    from_kernel: tuple[str, ...] = ()

    def count(self, *statuses: str) -> int:
        """How many calls stand like that."""
        return sum(call.status in statuses for call in self.calls)

    @property
    def priced(self) -> list[Preview]:
        """The live calls whose cost has a bound, under a budget at least."""
        return [one for one in self._live if one.most_under_budget is not None]

    @property
    def unpriced(self) -> int:
        """How many live calls have no such bound."""
        return len(self._live) - len(self.priced)

    @property
    def open_ended(self) -> bool:
        """Whether some of the bounds hold under a budget only."""
        return any(one.most is None for one in self.priced)

    @property
    def least(self) -> Decimal:
        """USD, about: what goes in, of the calls whose cost has a bound."""
        return sum((one.least or Decimal(0) for one in self.priced), Decimal(0))

    @property
    def most(self) -> Decimal:
        """USD that the calls whose cost has a bound cost at most, if need be under a budget."""
        return _most(self.priced)

    @property
    def _live(self) -> list[Preview]:
        return [call.preview for call in self.calls if call.status == LIVE and call.preview]

    @property
    def total(self) -> str:
        """One line: what it costs at most, and what is not in that."""
        kept = " under a budget" if self.open_ended else ""
        told = [
            f"at most {usd(self.most)}{kept} for {counted(len(self.priced), 'call')}",
            counted(self.count(REPLAY), "replay"),
        ]
        if unknown := self.count(UNKNOWN):
            told.append(f"{counted(unknown, 'cell')} that nobody can know")
        if self.unpriced:
            told.append(f"{counted(self.unpriced, 'call')} of unknown price")
        if failing := self.count(MISS, FAILS):
            told.append(f"{counted(failing, 'call')} that would fail")
        return ", ".join(told)

    def remarks(self) -> list[str]:
        """What the reader should know beside the total."""
        told = [self._told_budget(state) for state in self.budgets]
        if self.open_ended:
            told.append(
                "nothing limits an answer without --max-tokens and a budget: %llm budget USD sets"
                " one"
            )
        if self.from_kernel:
            told.append(f"with values of this kernel: {', '.join(self.from_kernel)}")
        return told

    def _told_budget(self, state: State) -> str:
        enough = "is enough"
        if self._asked_of(state) > state.left:
            enough = "is not enough: what could go over it is refused"
        elif self.unpriced or self.count(UNKNOWN):
            enough = "is enough for these, and nobody knows of the others"
        left = f"{usd(state.left)} of {usd(state.cap.limit)} left, which {enough}"
        return f"budget per {state.cap.per}: {left}"

    def _asked_of(self, state: State) -> Decimal:
        """What the plan wants of a cap at most."""
        if state.cap.per == "call":
            return max((_most([one]) for one in self.priced), default=Decimal(0))
        if state.cap.per != "cell":
            return self.most
        cells: dict[int, list[Preview]] = {}
        for call in self.calls:
            if call.preview in self.priced:
                cells.setdefault(call.cell, []).append(call.preview)
        return max(map(_most, cells.values()), default=Decimal(0))

    def table(self) -> Table:
        """A row a call, and the total below."""
        rows = [
            (
                call.cell,
                _short(str(call), _LONGEST_TEXT),
                call.preview.reference if call.preview else "",
                call.line,
            )
            for call in self.calls
        ]
        shown = [[visible(str(cell)) for cell in row] for row in rows]
        caption = "\n".join([f"{self.notebook}: {self.total}", *self.remarks()])
        return Table(_HEADER if rows else [], shown, visible(caption))

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def to_dict(self) -> dict[str, Any]:
        """As plain data: what ``llm-magic plan --json`` prints. USD are decimal text.

        ``most`` of the total and of a call is null where nothing limits an answer;
        ``most_under_budget`` is what it would be with a budget, null where nobody knows the price.
        """
        return {
            "version": VERSION,
            "notebook": self.notebook,
            "cells": self.cells,
            "total": {
                "least": _text(self.least),
                "most": None if self.open_ended else _text(self.most),
                "most_under_budget": _text(self.most),
                "calls": len(self.priced),
                "unknown_price": self.unpriced,
                **{status: self.count(status) for status in (REPLAY, MISS, UNKNOWN, FAILS)},
            },
            "budgets": [
                {
                    "per": state.cap.per,
                    "limit": _text(state.cap.limit),
                    "left": _text(state.left),
                    "enough": self._asked_of(state) <= state.left,
                }
                for state in self.budgets
            ],
            "from_kernel": list(self.from_kernel),
            "calls": [call.to_dict() for call in self.calls],
        }


_HEADER = ["cell", "plan", "model", "begins with"]


def _most(previews: Sequence[Preview]) -> Decimal:
    return sum((one.most_under_budget or Decimal(0) for one in previews), Decimal(0))


def _short(text: str, longest: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"


def plan(
    path: Path,
    *,
    namespace: Mapping[str, Any] | None = None,
    like: Settings | None = None,
    environment: Mapping[str, str] | None = None,
) -> Plan:
    """What running a notebook would ask and cost.

    Parameters
    ----------
    path : pathlib.Path
        The notebook, as it was saved.
    namespace : mapping, optional
        Variables of a running kernel, for what the notebook itself does not tell.
    like : Settings, optional
        Settings to begin with, those of a running kernel; by default those of a new process.
    environment : mapping, optional
        Stands in for ``os.environ``.

    Raises
    ------
    LLMMagicError
        When it is no notebook.
    """
    cells = [cell for cell in headless.read(path).cells if cell.cell_type == "code"]
    client = Client(path.resolve().parent)
    client.settings = _settings(path, like, environment)
    with closing(Shelf(client.settings.workspace, read_only=True)) as shelf:
        walk = _Walk(client, shelf, Names(namespace))
        for number, cell in enumerate(cells, 1):
            walk.cell(number, cell.source)
    return Plan(
        path.name,
        tuple(walk.calls),
        len(cells),
        tuple(preview.standing(client.settings, Run())),
        tuple(sorted(walk.names.from_kernel)),
    )


def _settings(path: Path, like: Settings | None, environment: Mapping[str, str] | None) -> Settings:
    """Settings of our own, which lines of the notebook may change."""
    ours = {"LLM_MAGIC_NOTEBOOK": str(path.resolve())}
    if like is not None and like.imposed:
        ours["LLM_MAGIC_MODE"] = str(Mode.REPLAY)
    settings = Settings(path.resolve().parent, environ=environment, laid_over=ours)
    if like is not None:
        settings.session.update(like.session)
        for name, reference in like.aliases.items():
            settings.alias(name, reference)
    return settings


_PYTHON = "Python code asks a model"
_BLOCK = "a loop, function or condition asks"


class _Walk:
    """Goes through the cells, and keeps what they would leave behind."""

    def __init__(self, client: Client, shelf: Shelf, names: Names) -> None:
        self.calls: list[PlannedCall] = []
        self.names = names
        self._client = client
        self._shelf = shelf
        # Which cell gets the answer to a request that is not recorded yet, by its key.
        self._coming: dict[str, int] = {}
        # The cell that sets what cannot be known.
        self._set_by: int | None = None
        self._number = 0
        self._line = ""
        self._run = Run()

    def cell(self, number: int, source: str) -> None:
        """Go past a cell."""
        lines = source.strip().splitlines()
        self._line = _short(lines[0], _LONGEST_LINE) if lines else ""
        self._number, self._run = number, Run()
        self._code(source)

    def _code(self, source: str) -> None:
        try:
            statements = _parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            self._not_understood(source)
            return
        for node in statements:
            try:
                self._statement(node)
            except RecursionError:
                self._not_understood(source)

    def _not_understood(self, source: str) -> None:
        self._unknown("it is no Python that is understood here")
        self.names.lose_all(self._number)
        # IPython takes "llm mode CAPTURE" for a magic, with no % before it.
        if _LLM.search(source):
            self._set_by = self._number

    def _statement(self, node: ast.stmt) -> None:
        magic = _magic(node.value) if isinstance(node, (ast.Expr, ast.Assign)) else None
        targets = node.targets if isinstance(node, ast.Assign) else []
        if magic is None:
            self._python(node)
            return
        for target in targets:
            self.names.statement(ast.Assign([target], ast.Name("_", ast.Load())), self._number)
        kind, words = magic[0], magic[1:]
        if kind not in _MAGICS:
            return
        bound = targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else None
        _MAGICS[kind](self, words, bound)

    def _python(self, node: ast.stmt) -> None:
        magics = [found for inner in ast.walk(node) if (found := _magic(inner))]
        kinds = {found[0] for found in magics}
        block = "complete" in kinds
        if block:
            self._unknown(_BLOCK)
        if "llm" in kinds or _changes_settings(node):
            self._set_by = self._number
        if kinds & _ANYTHING or _uses_shell(node):
            self.names.lose_all(self._number)
        if self.names.statement(node, self._number, answered=block) and not block:
            self._unknown(_PYTHON)

    # Magics

    def _complete(self, words: Sequence[str], bound: str | None) -> None:
        line, text = words[0], words[1] if len(words) > 1 else None
        try:
            asked = asking.read(line, text, self._client.settings)
        except (UsageError, LLMMagicError) as error:
            self._add(FAILS, str(error))
            return
        if asked.options.dry_run:
            return
        found = [self._ask(asked, model) for model in asked.models]
        answers, waits = (
            [answer for answer, _ in found],
            next((cell for _, cell in found if cell), None),
        )
        known = None not in answers and not asked.options.background
        for name, value in ((asked.options.out, asked.value), (bound, lambda text: text)):
            if name is None:
                continue
            if known:
                values = [value(answer) for answer in answers if answer is not None]
                self.names.bind(name, values if len(found) > 1 else values[0], self._number)
            else:
                self.names.lose(name, waits or self._number, answered=True)

    def _ask(self, asked: Asked, model: str | None) -> tuple[AnswerText | None, int | None]:
        """The recorded answer, or None and the cell that gets it."""
        try:
            if self._set_by is not None:
                raise UnknownError(f"needs cell {self._set_by}")
            prompt, arguments = asked.call(self._names_for(asked), model)
            seen = self._client.preview(
                prompt, stream=True, shelf=self._shelf, run=self._run, **arguments
            )
        except UnknownError as error:
            self._unknown(str(error))
            return None, None
        except (LLMMagicError, UsageError) as error:
            self._add(FAILS, str(error))
            return None, None
        cell = self._coming.get(seen.key)
        if cell is not None and replay.PLANS[seen.mode, False].look:
            self._add(REPLAY, f"of the answer to cell {cell}", seen)
            return None, cell
        self._add(seen.source, "", seen)
        if seen.recording is None:
            self._expect(seen)
            return None, None
        return self._recorded(seen, arguments["schema"]), None

    def _names_for(self, asked: Asked) -> dict[str, Any]:
        """The variables that a cell asks with.

        Raises
        ------
        UnknownError
            When one of them is not known, or the cell goes on with what others said.
        """
        if asked.options.chat is not None:
            raise UnknownError("it goes on with a chat")
        if asked.options.map is not None:
            raise UnknownError("it asks once for each item")
        names = self.names.for_prompt(asked.text) if asked.expands else {}
        for name in filter(self.names.is_bound, asked.variables):
            names[name] = self.names.value(name)
        return names

    def _expect(self, seen: Preview) -> None:
        """Remember a live call whose answer is stored; one that a budget cuts short is not."""
        cut = seen.limit is not None and seen.most is not None
        if seen.source == LIVE and replay.PLANS[seen.mode, False].store and not cut:
            self._coming[seen.key] = self._number

    def _recorded(self, seen: Preview, schema: Any) -> AnswerText | None:
        assert seen.recording is not None
        completion = Completion(seen.recording.response)
        if schema is not None:
            from llm_magic import schemas  # for those who have one

            try:
                completion.parsed = schemas.compile(schema).parse(completion.text)
            except SchemaError:
                # The cell raises, and binds nothing.
                return None
        return AnswerText(completion.text, completion)

    def _llm(self, words: Sequence[str], bound: str | None) -> None:
        try:
            command, *rest = shlex.split(words[0]) or ["status"]
            if command in _SETTINGS:
                _SETTINGS[command](self._client.settings, rest)
        except (LLMMagicError, ValueError) as error:
            self._add(FAILS, str(error))

    def _run_body(self, words: Sequence[str], bound: str | None) -> None:
        """A magic that runs the rest of its line, or of its cell, once."""
        self._code(words[-1])

    def _run_often(self, words: Sequence[str], bound: str | None) -> None:
        before = len(self.calls)
        self._code(words[-1])
        if len(self.calls) > before:
            del self.calls[before:]
            self._unknown("it runs many times")

    def _capture(self, words: Sequence[str], bound: str | None) -> None:
        for name in filter(str.isidentifier, words[0].split()):
            self.names.lose(name, self._number)
        self._code(words[-1])

    def _elsewhere(self, words: Sequence[str], bound: str | None) -> None:
        self.names.lose_all(self._number)
        self._unknown("it runs another file")

    def _any_names(self, words: Sequence[str], bound: str | None) -> None:
        self.names.lose_all(self._number)

    def _environment(self, words: Sequence[str], bound: str | None) -> None:
        if "LLM_MAGIC_" in words[0]:
            self._set_by = self._number

    # What was found

    def _unknown(self, reason: str) -> None:
        found = (self._number, UNKNOWN, reason)
        if found not in ((one.cell, one.status, one.reason) for one in self.calls):
            self._add(UNKNOWN, reason)

    def _add(self, status: str, reason: str, seen: Preview | None = None) -> None:
        self.calls.append(PlannedCall(self._number, self._line, status, reason, seen))


_MAGICS: Mapping[str, Callable[[_Walk, Sequence[str], str | None], None]] = {
    "capture": _Walk._capture,
    "complete": _Walk._complete,
    "env": _Walk._environment,
    "llm": _Walk._llm,
    "prun": _Walk._run_body,
    "pylab": _Walk._any_names,
    "run": _Walk._elsewhere,
    "set_env": _Walk._environment,
    "store": _Walk._any_names,
    "time": _Walk._run_body,
    "timeit": _Walk._run_often,
}
# Magics that bind any names.
_ANYTHING = {"pylab", "run", "store"}


def _set_mode(settings: Settings, words: Sequence[str]) -> None:
    if words:
        settings.set("mode", words[0])


def _set_config(settings: Settings, words: Sequence[str]) -> None:
    for word in words:
        name, _, value = word.partition("=")
        settings.set(name, value)


def _set_alias(settings: Settings, words: Sequence[str]) -> None:
    for word in words:
        name, _, reference = word.partition("=")
        settings.alias(name, "/".join(routing.resolve(reference, settings)))


def _set_budget(settings: Settings, words: Sequence[str]) -> None:
    if not words:
        return
    per = words[2] if len(words) == 3 and words[1] == "--per" else "session"
    if per not in PERIODS:
        raise ConfigError(f"%llm budget --per {per}: {did_you_mean(per, PERIODS)}")
    if words[0] == "off":
        settings.session[PERIODS[per]] = None
    else:
        settings.set(PERIODS[per], words[0])


_SETTINGS: Mapping[str, Callable[[Settings, Sequence[str]], None]] = {
    "alias": _set_alias,
    "budget": _set_budget,
    "config": _set_config,
    "mode": _set_mode,
}


# Code


_LLM = re.compile(r"^\s*llm\s", re.MULTILINE)


def _parse(source: str) -> list[ast.stmt]:
    """The statements of a cell, its magics as IPython runs them.

    Raises
    ------
    SyntaxError, ValueError, RecursionError, MemoryError
        For what is no Python.
    """
    transformer = TransformerManager()
    transformer.token_transformers.append(Question)
    top_level_await = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "\d" in the user's code is no news here
        code = transformer.transform_cell(source)
        tree = compile(code, "<cell>", "exec", top_level_await, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    return tree.body


def _magic(node: ast.AST) -> list[str] | None:
    """Name, line and body of a magic, if that is what is called."""
    methods = ("run_line_magic", "run_cell_magic")
    if not isinstance(node, ast.Call) or not _is_shell(node.func, *methods):
        return None
    words = [one.value for one in node.args if isinstance(one, ast.Constant)]
    return [str(word) for word in words] if len(words) > 1 else None


def _is_shell(node: ast.AST, *methods: str) -> bool:
    """Whether it is one of these methods of IPython's shell."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr in methods
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "get_ipython"
    )


_HARMLESS = ("getoutput", "run_cell_magic", "run_line_magic", "system")


def _uses_shell(node: ast.AST) -> bool:
    """Whether code takes IPython's shell in its own hands."""
    uses: Iterator[ast.Name] = (one for one in ast.walk(node) if isinstance(one, ast.Name))
    harmless = sum(_is_shell(one, *_HARMLESS) for one in ast.walk(node))
    return sum(one.id == "get_ipython" for one in uses) > harmless


def _changes_settings(node: ast.AST) -> bool:
    return any(
        isinstance(one, ast.Constant)
        and isinstance(one.value, str)
        and one.value.startswith("LLM_MAGIC_")
        for one in ast.walk(node)
    )
