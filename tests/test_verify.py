"""``verify`` in real kernels: what it names, what it lets pass, and that it leaves no trace."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import nbformat
import pytest

from llm_magic import cli, headless
from llm_magic.client import Client
from llm_magic.exceptions import LLMMagicError
from llm_magic.verify import KINDS, verify

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
KEY = "AKIA" + "0123456789ABCDEF"

LOAD = "%load_ext llm_magic\n%llm config model=echo/echo"
BRICK = "%%complete --out answer\nName a brick."
SHOUT = "print(answer.upper()[:20])"
STONE = "%%complete\nAnd a stone?"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A folder with a notebook as it was saved after a live run, and its cassette."""
    folder = tmp_path_factory.mktemp("recorded")
    path = folder / "a.ipynb"
    nbformat.write(notebook(LOAD, BRICK, SHOUT, STONE), path)
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("LLM_MAGIC_MODE", raising=False)
        assert cli.main(["run", str(path), "--mode", "CAPTURE", "-o", str(path)]) == 0
        assert cli.main(["cassette", "export", str(path)]) == 0
    return folder


@pytest.fixture
def path(recorded, tmp_path):
    """A copy of that notebook and its cassette, without working files."""
    for name in ("a.ipynb", "a.cassette.jsonl"):
        shutil.copy(recorded / name, tmp_path / "work")
    return tmp_path / "work" / "a.ipynb"


@pytest.fixture
def write(tmp_path):
    """Write a notebook of these cells; returns its path."""

    def write(*cells, **metadata):
        path = tmp_path / "work" / "a.ipynb"
        nbformat.write(notebook(*cells, **metadata), path)
        return path

    return write


@pytest.fixture
def record(tmp_path):
    """Record what ``ask(client)`` asks as the cassette of a.ipynb."""

    def record(ask):
        client = Client(tmp_path / "work", model="echo/echo")
        ask(client)
        client.shelf.adopt("a")
        client.shelf.save("a")
        client.close()
        shutil.rmtree(tmp_path / "work" / ".llm_magic")

    return record


def notebook(*cells, **metadata):
    made = [nbformat.v4.new_code_cell(cell) for cell in cells]
    return nbformat.v4.new_notebook(cells=made, metadata=metadata)


def edit(path, change):
    """Change a notebook by hand."""
    content = nbformat.read(path, as_version=4)
    change(content)
    nbformat.write(content, path)


def printing(path, *texts):
    """Save these texts as what the cells print; None for nothing."""

    def change(content):
        for cell, text in zip(content.cells, texts, strict=True):
            cell.outputs = [nbformat.v4.new_output("stream", text=text)] if text else []

    edit(path, change)


def kinds(report):
    return {finding.kind for finding in report.findings}


def files(path):
    return {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}


# What is clean


def test_a_notebook_saved_after_a_live_run_is_clean_and_nothing_is_written(path, capsys):
    before = files(path)
    assert "live" in before["a.ipynb"].decode()

    code = cli.main(["verify", str(path)])

    assert (code, capsys.readouterr().out) == (
        0,
        "a.ipynb: clean: cells: 4 same · 2 calls replayed · 2 recordings\n",
    )
    assert files(path) == before
    assert [file.name for file in path.parent.iterdir() if file.is_dir()] == []


