"""Ask and show: the answer grows in the cell while it comes; a replayed one is there at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from llm_magic import client
from llm_magic.exceptions import LLMMagicError
from llm_magic.formats import counted, usd
from llm_magic.notebook import display
from llm_magic.notebook.display import LiveAnswer
from llm_magic.pipeline import notes_shown
from llm_magic.types import Completion

__all__ = ["ask", "cost_of", "note_rounds"]


def ask(prompt: Any, arguments: Mapping[str, Any], format: str) -> Completion:
    """The answer to a prompt, displayed.

    Parameters
    ----------
    prompt : str or list of dict
        What is asked.
    arguments : mapping
        Of ``complete()``.
    format : str
        How it is shown.
    """
    live = LiveAnswer(format)
    try:
        with notes_shown():
            if arguments["max_tool_rounds"]:
                # What the model calls between its answers cannot be streamed.
                completion = note_rounds(client.default().complete(prompt, **arguments))
            else:
                completion = _streamed(prompt, arguments, live)
    except LLMMagicError as error:
        live.fail(error)
        raise
    except KeyboardInterrupt:
        live.fail("interrupted")
        raise
    if completion.source == "replay":
        display.show(completion, format)
    else:
        live.finish(completion)
    return completion


def _streamed(prompt: Any, arguments: Mapping[str, Any], live: LiveAnswer) -> Completion:
    with client.default().stream(prompt, **arguments) as stream:
        # A recorded answer is there as a whole, and is not cut into pieces to be shown.
        for chunk in stream if stream.source == "live" else ():
            if stream.source == "replay":
                # Somebody else asked the same, and had the answer first.
                break
            live.add(chunk.text)
    return stream.completion


def note_rounds(completion: Completion) -> Completion:
    """An answer with a note of the calls before it, which ran functions and cost something too."""
    rounds = completion.rounds
    if rounds:
        completion.notes.append(
            f"{counted(len(rounds), 'call')} before it ran functions: {usd(cost_of(rounds))}"
        )
    return completion


def cost_of(completions: Iterable[Completion]) -> Decimal | None:
    """USD of all of them together; None where nobody knows it of one."""
    costs = [one.cost for one in completions]
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None
