"""OpenTracy's ``completion``: change ``import opentracy as ot`` to
``from llm_magic.compat import opentracy as ot``.

>>> from llm_magic.compat import opentracy as ot
>>> hello = [{"role": "user", "content": "hello"}]
>>> response = ot.completion("echo/echo", hello, max_tokens=20)
>>> response._provider, response._cost, response._routing["selected_model"]
('echo', 0.0, 'echo/echo')

What is otherwise than there, on purpose:

- A field that an answer does not have is an AttributeError, not None.
- ``_cost`` is 0.0 where the price is unknown, as it has to be a number; ``_cost_known`` tells.
- A key and an address that are passed belong to the first model, never to a fallback.
- Models that are named are asked directly, with or without ``force_direct``. The engine, which
  chooses one for ``model="auto"``, is not part of this version: asking for it is a ValueError.
- All of :func:`llm_magic.complete`'s arguments, such as ``mode=``, are understood too.

Provider errors are ours, and are ``openai.APIError`` as well, whatever the provider.
"""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

from llm_magic import client, pricing, routing, secrets
from llm_magic.compat.shapes import AsyncPieces, Attempts, Pieces, about, also
from llm_magic.exceptions import (
    LLMMagicError,
    ModelNameError,
    ParameterError,
    ProviderError,
    did_you_mean,
)
from llm_magic.types import Chunk, Completion, Usage

__all__ = ["ModelResponse", "Router", "StreamChunk", "acompletion", "completion"]

Messages = Sequence[Mapping[str, Any]]

# A piece of a stream, in OpenAI's shape for all providers.
StreamChunk = Chunk


class ModelResponse(Completion):
    """An answer: a dict in OpenAI's shape, whose entries are attributes too.

    Attributes
    ----------
    _provider : str
        Who answered.
    _cost : float
        USD of this call: 0.0 for a replay, and where the price is unknown.
    _cost_known : bool
        Whether ``_cost`` is what it cost.
    _latency_ms : float
        Milliseconds from asking to the whole answer.
    _routing : dict
        ``alias``, the model as it was asked for, and ``selected_model``, the one that answered.
    _attempts : list of dict
        Every request that was sent for this answer.
    """

    __slots__ = ()

    @classmethod
    def of(cls, completion: Completion, model: str) -> ModelResponse:
        """The response for a completion, that was asked of this model."""
        known = about(completion)
        known["routing"] = {
            "alias": model,
            "selected_model": completion.reference,
            **completion.routing,
        }
        return cls(completion, **known)

    @property
    def _provider(self) -> str:
        return self.provider

    @property
    def _cost(self) -> float:
        return float(self.cost or 0)

    @property
    def _cost_known(self) -> bool:
        return self.cost is not None

    @property
    def _latency_ms(self) -> float:
        return self.latency_ms

    @property
    def _routing(self) -> dict[str, Any]:
        return self.routing

    @property
    def _attempts(self) -> list[Any]:
        return self.attempts


def completion(
    model: str,
    messages: Messages,
    *,
    api_key: str | None = None,
    api_base: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    top_p: float | None = None,
    stream: bool = False,
    stop: str | list[str] | None = None,
    tools: list[dict[str, Any]] | None = None,
    tool_choice: str | dict[str, Any] | None = None,
    timeout: float = 120.0,
    num_retries: int = 0,
    fallbacks: list[str] | None = None,
    force_engine: bool = False,
    force_direct: bool = False,
    **kwargs: Any,
) -> ModelResponse | Iterator[StreamChunk]:
    """The answer to messages, or its pieces.

    Parameters
    ----------
    model : str
        ``provider/model``, or a bare name that begins like a well-known one.
    messages : list of dict
        Messages in OpenAI's shape; they are not changed.
    api_key, api_base : str, optional
        Key and address for `model`; by default the provider's own.
    temperature, max_tokens, top_p, stop, tools, tool_choice : optional
        Generation parameters; None leaves them to the provider.
    stream : bool
        Give an iterator of `StreamChunk`.
    timeout : float
        Seconds without a sign of life before the call is given up.
    num_retries : int
        How often a model is asked again after an error that may pass.
    fallbacks : list of str, optional
        Models to ask, in order, when `model` failed.
    force_engine : bool
        Not possible yet.
    force_direct : bool
        Makes no difference yet: all models are asked directly.
    **kwargs
        Other parameters for the model, such as ``user`` or ``response_format``.

    Raises
    ------
    ValueError
        Without a key, or for a model whose provider is unknown.
    openai.APIError
        When the provider refused, failed or did not answer.
    """
    options = _options(**locals())
    del api_key  # tracebacks show variables
    return _ask(model, messages, stream, options)


