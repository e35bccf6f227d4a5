"""The panel's cassette: what is recorded, what was missed, save, and does it run again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import ipywidgets

from llm_magic import client, config, history, inventory
from llm_magic.exceptions import LLMMagicError
from llm_magic.formats import count, counted
from llm_magic.inventory import Entry
from llm_magic.notebook import verification
from llm_magic.notebook.cassette_commands import EntryView
from llm_magic.notebook.display import visible
from llm_magic.notebook.lists import Column, Rows
from llm_magic.notebook.past_calls import PastCall
from llm_magic.notebook.snapshots import quiet, rendered
from llm_magic.notebook.tables import Table

__all__ = ["CassetteTab"]

_COLUMNS: list[Column] = [
    ("key", 12, False),
    ("nr", 3, True),
    ("model", 20, False),
    ("day", 10, False),
    ("cell", 20, False),
    ("prompt", 44, False),
    ("", 11, False),
]
_MOST = 300
_MISSES = 20


class CassetteTab(ipywidgets.VBox):
    """The recordings of the notebook; read when somebody looks, by :meth:`refresh`."""

    def __init__(self) -> None:
        super().__init__()
        self._verifying: threading.Thread | None = None
        self._hang_up: Callable[[], None] | None = None
        self._closing = False
        self._entries: dict[tuple[str, int, str], Entry] = {}
        self._state = ipywidgets.HTML()
        self.save = ipywidgets.Button(
            description="Save", tooltip="Write what is not saved to the cassette", icon="save"
        )
        self.verify = ipywidgets.Button(
            description="Verify",
            tooltip="Does the notebook, as it was saved, run again from its recordings alone",
            icon="check",
        )
        self._told = ipywidgets.HTML()
        self.rows = Rows("recordings", _COLUMNS, height=8)
        self.misses = rendered()
        self.shown = rendered()
        self.children = [
            self._state,
            ipywidgets.HBox([self.save, self.verify, self._told], layout=_WRAP),
            self.rows,
            self.misses,
            self.shown,
        ]
        self.rows.observe(self._open, "value")
        self.save.on_click(self._save)
        self.verify.on_click(self._verify)

    @property
    def told(self) -> str:
        """What the last button did, as HTML."""
        return str(self._told.value)

    @property
    def state(self) -> str:
        """How many recordings there are, as HTML."""
        return str(self._state.value)

    def refresh(self) -> None:
        """Show the recordings as they are now."""
        try:
            self._show()
        except LLMMagicError as error:
            self._tell(str(error))

    def _show(self) -> None:
        shelf, notebook = client.default().shelf, config.default().workspace.notebook
        found = inventory.entries(shelf, notebook)
        self._entries = {(one.key, one.ordinal, one.notebook): one for one in found}
        kept = list(self._entries.items())[:_MOST]
        cells = inventory.list_rows([entry for _, entry in kept])
        self.rows.show(list(zip((identity for identity, _ in kept), cells, strict=True)))
        unsaved = sum(not entry.saved for entry in found)
        name = f"{notebook}.cassette.jsonl" if notebook else "the notebook is not known"
        told = f"{counted(len(found), 'recording')}, {count(unsaved)} not saved · {name}"
        self._state.value = quiet(visible(told))
        self.misses.value = _misses()

    def _open(self, change: Any) -> None:
        entry = self._entries.get(change["new"])
        self.shown.value = "" if entry is None else EntryView([entry])._repr_html_()

    def _save(self, button: Any) -> None:
        notebook = config.default().workspace.notebook
        if notebook is None:
            self._tell("the notebook's name is not known; %llm cassette save NOTEBOOK.ipynb")
            return
        try:
            self._tell(str(client.default().shelf.save(notebook)))
        except LLMMagicError as error:
            self._tell(str(error))
        self.refresh()

    def _verify(self, button: Any) -> None:
        workspace = config.default().workspace
        if workspace.notebook is None:
            self._tell("the notebook's name is not known; %llm cassette verify NOTEBOOK.ipynb")
            return
        path = workspace.notebook_path(workspace.notebook)
        if not path.is_file():
            self._tell(f"there is no file {path.name}; save the notebook")
            return
        self.verify.disabled = True
        self._tell(f"{path.name} runs again, as it was saved …")
        self._verifying = threading.Thread(
            target=self._run_verify, args=(path,), daemon=True, name="llm-magic verify"
        )
        self._verifying.start()

    def _run_verify(self, path: Any) -> None:
        try:
            report = verification.verify(path, started=self._verify_started)
        except (LLMMagicError, OSError) as error:
            self._tell(str(error))
        else:
            self._tell("")
            self.shown.value = report._repr_html_()
        self.verify.disabled = False

    def _verify_started(self, hang_up: Callable[[], None]) -> None:
        self._hang_up = hang_up
        if self._closing:
            hang_up()

    def join(self) -> None:
        """Wait for the end of the verification."""
        if self._verifying is not None:
            self._verifying.join()

    def _tell(self, text: str) -> None:
        self._told.value = quiet(visible(text)) if text else ""

    def close(self) -> None:
        """End what runs."""
        self._closing = True
        if self._hang_up is not None:
            self._hang_up()
        self.join()
        super().close()


def _misses() -> str:
    """Calls of this session that had no recording, as a table."""
    rows = history.default().rows(_MISSES, session=history.session(), status="miss")
    if not rows:
        return quiet("no call of this session was missing a recording")
    calls = [PastCall(row) for row in rows]
    table = Table(
        ["missing", "cell", "prompt"],
        [
            [
                visible(str(one or ""))
                for one in (call.reference, call.row["cell_line"], call.prompt)
            ]
            for call in calls
        ],
    )
    return table._repr_html_()


_WRAP = {"flex_flow": "row wrap", "align_items": "center"}
