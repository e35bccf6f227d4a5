"""Caps that cannot be crossed: the most a call can cost is set aside before it is sent.

Caps are per call, per run of a cell, per session, per day (of the folder, for all its kernels), per
process, and for a ``with budget(usd):`` block. What is set aside becomes what the call really cost
when it has ended; where nobody knows that, what was set aside counts. A replay costs nothing.

A cap from the environment (``LLM_MAGIC_BUDGET``, ``LLM_MAGIC_BUDGET_PER_DAY``, ...) is a ceiling:
a notebook sets lower ones, never higher ones.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from llm_magic import bounds, config, history, pricing
from llm_magic.bounds import Bound
from llm_magic.config import Settings
from llm_magic.exceptions import BudgetExceededError, ConfigError, UnboundedCostError
from llm_magic.formats import usd
from llm_magic.replay import Run
from llm_magic.spend import Cap, Counter
from llm_magic.types import Request

__all__ = [
    "PERIODS",
    "Budget",
    "Reservation",
    "State",
    "WorstCase",
    "budget",
    "caps",
    "prepare",
    "shown",
    "states",
    "worst_case",
]

# The setting of each kind of cap.
PERIODS: Mapping[str, str] = {
    "session": "budget",
    "call": "budget_per_call",
    "cell": "budget_per_cell",
    "day": "budget_per_day",
    "process": "budget_per_process",
}


class _Here:
    """Counters of this process: of its cells, its blocks, and itself."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counters: dict[str, Counter] = {}
        self.blocks: list[Budget] = []

    def forget(self) -> None:
        """A child process counts for itself, and has none of its parent's calls under way.

        A lock that another thread held stays held there.
        """
        self.lock = threading.Lock()
        self.counters = {
            scope: Counter(counter.settled)
            for scope, counter in self.counters.items()
            if scope != "process"
        }

    def add(self, scopes: Sequence[str], settled: Decimal, reserved: Decimal) -> None:
        """Change counters; the caller holds the lock."""
        for scope in scopes:
            now = self.counters.get(scope, Counter())
            self.counters[scope] = Counter(now.settled + settled, now.reserved + reserved)


_here = _Here()
_numbers = itertools.count(1)

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_here.forget)


@dataclass(frozen=True, slots=True)
class State:
    """How far a cap is used, in USD."""

    cap: Cap
    counter: Counter

    @property
    def left(self) -> Decimal:
        """USD that may still be set aside."""
        return max(Decimal(0), self.cap.limit - self.counter.settled - self.counter.reserved)


@dataclass(slots=True)
class Reservation:
    """What is set aside for one attempt.

    Attributes
    ----------
    amount : decimal.Decimal
        USD, the most that the attempt can cost.
    max_tokens : int or None
        Limit of the output that the request must be sent with, because it has none of its own.
    caps : list of Cap
        Those that the ledger counts; it sets the amount aside together with the row of the call.
    """

    amount: Decimal
    max_tokens: int | None
    caps: list[Cap]
    _scopes: list[str] = field(default_factory=list)
    _open: bool = True

    def settle(self, cost: Decimal | None) -> None:
        """Count what the attempt cost; what was set aside, when nobody knows."""
        with _here.lock:
            if self._open:
                final = self.amount if cost is None else cost
                _here.add(self._scopes, final, -self.amount)
                self._open = False


class Budget:
    """A cap on what the calls inside a ``with`` block may cost; made by :func:`budget`.

    Attributes
    ----------
    limit : decimal.Decimal
        USD.
    """

    def __init__(self, limit: Decimal) -> None:
        self.limit = limit
        self._scope = f"block:{next(_numbers)}"

    @property
    def cap(self) -> Cap:
        """The cap of the block."""
        return Cap(self._scope, self.limit, "block", "with budget()")

    @property
    def spent(self) -> Decimal:
        """USD that the calls in the block cost; where nobody knows, the most they can cost."""
        return _here.counters.get(self._scope, Counter()).settled

    @property
    def reserved(self) -> Decimal:
        """USD set aside for calls under way."""
        return _here.counters.get(self._scope, Counter()).reserved

    @property
    def left(self) -> Decimal:
        """USD that may still be spent."""
        return State(self.cap, Counter(self.spent, self.reserved)).left

    def __repr__(self) -> str:
        return f"<budget of {usd(self.limit)}: {usd(self.spent)} spent, {usd(self.left)} left>"