async def acompletion(
    model: str,
    messages: Messages,
    *,
    api_key: str | None = None,
    api_base: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    top_p: float | None = None,
    stream: bool = False,
    stop: str | list[str] | None = None,
    tools: list[dict[str, Any]] | None = None,
    tool_choice: str | dict[str, Any] | None = None,
    timeout: float = 120.0,
    num_retries: int = 0,
    fallbacks: list[str] | None = None,
    force_engine: bool = False,
    force_direct: bool = False,
    **kwargs: Any,
) -> ModelResponse | AsyncIterator[StreamChunk]:
    """As :func:`completion`, awaited; a stream is then for ``async for``."""
    options = _options(**locals())
    del api_key  # tracebacks show variables
    return await _aask(model, messages, stream, options)


def _options(
    model: str,
    force_engine: bool = False,
    force_direct: bool = False,
    kwargs: Mapping[str, Any] | None = None,
    messages: object = None,
    stream: object = None,
    **options: Any,
) -> dict[str, Any]:
    """From all that OpenTracy's functions take to what ours take beside the messages."""
    secrets.hide(options)
    if force_engine or model == "auto":
        raise ModelNameError(
            f"Cannot resolve provider for model {model!r}. Use 'provider/model' format, without"
            " force_engine: the OpenTracy engine is not supported yet"
        )
    return {"model": model, **options, **(kwargs or {})}


def _nothing(attempts: Attempts) -> None:
    return None


def _ask(
    model: str,
    messages: Messages,
    stream: bool,
    options: Mapping[str, Any],
    ended: Callable[[Attempts], None] = _nothing,
) -> ModelResponse | Pieces:
    try:
        if stream:
            return Pieces(client.stream(messages, **options), _fail, ended=ended)
        response = ModelResponse.of(client.complete(messages, **options), model)
    except LLMMagicError as error:
        ended(error.attempts)
        _fail(error)
    ended(response.attempts)
    return response


async def _aask(
    model: str,
    messages: Messages,
    stream: bool,
    options: Mapping[str, Any],
    ended: Callable[[Attempts], None] = _nothing,
) -> ModelResponse | AsyncPieces:
    try:
        if stream:
            return AsyncPieces(client.astream(messages, **options), _fail, ended=ended)
        response = ModelResponse.of(await client.acomplete(messages, **options), model)
    except LLMMagicError as error:
        ended(error.attempts)
        _fail(error)
    ended(response.attempts)
    return response


def _fail(error: LLMMagicError) -> NoReturn:
    """Raise it as an error of the openai SDK, too, if somebody could catch it as that."""
    openai = sys.modules.get("openai")
    if openai is not None and isinstance(error, ProviderError):
        also(error, getattr(openai, type(error).__name__, openai.APIError))
    raise error


# Router


