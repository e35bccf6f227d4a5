"""The rounds of a conversation in which the model calls the user's functions.

What a function returned is not a function of the request, so it is recorded like an answer, under
the completion that called it: a replay does not run the functions again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llm_magic import replay
from llm_magic.arguments import Arguments
from llm_magic.exceptions import ReplayMissError
from llm_magic.history import new_call_id
from llm_magic.recordings import Recording, key_of, now
from llm_magic.shelf import Shelf
from llm_magic.types import AttrDict, Completion, Mode, Request, plain

__all__ = ["Rounds"]


class Rounds:
    """One conversation with tools: the messages so far, and what is to be run next.

    Parameters
    ----------
    messages : list of dict
        What is asked.
    arguments : Arguments
        Functions, how many rounds, and whether a replay runs the functions again.
    mode : Mode
        Decides whether results are looked up and stored, as it does for answers.
    shelf : Shelf or None
        Where results are recorded; None in DISABLED.
    notebook : str or None
        Notebook that the results belong to.
    """

    def __init__(
        self,
        messages: list[dict[str, Any]],
        arguments: Arguments,
        mode: Mode,
        shelf: Shelf | None,
        notebook: str | None,
    ) -> None:
        self.messages = list(messages)
        self.functions: Mapping[str, Callable[..., Any]] = arguments.functions
        self.completions: list[Completion] = []
        self._left = arguments.max_tool_rounds
        self._rerun = arguments.rerun_tools
        self._mode = mode
        self._shelf = shelf
        self._notebook = notebook

    def wanted(self, completion: Completion) -> list[tuple[str, str]]:
        """Function and JSON arguments of every call to make; none when the conversation is over.

        It is over when the model calls nothing, calls what is no function of ours, or has had its
        rounds.
        """
        self.completions.append(completion)
        calls = completion.choices[0].message.tool_calls or []
        known = all(call["function"]["name"] in self.functions for call in calls)
        if not calls or not known or self._left == 0:
            return []
        self._left -= 1
        return [(call["function"]["name"], call["function"]["arguments"]) for call in calls]

    def recorded(self, completion: Completion) -> list[str] | None:
        """The results that were recorded for a completion's calls; None when they are to be run.

        Raises
        ------
        ReplayMissError
            In REPLAY, when there are none.
        """
        plan = replay.PLANS[self._mode, False]
        if self._rerun or not plan.look or self._shelf is None:
            return None
        key = key_of(self._request(completion))
        found = self._shelf.find(key, completion.ordinal, self._notebook)
        if found is not None:
            return [result["content"] for result in found.response["results"]]
        if plan.call:
            return None
        raise ReplayMissError(
            "what the functions returned is not recorded (mode REPLAY); run the cell once with"
            " --mode CAPTURE, or let them run again with rerun_tools=True",
            key=key,
            ordinal=completion.ordinal,
        )

    def record(self, completion: Completion, results: list[str]) -> None:
        """Record what the functions returned."""
        if not replay.PLANS[self._mode, False].store or self._shelf is None:
            return
        request = self._request(completion)
        run = replay.current_run()
        recording = Recording(
            key=key_of(request),
            ordinal=completion.ordinal,
            request=request.to_dict(),
            response=AttrDict({"choices": [], "results": self._answers(completion, results)}),
            call=new_call_id(),
            created=now(),
            latency_ms=0.0,
            cell=run.cell if run is not None else {},
        )
        self._shelf.put(recording, self._notebook)

    def add(self, completion: Completion, results: list[str]) -> None:
        """Put the model's calls and their results behind the messages."""
        self.messages.append(plain(completion.choices[0].message))
        self.messages += self._answers(completion, results)

    def finish(self, completion: Completion) -> Completion:
        """The last completion, which knows the ones before it."""
        completion.rounds = self.completions[:-1]
        return completion

    def _answers(self, completion: Completion, results: list[str]) -> list[dict[str, Any]]:
        calls = completion.choices[0].message.tool_calls
        return [
            {"role": "tool", "tool_call_id": call["id"], "content": result}
            for call, result in zip(calls, results, strict=True)
        ]

    def _request(self, completion: Completion) -> Request:
        provider, _, model = completion.reference.partition("/")
        calls = [plain(completion.choices[0].message.tool_calls)]
        return Request(
            provider=provider,
            model=model,
            messages=[{"role": "assistant", "tool_calls": calls[0]}],
            parameters={"answer": completion.key},
            api="tools",
        )
