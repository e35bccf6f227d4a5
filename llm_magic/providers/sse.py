"""Server-Sent Events: from bytes, however they were cut, to events.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
Left out are ``id`` and ``retry``: they serve reconnecting, and an answer is not asked for twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["Decoder", "events"]

Event = tuple[str, str]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def events(pieces: Iterable[bytes]) -> Iterator[Event]:
    r"""The events of a stream as ``(name, data)``.

    >>> list(events([b"data: o", b"ne\n\nevent: stop\ndata: two\n\n"]))
    [('message', 'one'), ('stop', 'two')]
    """
    decoder = Decoder()
    for piece in pieces:
        yield from decoder.feed(piece)


class Decoder:
    """Is fed bytes as they arrive and gives the events they complete.

    What follows the last empty line is not an event: a stream that was cut gives no half event.
    """

    __slots__ = ("_after_return", "_data", "_line", "_name", "_started")

    def __init__(self) -> None:
        self._line: list[bytes] = []  # pieces of the line whose end has not come
        self._data: list[bytes] = []
        self._name = b""
        self._after_return = False
        self._started = False

    def feed(self, piece: bytes) -> list[Event]:
        """The events that these bytes complete."""
        if not piece:
            return []
        # A carriage return ends a line at once; the line feed of its pair may come with the next
        # piece and is not another line.
        if self._after_return and piece[0] == 10:
            piece = piece[1:]
        self._after_return = False

        # No byte of a longer UTF-8 sequence is a line end, so lines are cut first, decoded later.
        lines = piece.splitlines(keepends=True)
        if not lines:
            return []
        if self._line:
            lines[0] = b"".join((*self._line, lines[0]))
            self._line.clear()
        last = lines[-1][-1]
        if last == 13:
            self._after_return = True
        elif last != 10:
            self._line.append(lines.pop())
        return self._interpret(lines)

    def _interpret(self, lines: list[bytes]) -> list[Event]:
        found: list[Event] = []
        for line in lines:
            if not self._started:
                self._started = True
                line = line.removeprefix(_BYTE_ORDER_MARK)
            line = line.rstrip(b"\r\n")
            if not line:
                if self._data:
                    data = b"\n".join(self._data).decode("utf-8", "replace")
                    found.append((self._name.decode("utf-8", "replace") or "message", data))
                    self._data.clear()
                self._name = b""
            elif line.startswith(b"data: "):
                self._data.append(line[6:])
            else:
                self._field(line)
        return found

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")  # a comment has an empty name
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value
