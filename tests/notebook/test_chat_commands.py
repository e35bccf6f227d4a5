"""``--chat`` and ``%llm chats``: transcripts that cells go on with."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.error import UsageError

from llm_magic import chats
from llm_magic.exceptions import ConfigError, ReplayMissError, ServerError


def ask(notebook, text, cell_id=None, options="", name="talk"):
    notebook.run(f"%%complete --chat {name} {options}\n{text}", cell_id=cell_id)


def said(server):
    """Texts of the last request."""
    return [message["content"] for message in server.last.body["messages"]]


def questions(name="talk"):
    return [turn.question["content"] for turn in chats.default().get(name).turns]


def test_a_chat_goes_on_with_what_was_said(notebook, server):
    server.reply("Ada.")
    ask(notebook, "Who?", options="-s short")
    ask(notebook, "Why her?")

    assert said(server) == ["short", "Who?", "Ada.", "Why her?"]


def test_a_chat_stays_with_the_model_that_answered_last(notebook, server):
    ask(notebook, "One", options="-m openai/gpt-5")
    ask(notebook, "Two")

    assert server.last.body["model"] == "gpt-5"


def test_a_replayed_turn_is_said_too(notebook, server):
    ask(notebook, "Who?", "a")
    ask(notebook, "Why?", "b")
    server.clear()
    chats.default().clear()

    ask(notebook, "Who?", "a", "--mode REPLAY")
    ask(notebook, "Why?", "b", "--mode REPLAY")

    assert questions() == ["Who?", "Why?"]
    assert server.count == 0


def test_a_cell_that_runs_again_replays_and_takes_what_came_after_it_out(notebook, server):
    for cell in "abc":
        ask(notebook, f"from {cell}", cell)
    server.clear()

    ask(notebook, "from b", "b")

    assert questions() == ["from a", "from b"]
    assert server.count == 0


def test_a_system_message_that_was_taken_away_is_gone(notebook, server):
    ask(notebook, "Who?", "a", "-s short")

    ask(notebook, "Who?", "a")

    assert said(server) == ["Who?"]


def test_a_loop_in_a_cell_goes_on_with_itself_and_starts_anew_when_run_again(notebook, server):
    cell = "for word in ['one', 'two']:\n    answer = %complete --chat talk -o user {word} Say"

    for _ in range(2):
        notebook.run(cell, cell_id="a")

    assert questions() == ["Say", "Say"]
    assert server.count == 2


def test_a_failed_or_interrupted_turn_adds_nothing(notebook, server, monkeypatch):
    ask(notebook, "Who?", "a")
    server.fail(500)
    with pytest.raises(ServerError):
        ask(notebook, "Why?", "b")
    with pytest.raises(ReplayMissError):
        ask(notebook, "What?", "c", "--mode REPLAY")
    server.cut("one two", after=1)
    with pytest.raises(ConnectionError):
        ask(notebook, "When?", "d")

    assert questions() == ["Who?"]


def test_threads_add_a_turn_each(notebook, server):
    notebook.run(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "shell = get_ipython()\n"
        "def ask(n):\n    return shell.run_line_magic('complete', f'--chat talk word {n}')\n"
        "with ThreadPoolExecutor(4) as pool:\n    answers = list(pool.map(ask, range(4)))"
    )

    assert sorted(questions()) == [f"word {number}" for number in range(4)]


def test_pictures_stay_in_the_transcript(notebook, server):
    Path("note.txt").write_text("A note.")
    ask(notebook, "Read", options="--file note.txt")
    ask(notebook, "And now?")

    first = said(server)[0]
    assert [part["type"] for part in first] == ["text", "text"]
    assert "A note." in first[1]["text"]


# %llm chats


def test_the_chats_are_listed(notebook, server):
    assert "none yet" in repr(notebook.run("%llm chats"))
    ask(notebook, "Who?")

    table = repr(notebook.run("%llm chats list"))

    assert table.splitlines()[1].split() == ["talk", "1", "openai/gpt-5-mini"]


def test_a_transcript_is_shown_as_safe_html(notebook, server, active):
    server.reply("<img src=x onerror=alert(1)> **bold**")
    ask(notebook, "Who?")

    shown = notebook.run("%llm chats show talk")

    assert repr(shown).startswith("# talk\n\n## You\n\nWho?\n\n## openai/gpt-5-mini\n\n<img")
    assert "<strong>bold</strong>" in shown._repr_html_()
    assert active(shown._repr_html_()) == []


def test_a_fork_takes_the_first_turns_over(notebook, server):
    ask(notebook, "One")
    ask(notebook, "Two")

    notebook.run("%llm chats fork talk other 1")
    ask(notebook, "Three", name="other")

    assert questions("other") == ["One", "Three"]
    assert questions() == ["One", "Two"]


def test_a_reset_chat_begins_anew(notebook, server):
    ask(notebook, "One")

    notebook.run("%llm chats reset talk")
    ask(notebook, "Two")

    assert said(server) == ["Two"]


def test_a_chat_is_exported_and_never_over_a_file(notebook, server):
    ask(notebook, "Who?")

    notebook.run("%llm chats export talk\n%llm chats export talk other.md")

    assert Path("talk.md").read_text() == Path("other.md").read_text()
    assert "## You\n\nWho?" in Path("talk.md").read_text()
    assert "name another file" in notebook.fails("%llm chats export talk", ConfigError)


@pytest.mark.parametrize(
    ("words", "kind", "told"),
    [
        ("shw", UsageError, "did you mean show?"),
        ("show", UsageError, "chats show NAME"),
        ("show tlak", ConfigError, "no chat 'tlak'; did you mean talk?"),
        ("reset nope", ConfigError, "no chat 'nope'"),
        ("fork talk", UsageError, "fork NAME NEW [TURNS]"),
        ("fork talk other two", UsageError, "fork NAME NEW [TURNS]"),
        ("fork talk talk", ConfigError, "there is a chat 'talk' already"),
        ("export", UsageError, "export NAME [FILE]"),
        ("export talk no/such/folder.md", ConfigError, "cannot be written"),
        ("list more", UsageError, "takes nothing more"),
    ],
)
def test_misuse_is_one_line(notebook, server, words, kind, told):
    ask(notebook, "Who?")

    message = notebook.fails(f"%llm chats {words}", kind)

    assert told in message
    assert message.count("\n") == 0


def test_chats_end_with_the_extension(notebook, server):
    ask(notebook, "Who?")

    notebook.run("%unload_ext llm_magic")

    assert len(chats.default()) == 0
