"""What a call would be, before it is made: what is asked, who answers, and what it can cost."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from llm_magic import bounds, budgets, pricing, replay, tokens
from llm_magic.arguments import Arguments
from llm_magic.bounds import Bound
from llm_magic.budgets import State
from llm_magic.config import Settings
from llm_magic.formats import count, counted, printable, usd
from llm_magic.pipeline import Candidate, give_numbers
from llm_magic.recordings import Recording, now
from llm_magic.replay import Run
from llm_magic.secrets import redact
from llm_magic.shelf import Shelf
from llm_magic.spend import Counter
from llm_magic.types import Mode, Request, Usage, content_text

__all__ = ["LIVE", "MISS", "REPLAY", "Preview", "cost_range", "look", "standing"]

# Where the answer would come from; a miss is REPLAY without a recording: an error, nothing is sent.
LIVE, REPLAY, MISS = "live", "replay", "miss"


@dataclass(frozen=True, slots=True)
class Preview:
    """What a call would be; made by :meth:`llm_magic.Client.preview`.

    Attributes
    ----------
    source : str
        ``live``, ``replay``, or ``miss`` for a call that REPLAY refuses.
    mode : Mode
        The mode that counts for it.
    request : Request
        What is asked, with the messages as they are sent.
    key, ordinal
        The recording that the answer is, or would be.
    recording : Recording or None
        The recorded answer.
    input_tokens : int
        About how many tokens the input has.
    bound : Bound
        The most tokens that it can use.
    least : decimal.Decimal or None
        USD, about: the input at list price, without any output. 0 for a replay; None when nobody
        knows the price.
    most : decimal.Decimal or None
        USD that one attempt can cost at most. None when nobody can say, which is so too when
        nothing limits the answer: no ``max_tokens``, and no budget.
    most_under_budget : decimal.Decimal or None
        As ``most``, with the limit that a budget gives to an answer that has none.
    limit : int or None
        That limit, in tokens.
    notes : tuple of str
        What the reader should know, such as a parameter that is not sent.
    """

    source: str
    mode: Mode
    request: Request
    key: str
    ordinal: int
    recording: Recording | None
    input_tokens: int
    bound: Bound
    least: Decimal | None
    most: Decimal | None
    most_under_budget: Decimal | None
    limit: int | None
    notes: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """Who is asked, as ``provider/model``."""
        return self.request.reference

    def __repr__(self) -> str:
        lines = [
            " · ".join([self.reference, self._told_source(), cost_range(self)]),
            f"input ≈ {count(self.input_tokens)} tokens, at most {count(self.bound.input_tokens)}"
            f"; output at most {count(self.bound.output_tokens or self.limit)}",
            f"key {self.key[:12]}, answer {self.ordinal + 1}",
            *(f"{name}: {value}" for name, value in sorted(self.request.parameters.items())),
            *(f"note: {note}" for note in self.notes),
            *_written(self.request.messages),
        ]
        return printable(redact("\n".join(lines)))

    def _repr_html_(self) -> str:
        return (
            '<pre class="llm-magic-preview tex2jax_ignore mathjax_ignore" style="white-space:'
            f' pre-wrap; overflow-wrap: anywhere">{html.escape(repr(self))}</pre>'
        )

    def _told_source(self) -> str:
        words = {
            LIVE: f"would be asked ({self.mode})",
            REPLAY: f"would be replayed ({self.mode})",
            MISS: f"not recorded, so it would fail ({self.mode})",
        }
        return words[self.source]


def cost_range(preview: Preview) -> str:
    """What a call costs, as people read it.

    ``at most $0.0083 under a budget (≈ $0.00012)``, where ≈ is the input alone.
    """
    if preview.source != LIVE:
        return usd(Decimal(0))
    most, kept = preview.most, ""
    if most is None:
        most, kept = preview.most_under_budget, " under a budget"
    if most is None:
        return "unknown price" if preview.least is None else "no limit"
    if not most:
        return f"at most {usd(most)}"
    return f"at most {usd(most)}{kept} (≈ {usd(preview.least)})"


def _written(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for message in messages:
        content = message.get("content")
        parts = content if isinstance(content, list) else []
        kinds = [part.get("type") for part in parts if part.get("type") != "text"]
        yield ""
        yield f"{message.get('role')}:"
        yield "\n".join(filter(None, [content_text(content), *(f"[{kind}]" for kind in kinds)]))


def look(
    candidates: Sequence[Candidate],
    arguments: Arguments,
    *,
    mode: Mode,
    shelf: Shelf,
    notebook: str | None,
    settings: Settings,
    run: Run | None,
    counting: bool = False,
    stream: bool = False,
) -> Preview:
    """What a call to these candidates would be; nothing is sent, and nothing is written.

    Parameters
    ----------
    candidates : sequence of Candidate
        The model that is asked for, and its fallbacks. Without a recording the first one counts.
    shelf : Shelf
        Where recordings are looked up.
    run : Run, optional
        Which run of a cell it would be in.
    counting : bool
        Count it as a call of that run; else its count stays as it is.
    stream : bool
        A stream that was closed early will do.
    """
    number = None
    if run is not None:
        number = run.next_ordinal if counting else run.upcoming
    give_numbers(candidates, arguments.sample, number)
    chosen, recording = candidates[0], None
    exact = arguments.sample is not None
    if replay.PLANS[mode, False].look:
        places = [(candidate.key, candidate.ordinal) for candidate in candidates]
        found = replay.look_up(shelf, places, notebook, exact=exact, stream=stream)
        if found is not None:
            chosen, recording = candidates[found.candidate], found.recording
    plan = replay.PLANS[mode, recording is not None]
    if recording is not None:
        ordinal = recording.ordinal
    else:
        # As a call does it: what FALLBACK records where nothing is recorded is the first answer.
        ordinal = 0 if plan.look and plan.call and not exact else chosen.ordinal
    source = LIVE if plan.call else REPLAY if recording is not None else MISS
    return _priced(chosen, arguments, source, mode, ordinal, recording, settings, run)


def _priced(
    chosen: Candidate,
    arguments: Arguments,
    source: str,
    mode: Mode,
    ordinal: int,
    recording: Recording | None,
    settings: Settings,
    run: Run | None,
) -> Preview:
    request = chosen.request
    notes = [*chosen.notes]
    least: Decimal | None = Decimal(0)
    most, under_budget, limit = least, least, None
    if source == LIVE:
        prices = pricing.price_list(request.provider, request.model, now(), request.parameters)
        size = tokens.estimate_request(request)
        least = pricing.cost(Usage(uncached_input_tokens=size), pricing.applied(prices))
        worst = budgets.worst_case(request, prices, settings)
        most, under_budget, limit = worst.amount, worst.amount, worst.max_tokens
        states = standing(settings, run)
        if limit is not None and not states:
            most = None
            notes.append("nothing limits the answer: it has no max_tokens, and there is no budget")
        elif limit is not None:
            notes.append(f"no max_tokens: the budget ends the answer after {count(limit)} tokens")
        if worst.amount is None:
            notes.append(f"{worst.why}. {worst.advice}")
        notes += _refusals(states, worst.amount)
        notes += _further(arguments)
        if arguments.max_tool_rounds:
            most = under_budget = None
    return Preview(
        source=source,
        mode=mode,
        request=request,
        key=chosen.key,
        ordinal=ordinal,
        recording=recording,
        input_tokens=tokens.estimate_request(request),
        bound=bounds.bound(request),
        least=least,
        most=most,
        most_under_budget=under_budget,
        limit=limit,
        notes=tuple(notes),
    )


def standing(settings: Settings, run: Run | None = None) -> list[State]:
    """Every cap that counts, and how far it is used; no ledger is begun to find out."""
    caps = budgets.caps(settings, run)
    if caps and (settings.workspace.working / "history.db").exists():
        return budgets.states(settings, run)
    return [State(cap, Counter()) for cap in caps]


def _refusals(states: Sequence[State], amount: Decimal | None) -> list[str]:
    """Which budgets would not admit a call."""
    if not states:
        return []
    if amount is None:
        return ["it would be refused, because there is a budget"]
    return [
        f"it would be refused: of the budget per {state.cap.per}, {usd(state.left)} are left"
        for state in states
        if amount > state.left
    ]


def _further(arguments: Arguments) -> list[str]:
    """What may cost more than one attempt does."""
    notes = []
    if arguments.num_retries:
        attempts = counted(arguments.num_retries, "more attempt")
        notes.append(f"up to {attempts} after a failure may cost as much each")
    if arguments.fallbacks:
        names = ", ".join(str(one["model"]) for one in arguments.fallbacks)
        notes.append(f"the cost is that of the first model; after a failure it is asked: {names}")
    if arguments.max_tool_rounds:
        rounds = counted(arguments.max_tool_rounds, "more round")
        notes.append(f"up to {rounds} with results of functions, whose cost nobody knows")
    return notes
