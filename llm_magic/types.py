"""The words everything else is written in: Request, Completion, Chunk, Usage, Mode.

A request goes in, a completion comes out. Requests are frozen; completions and chunks are dicts in
the shape of the OpenAI chat API, whatever the provider, with attribute access.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from llm_magic.exceptions import ModeError, ParameterError, did_you_mean

__all__ = [
    "AttrDict",
    "Chunk",
    "Completion",
    "Mode",
    "Request",
    "Transport",
    "Usage",
    "as_mapping",
    "plain",
    "token_count",
]


class Mode(enum.StrEnum):
    """What to do about recordings; the table is in :mod:`llm_magic.replay`."""

    REPLAY = "REPLAY"
    FALLBACK = "FALLBACK"
    CAPTURE = "CAPTURE"
    DISABLED = "DISABLED"

    @classmethod
    def parse(cls, value: str | Mode) -> Mode:
        """The mode of that name, in any case; hopenai's newer names are understood too.

        >>> Mode.parse("replay"), Mode.parse("HIT_CACHE_OR_ABORT")
        (<Mode.REPLAY: 'REPLAY'>, <Mode.REPLAY: 'REPLAY'>)

        Raises
        ------
        ModeError
            For anything else; the message lists the valid names.
        """
        word = str(value).strip().upper()
        word = _HOPENAI_MODES.get(word, word)
        if word in cls.__members__:
            return cls[word]
        near = did_you_mean(word, cls.__members__, show_all=False)
        raise ModeError(
            f"unknown mode {value!r}{'; ' + near if near else ''} (modes: {', '.join(cls)})"
        )


_HOPENAI_MODES = {
    "HIT_CACHE_OR_ABORT": "REPLAY",
    "NORMAL": "FALLBACK",
    "REFRESH_CACHE": "CAPTURE",
    "DISABLE_CACHE": "DISABLED",
}

# Fields of the OpenAI shapes that a server may leave out: known, so None rather than an error.
_OPTIONAL_FIELDS = frozenset(
    (
        "annotations",
        "audio",
        "completion_tokens_details",
        "content",
        "finish_reason",
        "function_call",
        "logprobs",
        "prompt_tokens_details",
        "reasoning_content",
        "refusal",
        "service_tier",
        "system_fingerprint",
        "tool_calls",
        "usage",
    )
)


class AttrDict(dict[str, Any]):
    """A dict whose entries are attributes too, all the way down.

    Reading a field the OpenAI shapes do not know is an AttributeError; an optional field that is
    absent reads as None, as in the openai SDK. Writes go through to the dict.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            if name in _OPTIONAL_FIELDS:
                return None
        hint = did_you_mean(name, self, show_all=False)
        raise AttributeError(
            f"{type(self).__name__} has no field {name!r}" + (f"; {hint}" if hint else "")
        )

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no field {name!r}") from None

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, attributes(value))

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *(name for name in self if str(name).isidentifier())]

    @classmethod
    def from_json(cls, text: str | bytes) -> Any:
        """Parse JSON text; every object in it becomes an AttrDict."""
        if not isinstance(text, str):
            return json.loads(text, object_hook=AttrDict)
        if text[:1] == "{":
            # All that we write ourselves: without a look for white space around it.
            value, end = _decoder.raw_decode(text)
            if end == len(text):
                return value
        return _decoder.decode(text)

    def to_dict(self) -> dict[str, Any]:
        """A copy made of plain dicts and lists."""
        copy = plain(self)
        assert isinstance(copy, dict)
        return copy


# Made once: json.loads() makes a decoder for every text that it reads with a hook.
_decoder = json.JSONDecoder(object_hook=AttrDict)


def attributes(value: Any) -> Any:
    """The same value with every dict in it turned into an AttrDict."""
    if value is None or isinstance(value, (str, int, float, AttrDict)):
        return value
    if isinstance(value, Mapping):
        return AttrDict({name: attributes(item) for name, item in value.items()})
    if isinstance(value, list):
        return [attributes(item) for item in value]
    return value


