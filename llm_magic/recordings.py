"""Recordings: the key of a request, and the answers stored under it.

A recording is one answer, kept as one line of canonical JSON; the working store and the cassette
hold the same line, byte for byte. A key holds answers by ordinal: the n-th identical call of a run
uses the n-th answer. In the store each (key, ordinal) is one row::

    [["analysis", 3], ["lecture", null]]     who uses the line below: notebook, cassette generation
    {"call": ..., "key": ..., "ordinal": 0, "request": {...}, "response": {...}, ...}

A generation says that the line came from or went to the notebook's cassette (it is *saved*), null
that it did not yet (*unsaved*). Two notebooks of one folder that saved different answers to one
request have two such pairs of lines in the row, so each replays its own. An empty second line is an
answer that was dropped here and still stands in the cassette.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

import rfc8785

from llm_magic import media
from llm_magic.exceptions import CassetteError, ParameterError, StoreError
from llm_magic.secrets import redact
from llm_magic.storage import Store
from llm_magic.types import AttrDict, Request, Usage

__all__ = ["KEY_SCHEMA", "NOT_IN_KEY", "Recording", "Recordings", "key_of"]

# Part of every key: a change in how keys are made must not find answers of the old way.
KEY_SCHEMA = 1

# What a caller may pass that cannot change the answer. Everything else is part of the key.
NOT_IN_KEY = frozenset(
    {
        "api_key",
        "budget_max_tokens",
        "default_headers",
        "extra_headers",
        "extra_query",
        "fallbacks",
        "max_retries",
        "metadata",
        "num_retries",
        "stream",
        "stream_options",
        "timeout",
    }
)


def key_of(request: Request) -> str:
    """SHA-256 of the canonical JSON (RFC 8785) of everything that may change the answer.

    Known key values are replaced first, so that no key material is in it, not even hashed. There
    is no folding of case or white space; 1 and 1.0 are the same number, as in JSON.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    ParameterError
        For what has no canonical form: NaN, integers above 2**53, broken Unicode.
    """
    parameters = request.parameters and {
        name: value for name, value in request.parameters.items() if name not in NOT_IN_KEY
    }
    try:
        # The names are always these, so they are not sorted and written anew for each request.
        asked = (
            f'{{"api":{canonical(request.api)},"cache_seed":{canonical(request.cache_seed)}'
            f',"endpoint":{canonical(request.endpoint)}'
            f',"messages":{canonical(media.keyed(request.messages))}'
            f',"model":{canonical(request.model)},"parameters":{canonical(parameters)}'
            f',"provider":{canonical(request.provider)},"schema":{KEY_SCHEMA}}}'
        )
        return hashlib.sha256(redact(asked).encode()).hexdigest()
    except (rfc8785.CanonicalizationError, UnicodeError) as error:
        raise ParameterError(f"the request cannot be keyed: {error}") from None


def canonical(value: Any) -> str:
    """The canonical JSON of a value (RFC 8785).

    What requests are made of is written here, many times faster; a few kinds of numbers and keys go
    through the reference implementation.
    """
    if type(value) is str:
        return encode_basestring(value)
    if value is None:
        return "null"
    try:
        return _written(value)
    except _UncommonError:
        return rfc8785.dumps(value).decode()


# Made once: json.dumps() makes an encoder for every value that it writes in this form.
_decode = json.JSONDecoder().decode
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


class _UncommonError(Exception):
    """A value that is left to the reference implementation."""


def _written(value: Any) -> str:
    """The canonical JSON of a value of the usual kinds."""
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if value is None:
        return "null"
    if kind is dict:
        for name in value:
            # Sorted by UTF-16 units there and by code points here: the same for ASCII.
            if type(name) is not str or not name.isascii():
                raise _UncommonError
        items = []
        for name in sorted(value):
            item = value[name]
            text = encode_basestring(item) if type(item) is str else _written(item)
            items.append(f"{encode_basestring(name)}:{text}")
        return f"{{{','.join(items)}}}"
    if kind is list:
        return f"[{','.join(map(_written, value))}]"
    if kind is bool:
        return "true" if value else "false"
    if kind is int and -(2**53) < value < 2**53:
        return str(value)
    # RFC 8785 writes 1.0 as 1, and begins exponents elsewhere than Python does.
    if kind is float and not value.is_integer():
        text = repr(value)
        if not text.strip("-.0123456789"):
            return text
    raise _UncommonError


# Not frozen, as a replay makes one of each, and frozen ones take twice as long to make.
@dataclass(slots=True)
class Recording:
    """One stored answer.

    Attributes
    ----------
    key, ordinal
        What it answers, and as the how manieth of a run.
    request : dict
        The request, for people and for the check of the key.
    response : AttrDict
        The answer in OpenAI's chat shape.
    call : str
        The ledger's id of the call that was answered.
    created : datetime.datetime
        When it was answered (UTC).
    latency_ms : float
        Milliseconds the live answer took.
    prices : dict
        Unit prices at that time as decimal text; empty when unknown.
    cell : dict
        First line and id of the cell that asked, where there was one.
    closed : bool
        The caller closed the stream early: it replays only as a stream.
    instead_of : str
        Key of the request that another model was asked first; empty where none was.
    """

    key: str
    ordinal: int
    request: Mapping[str, Any]
    response: AttrDict
    call: str
    created: datetime
    latency_ms: float
    prices: Mapping[str, Any] = field(default_factory=dict)
    cell: Mapping[str, Any] = field(default_factory=dict)
    closed: bool = False
    instead_of: str = ""

    @property
    def usage(self) -> Usage | None:
        """Token buckets of the answer; None when the provider did not tell."""
        return Usage.from_openai(self.response.get("usage"))

    @property
    def reference(self) -> str:
        """``provider/model`` that answered."""
        return f"{self.request['provider']}/{self.request['model']}"

    def to_line(self) -> str:
        """The recording as one line of JSON with sorted keys, known API keys replaced."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        fields["created"] = self.created.isoformat(timespec="milliseconds")
        fields["latency_ms"] = round(self.latency_ms, 1)
        optional = {"prices", "cell", "closed", "instead_of"}
        kept = {name: value for name, value in fields.items() if value or name not in optional}
        return redact(dump_line(kept))

    @classmethod
    def from_line(cls, line: str) -> Recording:
        """Read what :meth:`to_line` wrote.

        Raises
        ------
        ValueError, KeyError, TypeError
            For a line that is not a recording.
        """
        try:
            fields = AttrDict.from_json(line)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        created = datetime.fromisoformat(fields["created"])
        # Not set in the fields, which would make sure that it is a value of JSON.
        del fields["created"]
        recording = cls(created=created, **fields)
        response = recording.response
        if not isinstance(response, AttrDict) or not isinstance(response.get("choices"), list):
            raise TypeError("the response of a recording has a list of choices")
        return recording

    def check(self) -> None:
        """Raise unless the key is the key of the request, as it is in all that we write."""
        self.check_shape()
        try:
            key = key_of(Request.from_dict(self.request))
        except RecursionError:
            raise CassetteError("a request is nested too deeply to be one of ours") from None
        if key != self.key:
            raise CassetteError(
                f"the recording {self.key[:12]}… does not answer the request it holds: it was"
                " edited by hand, or written by another version of llm-magic"
            )

    def check_shape(self) -> None:
        """Raise for parts of other kinds than we write: what reads them relies on theirs."""
        problem = (
            _strange_request(self.request)
            or _strange_response(self.response)
            or _strange_prices(self.prices)
        )
        if problem:
            raise CassetteError(f"the recording {self.key[:12]}… is not one of ours: {problem}")