@contextmanager
def budget(limit: float | str | Decimal) -> Iterator[Budget]:
    """A cap on what the calls in a block may cost, in all threads and tasks of this process.

    Parameters
    ----------
    limit : float, str or decimal.Decimal
        USD.

    Raises
    ------
    BudgetExceededError
        From a call in the block, before it is sent, when it could cost more than is left.

    Examples
    --------
    >>> from llm_magic import budget, complete
    >>> with budget(0.10) as cap:
    ...     answer = complete("Is it art?", model="echo/echo")
    >>> cap.spent, cap.left
    (Decimal('0'), Decimal('0.1'))
    """
    try:
        block = Budget(config.read_usd(limit))
    except ValueError as error:
        raise ConfigError(f"budget({limit!r}): {error}") from None
    with _here.lock:
        _here.blocks.append(block)
    try:
        yield block
    finally:
        with _here.lock:
            _here.blocks.remove(block)


def prepare(
    request: Request, prices: pricing.UnitPrices | None, settings: Settings, run: Run | None
) -> Reservation | None:
    """Set aside what a request can cost under the caps that this process counts.

    Parameters
    ----------
    request : Request
        What is to be sent.
    prices : dict or None
        Its unit prices.

    Returns
    -------
    Reservation or None
        None without a cap. The ledger sets the amount aside under the rest of the caps.

    Raises
    ------
    BudgetExceededError
        When a cap does not admit it.
    UnboundedCostError
        When nobody can say what it costs at most.
    """
    counting = caps(settings, run)
    if not counting:
        return None
    worst = worst_case(request, prices, settings)
    if worst.amount is None:
        raise UnboundedCostError(f"not sent: {worst.why}, and there is a budget. {worst.advice}")
    amount = worst.amount
    here = [cap for cap in counting if not _in_ledger(cap)]
    with _here.lock:
        for cap in here:
            counter = _here.counters.get(cap.scope, Counter())
            if not cap.admits(counter, amount):
                raise exceeded(cap, counter, amount)
        # Two caps on one scope, from outside and from the notebook, count it once.
        scopes = list(dict.fromkeys(cap.scope for cap in here if cap.per != "call"))
        _here.add(scopes, Decimal(0), amount)
    counted = [cap for cap in counting if _in_ledger(cap)]
    return Reservation(amount, worst.max_tokens, counted, scopes)


def exceeded(cap: Cap, counter: Counter, amount: Decimal) -> BudgetExceededError:
    """The error of a cap that does not admit an amount."""
    raised = "a larger budget() raises it"
    if cap.per in PERIODS:
        per = "" if cap.per == "session" else f" --per {cap.per}"
        raised = f"%llm budget USD{per} raises it"
        if cap.origin.startswith("LLM_MAGIC_"):
            raised = f"{cap.origin} is set outside, and is raised only there"
    used = f"spent {usd(counter.settled)}, set aside {usd(counter.reserved)}; "
    return BudgetExceededError(
        f"not sent: this call can cost up to {usd(amount)}, and the budget of {_named(cap)} is"
        f" {usd(cap.limit)} ({used if cap.per != 'call' else ''}left"
        f" {usd(State(cap, counter).left)}). A smaller max_tokens= asks for less; {raised}",
        per=cap.per,
        limit=cap.limit,
        spent=counter.settled,
        reserved=counter.reserved,
        asked=amount,
    )


def _named(cap: Cap) -> str:
    return {"day": "today", "call": "one call", "block": "this block"}.get(
        cap.per, f"this {cap.per}"
    )


def states(settings: Settings, run: Run | None = None) -> list[State]:
    """Every cap that counts now, and how far it is used."""
    counting = caps(settings, run)
    ledger = history.at(settings.workspace)
    counted = ledger.counters(cap.scope for cap in counting if _in_ledger(cap))
    with _here.lock:
        counters = {**_here.counters, **counted}
    return [State(cap, counters.get(cap.scope, Counter())) for cap in counting]


def shown(settings: Settings, run: Run | None = None) -> list[State]:
    """:func:`states`, and the cap of a run of a cell while none runs: nothing of it is used."""
    idle = _limits(settings, "cell") if run is None else []
    return [
        *states(settings, run),
        *(State(Cap("cell", limit, "cell", origin), Counter()) for limit, origin in idle),
    ]


