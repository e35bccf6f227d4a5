"""Chats: transcripts that cells go on with, and that running a cell again does not spoil."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from llm_magic.chats import Chat, Chats, Turn
from llm_magic.exceptions import ConfigError


def turn(text: str, cell: str = "", run: int = 0, model: str = "echo/echo") -> Turn:
    question = {"role": "user", "content": text}
    return Turn(question, {"role": "assistant", "content": f"You said: {text}"}, model, cell, run)


def said(chat: Chat) -> list[str]:
    return [str(one.question["content"]) for one in chat.turns]


@pytest.fixture
def chats() -> Chats:
    made = Chats()
    for number, cell in enumerate("abc", 1):
        made.add("talk", turn(f"from {cell}", cell, number))
    return made


def test_cells_that_run_in_order_add_their_turns(chats: Chats) -> None:
    assert said(chats.get("talk")) == ["from a", "from b", "from c"]
    assert chats.get("talk").messages()[:2] == [
        {"role": "user", "content": "from a"},
        {"role": "assistant", "content": "You said: from a"},
    ]


@pytest.mark.parametrize(
    ("cell", "left"), [("a", []), ("b", ["from a"]), ("c", ["from a", "from b"])]
)
def test_a_cell_that_runs_again_takes_its_turn_and_all_after_it_out(
    cell: str, left: list[str], chats: Chats
) -> None:
    assert said(chats.open("talk", cell=cell, run=9)) == left


def test_several_turns_of_one_run_stay_together(chats: Chats) -> None:
    chats.add("talk", turn("one", "d", 4))
    chats.add("talk", turn("two", "d", 4))

    assert said(chats.get("talk"))[-2:] == ["one", "two"]
    assert said(chats.open("talk", cell="d", run=5)) == ["from a", "from b", "from c"]


def test_the_system_message_of_a_turn_goes_with_it(chats: Chats) -> None:
    chats.add("talk", replace(turn("from b again", "b", 9), system="Be brief."))

    assert chats.get("talk").system == "Be brief."
    assert chats.open("talk", cell="b", run=10).system is None


def test_threads_that_add_at_once_lose_no_turn() -> None:
    chats = Chats()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: chats.add("talk", turn(str(number), "a", 1)), range(200)))

    assert sorted(said(chats.get("talk")), key=int) == [str(number) for number in range(200)]


def test_cells_without_identity_only_add(chats: Chats) -> None:
    for run in (5, 6):
        chats.add("talk", turn("again", run=run))

    assert said(chats.get("talk"))[-2:] == ["again", "again"]


def test_opening_changes_nothing_until_an_answer_is_there(chats: Chats) -> None:
    chats.open("talk", cell="a", run=9)

    assert len(chats.get("talk").turns) == 3


def test_a_fork_goes_its_own_way(chats: Chats) -> None:
    chats.fork("talk", "other", 2)
    chats.add("other", turn("elsewhere"))

    assert said(chats.get("other")) == ["from a", "from b", "elsewhere"]
    assert said(chats.get("talk")) == ["from a", "from b", "from c"]
    with pytest.raises(ConfigError, match="already"):
        chats.fork("talk", "other")


def test_a_reset_chat_is_gone(chats: Chats) -> None:
    chats.reset("talk")

    assert len(chats) == 0
    with pytest.raises(ConfigError, match=r"no chat 'talk'; there are none yet"):
        chats.get("talk")


def test_an_unknown_chat_is_told_with_the_nearest(chats: Chats) -> None:
    with pytest.raises(ConfigError, match=r"no chat 'tlak'; .*talk"):
        chats.get("tlak")


@pytest.mark.parametrize("name", ["", "two words", "a/b", "../x", "<b>"])
def test_a_name_is_one_word(name: str, chats: Chats) -> None:
    with pytest.raises(ConfigError, match="is no name for a chat"):
        chats.open(name)


def test_a_transcript_reads_as_markdown() -> None:
    asked = {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url"}]}
    call = {"function": {"name": "look", "arguments": "{}"}}
    answer = {"role": "assistant", "content": "So.", "tool_calls": [call]}
    chat = Chat("talk", (Turn(asked, answer, "openai/m", system="Be brief."),))

    assert chat.to_markdown() == (
        "# talk\n\n## System\n\nBe brief.\n\n## You\n\nLook\n\n[image_url]\n\n## openai/m\n\n"
        "So.\n\n[calls look({})]\n"
    )
