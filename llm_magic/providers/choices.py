"""Several choices from a provider that gives one answer a call: it is asked as often.

This is what ``n`` means, so nothing is lost by it but money: a provider that takes ``n`` bills the
prompt once, and here it is billed ``n`` times, as the summed usage says.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

from llm_magic.exceptions import ParameterError, ProviderError
from llm_magic.providers.base import Provider
from llm_magic.types import AttrDict, Chunk, Request, Transport, attributes

__all__ = ["OneByOne", "joined", "summed"]


class OneByOne:
    """A provider that is asked once for every choice.

    Waiting calls are made one after the other, so that an interrupt ends them; awaited ones at
    once; a stream has all of one choice before the next. The first failure ends them all.
    """

    def __init__(self, provider: Provider) -> None:
        self.name = provider.name
        self._provider = provider

    def send(self, request: Request, transport: Transport) -> AttrDict:
        """The whole answer, with as many choices as the request wants."""
        count, single = _split(request)
        answers: list[AttrDict] = []
        for _ in range(count):
            try:
                answers.append(self._provider.send(single, transport))
            except ProviderError as error:
                _after(error, bool(answers))
                raise
        return joined(answers)

    async def asend(self, request: Request, transport: Transport) -> AttrDict:
        """As :meth:`send`, awaited."""
        count, single = _split(request)
        if count == 1:
            return await self._provider.asend(single, transport)
        import asyncio  # 30 ms that a replay in plain Python does without

        tasks = [
            asyncio.ensure_future(self._provider.asend(single, transport)) for _ in range(count)
        ]
        try:
            return joined(await asyncio.gather(*tasks))
        except ProviderError as error:
            _after(error, True)
            raise
        finally:
            # One has failed, or all of them were cancelled: none may go on behind the caller.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def stream(self, request: Request, transport: Transport) -> Iterator[Chunk]:
        """The answer in pieces, one choice after the other."""
        count, single = _split(request)
        if count == 1:
            return self._provider.stream(single, transport)
        return self._stream(count, single, transport)

    def _stream(
        self, count: int, single: Request, transport: Transport
    ) -> Generator[Chunk, None, None]:
        whole = _Numbered(count)
        for index in range(count):
            chunks = cast("Generator[Chunk, None, None]", self._provider.stream(single, transport))
            with closing(chunks):
                try:
                    for chunk in chunks:
                        yield whole.take(chunk, index)
                except ProviderError as error:
                    _after(error, index > 0)
                    raise
        yield whole.last()

    def astream(self, request: Request, transport: Transport) -> AsyncIterator[Chunk]:
        """As :meth:`stream`, awaited."""
        count, single = _split(request)
        if count == 1:
            return self._provider.astream(single, transport)
        return self._astream(count, single, transport)

    async def _astream(
        self, count: int, single: Request, transport: Transport
    ) -> AsyncGenerator[Chunk, None]:
        whole = _Numbered(count)
        for index in range(count):
            chunks = cast("AsyncGenerator[Chunk, None]", self._provider.astream(single, transport))
            async with aclosing(chunks):
                try:
                    async for chunk in chunks:
                        yield whole.take(chunk, index)
                except ProviderError as error:
                    _after(error, index > 0)
                    raise
        yield whole.last()

    def notes(self, request: Request) -> list[str]:
        """What of the rest of the request the provider cannot take."""
        return self._provider.notes(_split(request)[1])


def _split(request: Request) -> tuple[int, Request]:
    """How many choices are wanted, and the request for one of them."""
    if "n" not in request.parameters:
        return 1, request
    count = request.parameters["n"]
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ParameterError(f"n={count!r}: it takes the number of answers, from 1")
    rest = {name: value for name, value in request.parameters.items() if name != "n"}
    return count, replace(request, parameters=rest)


def _after(error: ProviderError, others: bool) -> None:
    # This attempt may be free, but the choices that came before it, or with it, are not.
    if others:
        error.billed = None


def joined(answers: Sequence[AttrDict]) -> AttrDict:
    """One answer with the choices of all, numbered anew, and the sum of their usage."""
    first = answers[0]
    if len(answers) == 1:
        return first
    choices = [choice for answer in answers for choice in answer["choices"]]
    numbered = [{**choice, "index": index} for index, choice in enumerate(choices)]
    usage = summed([answer.get("usage") for answer in answers])
    return cast(AttrDict, attributes({**first, "choices": numbered, "usage": usage}))


def summed(usages: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """The sum of what several requests used; None when one of them did not tell.

    ``requests`` says how many there were: prices that go by the size or the number of requests
    need to know.

    >>> summed([{"prompt_tokens": 3, "cost": 0.1}, {"prompt_tokens": 4, "cost": 0.2}])
    {'prompt_tokens': 7, 'cost': 0.3, 'requests': 2}
    """
    told = [usage for usage in usages if usage]
    if len(told) < len(usages):
        return None
    total = {**_sum(told), "requests": len(told)}
    for name in _MONEY:
        if any(usage.get(name) is None for usage in told):
            total.pop(name, None)
    for name in _WORDS:
        total |= _in_words(name, told)
    if any(usage.get("is_byok") for usage in told):
        total["is_byok"] = True
    return total


# What several requests cost is known when all of them say it.
_MONEY = ("cost", "cost_in_usd_ticks")
# What the price of a token depends on.
_WORDS = ("service_tier", "speed", "inference_geo")


def _in_words(name: str, usages: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The word that all say; of different ones a list, which no price stands for."""
    words = {str(usage.get(name) or "default") for usage in usages}
    return {name: " or ".join(sorted(words))} if len(words) > 1 else {}


def _sum(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            before = total.get(name)
            if isinstance(value, Mapping):
                total[name] = _sum([before, value] if isinstance(before, Mapping) else [value])
            elif before is not None and _is_number(value) and _is_number(before):
                total[name] = _plus(before, value)
            elif before is None:
                total[name] = value
    return total


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _plus(one: float, other: float) -> float:
    if isinstance(one, int) and isinstance(other, int):
        return one + other
    # Money comes as a JSON number: 0.1 + 0.2 has to be 0.3.
    return float(Decimal(str(one)) + Decimal(str(other)))


class _Numbered:
    """Makes the chunks of several streams into those of one."""

    def __init__(self, count: int) -> None:
        self._head: dict[str, Any] = {}
        self._usages: list[Mapping[str, Any] | None] = [None] * count

    def take(self, chunk: Chunk, index: int) -> Chunk:
        """The chunk as one of choice `index`, without its usage."""
        head = {name: item for name, item in chunk.items() if name not in ("choices", "usage")}
        self._head = self._head or head
        if chunk.get("usage"):
            self._usages[index] = chunk["usage"]
        choices = [AttrDict(choice, index=index) for choice in chunk["choices"]]
        return Chunk({**head, "id": self._head.get("id"), "choices": choices})

    def last(self) -> Chunk:
        """The last chunk: the usage of all."""
        return Chunk({**self._head, "choices": [], "usage": attributes(summed(self._usages))})