@pytest.mark.parametrize("notebook", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_notebooks_that_come_with_the_project_are_clean(notebook):
    before = files(notebook)

    report = verify(notebook)

    assert report.failing() == []
    assert {cell.status for cell in report.cells} == {"same"}
    assert files(notebook) == before


def test_a_packed_notebook_is_verified_by_what_it_carries(path):
    assert cli.main(["pack", str(path)]) == 0
    path.with_name("a.cassette.jsonl").unlink()
    shutil.rmtree(path.parent / ".llm_magic", ignore_errors=True)

    report = verify(path)

    assert (report.failing(), report.recordings) == ([], 2)


# The six faults


def edited_prompt(path):
    edit(path, lambda content: content.cells[3].update(source=STONE.replace("stone", "pebble")))


def edited_output(path):
    edit(path, lambda content: content.cells[2].outputs[0].update(text="SOMETHING ELSE\n"))


def missing_record(path):
    cassette = path.with_name("a.cassette.jsonl")
    lines = cassette.read_text().splitlines(keepends=True)
    cassette.write_text("".join(line for line in lines if "stone" not in line))


def extra_record(path):
    client = Client(path.parent, model="echo/echo")
    client.complete("Never asked again")
    client.shelf.adopt("a")
    client.shelf.save("a")
    client.close()


def planted_key(path):
    source = f"# {KEY}\n{SHOUT}"
    edit(path, lambda content: content.cells[2].update(source=source))


def planted_key_in_cassette(path):
    cassette = path.with_name("a.cassette.jsonl")
    header, *lines = cassette.read_text().splitlines(keepends=True)
    line = lines[0].replace('"call":"', f'"call":"{KEY} ')
    cassette.write_text("".join([header, line, *lines[1:]]))


def planted_keys_beside_cells(path):
    def plant(content):
        content.metadata["owner"] = {"key": KEY}
        content.cells[2].metadata["note"] = KEY
        text = nbformat.v4.new_markdown_cell("![](a.txt)")
        text["attachments"] = {"a.txt": {"text/plain": KEY}}
        content.cells.append(text)

    edit(path, plant)


def unpinned_mode(path):
    source = STONE.replace("%%complete", "%%complete --mode CAPTURE")
    edit(path, lambda content: content.cells[3].update(source=source))


FAULTS = [
    (edited_prompt, {"miss", "stale"}, "cell 4 of 4 (%%complete): no recording for echo/echo"),
    (edited_output, {"drifted"}, "cell 3 of 4 (print(answer.upper()[:20])): it puts out something"),
    (missing_record, {"miss"}, "cell 4 of 4 (%%complete): no recording for echo/echo"),
    (extra_record, {"stale"}, "no cell uses the recording "),
    (planted_key, {"secret"}, "looks like a key of AWS stands in the source of cell 3"),
    (planted_keys_beside_cells, {"secret"}, "key of AWS stands in an attachment of a text cell"),
    (planted_keys_beside_cells, {"secret"}, "key of AWS stands in the metadata of cell 3"),
    (planted_keys_beside_cells, {"secret"}, "key of AWS stands in the metadata of the notebook"),
    (planted_key_in_cassette, {"secret"}, "a key of AWS stands in a.cassette.jsonl:2"),
    (unpinned_mode, {"unpinned"}, "CAPTURE is asked for by an argument or an option (cell 4)"),
]


@pytest.mark.parametrize(
    ("fault", "named", "told"), FAULTS, ids=lambda one: getattr(one, "__name__", "")
)
def test_each_fault_is_named_and_is_exit_code_1(path, capsys, fault, named, told):
    fault(path)

    code = cli.main(["verify", "--json", str(path)])

    out = capsys.readouterr().out
    (report,) = json.loads(out)["reports"]
    lines = [
        f"cell {one['cell']} of 4 ({report['cells'][one['cell'] - 1]['line']}): {one['message']}"
        if one["cell"]
        else one["message"]
        for one in report["findings"]
    ]
    assert code == 1
    assert {finding["kind"] for finding in report["findings"]} == named
    assert any(told in line for line in lines), lines
    assert KEY not in out


def test_an_edited_output_comes_with_a_diff(path):
    edited_output(path)

    (finding,) = verify(path).findings

    assert finding.detail.splitlines()[:2] == ["--- saved", "+++ replayed"]
    assert "-SOMETHING ELSE\n+THIS IS **ECHO**" in finding.detail


def test_a_miss_comes_with_what_the_miss_doctor_says(path):
    edited_prompt(path)

    (finding,) = (one for one in verify(path).findings if one.kind == "miss")

    assert "[-stone-]{+pebble+}" in finding.detail
    assert "to mend it: llm-magic run a.ipynb --mode FALLBACK" in finding.detail


# Other things it names


def test_a_miss_in_plain_python_is_explained_and_one_that_is_caught_is_told(write, record):
    record(lambda client: client.complete("Name a brick."))
    path = write(
        "from llm_magic import complete, ReplayMissError",
        "complete('Name a big brick.', model='echo/echo')",
        "try:\n    complete('Why?', model='echo/echo')\nexcept ReplayMissError:\n    pass",
    )

    report = verify(path)

    assert [cell.status for cell in report.cells] == ["same", "miss", "miss"]
    misses = [finding for finding in report.findings if finding.kind == "miss"]
    assert [finding.cell for finding in misses] == [2, 3]
    assert "{+big +}" in misses[0].detail
    assert "'Why?'" in misses[1].message


def test_without_a_cassette_that_is_said(write):
    ask = "import llm_magic\nllm_magic.complete('Why?', model='echo/echo').text"

    report = verify(write(ask))

    assert (report.recordings, kinds(report)) == (None, {"miss"})
    assert report.findings[-1].message.startswith("a.ipynb has no cassette: ")
    assert report.findings[-1].message.endswith("llm-magic cassette export a.ipynb")


def test_a_notebook_that_asks_nothing_needs_no_cassette(write):
    report = verify(write("1 + 1;", ""))

    assert (report.findings, report.calls) == ([], 0)


def test_what_is_only_in_the_working_store_does_not_count(path):
    missing_record(path)
    client = Client(path.parent, model="echo/echo")
    client.complete("And a stone?")
    client.shelf.adopt("a")
    client.close()

    assert kinds(verify(path)) == {"miss"}


def test_cells_that_ask_the_very_same_are_told_and_pass(write, record):
    ask = "llm_magic.complete('Why?', model='echo/echo').source"
    record(lambda client: client.complete("Why?"))
    path = write("import llm_magic", f"print({ask})", f"print({ask})")
    printing(path, None, "replay\n", "replay\n")

    report = verify(path)

    assert [finding.kind for finding in report.findings] == ["shared"]
    assert report.findings[0].message.startswith("cells 2 and 3 ask the very same: 'Why?'")
    assert report.failing() == []


def test_a_model_that_only_the_environment_names_is_unpinned(write, record, monkeypatch):
    monkeypatch.setenv("LLM_MAGIC_MODEL", "echo/echo")
    record(lambda client: client.complete("Why?"))

    report = verify(write("import llm_magic\nllm_magic.complete('Why?').text;"))

    (finding,) = (one for one in report.findings if one.kind == "unpinned")
    assert finding.cell == 1
    assert "it names no model" in finding.message


def test_the_project_file_pins_the_model_and_may_unpin_the_mode(write, record):
    record(lambda client: client.complete("Why?"))
    path = write("import llm_magic\nllm_magic.complete('Why?').text;")
    project = '[tool.llm_magic]\nmodel = "echo/echo"\nmode = "DISABLED"\n'
    path.with_name("pyproject.toml").write_text(project)

    (finding,) = verify(path).findings

    assert finding.kind == "unpinned"
    assert finding.message.startswith("DISABLED is asked for in ")
    assert "pyproject.toml (cell 1)" in finding.message


def test_results_of_functions_and_stand_ins_are_used(write, record, server):
    ask = (
        "from llm_magic import complete\n"
        "def now(): return 1\n"
        "for _ in range(2):\n"
        "    complete('Why?', model='openai/gpt-5-mini', tools=[now], max_tool_rounds=1)"
    )
    server.reply(tool_calls=[{"name": "now", "arguments": {}}])

    def now():
        return 1

    record(
        lambda client: client.complete(
            "Why?", model="openai/gpt-5-mini", tools=[now], max_tool_rounds=1
        )
    )

    report = verify(write(ask))

    assert (report.recordings, report.findings) == (3, [])


# The kernel


def test_the_kernel_has_no_key_and_its_children_replay(write, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-openai-0123456789abcdef")
    monkeypatch.setenv("LLM_MAGIC_MODE", "CAPTURE")
    code = "import os; print(os.environ.get('OPENAI_API_KEY'), os.environ['LLM_MAGIC_MODE'])"
    path = write(code, f'import subprocess, sys\n!{{sys.executable}} -c "{code}"')
    printing(path, "None REPLAY\n", "None REPLAY\n")

    assert verify(path).findings == []


def test_a_cell_that_opens_a_connection_is_told_also_when_it_goes_on(write):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        local = f"import socket\nsocket.create_connection(('127.0.0.1', {port}))"
        caught = (
            "import urllib.request\ntry:\n    urllib.request.urlopen('http://example.org')\n"
            "except OSError:\n    pass"
        )

        report = verify(write(local, caught))

    refused = [finding for finding in report.findings if finding.kind == "network"]
    assert [finding.cell for finding in refused] == [1, 2]
    assert refused[0].message.startswith(f"a connection to 127.0.0.1:{port} was refused")
    assert refused[1].message.startswith("a look-up of example.org was refused")
    assert [cell.status for cell in report.cells] == ["drifted", "same"]


def test_cells_cannot_change_what_is_verified(path):
    before = files(path)
    edit(path, lambda content: content.cells[2].update(source="open('a.cassette.jsonl', 'w')"))
    changed = files(path)

    report = verify(path)

    (finding,) = report.findings
    assert "PermissionError" in finding.message
    assert "a.cassette.jsonl is being verified; it was not changed" in finding.message
    assert files(path) == changed != before


def test_a_cell_that_saves_what_is_saved_passes(path):
    edit(path, lambda content: content.cells[2].update(source="%llm cassette save", outputs=[]))

    assert verify(path).findings == []


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("print('a'", "it fails: SyntaxError: "),
        ("1 / 0", "it fails: ZeroDivisionError: division by zero"),
        ("raise SystemExit", "it fails: SystemExit: "),
    ],
)
def test_a_cell_that_fails_is_told_and_the_others_are_verified(write, cell, told):
    path = write(cell, "print(1)")
    printing(path, None, "1\n")

    report = verify(path)

    assert [item.status for item in report.cells] == ["drifted", "same"]
    assert report.findings[0].message.startswith(told)


