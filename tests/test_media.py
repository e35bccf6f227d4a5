"""What people have becomes a part of a message, and a key does not see how bytes were wrapped."""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import textwrap
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magic.exceptions import ParameterError
from llm_magic.media import content, keyed, part, table_text

PNG = b"\x89PNG\r\n\x1a\n0000"
JPEG = b"\xff\xd8\xff\xe00000"
WEBP = b"RIFF\x08\x00\x00\x00WEBPVP8 "
WAV = b"RIFF\x08\x00\x00\x00WAVEfmt "
MP3 = b"\xff\xfb\x90\x00data"
PDF = b"%PDF-1.7\n%\xe2\xe3"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{encoded(data)}"


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def audio(data: str, form: str) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": data, "format": form}}


def file(data: str, name: str = "document.pdf") -> dict[str, Any]:
    return {"type": "file", "file": {"filename": name, "file_data": data}}


def user(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (PNG, image(url("image/png", PNG))),
        (JPEG, image(url("image/jpeg", JPEG))),
        (b"GIF89a....", image(url("image/gif", b"GIF89a...."))),
        (WEBP, image(url("image/webp", WEBP))),
        (PDF, file(url("application/pdf", PDF))),
        (WAV, audio(encoded(WAV), "wav")),
        (MP3, audio(encoded(MP3), "mp3")),
        (b"ID3\x04\x00abc", audio(encoded(b"ID3\x04\x00abc"), "mp3")),
        (b"OggS\x00abc", audio(encoded(b"OggS\x00abc"), "ogg")),
        (b"fLaC\x00abc", audio(encoded(b"fLaC\x00abc"), "flac")),
        (b"ID3 tags are old", {"type": "text", "text": "ID3 tags are old"}),
        ("Grüße".encode(), {"type": "text", "text": "Grüße"}),
        ("Grüße".encode("utf-8-sig"), {"type": "text", "text": "Grüße"}),
        ("Grüße".encode("utf-16"), {"type": "text", "text": "Grüße"}),
    ],
)
def test_the_first_bytes_tell_what_it_is(data: bytes, expected: dict[str, Any]) -> None:
    assert part(data) == expected
    assert part(bytearray(data)) == expected
    assert part(io.BytesIO(data)) == expected


@pytest.mark.parametrize(
    ("name", "media_type", "kind"),
    [
        ("scan.pdf", None, "file"),
        ("SONG.MP3", None, "input_audio"),
        (None, "image/jpg", "image_url"),
        (None, "audio/x-wav", "input_audio"),
        (None, "application/pdf; version=1", "file"),
        ("scan.pdf", "text/plain", "text"),
        ("notes.xyz", None, "text"),
        ("logo.svg", "image/svg+xml", "text"),
    ],
)
def test_name_and_media_type_count_where_the_bytes_are_silent(
    name: str | None, media_type: str | None, kind: str
) -> None:
    assert part(b"anything", name=name, media_type=media_type)["type"] == kind


def test_the_bytes_win_over_the_name() -> None:
    assert part(PNG, name="report.pdf", media_type="text/plain") == image(url("image/png", PNG))


def test_a_file_is_read_from_its_path() -> None:
    Path("report.pdf").write_bytes(PDF)

    expected = file(url("application/pdf", PDF), "report.pdf")

    assert part("report.pdf") == part(Path("report.pdf").absolute()) == expected


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.md", "a.py", "a.html", "README"])
def test_a_text_file_stands_under_its_name(name: str) -> None:
    Path("folder").mkdir()
    Path("folder", name).write_text("a,b\n1,2\n")

    assert part(f"folder/{name}") == {"type": "text", "text": f"File: {name}\n\na,b\n1,2\n"}


def test_line_ends_of_windows_give_the_same_part() -> None:
    assert part(b"a\r\nb\r\n") == part(b"a\nb\n")


def test_the_home_folder_is_found() -> None:
    Path("~/notes.txt").expanduser().write_text("hi")

    assert part("~/notes.txt", name="n") == {"type": "text", "text": "File: n\n\nhi"}


@pytest.mark.parametrize("address", ["https://example.com/a.png?x=1", "HTTP://example.com/image"])
def test_the_url_of_an_image_stays_a_url(address: str) -> None:
    assert part(address) == image(address)


@pytest.mark.parametrize("address", ["https://example.com/a.pdf", "https://example.com/a.mp3"])
def test_another_url_has_to_be_downloaded(address: str) -> None:
    with pytest.raises(ParameterError, match="only images can be sent as a URL; download it"):
        part(address)


@pytest.mark.parametrize(
    "address",
    [
        url("image/png", PNG),
        url("image/PNG", PNG).replace("data:", "DATA:"),
        url("application/octet-stream", PNG),
        url("image/png;name=a", PNG),
    ],
)
def test_a_data_url_is_taken_apart(address: str) -> None:
    assert part(address) == image(url("image/png", PNG))


