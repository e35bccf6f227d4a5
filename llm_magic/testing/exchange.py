"""How a script is played to a client: at once or word by word, whole or broken off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_magic.testing.connection import WAIT_LIMIT, Connection
from llm_magic.testing.dialect import Dialect, to_json
from llm_magic.testing.scripts import Answer, Failure, Hang, ModelList, Reply, Script


@dataclass(frozen=True)
class Exchange:
    """One request, and the connection on which its answer goes out."""

    connection: Connection
    dialect: Dialect
    number: int
    body: Mapping[str, Any]

    def play(self, script: Script) -> None:
        """Do what the script says, in the form that was asked for."""
        match script:
            case Reply() if self._streamed:
                self._stream(script)
            case Reply():
                self._send_whole(script)
            case Failure(status=200) if self._streamed:
                self.connection.open_stream(headers=self._headers(script.headers))
                error = self.dialect.error_event(script, self.number)
                self.connection.send_events(error, last=True)
            case Failure():
                self._send(script.status, self.dialect.error(script, self.number), script.headers)
            case ModelList():
                self._send(200, self.dialect.models(script.names))
            case Hang():
                self.connection.wait(WAIT_LIMIT)
                self.connection.drop()

    @property
    def _streamed(self) -> bool:
        return bool(self.body.get("stream"))

    def _stream(self, reply: Reply) -> None:
        stream = self.dialect.stream(Answer(self.number, self.body, reply))
        words = stream.words[: reply.cut_after] if reply.ending == "cut" else stream.words
        self.connection.open_stream(headers=self._headers(reply.headers))
        self.connection.send_events(stream.opening + b"".join(words[:1]))
        if not self._passes_gate(reply):
            return
        for word in words[1:]:
            self.connection.send_events(word)
        if reply.ending == "cut":
            self.connection.drop()
        else:
            self.connection.send_events(stream.closing, last=True)

    def _send_whole(self, reply: Reply) -> None:
        completion = self.dialect.completion(Answer(self.number, self.body, reply))
        if not self._passes_gate(reply):
            return
        self._send(200, completion, reply.headers, half=reply.ending == "cut")
        if reply.ending == "cut":
            self.connection.drop()

    def _passes_gate(self, reply: Reply) -> bool:
        """Wait for the gate, if there is one; the connection breaks off if it never opens."""
        if reply.gate is None or self.connection.wait(WAIT_LIMIT, gate=reply.gate):
            return True
        self.connection.drop()
        return False

    def _send(
        self,
        status: int,
        body: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
        *,
        half: bool = False,
    ) -> None:
        self.connection.send(status, to_json(body), headers=self._headers(headers), half=half)

    def _headers(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        scripted = {name.lower(): value for name, value in (headers or {}).items()}
        return {**self.dialect.request_headers(self.number), **scripted}
