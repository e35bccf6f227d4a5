"""The bytes of an answer come back as they were."""

from __future__ import annotations

import pytest

from llm_magic.attachment import wire
from llm_magic.attachment.wire import Answer
from llm_magic.exceptions import CassetteError
from llm_magic.recordings import Recording, now
from llm_magic.types import AttrDict


def recording(http):
    response = AttrDict(choices=[], http=http)
    return Recording("0" * 64, 0, {}, response, call="c", created=now(), latency_ms=1.0)


@pytest.mark.parametrize("body", [b'{"a": 1}\r\n\n', "ä \u2028 \U0001f600".encode(), b"\xff\x00"])
def test_a_body_comes_back_byte_for_byte(body):
    sent = Answer(200, "application/json", body)
    stored = Recording.from_line(recording(wire.to_dict(sent)).to_line())

    assert wire.recorded(stored) == sent


@pytest.mark.parametrize(
    "http",
    [
        None,
        "text",
        {"status": 500, "content_type": "application/json", "body": "{}"},
        {"status": 200, "body": "{}"},
        {"status": 200, "content_type": "application/json"},
        {"status": 200, "content_type": "application/json", "base64": "?"},
        {"status": 200, "content_type": "application/json", "base64": 7},
        {"status": 200, "content_type": "application/json", "body": "\ud83d"},
    ],
)
def test_an_edited_recording_is_refused(http):
    with pytest.raises(CassetteError, match="was edited"):
        wire.recorded(recording(http))
