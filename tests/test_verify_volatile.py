"""Of outputs, answers, texts and data are compared; what changes from run to run is not."""

from __future__ import annotations

import base64
import html
import struct
import time
import tracemalloc
import zlib

import nbformat
import pytest

from llm_magic.client import Client
from llm_magic.notebook.display import MIME_TYPE, Answer
from llm_magic.verify import volatile
from llm_magic.verify.volatile import difference, items, steady


def cell(*outputs, source="x", tags=()):
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def printed(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


def shown(**data):
    return nbformat.v4.new_output("display_data", {"text/plain": "x", **data})


def failed(name, value, traceback=()):
    return nbformat.v4.new_output("error", ename=name, evalue=value, traceback=list(traceback))


def compare(saved, new):
    return difference(items(saved, saved.outputs), items(saved, new.outputs))


def png(*parts):
    """A PNG of these chunks."""
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()


HEADER = (b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0))
PIXELS = b"\x00\x01\x02"


@pytest.mark.parametrize(
    ("saved", "new"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        (" 10%\r 50%\r100%\ndone\n", "100%\ndone\n"),
        ("a  \r\nb\t\n", "a\nb\n"),
        ("<Thing at 0x7f3a2c1d90>", "<Thing at 0x7fff00112233>"),
        ("[<a.B object at 0x00007F3A2C1D90>]", "[<a.B object at 0x00007F3A2C1D91>]"),
        ("<td>&lt;Thing at 0x7f3a2c1d90&gt;</td>", "<td>&lt;Thing at 0x7fff00112233&gt;</td>"),
        (
            "<bound method A.f of <A object at 0x7f3a2c1d90>>",
            "<bound method A.f of <A object at 0x7fff00112233>>",
        ),
        (
            "<weakref at 0x7f3a2c1d90; to 'A' at 0x7f3a2c1d91>",
            "<weakref at 0x7fff00112233; to 'A' at 0x7fff00112234>",
        ),
        (
            "<generator object <genexpr> at 0x7f388015b510>",
            "<generator object <genexpr> at 0x7f38801aaaa0>",
        ),
        (
            "[<function <lambda> at 0x7f388015b510>]",
            "[<function <lambda> at 0x7f38801aaaa0>]",
        ),
        (
            "<bound method f.<locals>.A.g of <__main__.f.<locals>.A object at 0x7f388015b510>>",
            "<bound method f.<locals>.A.g of <__main__.f.<locals>.A object at 0x7f38801aaaa0>>",
        ),
        (
            "<function f.<locals>.<lambda>.<locals>.g at 0x7f388015b510>",
            "<function f.<locals>.<lambda>.<locals>.g at 0x7f38801aaaa0>",
        ),
        (
            '<code object <module> at 0x7f388015b510, file "<string>", line 1>',
            '<code object <module> at 0x7f38801aaaa0, file "<string>", line 1>',
        ),
        (
            "<p>&lt;function &lt;lambda&gt; at 0x7f388015b510&gt;</p>",
            "<p>&lt;function &lt;lambda&gt; at 0x7f38801aaaa0&gt;</p>",
        ),
        ("id=123e4567-e89b-12d3-a456-426614174000", "id=9b2d7c1e-0000-4b6a-8f00-00c04fd430c8"),
        ("/tmp/ipykernel_123/456.py:3: note", "/tmp/ipykernel_9/8.py:3: note"),
        ("wrote /tmp/tmpab_d1234/out", "wrote /tmp/tmpzz9yy8xx/out"),
        ("Wall time: 3 ms", "Wall time: 1.2 s"),
        (
            "CPU times: user 1 us, sys: 2 us, total: 3 us",
            "CPU times: user 9 ms, sys: 0 ns, total: 9 ms",
        ),
        (
            "1.2 µs ± 3 ns per loop (mean ± std. dev. of 7 runs, 100 loops each)",
            "9 ms ± 1.1 µs per loop (mean ± std. dev. of 7 runs, 10 loops each)",
        ),
        (
            '<table id="T_1a2b3"><td id="T_1a2b3_row0">',
            '<table id="T_ffff0"><td id="T_ffff0_row0">',
        ),
        ("<dc:date>2026-11-20</dc:date>", "<dc:date>2027-01-01</dc:date>"),
        (
            "<td class=\"quiet llm-magic-measured\" style='a'>live 3 s</td><td>x</td>",
            "<td class=\"quiet llm-magic-measured\" style='a'>replayed</td><td>x</td>",
        ),
        ('<g id="p0123456789">url(#p0123456789)', '<g id="pabcdef0123">url(#pabcdef0123)'),
    ],
)
def test_what_changes_from_run_to_run_is_no_difference(saved, new):
    assert steady(saved) == steady(new)
    assert compare(cell(printed(saved)), cell(printed(new))) == ""


