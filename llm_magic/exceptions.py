"""Every error that llm-magic raises on purpose, in one tree.

::

    LLMMagicError
    ├── ReplayMissError          (KeyError, RuntimeError)   REPLAY, and no recording
    ├── BudgetExceededError      (RuntimeError)             a call that a budget does not admit
    │   └── UnboundedCostError                              one that nobody can say the cost of
    ├── ModeError                (ValueError)               not one of the four modes
    ├── ModelNameError           (ValueError)               unknown provider or model name
    ├── MissingKeyError          (ValueError)               no API key for a provider
    ├── ConfigError              (ValueError)               a setting that cannot be used
    ├── ParameterError           (ValueError, TypeError)    a parameter or message we cannot send
    ├── TemplateError            (ValueError)               a {{ placeholder }} that has no value
    ├── SchemaError              (ValueError)               an answer that does not fit its schema
    ├── CassetteError            (ValueError)               a cassette that cannot be read
    ├── StoreError               (RuntimeError)             the working store cannot be used
    │   ├── UnsafeStoreError                                a row or setting that is not ours
    │   ├── DamagedStoreError                               not a database, or a broken one
    │   └── DiskFullError        (OSError)                  no space left to write it
    └── ProviderError            (RuntimeError)             the provider said no, or nothing
        ├── BadRequestError      (ValueError)               400, 413, 422
        ├── AuthenticationError  (PermissionError)          401
        ├── PermissionDeniedError (PermissionError)         403
        ├── NotFoundError        (LookupError)              404
        ├── QuotaError                                      402, 429 for an empty account
        ├── RateLimitError                                  429
        ├── ConflictError                                   408, 409, 425
        ├── ServerError                                     5xx
        │   └── OverloadedError                             503, 529
        ├── ConnectionFailedError (ConnectionError)         no connection, or it was lost
        │   └── RequestTimeoutError (TimeoutError)          no answer in time
        └── IncompleteError                                 an answer without its end

Each is also the builtin that a user would guess. A message says what happened, to what, and what
to do about it; it never holds a key or a header.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import llm_magic

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = [
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceededError",
    "CassetteError",
    "ConfigError",
    "ConflictError",
    "ConnectionFailedError",
    "DamagedStoreError",
    "DiskFullError",
    "IncompleteError",
    "LLMMagicError",
    "MissingKeyError",
    "ModeError",
    "ModelNameError",
    "NotFoundError",
    "OverloadedError",
    "ParameterError",
    "ParameterWarning",
    "PermissionDeniedError",
    "ProviderError",
    "QuotaError",
    "RateLimitError",
    "ReplayMissError",
    "RequestTimeoutError",
    "SchemaError",
    "ServerError",
    "StoreError",
    "TemplateError",
    "UnboundedCostError",
    "UnsafeStoreError",
]


class LLMMagicError(Exception):
    """The base of every error of this package.

    Attributes
    ----------
    attempts : sequence of dict
        Every request that was sent before this was raised, with its error.
    """

    attempts: Sequence[Mapping[str, Any]] = ()

    def __str__(self) -> str:
        # KeyError prints the repr of its message: quotes and backslashes around a sentence.
        return str(self.args[0]) if self.args else ""


class ReplayMissError(LLMMagicError, KeyError, RuntimeError):
    """The mode is REPLAY and nothing is recorded for this request; nothing was sent.

    Attributes
    ----------
    key : str
        The key that was looked up (64 hexadecimal digits).
    ordinal : int
        Which of the answers to this request was asked for, from 0.
    request : Request or None
        What was asked, as it would have been recorded: without known keys and headers.
    folder : pathlib.Path or None
        Where recordings were looked for.
    notebook : str or None
        Name of the notebook, where it is known.
    cell : dict
        First line and id of the cell that asked, where there was one.
    """

    def __init__(
        self,
        message: str,
        *,
        key: str = "",
        ordinal: int = 0,
        request: Any = None,
        folder: Any = None,
        notebook: str | None = None,
        cell: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.key = key
        self.ordinal = ordinal
        self.request = request
        self.folder = folder
        self.notebook = notebook
        self.cell = dict(cell or {})
        self._below: list[str] | None = None

    @property
    def __notes__(self) -> list[str]:
        """Why, as tracebacks print it below the message: looked for only when somebody does."""
        if self._below is None:
            # Where the message was explained already, it has several lines.
            self._below = [] if "\n" in str(self) else llm_magic.why_missed(self)
        return self._below

    @__notes__.setter
    def __notes__(self, notes: list[str]) -> None:
        self._below = notes


class BudgetExceededError(LLMMagicError, RuntimeError):
    """A call could cost more than a budget has left; it was not sent.

    Attributes
    ----------
    per : str
        Which budget: call, cell, session, day, process or block.
    limit, spent, reserved : decimal.Decimal or None
        USD: the budget, what was spent of it, what is set aside for calls under way.
    asked : decimal.Decimal or None
        USD that the call can cost at most; None when nobody knows.
    """

    def __init__(
        self,
        message: str,
        *,
        per: str = "",
        limit: Decimal | None = None,
        spent: Decimal | None = None,
        reserved: Decimal | None = None,
        asked: Decimal | None = None,
    ) -> None:
        super().__init__(message)
        self.per = per
        self.limit = limit
        self.spent = spent
        self.reserved = reserved
        self.asked = asked


class UnboundedCostError(BudgetExceededError):
    """There is a budget, and nobody can say what a call costs at most; it was not sent."""


class ModeError(LLMMagicError, ValueError):
    """Not a replay mode."""


class ModelNameError(LLMMagicError, ValueError):
    """A model reference that names no provider we know."""


class MissingKeyError(LLMMagicError, ValueError):
    """A live call is needed, and there is no API key for its provider."""


class ConfigError(LLMMagicError, ValueError):
    """A setting with an unknown name or an unusable value."""


class ParameterError(LLMMagicError, ValueError, TypeError):
    """A parameter or message that cannot be sent as it is."""


class ParameterWarning(UserWarning):
    """A parameter that this provider cannot take, and that was not sent."""


class TemplateError(LLMMagicError, ValueError):
    """A placeholder in a prompt that cannot be filled."""


class SchemaError(LLMMagicError, ValueError):
    """An answer that is not the data that its schema asked for.

    Attributes
    ----------
    completion : Completion or None
        The answer, which was paid for and is stored.
    """

    completion: Any = None


class CassetteError(LLMMagicError, ValueError):
    """A cassette that cannot be read as it stands."""


class StoreError(LLMMagicError, RuntimeError):
    """The working store cannot be opened, read or written."""


class UnsafeStoreError(StoreError):
    """The store holds something that llm-magic never writes, so it is not opened."""


class DamagedStoreError(StoreError):
    """The store is not a readable database."""


class DiskFullError(StoreError, OSError):
    """There is no space left; free some and do it again, nothing is damaged."""


class ProviderError(LLMMagicError, RuntimeError):
    """A provider refused, failed or did not answer.

    Attributes
    ----------
    provider, model : str
        Who was asked.
    status : int or None
        HTTP status, when there was an HTTP answer.
    code : str or None
        The provider's own word for the error, such as ``context_length_exceeded``.
    retry_after : float or None
        Seconds the provider asked us to wait.
    partial : str
        Text that had arrived before the failure.
    billed : bool or None
        Whether the attempt costs money: False when the provider refused it, None when nobody knows.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        partial: str = "",
        billed: bool | None = False,
    ) -> None:
        # Not super(): an error may be the SDK's class as well, which wants its response object.
        Exception.__init__(self, message)
        self.provider = provider
        self.model = model
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.partial = partial
        self.billed = billed

    def __reduce__(self) -> tuple[Any, ...]:
        # A class that was put together for an SDK does not exist in the process that unpickles.
        ours = next(cls for cls in type(self).__mro__ if globals().get(cls.__name__) is cls)
        return ours, (str(self),), self.__dict__