def _strange_request(request: Any) -> str:
    if not isinstance(request, Mapping):
        return "its request is no table"
    messages = request.get("messages")
    if not isinstance(messages, list) or not all(isinstance(one, Mapping) for one in messages):
        return "the messages of its request are no list of messages"
    if not isinstance(request.get("parameters", {}), Mapping):
        return "the parameters of its request are no table"
    return ""


def _strange_response(response: Any) -> str:
    choices = response.get("choices", []) if isinstance(response, Mapping) else None
    if not isinstance(choices, list):
        return "its answer has no choices"
    for choice in choices:
        message = choice.get("message", choice) if isinstance(choice, Mapping) else None
        if not isinstance(message, Mapping):
            return "a choice of its answer has no message"
    return ""


def _strange_prices(prices: Any) -> str:
    if not isinstance(prices, Mapping):
        return "its prices are no table"
    for name, price in prices.items():
        if (name, price) == ("source", "user"):
            continue
        base, *tiers = price if isinstance(price, list) and price else [price]
        if not _is_price(base) or not all(map(_is_tier, tiers)):
            return f"its price {name} is no amount of money"
    return ""


def _is_tier(tier: Any) -> bool:
    """Whether it is a number of tokens and the price of a request with more."""
    return (
        isinstance(tier, list)
        and len(tier) == 2
        and type(tier[0]) in (int, float)
        and _is_price(tier[1])
    )


def _is_price(text: Any) -> bool:
    try:
        amount = Decimal(text) if isinstance(text, str) else None
    except ArithmeticError:
        return False
    return amount is not None and amount.is_finite() and 0 <= amount < 1_000_000