def test_an_error_that_was_saved_is_the_same(write):
    path = write("1 / 0")
    error = nbformat.v4.new_output(
        "error", ename="ZeroDivisionError", evalue="division by zero", traceback=["other"]
    )
    edit(path, lambda content: content.cells[0].update(outputs=[error]))

    assert verify(path).findings == []


NOT_USED = [
    ("%%complete\nWhy?", "Cell magic `%%complete` not found."),
    ("%nosuchmagic", "Line magic function `%nosuchmagic` not found."),
    ("%load_ext llm_magic\n%llm nosuch", "%llm nosuch: no such command"),
    ("%load_ext llm_magic\n%complete -m echo/echo --formt none hi", "no option --formt"),
]


@pytest.mark.parametrize(("cell", "told"), NOT_USED)
def test_a_usage_error_which_ipython_only_prints_is_told(write, cell, told):
    report = verify(write(cell, "1;"))

    (finding,) = report.findings
    assert [item.status for item in report.cells] == ["drifted", "same"]
    assert (finding.kind, finding.cell) == ("drifted", 1)
    assert finding.message.startswith(f"it fails: UsageError: {told}")
    assert f"+UsageError: {told}" in finding.detail


@pytest.mark.parametrize("tags", [[], ["raises-exception"]])
def test_a_usage_error_that_was_saved_is_the_same(tmp_path, write, tags):
    path = write(*(cell for cell, _ in NOT_USED))
    edit(path, lambda content: [cell.metadata.update(tags=tags) for cell in content.cells])
    kernel = {**os.environ, "LLM_MAGIC_NOTEBOOK": str(path)}
    content = headless.read(path)
    headless.run(content, path, kernel, allow_errors=True)
    nbformat.write(content, path)

    assert verify(path).findings == []