@pytest.mark.parametrize(
    ("saved", "new"),
    [
        ("12", "13"),
        ("0x1F", "0x2F"),
        ("the magic is 0xDEADBEEF", "the magic is 0xCAFEBABE"),
        ("break at 0xDEADBEEF", "break at 0xCAFEBABE"),
        ("if a < b: break at 0xDEADBEEF", "if a < b: break at 0xCAFEBABE"),
        ("<Thing at 0x7f3a2c1d90> and 0xDEADBEEF", "<Thing at 0x7f3a2c1d90> and 0xCAFEBABE"),
        ("<function <lambda>> at 0xDEADBEEF", "<function <lambda>> at 0xCAFEBABE"),
        ("<b><i>stop</i> at 0xDEADBEEF</b>", "<b><i>stop</i> at 0xCAFEBABE</b>"),
        ("a\nb", "a b"),
        ("  indented", "indented"),
        ("/tmp/tmpfile", "/tmp/tmplog"),
        ("a · 3 tokens · $1 · cash", "a · 3 tokens · $2 · cash"),
        ("<td class='tokens'>3</td>", "<td class='tokens'>4</td>"),
    ],
)
def test_everything_else_is_a_difference(saved, new):
    assert steady(saved) != steady(new)
    assert compare(cell(printed(saved)), cell(printed(new)))


# Pairs that the rules take for the same where anybody may have printed them.
SAME_ELSEWHERE = [
    ("It is <Thing at 0xDEADBEEF>", "It is <Thing at 0xCAFEBABE>"),
    ("123e4567-e89b-12d3-a456-426614174000", "9b2d7c1e-0000-4b6a-8f00-00c04fd430c8"),
    ("Read /tmp/tmpabcd1234.", "Read /tmp/tmpabcd1235."),
    ("Wall time: 3 s", "Wall time: 4 s"),
]


@pytest.mark.parametrize(("saved", "new"), SAME_ELSEWHERE)
@pytest.mark.parametrize("form", ["text/plain", "text/html", "text/markdown"])
def test_of_an_answer_every_letter_counts(saved, new, form):
    def answered(text, **more):
        shown_text = html.escape(text) if form == "text/html" else text
        return cell(nbformat.v4.new_output("display_data", {form: shown_text, **more}))

    one, other = ({MIME_TYPE: {"model": "m", "cost": cost}} for cost in (1, 2))
    assert compare(answered(saved), answered(new)) == ""
    assert compare(answered(saved, **one), answered(new, **other)) != ""
    assert compare(answered(saved, **one), answered(saved, **other)) == ""


@pytest.mark.parametrize(
    "text",
    [
        " " * 200_000 + "x",
        "<" * 200_000,
        "<a at " * 40_000,
        "<lambda>" * 25_000,
        "<lambda> at " * 20_000,
        "<" + " at <locals>" * 20_000,
        "<lambda> at 0x" * 20_000,
        "<a" + " at 0x1234567" * 20_000,
    ],
)
def test_long_texts_are_compared_in_no_time(text):
    began = time.process_time()

    steady(text)
    volatile._words(text)

    assert time.process_time() - began < 5