def test_a_part_is_a_part_already() -> None:
    given = image("https://example.com/a.png")

    made = part(given)

    assert made == given
    assert made is not given


def test_an_open_file_can_be_read_again() -> None:
    Path("song.wav").write_bytes(WAV)

    with open("song.wav", "rb") as opened:
        assert part(opened) == part(opened) == audio(encoded(WAV), "wav")
    Path("a.txt").write_text("hello")
    with open("a.txt") as opened_text:
        assert part(opened_text)["text"] == part(opened_text)["text"] == "File: a.txt\n\nhello"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("missing.png", r"no file 'missing.png' here \(/"),
        ("folder", "'folder' is a folder; send the files in it"),
        ("empty.txt", "empty.txt is empty"),
        ("big.txt", "big.txt has 21 bytes, more than 20; send a smaller one, or raise max_bytes"),
        (b"x" * 21, "the file has"),
        (io.BytesIO(b"x" * 21), "the file has"),
        (b"", "the file is empty"),
        ("zip.docx", r"zip.docx cannot be sent: images \(PNG, .*PDF, audio .* and text in UTF-8"),
        ("latin.txt", "latin.txt cannot be sent"),
        (b"PK\x03\x04\x00\x00", "these bytes cannot be sent"),
        ("x\0y", "no file|cannot be read"),
        ("x" * 5000, "cannot be read: File name too long"),
        ("~nobody-here/x", "cannot be read"),
        ("data:image/png;base64", "data: without a comma"),
        ("data:image/png;base64,AAA", r"the data: URL: not base64 \(Incorrect padding\)"),
        (3, "int cannot be sent; use a path, URL, bytes"),
        (None, "NoneType cannot be sent"),
        ({"role": "user"}, "dict cannot be sent"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_the_reason(value: Any, message: str) -> None:
    Path("folder").mkdir()
    Path("empty.txt").touch()
    Path("big.txt").write_text("x" * 21)
    Path("zip.docx").write_bytes(b"PK\x03\x04\x00\x00")
    Path("latin.txt").write_bytes("Grüße".encode("latin-1"))

    with pytest.raises(ParameterError, match=message):
        part(value, max_bytes=20)


FRAME = pd.DataFrame({"city": ["Ulm", "a|b"], "people": [128_000, None]})


def test_a_table_is_sent_as_csv() -> None:
    assert part(FRAME, name="cities")["text"] == (
        "File: cities\n\ncity,people\nUlm,128000.0\na|b,\n"
    )


def test_a_table_can_be_sent_as_markdown() -> None:
    assert part(FRAME, table="markdown")["text"] == (
        "| city | people |\n| --- | --- |\n| Ulm | 128000.0 |\n| a\\|b |  |\n"
    )


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (FRAME["city"], "| city |\n| --- |\n| Ulm |\n| a\\|b |\n"),
        (FRAME.set_index("city")[:1], "| city | people |\n| --- | --- |\n| Ulm | 128000.0 |\n"),
        (FRAME[["city"]][:1].rename({0: 7}), "|  | city |\n| --- | --- |\n| 7 | Ulm |\n"),
        (
            pd.DataFrame({("a", "x"): ["one\ntwo"], ("a", "y"): [pd.NaT]}),
            "| a / x | a / y |\n| --- | --- |\n| one two |  |\n",
        ),
    ],
)
def test_an_index_is_written_where_it_says_something(frame: Any, text: str) -> None:
    assert table_text(frame, "markdown") == text


def test_an_unknown_form_of_table_is_refused() -> None:
    with pytest.raises(ParameterError, match="table='md': use one of: csv, markdown"):
        part(FRAME, table="md")


class Image:
    """As much of a Pillow image as we need."""

    def __init__(self, form: str | None = None, mode: str = "RGB", exif: bytes = b"") -> None:
        self.format, self.mode, self.info = form, mode, {"exif": exif}

    def convert(self, mode: str) -> Image:
        return Image(None, mode)

    def save(self, buffer: io.BytesIO, **options: Any) -> None:
        head = {"PNG": PNG, "JPEG": JPEG}[options["format"]]
        buffer.write(head + f"{self.mode} {sorted(options.items())}".encode())


@pytest.mark.parametrize(
    ("picture", "media_type", "saved"),
    [
        (Image(), "image/png", b"RGB [('format', 'PNG')]"),
        (Image("WEBP", "RGBA"), "image/png", b"RGBA [('format', 'PNG')]"),
        (Image(None, "CMYK"), "image/png", b"RGB [('format', 'PNG')]"),
        (Image("JPEG", "CMYK"), "image/jpeg", b"CMYK [('format', 'JPEG'), ('quality', 'keep')]"),
        (Image("JPEG", exif=b"e"), "image/jpeg", b"RGB [('exif', b'e'), ('format', 'JPEG'), "),
    ],
)
def test_a_photo_stays_jpeg_and_other_images_become_png(
    picture: Image, media_type: str, saved: bytes
) -> None:
    address = part(picture)["image_url"]["url"]

    header, payload = address.split(",")
    assert header == f"data:{media_type};base64"
    assert saved in base64.b64decode(payload)


