"""Record a notebook on the offline provider, then replay it somewhere else: no key, no network.

This is what ``make demo`` runs. The first pass captures every answer and saves the cassette; the
second one runs in another folder that holds only the notebook and the cassette.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from llm_magic import history
from llm_magic.config import Settings

NOTEBOOK = Path(__file__).with_name("01-first-completion.ipynb")


def llm_magic(*words: str) -> None:
    """Run a command as a person would type it, and show it."""
    print(f"$ llm-magic {' '.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "llm_magic", *words], check=True)  # noqa: S603
    print(flush=True)


def demo(folder: Path) -> int:
    """Both passes; returns the exit code."""
    here, there = folder / "recorded-here", folder / "replayed-there"
    here.mkdir()
    there.mkdir()
    original = shutil.copy(NOTEBOOK, here)
    llm_magic("run", original, "--mode", "CAPTURE", "--show")
    llm_magic("cassette", "export", original)

    copy = shutil.copy(NOTEBOOK, there)
    shutil.copy(here / f"{NOTEBOOK.stem}.cassette.jsonl", there)
    llm_magic("run", copy, "--mode", "REPLAY")
    llm_magic("history", str(there))

    totals = history.at(Settings(there).workspace).totals()
    if totals.live or totals.replayed != totals.calls or not totals.calls or totals.spent:
        print("the second pass did not replay everything")
        return 1
    print(f"replayed 100 % of {totals.calls} calls, ${totals.spent:.2f}")
    return 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="llm-magic-demo-") as name:
        sys.exit(demo(Path(name)))
