"""What a model thought and which functions it called: beside its answer, folded away.

It stands below the text, not above: what a model thought is known before its first word, and what
has been read must not move when the answer is complete.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_magic.types import Completion, as_mapping

__all__ = ["Aside", "asides"]


@dataclass(frozen=True, slots=True)
class Aside:
    """Something beside an answer.

    Parameters
    ----------
    title : str
        One line about it.
    text : str
        The whole of it.
    """

    title: str
    text: str

    def plain(self) -> str:
        """The title, and the text below it."""
        return f"{self.title}:\n{self.text}"

    def html(self, *, unfolded: bool = False) -> str:
        """A title that unfolds the text: with the keyboard too, and without a script."""
        state = " open" if unfolded else ""
        return (
            f'<details class="llm-magic-aside tex2jax_ignore mathjax_ignore"{state}>'
            f'<summary style="{_QUIET}">{html.escape(self.title)}</summary>'
            f'<pre style="{_INSET}">{html.escape(self.text, quote=False)}</pre></details>'
        )


_QUIET = (
    "color: var(--jp-ui-font-color2, #616161); font-size: var(--jp-ui-font-size0, 0.83em);"
    " cursor: pointer; overflow-wrap: anywhere"
)
_INSET = (
    "border-left: 2px solid var(--jp-border-color2, #bdbdbd); margin: 2px 0 2px 4px;"
    " padding-left: 8px; white-space: pre-wrap; overflow-wrap: anywhere"
)


def asides(completion: Completion) -> list[list[Aside]]:
    """For every choice what stands beside it; the first has that of earlier rounds, too."""
    earlier = [message for answer in completion.rounds for message in _messages(answer)[:1]]
    messages = _messages(completion)
    return [
        [*_reasoning(spoken), *_calls(spoken)]
        for spoken in (
            [*earlier, message] if number == 0 else [message]
            for number, message in enumerate(messages)
        )
    ]


def _messages(completion: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    choices = completion.get("choices")
    return [as_mapping(as_mapping(choice).get("message")) for choice in choices or ()]


def _reasoning(messages: Sequence[Mapping[str, Any]]) -> list[Aside]:
    thoughts = [
        thought
        for message in messages
        # OpenRouter and some local servers have the second name.
        if isinstance(thought := message.get("reasoning_content") or message.get("reasoning"), str)
    ]
    text = "\n\n".join(thought.strip() for thought in thoughts if thought.strip())
    return [Aside("reasoning", text)] if text else []


def _calls(messages: Sequence[Mapping[str, Any]]) -> list[Aside]:
    calls = []
    for message in messages:
        listed = message.get("tool_calls")
        for call in map(as_mapping, listed if isinstance(listed, list) else ()):
            called = as_mapping(call.get("function") or call.get("custom"))
            arguments = called.get("arguments", called.get("input", ""))
            calls.append((str(called.get("name", "?")), str(arguments)))
    names = ", ".join(dict.fromkeys(name for name, _ in calls))
    text = "\n".join(f"{name}({arguments})" for name, arguments in calls)
    return [Aside(f"called {names}", text)] if calls else []