class Figure:
    def savefig(self, buffer: io.BytesIO, **options: Any) -> None:
        assert options["metadata"] == {"Software": None}
        buffer.write(PNG)


class Axes:
    figure = Figure()


@pytest.mark.parametrize("plot", [Figure(), Axes()])
def test_a_figure_is_drawn_as_png(plot: Any) -> None:
    assert part(plot) == image(url("image/png", PNG))


def test_content_is_the_text_and_a_part_for_each_value() -> None:
    text = {"type": "text", "text": "What is this?"}

    assert content("What is this?", [PNG, b"hi"]) == [text, part(PNG), part(b"hi")]
    assert content("What is this?", PNG) == [text, part(PNG)]
    assert content("", [PNG]) == [part(PNG)]
    assert content("What is this?", []) == [text]


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (part(PNG), image(f"{digest(PNG)};image/png")),
        (
            {"type": "image_url", "image_url": url("image/png", PNG)},
            {"type": "image_url", "image_url": f"{digest(PNG)};image/png"},
        ),
        (part(WAV), audio(f"{digest(WAV)};audio/wav", "wav")),
        (audio(url("", WAV), "wav"), audio(f"{digest(WAV)};audio/wav", "wav")),
        (part(PDF), file(f"{digest(PDF)};application/pdf")),
        (file(encoded(PDF)), file(f"{digest(PDF)};application/pdf")),
        (file(encoded(b"?")), file(f"{digest(b'?')};application/octet-stream")),
        (image("data:image/svg+xml,%3Csvg/%3E"), image(f"{digest(b'<svg/>')};image/svg+xml")),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": encoded(PNG)},
            },
            {
                "type": "image",
                "source": {
                    "type": "base64",
                    "media_type": "image/png",
                    "data": f"{digest(PNG)};image/png",
                },
            },
        ),
        (
            {"type": "tool_result", "tool_use_id": "1", "content": [part(PNG)]},
            {
                "type": "tool_result",
                "tool_use_id": "1",
                "content": [image(f"{digest(PNG)};image/png")],
            },
        ),
    ],
)
def test_a_payload_becomes_its_hash(given: dict[str, Any], expected: dict[str, Any]) -> None:
    messages = [{"role": "system", "content": "Look."}, *user({"type": "text"}, given)]
    before = copy.deepcopy(messages)

    short = keyed(messages)

    assert short == [{"role": "system", "content": "Look."}, *user({"type": "text"}, expected)]
    assert messages == before
    assert keyed(short) is short


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "user", "content": "data:image/png;base64,AAAA is a URL"}],
        [{"role": "user", "content": "data:image/png;base64,!"}],
        user({"type": "text", "text": "data:image/png;base64,!"}),
        user("a string"),
        user(image("https://example.com/a.png")),
        user(file("https://example.com/a.pdf")),
        user({"type": "file", "file": {"file_id": "f"}}),
        [{"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}],
    ],
)
def test_messages_without_a_payload_are_returned_as_they_are(messages: Any) -> None:
    assert keyed(messages) is messages


@pytest.mark.parametrize(
    "broken",
    [image("data:image/png;base64,AAA"), audio("$$$", "wav"), file("no base64!"), image("data:x")],
)
def test_a_broken_payload_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=r"messages\[1\]: \w+: (not base64|data: without)"):
        keyed([{"role": "system", "content": ""}, *user(broken)])


@given(st.binary(min_size=1))
def test_however_bytes_are_wrapped_the_key_is_the_same(data: bytes) -> None:
    text = encoded(data)
    wrapped = ["\n".join(textwrap.wrap(text, 4)), text.replace("=", "%3D").replace("+", "%2B")]
    addresses = [f"{head};base64,{text}" for head in ("data:image/png", "DATA:Image/PNG;x=1")]
    addresses += [f"data:image/png;base64,{each}" for each in wrapped]

    keys = [keyed(user(image(address))) for address in addresses]

    assert all(key == keys[0] for key in keys)


@given(st.binary(min_size=1), st.data())
def test_one_changed_byte_changes_the_key(data: bytes, choice: st.DataObject) -> None:
    place = choice.draw(st.integers(0, len(data) - 1))
    other = bytearray(data)
    other[place] ^= choice.draw(st.integers(1, 255))

    for wrap in (lambda b: image(url("image/png", b)), lambda b: audio(encoded(b), "wav")):
        assert keyed(user(wrap(data))) != keyed(user(wrap(bytes(other))))


def test_a_plain_conversation_costs_next_to_nothing_to_key() -> None:
    messages = [{"role": "user", "content": "Why?"}] * 1000

    def seconds() -> float:
        start = time.perf_counter()
        keyed(messages)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.005
