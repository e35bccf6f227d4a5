"""``%llm chats``: the chats of this session, and what can be done with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from IPython.core.error import UsageError

from llm_magic import chats, config, replay
from llm_magic.chats import Chat, Turn
from llm_magic.exceptions import ConfigError, did_you_mean
from llm_magic.formats import count, counted
from llm_magic.notebook import display, markdown
from llm_magic.notebook.options import no_words, one_word
from llm_magic.notebook.tables import Table
from llm_magic.secrets import redact
from llm_magic.types import Completion

__all__ = ["COMMANDS", "Transcript", "command", "keep", "open_for_cell"]


def open_for_cell(name: str) -> Chat:
    """The chat that the running cell goes on with."""
    return chats.default().open(name, **_cell())


def keep(
    name: str, question: Mapping[str, Any], completion: Completion, system: str | None
) -> None:
    """Put a question and its answer at the end of a chat, as the turn of the running cell."""
    answer = {"role": "assistant", "content": completion.text}
    turn = Turn(question, answer, completion.reference, system=system, **_cell())
    chats.default().add(name, turn)


def _cell() -> dict[str, Any]:
    run = replay.current_run()
    return {} if run is None else {"cell": run.cell.get("id", ""), "run": run.number}


class Transcript:
    """A chat to read: Markdown in a terminal, safe HTML in a notebook."""

    def __init__(self, chat: Chat) -> None:
        self._text = display.visible(chat.to_markdown())

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return f'<div class="llm-magic-chat">{markdown.to_html(self._text)}</div>'


def command(words: Sequence[str]) -> Any:
    """``%llm chats``: all chats; ``%llm chats show|fork|reset|export NAME``: one of them."""
    if not words:
        rows = [(chat.name, count(len(chat.turns)), chat.model) for chat in chats.default()]
        return Table(
            ["chat", "turns", "model"], rows, "" if rows else "none yet: %%complete --chat NAME"
        )
    name, *rest = words
    if name not in COMMANDS:
        raise UsageError(f"%llm chats {name}: {did_you_mean(name, COMMANDS)}")
    return COMMANDS[name](rest)


def _list(words: Sequence[str]) -> Any:
    no_words(words, "chats list")
    return command([])


def _show(words: Sequence[str]) -> Transcript:
    return Transcript(chats.default().get(one_word(words, "chats show NAME")))


def _fork(words: Sequence[str]) -> str:
    match list(words):
        case [name, new]:
            turns = None
        case [name, new, number] if number.isdecimal():
            turns = int(number)
        case _:
            raise UsageError("%llm chats fork NAME NEW [TURNS]; TURNS is how many to take over")
    made = chats.default().fork(name, new, turns)
    return f"{new}: {counted(len(made.turns), 'turn')} of {name}"


def _reset(words: Sequence[str]) -> str:
    name = one_word(words, "chats reset NAME")
    chats.default().reset(name)
    return f"{name}: forgotten; its recordings stay"


def _export(words: Sequence[str]) -> str:
    if not 1 <= len(words) <= 2:
        raise UsageError("%llm chats export NAME [FILE]")
    chat = chats.default().get(words[0])
    path = config.default().workspace.folder / (words[1] if len(words) == 2 else f"{chat.name}.md")
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(redact(chat.to_markdown()))
    except FileExistsError:
        raise ConfigError(f"{path.name} is there already; name another file") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    return f"{counted(len(chat.turns), 'turn')} written to {path.name}"


COMMANDS: dict[str, Callable[[Sequence[str]], Any]] = {
    "export": _export,
    "fork": _fork,
    "list": _list,
    "reset": _reset,
    "show": _show,
}