class BadRequestError(ProviderError, ValueError):
    """The provider cannot use the request (HTTP 400, 413, 422)."""


class AuthenticationError(ProviderError, PermissionError):
    """The provider does not know the API key (HTTP 401)."""


class PermissionDeniedError(ProviderError, PermissionError):
    """The API key may not do this (HTTP 403)."""


class NotFoundError(ProviderError, LookupError):
    """The provider has no such model or address (HTTP 404)."""


class QuotaError(ProviderError):
    """The account has no credit left (HTTP 402, or 429 with ``insufficient_quota``)."""


class RateLimitError(ProviderError):
    """Too many requests or tokens for now (HTTP 429)."""


class ConflictError(ProviderError):
    """The provider asks to try again (HTTP 408, 409, 425)."""


class ServerError(ProviderError):
    """The provider failed (HTTP 5xx)."""


class OverloadedError(ServerError):
    """The provider has too much to do (HTTP 503, 529)."""


class ConnectionFailedError(ProviderError, ConnectionError):
    """No connection to the provider, or it was lost."""


class RequestTimeoutError(ConnectionFailedError, TimeoutError):
    """The provider did not answer within the timeout."""


class IncompleteError(ProviderError):
    """The answer ended without a finish reason, so it is not an answer; it is not stored."""


def did_you_mean(word: str, known: Iterable[str], *, show_all: bool = True) -> str:
    """A hint for an unknown word: the nearest known ones, else all of them.

    >>> did_you_mean("REPLY", ["REPLAY", "CAPTURE"])
    'did you mean REPLAY?'
    >>> did_you_mean("zzz", ["b", "a"])
    'use one of: a, b'
    """
    names = sorted(known)
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(word.casefold(), folded, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(folded[name] for name in near) + "?"
    return "use one of: " + ", ".join(names) if names and show_all else ""
