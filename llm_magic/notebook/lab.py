"""What kernel and JupyterLab say to each other: the shapes of all messages, and nothing else.

Two comms carry them. On the first, which the kernel opens, the kernel tells what it knows. On the
second, which Lab opens, Lab asks; the kernel never sends anything there, because ipykernel would
then let what Lab asks wait for the end of the cell that runs. Answers go out on the first comm.
What opens the second one may be a question already.

``labextension/src/kernel/types.ts`` mirrors this module; a test fails when they differ. USD are
decimal text, as everywhere outside of Python; null is unknown.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

__all__ = [
    "CONTROL",
    "STATE",
    "VERSION",
    "Ask",
    "Budget",
    "BudgetAsked",
    "Call",
    "CallAsked",
    "CallDetail",
    "Calls",
    "Cassette",
    "Finding",
    "Group",
    "Hello",
    "Mode",
    "ModeAsked",
    "NotebookAsked",
    "NotebookPlan",
    "Outcome",
    "Pinned",
    "PlannedCall",
    "Provenance",
    "Reply",
    "SavedCassette",
    "State",
    "StopAsked",
    "Sums",
    "VerifiedCell",
    "VerifyReport",
]

VERSION = 1
# Comm targets.
STATE = "llm_magic"
CONTROL = "llm_magic.control"

Mode = Literal["REPLAY", "FALLBACK", "CAPTURE", "DISABLED"]
# What became of a call.
Outcome = Literal[
    "live", "replay", "miss", "refused", "error", "incomplete", "interrupted", "pending", "closed",
    "unknown",
]  # fmt: skip


class Sums(TypedDict):
    """What calls came to: USD spent, USD saved by replay, calls of unknown cost, calls."""

    spent: str
    saved: str
    unknown: int
    live: int
    replayed: int


class Group(TypedDict):
    """Sums of one model, or of one cell, by its id where it has one, named by its first line."""

    name: str
    cell_id: str | None
    sums: Sums


class Budget(TypedDict):
    """A cap that counts now: USD, and where it was set; a ceiling can be lowered only."""

    per: str
    limit: str
    settled: str
    reserved: str
    left: str
    origin: str
    ceiling: bool


class Cassette(TypedDict):
    """Recordings: in the notebook's cassette, not saved yet, made without a notebook's name."""

    name: str | None
    recordings: int
    unsaved: int
    unnamed: int


class Pinned(TypedDict):
    """A mode that nothing in the notebook loosens, and why."""

    mode: Mode
    reason: str


class State(TypedDict):
    """All that a kernel knows; every message of it stands for itself."""

    type: Literal["state"]
    version: int
    kernel: str
    mode: Mode
    origin: str
    pinned: Pinned | None
    notebook: str | None
    session: Sums
    total: Sums
    models: list[Group]
    cells: list[Group]
    budgets: list[Budget]
    cassette: Cassette
    problem: str | None


class Call(TypedDict):
    """One row of the ledger. A miss has what the doctor says in its explanation."""

    id: str
    started: str
    outcome: Outcome
    model: str
    cost: str | None
    saved: str | None
    latency_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    cell_id: str | None
    cell_line: str | None
    prompt: str | None
    error: str | None
    explanation: str | None
    key: str | None
    ordinal: int


class Calls(TypedDict):
    """Calls that are new or have changed, oldest first; all that are shown when it is a reset."""

    type: Literal["calls"]
    reset: bool
    calls: list[Call]


class Provenance(TypedDict):
    """Where an answer came from: ``application/vnd.llm-magic+json`` in an output.

    ``prices`` has USD per token, as text, by the names in ``tokens``: the sum of tokens times price
    is ``cost``, of a replay ``saved``. A name without a price adds nothing; what reasoning and
    audio cost is on top of ``output_tokens``, which they are part of. Null where tokens alone do
    not give the amount. ``attempts`` has ``model``, ``error`` and ``latency_ms`` of every request,
    and none where the first one was answered. ``prompt_crc32`` is that of the cell's source.
    """

    version: int
    model: str | None
    provider: str | None
    key: str
    ordinal: int
    source: str
    recorded: str | None
    cost: str | None
    saved: str | None
    cost_source: str | None
    tokens: dict[str, int] | None
    prices: dict[str, Any] | None
    latency_ms: float | None
    finish_reason: str | None
    notes: list[str]
    attempts: list[dict[str, Any]]
    prompt_crc32: int | None


class CallDetail(TypedDict):
    """A recording in full: what was asked, and the answer as it is stored."""

    request: dict[str, Any]
    response: dict[str, Any]
    recorded: str
    latency_ms: float | None
    cell_line: str | None


class SavedCassette(TypedDict):
    """What a save did."""

    name: str
    total: int
    added: int
    replaced: int
    removed: int
    advice: str


class VerifiedCell(TypedDict):
    """What became of a code cell: same, drifted, miss, failed or not run. Numbers count from 1."""

    number: int
    id: str
    line: str
    status: str


class Finding(TypedDict):
    """One thing that verifying found; without a cell it is about the notebook."""

    kind: str
    message: str
    cell: int | None
    detail: str


class VerifyReport(TypedDict):
    """The result of ``verify``: ``llm_magic.verify.Report.to_dict()``."""

    notebook: str
    cells: list[VerifiedCell]
    findings: list[Finding]
    calls: int
    recordings: int | None


class PlannedCall(TypedDict):
    """What a run of the notebook would ask; what it would cost, or why it fails, is in words."""

    cell: int
    line: str
    model: str | None
    status: str
    told: str


class NotebookPlan(TypedDict):
    """The result of ``plan``: calls in the order of their cells, their sum, and what to know."""

    notebook: str
    calls: list[PlannedCall]
    total: str
    remarks: list[str]


class Reply(TypedDict):
    """The answer to what Lab asked under this id: a result, or an error in one line."""

    type: Literal["reply"]
    id: str
    result: Any
    error: str | None


class Hello(TypedDict):
    """A page has come: send it everything. It says which notebook it shows, and the mode in it.

    The result is what went wrong all the same, in words, or null.
    """

    type: Literal["hello"]
    id: str
    version: int
    notebook: str | None
    mode: Mode | None


class ModeAsked(TypedDict):
    """Set the mode; null leaves it to the settings again.

    The result is the mode that was set before, null where that was up to the settings.
    """

    type: Literal["mode"]
    id: str
    mode: Mode | None


class BudgetAsked(TypedDict):
    """Set a cap in USD; null takes it away."""

    type: Literal["budget"]
    id: str
    per: str
    usd: str | None


class NotebookAsked(TypedDict):
    """Do something with the saved notebook of this name, without ``.ipynb``.

    The result of ``pack`` is in words, that of ``renamed`` too, or null.
    """

    type: Literal["save", "verify", "pack", "plan", "renamed"]
    id: str
    notebook: str


class CallAsked(TypedDict):
    """Tell all of one recording."""

    type: Literal["call"]
    id: str
    key: str
    ordinal: int


class StopAsked(TypedDict):
    """Stop what was asked under the id ``asked``."""

    type: Literal["stop"]
    id: str
    asked: str


Ask = Hello | ModeAsked | BudgetAsked | NotebookAsked | CallAsked | StopAsked