@dataclass
class _Deployment:
    """A model at one address with one key, and how it has done so far."""

    model: str
    api_key: str | None = field(default=None, repr=False)
    api_base: str | None = None
    weight: float = 1.0
    requests: int = 0
    errors: int = 0
    answered_ms: float = 0.0

    @property
    def address(self) -> dict[str, Any]:
        return {"model": self.model, "api_key": self.api_key, "api_base": self.api_base}

    @property
    def latency_ms(self) -> float | None:
        """Mean time of an answer; a failure, which may be quick, is none."""
        answers = self.requests - self.errors
        return self.answered_ms / answers if answers else None

    @property
    def slowness(self) -> float:
        """Time to an answer, with the attempts that fail on the way; unused ones come first."""
        if not self.requests:
            return 0.0
        mean = self.latency_ms
        share = 1 - self.errors / self.requests
        return float("inf") if mean is None else mean / share

    @property
    def price(self) -> Decimal:
        """USD for a thousand tokens in and out; what nobody knows comes last."""
        try:
            provider, model = routing.resolve(self.model)
        except LLMMagicError:
            return Decimal("Infinity")
        prices = pricing.unit_prices(provider, model, datetime.now(UTC))
        cost = pricing.cost(Usage(uncached_input_tokens=1000, output_tokens=1000), prices)
        return Decimal("Infinity") if cost is None else cost

    def stats(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "requests": self.requests,
            "errors": self.errors,
            "error_rate": self.errors / self.requests if self.requests else 0.0,
            "avg_latency_ms": self.latency_ms,
        }


# What an entry of the model_list may say.
_ENTRY = ("model_name", "model", "api_key", "api_base", "weight")

_Order = Callable[["Router", str, list[_Deployment]], list[_Deployment]]


def _round_robin(router: Router, alias: str, deployments: list[_Deployment]) -> list[_Deployment]:
    start = router._turns[alias] % len(deployments)
    router._turns[alias] += 1
    return deployments[start:] + deployments[:start]


def _least_cost(router: Router, alias: str, deployments: list[_Deployment]) -> list[_Deployment]:
    return sorted(deployments, key=lambda deployment: deployment.price)


def _lowest_latency(
    router: Router, alias: str, deployments: list[_Deployment]
) -> list[_Deployment]:
    return sorted(deployments, key=lambda deployment: deployment.slowness)


def _weighted_random(
    router: Router, alias: str, deployments: list[_Deployment]
) -> list[_Deployment]:
    left, order = list(deployments), []
    while left:
        weights = [deployment.weight for deployment in left]
        order += router._chance.choices(left, weights if any(weights) else None)
        left.remove(order[-1])
    return order