def dump_line(value: Any) -> str:
    """JSON on one line with sorted keys: equal values give equal bytes.

    RFC 8785 is for keys; an answer may hold what it refuses (large integers), and must be stored.
    """
    text = _encode(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, as a cut emoji leaves: only the escaped form is valid UTF-8.
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return text


# Generation of a cassette, or None for unsaved, by notebook name ("" where it is unknown).
Users = dict[str, int | None]


@dataclass(slots=True)
class Variant:
    """One answer of a row, and the notebooks that use it."""

    users: Users
    line: str

    @property
    def dropped(self) -> bool:
        """Whether this stands for an answer that was removed here and not yet in the cassette."""
        return not self.line


def parse_row(text: str) -> list[Variant]:
    """The variants of a row, newest first."""
    users, found, line = text.partition("\n")
    try:
        if found and "\n" not in line:
            # Most rows have one answer, and every replay passes here.
            return [Variant(dict(_read_users(users)), line)]
        lines = text.split("\n")
        return [
            Variant(dict(_read_users(users)), line)
            for users, line in zip(lines[::2], lines[1::2], strict=True)
        ]
    except (ValueError, TypeError, IndexError):
        raise StoreError("a row of the store is not one of ours; run %llm cassette check") from None


# Answers that one notebook recorded and saved all have the very same users.
@functools.lru_cache(maxsize=256)
def _read_users(text: str) -> tuple[tuple[str, int | None], ...]:
    return tuple(dict(_decode(text)).items())


def format_row(variants: list[Variant]) -> str | None:
    """The text of a row; None when nothing is left in it."""
    kept = [variant for variant in variants if variant.users]
    if not kept:
        return None
    return "\n".join(
        part
        for variant in kept
        for part in (dump_line(sorted(variant.users.items())), variant.line)
    )


def row_name(key: str, ordinal: int) -> str:
    """Name of the row of an answer; sorts by key, then by ordinal."""
    return f"answer:{key}:{ordinal:08d}"


class Recordings:
    """The answers in a working store. It knows nothing of cassette files."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def variants(self, key: str, ordinal: int) -> list[Variant]:
        """What the store holds for an answer; one keyed read."""
        text = self.store.get(row_name(key, ordinal))
        return parse_row(text) if text is not None else []

    def put(
        self, key: str, ordinal: int, line: str, notebook: str, generation: int | None = None
    ) -> None:
        """Let a notebook use this line as its answer; other notebooks keep theirs.

        Parameters
        ----------
        line : str
            A recording's line; empty to drop the notebook's answer.
        generation : int or None
            The cassette's generation when the line stands in it; None for unsaved.
        """

        def change(text: str | None) -> str | None:
            variants = _without(parse_row(text) if text else [], notebook)
            # Some other notebook may use the very same line: they share it.
            for index, variant in enumerate(variants):
                if variant.line == line:
                    users = {**variant.users, notebook: generation}
                    variants[index] = Variant(users, line)
                    return format_row(variants)
            return format_row([Variant({notebook: generation}, line), *variants])

        self.store.update(row_name(key, ordinal), change)

    def mark_saved(self, key: str, ordinal: int, line: str, notebook: str, generation: int) -> None:
        """Note that a line stands in the notebook's cassette, unless it was replaced meanwhile."""

        def change(text: str | None) -> str | None:
            variants = parse_row(text) if text else []
            return format_row(
                [
                    Variant({**variant.users, notebook: generation}, line)
                    if variant.line == line and notebook in variant.users
                    else variant
                    for variant in variants
                ]
            )

        self.store.update(row_name(key, ordinal), change)

    def release(self, key: str, ordinal: int, notebook: str) -> None:
        """The notebook no longer uses an answer; the row goes when nobody does."""

        def change(text: str | None) -> str | None:
            return format_row(_without(parse_row(text) if text else [], notebook))

        self.store.update(row_name(key, ordinal), change)

    def ordinals(self, key: str) -> list[int]:
        """Ordinals of the rows under a key."""
        prefix = f"answer:{key}:"
        return [int(name[len(prefix) :]) for name, _ in self.store.items(prefix)]

    def used_by(self, notebook: str) -> Iterator[tuple[str, int, Variant]]:
        """Key, ordinal and variant of every answer that a notebook uses."""
        for key, ordinal, variant in self.all():
            if notebook in variant.users:
                yield key, ordinal, variant

    def all(self) -> Iterator[tuple[str, int, Variant]]:
        """Key, ordinal and variant of every answer."""
        for name, text in self.store.items("answer:"):
            try:
                _, key, ordinal = name.split(":")
                place = key, int(ordinal)
            except ValueError:
                raise StoreError(f"the store holds a row {name!r}, which is not ours") from None
            for variant in parse_row(text):
                yield *place, variant

    def find_call(self, key: str, ordinal: int, call: str) -> Recording | None:
        """The recording that a certain call made, if it is still there."""
        for variant in self.variants(key, ordinal):
            if variant.line and f'"call":"{call}"' in variant.line:
                return Recording.from_line(variant.line)
        return None


def _without(variants: list[Variant], notebook: str) -> list[Variant]:
    return [
        Variant({name: at for name, at in variant.users.items() if name != notebook}, variant.line)
        for variant in variants
    ]


def now() -> datetime:
    """The time, in UTC, to the millisecond that is stored."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def decimal_text(value: Decimal) -> str:
    """A Decimal as it is stored: no exponent, no trailing zeros."""
    text = str(value)
    if "E" in text or "e" in text:  # which of them, the context of the thread says
        text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