def test_another_usage_error_than_the_saved_one_is_told(write):
    path = write("%nosuchmagic")
    saved = nbformat.v4.new_output("stream", name="stderr", text="UsageError: no magic today\n")
    edit(path, lambda content: content.cells[0].update(outputs=[saved]))

    (finding,) = verify(path).findings

    assert finding.message.startswith("it fails: UsageError: Line magic function `%nosuchmagic`")


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("import time\ntime.sleep(600)", "it took longer than 1 s"),
        ("import os; os._exit(1)", "the kernel died"),
    ],
)
def test_a_kernel_that_hangs_or_dies_ends_it(write, cell, told):
    report = verify(write("1;", cell, "2;"), timeout=1)

    assert [item.status for item in report.cells] == ["same", "failed", "not run"]
    assert [(one.kind, one.cell, one.message) for one in report.findings] == [
        ("failed", 2, f"{told}; nothing after it was run")
    ]


@pytest.mark.parametrize("line", ["nothing", "[5]", '{"event": "miss"}'])
def test_a_cell_that_writes_into_the_notes_of_its_run_is_told(write, line):
    cell = f"import os\nopen(os.environ['LLM_MAGIC_VERIFY'], 'a').write('{line}\\n');"

    with pytest.raises(LLMMagicError, match=r"a cell of a\.ipynb wrote into the file"):
        verify(write(cell))


def test_a_kernel_without_llm_magic_is_refused_before_a_cell_runs(write, tmp_path, monkeypatch):
    spec = tmp_path / "jupyter" / "kernels" / "bare"
    spec.mkdir(parents=True)
    # A kernel that does not take our arguments, as one of another language.
    start = "from ipykernel.kernelapp import launch_new_instance as go; go(argv=['-f', FILE])"
    code = f"import sys; FILE = sys.argv[sys.argv.index('-f') + 1]; {start}"
    argv = ["python", "-c", code, "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Bare"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    path = write("open('ran', 'w')", kernelspec={"name": "bare", "display_name": "Bare"})

    with pytest.raises(LLMMagicError, match=r"the kernel that a\.ipynb asks for has no llm-magic"):
        verify(path)

    assert not path.with_name("ran").exists()


def test_every_kind_is_named_by_a_test():
    source = Path(__file__).read_text()

    assert [kind for kind in KINDS if f'"{kind}"' not in source] == []
