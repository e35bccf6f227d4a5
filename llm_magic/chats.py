"""Chats: named transcripts that cells go on with, and that are part of every key.

A chat is what was asked and answered so far. A cell that runs again takes its own turn, and all
after it, out of the chat first: running a cell twice, or a notebook from the top, leads to the same
chat. Where cells have no identity (a plain terminal) turns are only added.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_magic.exceptions import ConfigError, did_you_mean

__all__ = ["Chat", "Chats", "Turn", "default"]

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer.

    Attributes
    ----------
    question, answer : dict
        Messages in OpenAI's shape.
    model : str
        ``provider/model`` that answered.
    cell : str
        Id of the cell that asked; empty where it has none.
    run : int
        Number of the run of the cell: what one run adds belongs together.
    system : str or None
        System message that it was asked with.
    """

    question: Message
    answer: Message
    model: str
    cell: str = ""
    run: int = 0
    system: str | None = None


@dataclass(frozen=True, slots=True)
class Chat:
    """A transcript; changing it gives another one.

    Attributes
    ----------
    name : str
        What it is called in ``--chat NAME``.
    turns : tuple of Turn
        From the first to the last.
    """

    name: str
    turns: tuple[Turn, ...] = ()

    @property
    def system(self) -> str | None:
        """The system message of the last turn, with which the next one is asked."""
        return self.turns[-1].system if self.turns else None

    @property
    def model(self) -> str | None:
        """The model that answered last."""
        return self.turns[-1].model if self.turns else None

    def before(self, cell: str, run: int) -> Chat:
        """The chat as it was before a cell had its turn in an earlier run."""
        for index, turn in enumerate(self.turns):
            if cell and turn.cell == cell and turn.run != run:
                return replace(self, turns=self.turns[:index])
        return self

    def messages(self) -> list[dict[str, Any]]:
        """What is sent before the next question, without the system message."""
        return [dict(message) for turn in self.turns for message in (turn.question, turn.answer)]

    def plus(self, turn: Turn) -> Chat:
        """The chat with one turn more."""
        return replace(self, turns=(*self.turns, turn))

    def to_markdown(self) -> str:
        """The transcript for people: a heading for each message."""
        parts = [f"# {self.name}"]
        if self.system:
            parts.append(f"## System\n\n{self.system}")
        for turn in self.turns:
            parts.append(f"## You\n\n{_text(turn.question)}")
            parts.append(f"## {turn.model}\n\n{_text(turn.answer)}")
        return "\n\n".join(parts) + "\n"


class Chats:
    """The chats of a session, by name."""

    def __init__(self) -> None:
        self._chats: dict[str, Chat] = {}
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Chat]:
        with self._lock:
            return iter(sorted(self._chats.values(), key=lambda chat: chat.name))

    def __len__(self) -> int:
        return len(self._chats)

    def get(self, name: str) -> Chat:
        """A chat.

        Raises
        ------
        ConfigError
            When there is none of that name.
        """
        with self._lock:
            if name not in self._chats:
                hint = did_you_mean(name, self._chats) if self._chats else "there are none yet"
                raise ConfigError(f"no chat {name!r}; {hint}")
            return self._chats[name]

    def open(self, name: str, *, cell: str = "", run: int = 0) -> Chat:
        """The chat that a cell goes on with, without what its earlier runs said; new if need be.

        Raises
        ------
        ConfigError
            For a name that is none.
        """
        _check(name)
        with self._lock:
            return self._chats.get(name, Chat(name)).before(cell, run)

    def add(self, name: str, turn: Turn) -> None:
        """Put a turn at the end of a chat, in the place of what earlier runs of its cell said.

        What other threads added meanwhile stays.
        """
        with self._lock:
            chat = self._chats.get(name, Chat(name)).before(turn.cell, turn.run)
            self._chats[name] = chat.plus(turn)

    def fork(self, name: str, new: str, turns: int | None = None) -> Chat:
        """A second chat that begins as this one; with ``turns``, as its first ones.

        Raises
        ------
        ConfigError
            When there is no such chat, or one of the new name.
        """
        _check(new)
        chat = self.get(name)
        with self._lock:
            if new in self._chats:
                raise ConfigError(f"there is a chat {new!r} already; %llm chats reset {new}")
            self._chats[new] = replace(chat, name=new, turns=chat.turns[:turns])
            return self._chats[new]

    def reset(self, name: str) -> None:
        """Forget a chat.

        Raises
        ------
        ConfigError
            When there is none of that name.
        """
        self.get(name)
        with self._lock:
            self._chats.pop(name, None)

    def clear(self) -> None:
        """Forget all chats."""
        with self._lock:
            self._chats.clear()


_default = Chats()


def default() -> Chats:
    """The chats of this process."""
    return _default


def _check(name: str) -> None:
    if not re.fullmatch(r"[\w.-]+", name):
        raise ConfigError(f"{name!r} is no name for a chat: one word of letters, digits, . _ -")


def _text(message: Message) -> str:
    """What a message says; what is no text in it as a word in brackets."""
    content = message.get("content")
    parts: Sequence[Any] = content if isinstance(content, list) else [content]
    told = [part if isinstance(part, str) else _part(part) for part in parts if part]
    calls = [one.get("function", {}) for one in message.get("tool_calls") or ()]
    told += [f"[calls {one.get('name')}({one.get('arguments')})]" for one in calls]
    return "\n\n".join(told)


def _part(part: Any) -> str:
    if isinstance(part, Mapping) and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if isinstance(part, Mapping) else None
    return f"[{kind}]" if kind else json.dumps(part, default=str)