def test_a_small_picture_that_holds_gigabytes_takes_no_memory():
    bomb = png(HEADER, (b"IDAT", zlib.compress(bytes(200_000_000))))
    tracemalloc.start()

    told = volatile._picture(bomb)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert told.startswith("2 x 1 pixels, digest ")
    assert most < 50_000_000


@pytest.mark.parametrize("data", [{"image/png": "é"}, {MIME_TYPE: "nothing"}])
def test_what_is_no_picture_and_no_provenance_is_compared_as_it_is(data):
    saved = cell(shown(**data))

    assert compare(saved, cell(shown(**data))) == ""
    assert compare(saved, cell(shown(**dict.fromkeys(data, "other")))) != ""


def test_each_rule_is_explained_and_matches_something_in_the_table_above():
    rows = test_what_changes_from_run_to_run_is_no_difference.pytestmark[0].args[1]
    footer = "m · 1 + 2 tokens · $0.00 · live 3 ms"
    samples = [footer, *(text for pair in rows for text in pair)]

    for rule in volatile.RULES:
        assert rule.what
        assert any(rule.pattern.search(text) for text in samples), rule.what


@pytest.mark.parametrize(
    ("saved", "new"),
    [
        ([printed("a"), printed("b")], [printed("ab")]),
        ([printed("a"), printed("warning", "stderr"), printed("b")], [printed("ab")]),
        ([failed("E", "x", ["line 1"])], [failed("E", "x", ["line 2"])]),
        ([failed("E", "<A at 0x7f3a2c1d90>")], [failed("E", "<A at 0x7f3a2c1d91>")]),
        (
            [shown(**{volatile.WIDGET: {"model_id": "a"}})],
            [shown(**{volatile.WIDGET: {"model_id": "b"}})],
        ),
        (
            [shown(**{"image/png": png(HEADER, (b"IDAT", zlib.compress(PIXELS, 1)))})],
            [
                shown(
                    **{
                        "image/png": png(
                            HEADER, (b"tEXt", b"Software\0x"), (b"IDAT", zlib.compress(PIXELS, 9))
                        )
                    }
                )
            ],
        ),
    ],
    ids=["pieces", "stderr", "traceback", "error", "widget", "png"],
)
def test_outputs_that_say_the_same_are_the_same(saved, new):
    assert compare(cell(*saved), cell(*new)) == ""


@pytest.mark.parametrize(
    ("saved", "new"),
    [
        ([printed("a")], []),
        ([], [shown()]),
        ([shown(), shown()], [shown()]),
        ([failed("E", "x")], [failed("F", "x")]),
        ([failed("E", "x")], [failed("E", "y")]),
        ([shown(**{"text/html": "<b>1</b>"})], [shown(**{"text/html": "<b>2</b>"})]),
        ([shown(**{"application/json": {"a": 1}})], [shown(**{"application/json": {"a": 2}})]),
        ([shown(**{"application/json": {"a": 1}})], [shown()]),
        (
            [shown(**{"image/png": png(HEADER, (b"IDAT", zlib.compress(PIXELS)))})],
            [shown(**{"image/png": png(HEADER, (b"IDAT", zlib.compress(b"\x00\x01\x03")))})],
        ),
        ([shown(**{"image/png": "bm8gcG5n"})], [shown(**{"image/png": "bm8gcG5nMg=="})]),
    ],
)
def test_outputs_that_differ_are_told(saved, new):
    assert compare(cell(*saved), cell(*new))


@pytest.mark.parametrize(
    ("source", "tags"),
    [("%llm cost", ()), ("# Where\n%load_ext llm_magic\n%llm mode", ()), ("x", (volatile.TAG,))],
)
def test_cells_about_this_machine_count_for_their_errors_only(source, tags):
    saved = cell(printed("spent: $1"), source=source, tags=tags)

    assert compare(saved, cell(printed("spent: $2"))) == ""
    assert compare(saved, cell(failed("E", "x")))


def test_a_cell_with_code_beside_a_line_of_llm_counts():
    saved = cell(printed("1"), source="%llm cost\nprint(1)")

    assert compare(saved, cell(printed("2")))


