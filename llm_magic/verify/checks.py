"""What is looked for after a run: one function a kind of finding."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm_magic import packed, secrets
from llm_magic.cassette import NOTEBOOK
from llm_magic.verify import leaks
from llm_magic.verify.execution import Cassette, Execution, Trace
from llm_magic.verify.findings import CellResult, Finding
from llm_magic.verify.volatile import difference, items, steady
from llm_magic.worddiff import visible

__all__ = ["about_cells", "about_notebook", "clean"]

Place = tuple[str, int]

_LONGEST_DIFF = 60
_LONGEST_LINE = 60


def clean(text: str) -> str:
    """Text as it may be shown: no keys, nothing that drives a terminal."""
    return visible(leaks.hidden(text))


def first_line(source: str) -> str:
    """The first line of a cell, to know it by."""
    line = next((line.strip() for line in source.splitlines() if line.strip()), "")
    return clean(line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…")


# About each cell


def about_cells(done: Execution) -> tuple[list[CellResult], list[Finding]]:
    """What became of every code cell."""
    results, findings = [], []
    code = [index for index, cell in enumerate(done.saved.cells) if cell.cell_type == "code"]
    for number, index in enumerate(code, 1):
        cell = done.saved.cells[index]
        status, found = _about_cell(done, index, number)
        results.append(CellResult(number, cell.get("id", ""), first_line(cell.source), status))
        findings += found
    return results, findings


def _about_cell(done: Execution, index: int, number: int) -> tuple[str, list[Finding]]:
    trace = done.traces.get(index)
    if trace is None:
        return ("not run" if done.saved.cells[index].source.strip() else "same"), []
    found = [*_network(trace, number), *_model(done.new.cells[index], number)]
    if done.error and index == done.stopped_at:
        why = done.error.rpartition(": ")[2]
        failed = Finding("failed", f"{why}; nothing after it was run", number)
        return "failed", [failed, *_misses(trace, number), *found]
    if misses := _misses(trace, number):
        return "miss", [*misses, *found]
    if drift := _drift(done.saved.cells[index], done.new.cells[index], trace, number):
        return "drifted", [drift, *found]
    return "same", found


def _misses(trace: Trace, number: int) -> list[Finding]:
    why: dict[Place, str] = {
        (row["key"], row["ordinal"]): row["error_message"] or ""
        for row in trace.rows
        if row["status"] == "miss"
    }
    # The guard knows more of a miss than the ledger, where the cell did not catch it.
    told = (event for event in trace.events if event["event"] == "miss")
    why |= {(event["key"], event["ordinal"]): event["text"] for event in told}
    findings = []
    for text in why.values():
        message, _, detail = clean(text).partition("\n")
        findings.append(Finding("miss", message, number, detail))
    return findings


def _drift(saved: Any, new: Any, trace: Trace, number: int) -> Finding | None:
    outputs = [*new.outputs, *_error_without_output(saved, new, trace)]
    diff = difference(items(saved, saved.outputs), items(saved, outputs))
    if not diff:
        return None
    lines = [clean(line) for line in diff.splitlines()]
    if len(lines) > _LONGEST_DIFF:
        lines = [*lines[:_LONGEST_DIFF], f"... and {len(lines) - _LONGEST_DIFF} more lines"]
    error = _error(outputs)
    if error is not None and _error(saved.outputs) is None:
        message = clean(f"it fails: {error.ename}: {error.evalue}".splitlines()[0])
    else:
        message = "it puts out something else than what is saved"
    return Finding("drifted", message, number, "\n".join(lines))


def _error(outputs: Sequence[Any]) -> Any:
    return next((output for output in outputs if output.output_type == "error"), None)


def _error_without_output(saved: Any, new: Any, trace: Trace) -> list[Any]:
    """What the cell raised as an output, where the kernel sends none.

    IPython prints a UsageError, such as that of a magic or an option that there is not, on stderr,
    which is not compared. A notebook that shows one on purpose was saved with that very line.
    """
    import nbformat

    if trace.error is None or _error(new.outputs) is not None:
        return []
    name, message = trace.error
    printed = (output.text for output in saved.outputs if output.get("name") == "stderr")
    if steady(f"UsageError: {message}") in steady("".join(printed)):
        return []
    return [nbformat.v4.new_output("error", ename=name, evalue=message)]


def _network(trace: Trace, number: int) -> list[Finding]:
    told = {event["what"]: None for event in trace.events if event["event"] == "network"}
    return [
        Finding("network", f"{clean(what)} was refused: nothing here may need a network", number)
        for what in told
    ]


def _model(cell: Any, number: int) -> list[Finding]:
    error = _error(cell.outputs)
    if error is None or error.ename != "ConfigError" or not error.evalue.startswith("no model:"):
        return []
    return [
        Finding(
            "unpinned",
            "it names no model: a default in LLM_MAGIC_MODEL does not travel; write -m MODEL, %llm"
            " config model=MODEL, or model in pyproject.toml",
            number,
        )
    ]


# About the notebook


def about_notebook(done: Execution) -> list[Finding]:
    """What concerns more than one cell, or none."""
    return [*_no_cassette(done), *_modes(done), *_shared(done), *_stale(done), *_secrets(done)]


def _no_cassette(done: Execution) -> Iterator[Finding]:
    rows = [row for trace in done.traces.values() for row in trace.rows]
    if done.cassette is None and rows:
        name = done.path.name
        yield Finding(
            "miss",
            f"{name} has no cassette: nothing that is recorded travels with it; llm-magic cassette"
            f" export {name}",
        )


def _modes(done: Execution) -> Iterator[Finding]:
    cells = defaultdict(list)
    for index, trace in done.traces.items():
        for event in trace.events:
            if event["event"] == "mode":
                cells[event["mode"], event["origin"]].append(_number(done, index))
    for (mode, origin), numbers in sorted(cells.items()):
        by = {"argument": "by an argument or an option", "%llm config": "by %llm mode"}
        yield Finding(
            "unpinned",
            f"{mode} is asked for {by.get(origin, f'in {clean(origin)}')} ({_cells(numbers)}):"
            " it calls the provider at every run; leave it out, or write REPLAY",
            numbers[0] if len(numbers) == 1 else None,
        )


def _shared(done: Execution) -> Iterator[Finding]:
    cells: dict[str, dict[int, str]] = defaultdict(dict)
    for index, trace in done.traces.items():
        for row in trace.rows:
            if row["key"]:
                cells[row["key"]][_number(done, index)] = row["prompt"] or ""
    for numbers in cells.values():
        if len(numbers) > 1:
            prompt = first_line(next(iter(numbers.values())))
            yield Finding(
                "shared",
                f"{_cells(list(numbers))} ask the very same: {prompt!r}; one answer for all",
            )


def _stale(done: Execution) -> Iterator[Finding]:
    if done.cassette is None or done.error:
        # What would have come after an early end is not stale.
        return
    lines = done.cassette.lines
    used = _used(done, lines)
    stale = sorted(place for place in lines if place not in used)
    for place in stale:
        fields = _fields(lines[place])
        cell = str(_inside(fields, "cell").get("line", ""))
        asked = _inside(fields, "request")
        model = f"{asked.get('provider')}/{asked.get('model')}"
        by = f", recorded by {first_line(cell)}" if cell else ""
        yield Finding(
            "stale",
            f"no cell uses the recording {place[0][:12]}, ordinal {place[1]}"
            f" ({clean(model)}{by}); run all cells, then %llm cassette prune --yes and save",
        )


def _used(done: Execution, lines: Mapping[Place, str]) -> set[Place]:
    rows = [row for trace in done.traces.values() for row in trace.rows]
    used = set()
    for row in rows:
        place = (row["key"], row["ordinal"])
        # Where that number was never recorded, the first answer stands in.
        used.add(place if place in lines else (row["key"], 0))
    for key, ordinal in lines:
        # What functions returned is used with the answer that called them.
        asked = _inside(_fields(lines[key, ordinal]), "request")
        if asked.get("api") == "tools":
            answer = _inside(asked, "parameters").get("answer")
            if (answer, ordinal) in used:
                used.add((key, ordinal))
    return used


def _fields(line: str) -> Mapping[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _inside(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def _secrets(done: Execution) -> Iterator[Finding]:
    secrets.refresh()
    number = 0
    for cell in done.saved.cells:
        number += cell.cell_type == "code"
        place = f"cell {number}" if cell.cell_type == "code" else "a text cell"
        for where, text in (
            (f"the source of {place}", cell.source),
            (f"an output of {place}", _told(cell.get("outputs"))),
            (f"the metadata of {place}", _told(cell.get("metadata"))),
            (f"an attachment of {place}", _told(cell.get("attachments"))),
        ):
            for what in leaks.found(text):
                yield Finding(
                    "secret",
                    f"{what} stands in {where}"
                    + ("" if cell.cell_type == "code" else f" ({first_line(cell.source)})"),
                    number if cell.cell_type == "code" else None,
                )
    for what in leaks.found(_told(_without_cassette(done.saved.metadata))):
        yield Finding("secret", f"{what} stands in the metadata of the notebook")
    if done.cassette is not None:
        for at, line in enumerate(_text(done.cassette).splitlines(), 1):
            for what in leaks.found(line):
                name = done.cassette.path.name
                place = (
                    f"line {at} of the cassette in {name}"
                    if _carried(done.cassette)
                    else f"{name}:{at}"
                )
                yield Finding("secret", f"{what} stands in {place}")


def _told(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if value else ""


def _without_cassette(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a notebook but the cassette in it, which is looked through by lines."""
    ours = metadata.get("llm_magic")
    if not isinstance(ours, dict):
        return dict(metadata)
    rest = {name: value for name, value in ours.items() if name != "cassette"}
    return {**metadata, "llm_magic": rest}


def _carried(cassette: Cassette) -> bool:
    return cassette.path.suffix == NOTEBOOK


def _text(cassette: Cassette) -> str:
    if _carried(cassette):
        return packed.content(cassette.path).decode()
    return cassette.path.read_text(encoding="utf-8", errors="replace")


def _number(done: Execution, index: int) -> int:
    return sum(cell.cell_type == "code" for cell in done.saved.cells[: index + 1])


def _cells(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"cell {numbers[0]}"
    return f"cells {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