def plain(value: Any, where: str = "value") -> Any:
    """A deep copy made of JSON types only: what is sent, keyed and stored is one and the same.

    Tuples become lists, NumPy scalars Python numbers, mappings dicts.

    Raises
    ------
    ParameterError
        For anything that has no JSON form; the message says where it stands.
    """
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, str):
        # enum.StrEnum, numpy.str_ and their like, as the text they equal.
        return str.__str__(value)
    if isinstance(value, (int, float)):
        return _number(value)
    # dicts at once: to ask an abstract class takes longer than all else here.
    if isinstance(value, (dict, Mapping)):
        for name in value:
            if not isinstance(name, str):
                raise ParameterError(f"{where}: the key {name!r} is not a string")
        return {str.__str__(name): plain(item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return plain(value.item(), where)
    raise ParameterError(
        f"{where}: {type(value).__name__} cannot be sent as JSON; use text, numbers, lists, dicts"
    )


_PLAIN = frozenset({str, int, float, bool})


def _number(value: int | float) -> int | float:
    # enum.IntEnum, numpy.float64 and their like print differently from what they equal.
    return int(value) if isinstance(value, int) else float(value)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: everything that may change the answer, and nothing else.

    Parameters
    ----------
    provider : str
        Declared name of the provider, such as ``openai``.
    model : str
        The provider's name of the model.
    messages : list of dict
        Messages in OpenAI's shape, plain JSON.
    parameters : dict
        Generation parameters that the user sent; absent means the provider's default.
    endpoint : str or None
        URL of an anonymous server without user info and query; None for the provider's own.
    cache_seed : int, str or None
        Keeps otherwise equal requests apart.
    api : str
        Kind of API: ``chat``; ``completion``, where every message is a prompt of its own;
        ``embedding``, where every message is a text to embed; or ``http``, what another library
        sent (:mod:`llm_magic.attachment`).
    """

    provider: str
    model: str
    messages: Sequence[Mapping[str, Any]]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    endpoint: str | None = None
    cache_seed: int | str | None = None
    api: str = "chat"

    @property
    def reference(self) -> str:
        """``provider/model``."""
        return f"{self.provider}/{self.model}"

    def to_dict(self) -> dict[str, Any]:
        """The request as stored in a recording; what has no value is left out."""
        known = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in known.items() if value not in (None, {})}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Request:
        """The request that :meth:`to_dict` wrote."""
        return cls(**stored)

    @property
    def last_text(self) -> str:
        """Text of the last message a person wrote, for tables and hints."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return content_text(message.get("content"))
        return ""


def content_text(content: Any) -> str:
    """The text of a message's content, which may be a string, a list of parts or None."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return ""


@dataclass(frozen=True, slots=True)
class Transport:
    """How a request travels: nothing in here may change the answer, so none of it is in the key.

    Parameters
    ----------
    api_key : str or None
        Never printed.
    api_base : str or None
        Base URL; None for the provider's own.
    timeout : float
        Seconds without a sign of life before the call is given up.
    """

    api_key: str | None = field(default=None, repr=False)
    api_base: str | None = None
    timeout: float = 120.0


@dataclass(frozen=True, slots=True, repr=False)
class Usage:
    """Tokens of one call in disjoint buckets.

    The input buckets and ``output_tokens`` sum to the provider's total. ``reasoning_tokens`` and
    ``output_audio_tokens`` are parts of ``output_tokens``. None of a whole Usage means that the
    provider did not tell.
    """

    uncached_input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    input_audio_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    output_audio_tokens: int = 0

    @property
    def input_tokens(self) -> int:
        """All input tokens, cached or not."""
        return (
            self.uncached_input_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
            + self.cache_write_1h_tokens
            + self.input_audio_tokens
        )

    @property
    def total_tokens(self) -> int:
        """All tokens, in and out."""
        return self.input_tokens + self.output_tokens

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}={count}" for name, count in self.to_dict().items())
        return f"Usage({counts})"

    def to_dict(self) -> dict[str, int]:
        """The buckets that are not empty."""
        return {name: count for name in self.__slots__ if (count := getattr(self, name))}

    @classmethod
    def from_openai(cls, usage: Mapping[str, Any] | None) -> Usage | None:
        """Sort OpenAI's usage object into buckets; None when there is none that makes sense.

        ``prompt_tokens`` counts cached and audio tokens too, so they are taken out of it. The
        Anthropic adapter writes its cache writes into ``prompt_tokens_details`` as
        ``cache_write_tokens`` and ``cache_write_1h_tokens``.

        Source: https://platform.openai.com/docs/api-reference/chat/object
        """
        # Of a plain dict: to ask one with attributes for a method takes longer than to copy it.
        told = dict(as_mapping(usage))
        prompt = token_count(told.get("prompt_tokens"))
        output = None if prompt is None else _output_tokens(told, prompt)
        if prompt is None or output is None:
            return None
        inside, outside = told.get("prompt_tokens_details"), told.get("completion_tokens_details")

        # A server that reports more parts than the whole is wrong about the parts.
        left = prompt
        parts = {}
        if inside and (inside := as_mapping(inside)):
            for bucket, name in _PROMPT_PARTS.items():
                parts[bucket] = min(token_count(inside.get(name)) or 0, left)
                left -= parts[bucket]
        if outside and (outside := as_mapping(outside)):
            reasoning = min(token_count(outside.get("reasoning_tokens")) or 0, output)
            audio = min(token_count(outside.get("audio_tokens")) or 0, output - reasoning)
            parts |= {"reasoning_tokens": reasoning, "output_audio_tokens": audio}
        return cls(uncached_input_tokens=left, output_tokens=output, **parts)


def _output_tokens(usage: Mapping[str, Any], prompt: int) -> int | None:
    """Tokens of the answer; embeddings have none, and do not say so."""
    if usage.get("completion_tokens") is not None:
        return token_count(usage["completion_tokens"])
    return max(0, (token_count(usage.get("total_tokens")) or 0) - prompt)


# Beyond this a number is no count of anything, and SQLite could not keep a sum of a few.
_MOST_TOKENS = 2**53


def token_count(value: Any) -> int | None:
    """The count that a server reports; None for what is none.

    It comes after the answer was paid for, so nothing odd in it may raise.

    >>> token_count(12), token_count(12.0), token_count(True), token_count(-1), token_count("12")
    (12, 12, None, None, None)
    """
    if type(value) is int:
        return value if 0 <= value < _MOST_TOKENS else None
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not 0 <= value < _MOST_TOKENS or value != int(value):
        return None
    return int(value)


def as_mapping(value: Any) -> Mapping[str, Any]:
    """The mapping, or an empty one for anything else that a server sends in its place."""
    # None and dicts at once: to ask an abstract class takes longer than all else here.
    return value if value is not None and isinstance(value, (dict, Mapping)) else {}


_PROMPT_PARTS = {
    "cache_read_tokens": "cached_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "cache_write_1h_tokens": "cache_write_1h_tokens",
    "input_audio_tokens": "audio_tokens",
}


class Completion(AttrDict):
    """What came back: a dict in OpenAI's chat shape, with what llm-magic knows about the call.

    ``completion.choices[0].message.content``, ``completion["usage"]["total_tokens"]`` and the like
    work as in the openai SDK. The attributes below are not entries of the dict.

    Attributes
    ----------
    text, texts
        Text of the first choice; of all choices.
    parsed
        The answer as data, where a schema or JSON was asked for; else None.
    provider : str
        Who answered.
    cost : decimal.Decimal or None
        USD that this call cost: 0 for a replay, None when the price is unknown.
    saved : decimal.Decimal or None
        USD that a replay would have cost live, at the prices when it was recorded.
    cost_source : str
        ``list``, ``user``, ``provider``, ``free``, ``unknown``.
    tokens : Usage or None
        Token buckets.
    prices : dict or None
        Unit prices that the call was counted with, as decimal text; None when nobody knows them.
    usage_source : str or None
        Who counted the tokens: ``provider``; ``estimated``, by us, for a provider that did not
        tell (see :mod:`llm_magic.tokens`); None when nobody did.
    source : str
        ``live`` or ``replay``.
    recorded : datetime.datetime or None
        When the answer was first given.
    latency_ms : float
        Milliseconds from asking to the whole answer, of this call.
    key, ordinal
        The recording that this answer is, or would be.
    routing : dict
        How the model was chosen, where it was not named.
    rounds : list of Completion
        The completions before this one, in which the model called functions.
    attempts : list of dict
        Every request that was sent for this answer.
    notes : list of str
        What the reader should know about this call, such as a parameter that was not sent.
    """

    provider: str
    reference: str
    cost: Decimal | None
    saved: Decimal | None
    cost_source: str
    tokens: Usage | None
    source: str
    recorded: datetime | None
    latency_ms: float
    key: str
    ordinal: int
    routing: dict[str, Any]
    rounds: list[Any]
    attempts: list[Any]
    notes: list[str]
    parsed: Any
    prices: Mapping[str, Any] | None

    def __init__(self, response: Mapping[str, Any] = AttrDict(), **about: Any) -> None:
        super().__init__(response if isinstance(response, AttrDict) else attributes(response))
        # All at once: every replay makes one, and one by one takes three times as long.
        known = {**_UNKNOWN, "attempts": [], "notes": [], "rounds": [], "routing": {}, **about}
        if len(known) > len(_ABOUT):
            raise TypeError(f"Completion has no field {', '.join(known.keys() - _ABOUT)}")
        object.__setattr__(self, "__dict__", known)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _ABOUT:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def usage_source(self) -> str | None:
        """Who counted the tokens: ``provider``, ``estimated``, or None when nobody did."""
        usage = as_mapping(self.get("usage"))
        if Usage.from_openai(usage) is None:
            return None
        return "estimated" if usage.get("estimated") else "provider"

    @property
    def texts(self) -> list[str]:
        """Text of every choice; a choice without text (a tool call) gives an empty string."""
        return [_text_of(choice) for choice in self.get("choices") or ()]

    @property
    def text(self) -> str:
        """Text of the first choice."""
        texts = self.texts
        return texts[0] if texts else ""

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 60 else self.text[:59] + "…"
        return f"<Completion {self.reference} {self.source}: {text!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), dict(self), dict(vars(self)))


def _text_of(choice: Mapping[str, Any]) -> str:
    # The older completions API, which the compat modules show as it was, has no messages.
    message = choice.get("message")
    content = choice.get("text") if message is None else message.get("content")
    return content if type(content) is str else content_text(content)


def _rebuild(kind: type[Completion], response: dict[str, Any], about: dict[str, Any]) -> Completion:
    return kind(response, **about)


# What a completion knows beside its answer, and what that is where nobody says.
_ABOUT = Completion.__annotations__.keys()
_UNKNOWN: Mapping[str, Any] = {**dict.fromkeys(_ABOUT), "key": "", "ordinal": 0}


class Chunk(AttrDict):
    """One piece of a stream, in the shape of OpenAI's ``chat.completion.chunk``.

    The last one carries ``usage``; some carry no choices.

    Attributes
    ----------
    cost : decimal.Decimal or None
        USD of the whole call, on the last chunk; None before, and when the price is unknown.
    """

    __slots__ = ("cost",)

    cost: Decimal | None

    def __getattr__(self, name: str) -> Any:
        return None if name == "cost" else super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "cost":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def text(self) -> str:
        """New text of the first choice; empty for other choices and for pieces without text."""
        for choice in self["choices"]:
            if choice.get("index", 0) == 0:
                return choice["delta"].get("content") or ""
        return ""
