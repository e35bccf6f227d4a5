"""The model picker: find a model by name, provider, price and context, and make it the default."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import ipywidgets
from traitlets import Unicode

from llm_magic import config, modelinfo
from llm_magic.exceptions import LLMMagicError
from llm_magic.formats import count, usd
from llm_magic.notebook import changes
from llm_magic.notebook.changes import Following
from llm_magic.notebook.display import visible
from llm_magic.notebook.lists import Column, Rows
from llm_magic.notebook.snapshots import Snapshot, quiet
from llm_magic.notebook.tables import Table

__all__ = ["Model", "ModelPicker", "known"]

_COLUMNS: list[Column] = [
    ("model", 44, False),
    ("in $/M", 8, True),
    ("out $/M", 8, True),
    ("context", 10, True),
    ("key", 10, False),
]
# A list box is no place for a thousand of them.
_MOST = 200
_ALL = "all providers"
_WITH_KEY = "those with a key"


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be asked.

    Attributes
    ----------
    reference : str
        ``provider/model``.
    context : int or None
        Tokens of input and output together.
    input_price, output_price : decimal.Decimal or None
        USD per million tokens; None when unknown.
    key : bool or None
        Whether a key is set; None where none is needed.
    """

    reference: str
    context: int | None
    input_price: Decimal | None
    output_price: Decimal | None
    key: bool | None

    @property
    def provider(self) -> str:
        """The word before the slash."""
        return self.reference.partition("/")[0]

    def cells(self) -> list[str]:
        """Under the columns of the list."""
        key = {True: "set", False: "not set", None: "not needed"}[self.key]
        prices = [_price(self.input_price), _price(self.output_price)]
        return [self.reference, *prices, count(self.context), key]


def _price(price: Decimal | None) -> str:
    return "?" if price is None else usd(price).removeprefix("$") if price else "free"


def known(*, local: bool = False) -> list[Model]:
    """The models of the price table, those with a key first; with ``local`` servers asked, too."""
    found = [
        Model(f"{provider}/{model}", context, _decimal(paid), _decimal(given), key)
        for provider, model, context, paid, given, _, key, _ in modelinfo.known(live=local)
    ]
    return sorted(found, key=lambda model: (model.key is False, model.reference))


def _decimal(price: float | None) -> Decimal | None:
    return None if price is None else Decimal(str(price))


class ModelPicker(Snapshot, ipywidgets.VBox):
    """Pick the model that ``%%complete`` asks when none is named.

    What is picked counts for this session, as ``%llm config model=`` does; what is set elsewhere
    shows up here, and several pickers show the same. Nothing is fetched, unless you press the
    button that looks for local models.

    Attributes
    ----------
    value : str or None
        The default model, as ``provider/model``; can be set.
    chosen : list of Model
        Those that search and filter leave; the list shows the first 200.

    Examples
    --------
    >>> picker = ModelPicker()
    >>> picker.value = "echo/echo"
    >>> config.default().get("model")
    'echo/echo'
    >>> picker.close()
    """

    value = Unicode(None, allow_none=True, help="the default model, as provider/model")

    def __init__(self, *, height: int = 7, **options: Any) -> None:
        self._following = Following()
        super().__init__(**options)
        self._models = known()
        self.chosen: list[Model] = []
        self.search = ipywidgets.Text(
            placeholder="part of a name, such as sonnet",
            description="Find",
            description_allow_html=False,
            layout={"flex": "1 1 220px", "width": "auto"},
            style={"description_width": "84px"},
        )
        self.provider = ipywidgets.Dropdown(
            options=[_WITH_KEY, _ALL],
            description="Of",
            description_allow_html=False,
            layout={"flex": "0 1 240px", "width": "auto"},
            style={"description_width": "24px"},
        )
        self.local = ipywidgets.Button(
            description="Look for local models",
            tooltip="Ask servers on this machine, such as Ollama, which models they offer",
            layout={"width": "auto"},
        )
        self.rows = Rows("models", _COLUMNS, height=height)
        self._told = ipywidgets.HTML()
        self._offer_providers()
        if not any(model.key for model in self._models):
            self.provider.value = _ALL
        self.search.observe(self._filter, "value")
        self.provider.observe(self._filter, "value")
        self.rows.observe(self._picked, "value")
        self.local.on_click(self._look_for_local)
        above = ipywidgets.HBox([self.search, self.provider, self.local], layout=_WRAP)
        self.children = [above, self.rows, self._told]
        self.observe(self._set, "value")
        self._filter()
        self._ends.append(changes.watch(self.refresh))

    def refresh(self) -> None:
        """Show the default model as it is set now."""
        with self._following.follow():
            try:
                self.value = config.default().get("model")
                origin = config.default().origin("model")
            except LLMMagicError as error:
                self._told.value = quiet(visible(str(error)))
                return
            self.rows.pick(self.value)
            self._told.value = quiet(self._line(origin))

    @property
    def told(self) -> str:
        """What stands under the list, as HTML."""
        return str(self._told.value)

    def _line(self, origin: str) -> str:
        told = "no default model: pick one"
        if self.value is not None:
            told = f"default model: {visible(self.value)} (from {origin})"
        if len(self.chosen) > _MOST:
            told += f" · {_MOST} of {count(len(self.chosen))} models; write a part of the name"
        return told

    def _set(self, change: Any) -> None:
        with self._following.heard() as by_hand:
            if not by_hand:
                return
            if change["new"] is None:
                config.default().session.pop("model", None)
            else:
                config.default().set("model", change["new"])
        self.refresh()
        changes.tell()

    def _picked(self, change: Any) -> None:
        with self._following.heard() as by_hand:
            if by_hand and change["new"] is not None:
                self.value = change["new"]

    def _offer_providers(self) -> None:
        chosen = self.provider.value
        names = sorted({model.provider for model in self._models})
        self.provider.options = [_WITH_KEY, _ALL, *names]
        self.provider.value = chosen if chosen in self.provider.options else _WITH_KEY

    def _filter(self, change: Any = None) -> None:
        wanted = self.search.value.strip().lower()
        found = [
            model
            for model in self._models
            if wanted in model.reference.lower() and self._is_offered(model)
        ]
        with self._following.follow():
            self.chosen = found
            self.rows.show([(model.reference, model.cells()) for model in found[:_MOST]])
            self.rows.pick(self.value)
        self.refresh()

    def _is_offered(self, model: Model) -> bool:
        chosen = self.provider.value
        return (
            chosen == _ALL
            or chosen == model.provider
            or (chosen == _WITH_KEY and model.key is not False)
        )

    def _look_for_local(self, button: Any) -> None:
        self._models = known(local=True)
        self._offer_providers()
        self._filter()

    def snapshot_text(self) -> str:
        """The default model, and the models in the list."""
        self.refresh()
        return repr(self._table())

    def snapshot_html(self) -> str:
        """As a table."""
        self.refresh()
        return self._table()._repr_html_()

    def _table(self) -> Table:
        shown = set(self.rows.identities[:_IN_SNAPSHOT])
        cells = [model.cells() for model in self._models if model.reference in shown]
        rows = [[visible(cell) for cell in row] for row in cells]
        caption = self._line(config.default().origin("model"))
        return Table([column[0] for column in _COLUMNS], rows, caption)


_IN_SNAPSHOT = 10
_WRAP = {"flex_flow": "row wrap"}