def _in_ledger(cap: Cap) -> bool:
    return cap.per in ("session", "day")


def caps(settings: Settings, run: Run | None = None) -> list[Cap]:
    """Every cap that counts now, in this run of a cell."""
    scopes = {
        "session": history.session_scope(history.session()),
        "day": history.day_scope(datetime.now().astimezone()),
        "call": "call",
        "process": "process",
    }
    if run is not None:
        scopes["cell"] = f"cell:{run.number}"
    found = [
        Cap(scope, limit, per, origin)
        for per, scope in scopes.items()
        for limit, origin in _limits(settings, per)
    ]
    with _here.lock:
        return [*found, *(block.cap for block in _here.blocks)]


def _limits(settings: Settings, per: str) -> list[tuple[Decimal, str]]:
    """The limits of one kind of cap, and where each was set.

    Those of this session are set by ``%llm budget``, in JupyterLab or by ``%llm config``, which
    the settings call by the last of these names.
    """
    return [
        (limit, "this session" if origin == "%llm config" else origin)
        for limit, origin in settings.caps(PERIODS[per])
    ]


@dataclass(frozen=True, slots=True)
class WorstCase:
    """The most that one attempt of a request can cost.

    Attributes
    ----------
    amount : decimal.Decimal or None
        USD; None when nobody can say.
    max_tokens : int or None
        Limit of the output that it must be sent with for that, because it has none of its own.
    why, advice : str
        Why nobody can say, and what would help; empty otherwise.
    """

    amount: Decimal | None
    max_tokens: int | None = None
    why: str = ""
    advice: str = ""


def worst_case(
    request: Request, prices: pricing.UnitPrices | None, settings: Settings
) -> WorstCase:
    """The most that a request can cost under a budget.

    Parameters
    ----------
    request : Request
        What is to be sent.
    prices : dict or None
        Its unit prices.
    settings : Settings
        Say what limits the output of a request that does not, and parts without a bound.
    """
    prices = pricing.applied(prices)  # those of the service tier that is asked for
    if prices == pricing.FREE:
        return WorstCase(Decimal(0))
    if prices is None:
        return WorstCase(
            None,
            why=f"the price of {request.reference} is unknown",
            advice=f"llm_magic.prices.set({request.reference!r}, input=USD, output=USD) declares"
            " it, per million tokens",
        )
    bound = bounds.bound(request)
    size = bound.input_tokens
    if bound.unbounded:
        each = settings.get("budget_max_input_tokens")
        if each is None:
            return WorstCase(
                None,
                why=f"nobody knows what {bound.unbounded[0]} costs at most",
                advice="%llm config budget_max_input_tokens=TOKENS says how many tokens such a"
                " part can have",
            )
        size += each * bound.answers * len(bound.unbounded)
    output, max_tokens = bound.output_tokens, None
    if output is None:
        if request.api == "http":
            return WorstCase(
                None,
                why="the call of another library says no max_tokens",
                advice="Set max_tokens there",
            )
        max_tokens = settings.get("budget_max_tokens")
        output = max_tokens * bound.answers
    return WorstCase(_most(prices, bound, size, output), max_tokens)


def _most(prices: pricing.UnitPrices, bound: Bound, size: int, output: int) -> Decimal:
    """USD of this many tokens at the dearest price that any of them can have."""
    kinds = ("input_audio", "output_audio") if bound.audio else ()
    dearest = {"input": Decimal(0), "output": Decimal(0)}
    for name, price in prices.items():
        kind = "output" if name.startswith("output") else "input"
        if name.endswith("_mtok") and ("audio" not in name or name.startswith(kinds)):
            dearest[kind] = max(dearest[kind], pricing.tier_price(price, size))
    fees = Decimal(prices.get("requests_kcount", 0)) * bound.answers / 1000
    return (dearest["input"] * size + dearest["output"] * output) / 1_000_000 + fees


def describe(state: State) -> Mapping[str, Any]:
    """A state as plain values, for widgets and the command line."""
    return {
        "per": state.cap.per,
        "limit": state.cap.limit,
        "spent": state.counter.settled,
        "reserved": state.counter.reserved,
        "left": state.left,
        "origin": state.cap.origin,
    }