def test_a_table_of_llm_is_about_this_machine_wherever_it_is_shown():
    table = '<table class="llm-magic-table x"><tr><td>{}</td></tr></table>'

    saved, new = (cell(shown(**{"text/html": table.format(number)})) for number in (1, 2))

    assert compare(saved, new) == ""


def test_a_panel_that_is_read_without_its_kernel_is_about_this_machine():
    panel = '<div class="llm-magic-snapshot x">{}</div>'

    saved, new = (cell(shown(**{"text/html": panel.format(number)})) for number in (1, 2))

    assert compare(saved, new) == ""


def test_a_diff_shows_the_text_and_the_other_forms_only_where_the_text_is_the_same():
    html = ({"text/html": "<b>1</b>"}, {"text/html": "<b>2</b>"})

    with_text = compare(cell(printed("1"), shown(**html[0])), cell(printed("2"), shown(**html[1])))
    without = compare(cell(printed("1"), shown(**html[0])), cell(printed("1"), shown(**html[1])))

    assert with_text.splitlines()[:2] == ["--- saved", "+++ replayed"]
    assert "-1\n+2\n" in with_text + "\n"
    assert "<b>" not in with_text
    assert "-<b>1</b>\n+<b>2</b>" in without


# Answers


def answered(completion, format="md"):
    """The output that a completion leaves in a notebook, after a round through its file."""
    bundle = Answer(completion.text, format=format, completion=completion).bundle()
    output = nbformat.v4.new_output("display_data", bundle)
    notebook = nbformat.v4.new_notebook(cells=[cell(output)])
    return nbformat.reads(nbformat.writes(notebook), as_version=4).cells[0]


@pytest.fixture
def ask(server, tmp_path):
    client = Client(tmp_path / "work", model="openai/gpt-5-mini")
    yield client.complete
    client.close()


@pytest.mark.parametrize("format", ["md", "text", "code", "json"])
@pytest.mark.parametrize("usage", [(1_000_000, 1204), None])
def test_a_live_answer_and_its_replay_are_the_same(ask, server, format, usage):
    server.reply("$5 · **bold** <b>\n\n- and a list", usage=usage)
    live, replayed = ask("Why?"), ask("Why?")
    assert (live.source, replayed.source) == ("live", "replay")

    saved, new = answered(live, format), answered(replayed, format)

    assert saved.outputs != new.outputs
    assert compare(saved, new) == ""


def test_notes_of_an_answer_do_not_count(ask, server):
    plain, noted = ask("Why?"), ask("Why?")
    noted.notes.extend(["answer 1 stands in for answer 2 <x>", "another"])

    assert compare(answered(plain), answered(noted)) == ""


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("Because not.", {}),
        ("Because.", {"model": "openai/gpt-5"}),
        ("Because.", {"max_tokens": 9}),
    ],
    ids=["answer", "model", "request"],
)
def test_another_answer_model_or_request_is_a_difference(ask, server, text, options):
    server.reply("Because.")
    server.reply(text)
    first = ask("Why?")
    second = ask("Why?", mode="CAPTURE", **options)

    diff = compare(answered(first), answered(second))

    assert diff
    assert "live" not in diff


def test_an_answer_keeps_what_lasts_of_its_provenance(ask):
    (item,) = (
        item for item in items(cell(), answered(ask("Why?")).outputs) if item.form == MIME_TYPE
    )

    assert '"finish_reason": "stop"' in item.text
    assert "recorded" not in item.text
    assert "latency_ms" not in item.text


def test_how_an_answer_is_drawn_may_change_and_its_words_may_not():
    page = '<div style="color: {}"><style>{}</style><p>{}</p></div>'

    def answer(*parts):
        return shown(**{"text/html": page.format(*parts), MIME_TYPE: {"model": "m"}})

    assert (
        compare(cell(answer("red", "p {}", "1 &lt; 2")), cell(answer("blue", "", "1 &lt; 2"))) == ""
    )
    assert compare(cell(answer("red", "", "so")), cell(answer("red", "", "no"))) != ""
