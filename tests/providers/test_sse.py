import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magic.providers.sse import Decoder, events

STREAMS = {
    "one event": (b"data: a\n\n", [("message", "a")]),
    "a name": (b"event: stop\ndata: a\n\n", [("stop", "a")]),
    "a name counts once": (b"event: x\ndata: a\n\ndata: b\n\n", [("x", "a"), ("message", "b")]),
    "a name without data": (b"event: x\n\ndata: a\n\n", [("message", "a")]),
    "several lines": (b"data: a\ndata:\ndata: b\n\n", [("message", "a\n\nb")]),
    "one space is left out": (b"data:  a\n\ndata:b\n\n", [("message", " a"), ("message", "b")]),
    "a comment": (b": ping\n\ndata: a\n: more\n\n", [("message", "a")]),
    "a field without colon": (
        b"data\n\nnonsense\ndata: a\n\n",
        [("message", ""), ("message", "a")],
    ),
    "id and retry": (b"id: 1\nretry: 5\ndata: a\n\n", [("message", "a")]),
    "CR": (b"data: a\rdata: b\r\r", [("message", "a\nb")]),
    "CRLF": (b"data: a\r\ndata: b\r\n\r\n", [("message", "a\nb")]),
    "mixed ends": (b"data: a\r\n\ndata: b\n\r\n", [("message", "a"), ("message", "b")]),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [("message", "a")]),
    "only the first mark": (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", [("message", "a")]),
    "characters": ("data: ¿π🙂\n\n".encode(), [("message", "¿π🙂")]),
    "unicode line ends are text": (
        "data: a\u2028b\x85\x0b\n\n".encode(),
        [("message", "a\u2028b\x85\x0b")],
    ),
    "a wrong byte": (b"data: a\xff\n\n", [("message", "a\ufffd")]),
    "no empty line at the end": (b"data: a\n\ndata: b\n", [("message", "a")]),
    "nothing": (b"", []),
}


@pytest.mark.parametrize(("stream", "expected"), STREAMS.values(), ids=STREAMS)
def test_bytes_become_events(stream, expected):
    assert list(events([stream])) == expected


@pytest.mark.parametrize(("stream", "expected"), STREAMS.values(), ids=STREAMS)
def test_bytes_one_by_one_become_the_same_events(stream, expected):
    assert list(events(bytes([byte]) for byte in stream)) == expected


def split(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[a:b] for a, b in itertools.pairwise(places)]


LINES = st.sampled_from(
    ["data: a", "data", "data:  ", "event: x", ": note", "", "", "\ufeffdata: b", "data: π🙂"]
)
STREAM = st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r", "\r\n"]))).map(
    lambda lines: "".join(line + end for line, end in lines).encode()
)


@given(STREAM | st.binary(), st.lists(st.integers(0, 1000)))
def test_how_the_bytes_are_cut_changes_nothing(stream, cuts):
    assert list(events(split(stream, cuts))) == list(events([stream]))


def test_an_event_comes_with_the_byte_that_ends_it():
    decoder = Decoder()

    assert decoder.feed(b"data: a\r") == []
    assert decoder.feed(b"\r") == [("message", "a")]
    assert decoder.feed(b"\n") == []
