"""The truth table of DESIGN §3: mode × found/missing × entry point.

Each row counts the HTTP requests that reach the server and says what is stored afterwards.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

import pytest
from asking import HOWS, ask

from llm_magic import history
from llm_magic.client import Client
from llm_magic.exceptions import ReplayMissError
from llm_magic.providers import openai as adapter
from llm_magic.testing import FakeServer
from llm_magic.types import Mode

MODEL = "openai/gpt-5-mini"

# Mode, was it recorded before: requests sent, text that comes back, text stored after it.
# None for the text that comes back is a miss; None for the text stored is nothing.
TABLE = {
    (Mode.REPLAY, True): (0, "old", "old"),
    (Mode.REPLAY, False): (0, None, None),
    (Mode.FALLBACK, True): (0, "old", "old"),
    (Mode.FALLBACK, False): (1, "new", "new"),
    (Mode.CAPTURE, True): (1, "new", "new"),
    (Mode.CAPTURE, False): (1, "new", "new"),
    (Mode.DISABLED, True): (1, "new", "old"),
    (Mode.DISABLED, False): (1, "new", None),
}
ROWS = list(itertools.product(TABLE, HOWS))


@pytest.mark.parametrize(
    ("row", "how"),
    ROWS,
    ids=[f"{mode}-{'found' if found else 'missing'}-{how}" for (mode, found), how in ROWS],
)
def test_mode_decides_what_is_sent_and_what_is_stored(
    row: tuple[Mode, bool],
    how: str,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mode, found = row
    sent, text, stored = TABLE[row]
    client = Client(".")
    if found:
        server.reply("old")
        client.complete("Why?", model=MODEL)
        server.clear()
    server.reply("new")
    if mode is Mode.REPLAY:
        # No key is needed, and no SDK client is made.
        monkeypatch.delenv("OPENAI_API_KEY")
        for maker in ("connection", "exchange", "aexchange"):
            monkeypatch.setattr(adapter, maker, _fail)

    if text is None:
        with pytest.raises(ReplayMissError, match="nothing was sent"):
            ask(client, how, "Why?", model=MODEL, mode=mode)
    else:
        completion = ask(client, how, "Why?", model=MODEL, mode=mode)
        assert completion.text == text
        assert completion.source == ("live" if sent else "replay")

    assert server.count == sent
    monkeypatch.undo()
    assert _stored(client) == stored
    client.close()


def _fail(*_: object, **__: object) -> None:
    raise AssertionError("an SDK client was made")


def _stored(client: Client) -> str | None:
    try:
        return client.complete("Why?", model=MODEL, mode="REPLAY").text
    except ReplayMissError:
        return None


def test_the_table_has_thirty_two_rows() -> None:
    assert len(ROWS) == 32


def test_replay_imports_no_sdk_and_opens_no_socket(server: FakeServer, run_python: Any) -> None:
    client = Client(".")
    client.complete("Why?", model=MODEL)
    client.close()
    history.close()
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}

    done = run_python(
        "import socket, sys\n"
        "def refuse(*_): raise AssertionError('a socket was opened')\n"
        "socket.socket.__init__ = refuse\n"
        "import llm_magic\n"
        f"print(llm_magic.complete('Why?', model={MODEL!r}, mode='REPLAY').text)\n"
        "print([name for name in ('openai', 'anthropic', 'pandas') if name in sys.modules])\n",
        env=environment,
    )

    assert done.stdout == "You said: Why?\n[]\n", done.stderr
