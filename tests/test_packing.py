"""Notebooks that carry their recordings: one file replays alone, and gives them back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.sign import NotebookNotary

from llm_magic import cli, packed, packing
from llm_magic.cassette import Cassette
from llm_magic.client import Client
from llm_magic.exceptions import CassetteError, ReplayMissError
from llm_magic.packing import pack, unpack

MODEL = "echo/echo"
NOTE = Path("analysis.ipynb")
CASSETTE = Path("analysis.cassette.jsonl")


@pytest.fixture
def notebook() -> Path:
    """A notebook as Jupyter writes it, with odd text in its outputs."""
    cells = [
        nbformat.v4.new_markdown_cell("# é \u2028 😀"),
        nbformat.v4.new_code_cell("%load_ext llm_magic"),
        nbformat.v4.new_code_cell(f"%%complete -m {MODEL}\nWhy?"),
    ]
    made = nbformat.v4.new_notebook(cells=cells, metadata={"zeta": 1, "authors": [{"name": "A"}]})
    nbformat.write(made, NOTE)
    return NOTE


def ask(*questions: str, folder: Path | str = ".", name: str = NOTE.stem, **options):
    client = Client(folder, **options)
    client.settings.notebook_hint = f"{name}.ipynb"
    try:
        return [client.complete(question, model=MODEL).text for question in questions]
    finally:
        client.close()


def test_a_packed_notebook_alone_replays(notebook, tmp_path):
    answers = ask("Why?", "How? \u2028 é 😀")

    told = pack(notebook)

    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(notebook, alone)
    assert ask("Why?", "How? \u2028 é 😀", folder=alone, mode="REPLAY") == answers
    assert told.recordings == 2
    assert str(told).startswith("analysis.ipynb carries 2 recordings (")


def test_a_miss_in_a_packed_notebook_names_the_notebook(notebook):
    ask("Why?")
    pack(notebook)
    CASSETTE.unlink(missing_ok=True)

    with pytest.raises(ReplayMissError, match=r"in analysis\.ipynb \(mode REPLAY\)"):
        ask("Why not?", mode="REPLAY")


def test_a_packed_notebook_runs_in_a_fresh_kernel_in_replay(notebook, tmp_path, capsys):
    ask("Why?")
    pack(notebook)
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(notebook, alone)

    code = cli.main(["run", str(alone / NOTE), "--mode", "REPLAY"])

    assert (code, "1 (100 %)" in capsys.readouterr().out) == (0, True)


def test_with_the_notebooks_name_unknown_a_packed_one_is_found(notebook, tmp_path):
    answers = ask("Why?")
    alone = tmp_path / "alone"
    alone.mkdir()
    pack(notebook, output=alone / "other.ipynb")
    client = Client(alone, mode="REPLAY")

    assert [client.complete("Why?", model=MODEL).text] == answers
    client.close()


def test_packing_and_unpacking_gives_back_every_byte(notebook):
    ask("Why?")
    Client(".").shelf.save(NOTE.stem)
    before = notebook.read_bytes(), CASSETTE.read_bytes()

    pack(notebook)
    assert notebook.read_bytes() != before[0]
    CASSETTE.unlink()
    told = unpack(notebook)

    assert (notebook.read_bytes(), CASSETTE.read_bytes()) == before
    assert str(told) == "analysis.cassette.jsonl: 1 recording taken out of the notebook"


def test_a_packed_notebook_is_a_valid_notebook_with_sorted_metadata(notebook):
    ask("Why?")
    pack(notebook)

    read = nbformat.read(notebook, as_version=nbformat.NO_CONVERT)

    nbformat.validate(read)
    assert list(read.metadata) == sorted(read.metadata)
    assert read.metadata.llm_magic.cassette[0].startswith('{"format":"llm-magic cassette"')
    written = notebook.read_bytes()
    nbformat.write(read, notebook)
    assert notebook.read_bytes() == written


def test_packing_twice_changes_nothing_and_renews_what_is_new(notebook):
    ask("Why?")
    pack(notebook)
    first = notebook.read_bytes()

    assert pack(notebook).recordings == 1
    assert notebook.read_bytes() == first

    ask("How?")
    assert pack(notebook).recordings == 2


def test_a_cassette_beside_a_packed_notebook_counts(notebook):
    ask("Why?")
    pack(notebook)
    shutil.rmtree(".llm_magic")
    ask("How?")
    shelf = Client(".").shelf
    assert shelf.source(NOTE.stem) == notebook.resolve()

    saved = shelf.save(NOTE.stem)

    assert shelf.source(NOTE.stem) == CASSETTE.resolve()
    assert (saved.total, saved.added) == (2, 1)
    assert "analysis.ipynb carries recordings of its own" in str(saved)


def test_unpacking_keeps_the_answers_of_the_cassette(notebook):
    ask("Why?", "How?")
    pack(notebook)
    ask("Why?", mode="CAPTURE")
    shelf = Client(".").shelf
    with pytest.warns(RuntimeWarning, match=r"analysis\.ipynb changed; 1 unsaved"):
        shelf.save(NOTE.stem)
    newer = Cassette(CASSETTE).lines()

    told = unpack(notebook)

    assert Cassette(CASSETTE).lines() == newer
    assert (told.recordings, told.kept) == (2, 1)
    assert "1 had another answer in it already, which stays" in str(told)


def test_forgetting_reaches_into_packed_notebooks(notebook):
    ask("Why?", "a secret of mine")
    pack(notebook)

    assert cli.main(["forget", "--text", "a secret of mine", "--yes"]) == 0

    assert "a secret of mine" not in notebook.read_text()
    assert len(Cassette(notebook)) == 1


def test_a_packed_notebook_that_was_changed_replays_the_change(notebook):
    ask("Why?")
    pack(notebook)
    shutil.rmtree(".llm_magic")
    assert ask("Why?", mode="REPLAY")
    read = json.loads(notebook.read_text())
    read["metadata"]["llm_magic"]["cassette"] = read["metadata"]["llm_magic"]["cassette"][:1]
    notebook.write_text(json.dumps(read))

    with pytest.raises(ReplayMissError):
        ask("Why?", mode="REPLAY")


def test_too_much_for_a_notebook_is_refused_with_advice(notebook, monkeypatch):
    ask("Why?")
    before = notebook.read_bytes()
    monkeypatch.setattr(packing, "LARGE", 100)

    with pytest.raises(CassetteError, match=r"the largest: [0-9a-f]{12} .* pack with --force"):
        pack(notebook)
    assert notebook.read_bytes() == before

    assert pack(notebook, force=True).recordings == 1


def test_a_trusted_notebook_stays_trusted_and_others_do_not_become_so(notebook):
    ask("Why?")
    shutil.copy(notebook, "other.ipynb")
    ask("Why?", name="other")
    notary = NotebookNotary()
    notary.sign(nbformat.read(notebook, as_version=nbformat.NO_CONVERT))
    shutil.copy(notebook, "same.ipynb")
    ask("Why?", name="same")

    def trusted(path):
        return notary.check_signature(nbformat.read(path, as_version=nbformat.NO_CONVERT))

    Path("other.ipynb").write_bytes(notebook.read_bytes().replace(b"Why?", b"What?"))
    pack(notebook)
    pack(Path("other.ipynb"))

    assert (trusted(notebook), trusted("other.ipynb")) == (True, False)
    unpack(notebook)
    assert trusted(notebook)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read as a notebook"),
        ("nothing", "cannot be read as a notebook"),
        ("[]", "is not a notebook"),
        (
            f'{{"metadata": {{"llm_magic": {{"cassette": {"[" * 100_000}',
            "cannot be read as a notebook",
        ),
        ('{"metadata": {"llm_magic": {"cassette": 3}}}', "does not carry a cassette"),
        ('{"metadata": {"llm_magic": {"cassette": [{}]}}}', "does not carry a cassette"),
        ('{"metadata": {"llm_magic": {"cassette": ["{}"]}}}', ":1 is not the header"),
        ('{"metadata": {}, "cells": []}', "does not carry a cassette; llm-magic pack analysis"),
    ],
)
def test_what_cannot_be_unpacked_is_told_and_left(content, problem):
    if content is not None:
        NOTE.write_text(content)

    with pytest.raises(CassetteError, match=problem):
        unpack(NOTE)

    assert not CASSETTE.exists()
    assert content is None or NOTE.read_text() == content


def test_a_nest_without_end_is_no_packed_notebook():
    NOTE.write_text(f'{{"metadata": {{"llm_magic": {{"cassette": {"[" * 100_000}')

    assert not packed.is_packed(NOTE)


def test_a_notebook_without_recordings_cannot_be_packed(notebook, capsys):
    assert cli.main(["pack", str(notebook)]) == 1

    assert "nothing is recorded for analysis.ipynb; run it first" in capsys.readouterr().err


def test_the_commands_say_what_they_did(notebook, capsys):
    ask("Why?")

    assert cli.main(["pack", str(notebook), "-o", "out.ipynb"]) == 0
    assert capsys.readouterr().out.startswith("out.ipynb carries 1 recording (")
    assert cli.main(["unpack", "out.ipynb"]) == 0
    assert capsys.readouterr().out.startswith("out.cassette.jsonl: 1 recording taken out")
    assert cli.main(["pack", str(notebook), "-o", "out.txt"]) == 1
    assert "name an .ipynb file" in capsys.readouterr().err


def test_a_notebook_behind_a_link_is_packed_where_it_is(notebook):
    ask("Why?")
    Path("links").mkdir()
    link = Path("links/other.ipynb")
    link.symlink_to(notebook.resolve())

    pack(link)

    assert link.is_symlink()
    assert len(Cassette(notebook)) == 1