class Router:
    """Several deployments under one name, of which one is asked and the others stand by.

    Parameters
    ----------
    model_list : list of dict
        ``model_name`` (the name to ask for), ``model`` (``provider/model``), and if you like
        ``api_key``, ``api_base``, ``weight``. Several may have the same name.
    fallbacks : list of dict, optional
        ``[{"name": ["other", ...]}]``: whose deployments, or which models, are asked when all of a
        name have failed.
    strategy : str
        Who is asked first: ``round-robin``; ``least-cost`` by list price; ``lowest-latency``, where
        each is tried once and failures make a deployment slower, never faster; or
        ``weighted-random``, with the same draws in every process, so that a notebook replays.
    num_retries : int
        How often a deployment is asked again after an error that may pass.
    timeout : float
        Seconds without a sign of life.

    Examples
    --------
    >>> router = Router([{"model_name": "fast", "model": "echo/echo"}])
    >>> router.completion("fast", [{"role": "user", "content": "hello"}])._provider
    'echo'
    >>> router.get_stats()["fast"][0]["requests"]
    1
    """

    STRATEGIES: Mapping[str, _Order] = {
        "round-robin": _round_robin,
        "least-cost": _least_cost,
        "lowest-latency": _lowest_latency,
        "weighted-random": _weighted_random,
    }

    def __init__(
        self,
        model_list: Sequence[Mapping[str, Any]],
        fallbacks: Sequence[Mapping[str, Sequence[str]]] | None = None,
        strategy: str = "round-robin",
        num_retries: int = 2,
        timeout: float = 120.0,
    ) -> None:
        if strategy not in self.STRATEGIES:
            hint = did_you_mean(str(strategy), self.STRATEGIES)
            raise ParameterError(f"strategy={strategy!r}: {hint}")
        self.strategy = strategy
        self.num_retries = num_retries
        self.timeout = timeout
        self._deployments: dict[str, list[_Deployment]] = {}
        for entry in model_list:
            self._add(entry)
        self._fallbacks = {
            alias: list(names) for table in fallbacks or () for alias, names in table.items()
        }
        self._turns: Counter[str] = Counter()
        # Not for secrets, and always the same draws.
        self._chance = random.Random(0)  # noqa: S311
        self._lock = threading.Lock()

    def _add(self, entry: Mapping[str, Any]) -> None:
        for name in entry:
            if name not in _ENTRY:
                raise ParameterError(f"model_list: {name!r}; {did_you_mean(str(name), _ENTRY)}")
        about = dict(entry)
        secrets.hide(about)
        alias, model = about.pop("model_name", None), about.pop("model", None)
        if not alias or not model:
            raise ParameterError("model_list: each entry has a model_name and a model")
        if about.get("weight", 1.0) < 0:
            raise ParameterError(f"model_list: weight={about['weight']!r}: a number from 0")
        self._deployments.setdefault(alias, []).append(_Deployment(model, **about))

    def completion(
        self, model: str, messages: Messages, *, stream: bool = False, **options: Any
    ) -> ModelResponse | Iterator[StreamChunk]:
        """As the function :func:`completion`; `model` is a name of the ``model_list``."""
        chosen = self._order(model)
        return _ask(model, messages, stream, self._options(chosen, options), self._note(chosen))

    async def acompletion(
        self, model: str, messages: Messages, *, stream: bool = False, **options: Any
    ) -> ModelResponse | AsyncIterator[StreamChunk]:
        """As :meth:`completion`, awaited."""
        chosen = self._order(model)
        asked = self._options(chosen, options)
        return await _aask(model, messages, stream, asked, self._note(chosen))

    def get_stats(self) -> dict[str, list[dict[str, Any]]]:
        """Requests, errors and mean latency of every deployment; a replay is no request."""
        with self._lock:
            return {
                alias: [deployment.stats() for deployment in deployments]
                for alias, deployments in self._deployments.items()
            }

    def _order(self, alias: str) -> list[_Deployment]:
        """The deployments to ask, in order, those of the fallbacks last."""
        if alias not in self._deployments:
            hint = did_you_mean(str(alias), self._deployments)
            raise ModelNameError(f"no deployment is named {alias!r}; {hint}")
        order = self.STRATEGIES[self.strategy]
        chosen: list[_Deployment] = []
        with self._lock:
            for name in [alias, *self._fallbacks.get(alias, ())]:
                named = self._deployments.get(name)
                chosen += [_Deployment(name)] if named is None else order(self, name, named)
        return chosen

    def _options(self, chosen: Sequence[_Deployment], options: Mapping[str, Any]) -> dict[str, Any]:
        first, *others = chosen
        fallbacks = [*(other.address for other in others), *(options.get("fallbacks") or ())]
        defaults = {"num_retries": self.num_retries, "timeout": self.timeout}
        asked = {**defaults, **options, **first.address, "fallbacks": fallbacks}
        return _options(**asked)

    def _note(self, chosen: Sequence[_Deployment]) -> Callable[[Attempts], None]:
        def ended(attempts: Attempts) -> None:
            with self._lock:
                for attempt in attempts:
                    # Behind them come fallbacks that were passed with the call.
                    if attempt["candidate"] < len(chosen):
                        deployment = chosen[attempt["candidate"]]
                        deployment.requests += 1
                        if attempt["error"] is not None:
                            deployment.errors += 1
                        else:
                            deployment.answered_ms += attempt.get("latency_ms", 0.0)

        return ended
