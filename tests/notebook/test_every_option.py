"""A notebook that uses every option runs in a kernel, and its replay gives the same outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_magic import cli, history
from llm_magic.config import Settings
from llm_magic.notebook import complete_options
from llm_magic.verify import volatile

SET_UP = """
%load_ext llm_magic
%llm config model=echo/echo
import pandas
frame = pandas.DataFrame({'word': ['sun', 'moon']}, index=['a', 'b'])
def double(n: int) -> int:
    return 2 * n
"""
CELLS = [
    "%%complete -s short -T 0.5 --max-tokens 99 -o seed 7 --n 2\nTwo answers.",
    "%%complete -m echo/echo,echo/other --out both\nSide by side.",
    "%%complete -t greet -p who Ada\nfrom {{ 1 + 1 }} of us",
    "%%complete --jinja -p n 2\n{% if n %}Jinja {{ n }}{% endif %}",
    "%%complete --file frame --file note.txt\nWhat is in it?",
    "%%complete --image dot.png\nWhat is it?",
    "%%complete --schema 'answer' --format json --out data --raw\n{{ nothing }}",
    "%%complete --chat talk\nFirst",
    "%%complete --chat talk\nSecond",
    "%%complete --map frame.word --at-once 2 --yes --out words\nSay {{ item }}",
    "%%complete --fallbacks echo/second --retries 1 --mode FALLBACK\nWith a net.",
    "%%complete --tools double\nDouble it.",
    "%%complete --format code --out code\n```python\nx = 1\n```",
    "%%complete --background --out later\nLater.",
    "text = await later\nprint(text)",
    "%%complete --dry-run\nNot at all.",
    "answer = %complete --format text In one line?\nprint(answer)",
    "print(both, data, words.to_dict(), repr(code))",
]
# These ask again by their nature.
LIVE = ["%%complete --refresh\nAgain.", "%%complete --no-cache\nOnce."]

PICTURE = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\x06\0\0\0\x1f\x15\xc4\x89"
    b"\0\0\0\nIDATx\x9cc\0\1\0\0\5\0\1\r\n-\xb4\0\0\0\0IEND\xaeB`\x82"
)


def test_the_notebook_uses_every_option():
    written = " ".join([*CELLS, *LIVE])

    actions = complete_options.parser()._actions
    unused = [
        one.dest for one in actions if not any(word in written for word in one.option_strings)
    ]
    assert unused in ([], ["help"])


@pytest.fixture
def analysis(write_notebook):
    Path("prompts").mkdir()
    Path("prompts/greet.md").write_text("---\nsystem: Be kind.\n---\nGreet {{ who }} {{ input }}")
    Path("note.txt").write_text("A note.")
    Path("dot.png").write_bytes(PICTURE)
    return write_notebook("analysis.ipynb", SET_UP, *CELLS, *LIVE)


def test_what_a_kernel_recorded_replays_with_the_same_outputs(
    analysis, write_notebook, run_notebook
):
    first = run_notebook(analysis)
    assert cli.main(["cassette", "export", str(analysis)]) == 0
    live = history.at(Settings(".").workspace).totals().live

    again = run_notebook(write_notebook("analysis.ipynb", SET_UP, *CELLS), "--mode", "REPLAY")

    assert history.at(Settings(".").workspace).totals().live == live
    for old, new in zip(first, again, strict=False):
        if "--dry-run" in new.source:
            continue
        before, after = volatile.items(old, old.outputs), volatile.items(new, new.outputs)
        assert volatile.difference(before, after) == "", new.source
