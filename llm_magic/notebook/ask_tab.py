"""The panel's form: system prompt, parameters, mode, prompt, and the answer as it comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ipywidgets
from traitlets import Bool, Unicode

from llm_magic import attachment, config, routing
from llm_magic.exceptions import LLMMagicError
from llm_magic.notebook import changes
from llm_magic.notebook.answering import Answering
from llm_magic.notebook.changes import Following
from llm_magic.notebook.display import Answer, LiveAnswer, visible
from llm_magic.notebook.picker import ModelPicker
from llm_magic.notebook.snapshots import quiet, rendered
from llm_magic.providers import catalog
from llm_magic.types import Completion, Mode, Request

__all__ = ["PARAMETERS", "AskTab", "takes"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A generation parameter with a field in the form."""

    label: str
    width: int
    hint: str
    read: Callable[[str], Any]
    example: Any


def _number(text: str) -> float:
    return float(text)


PARAMETERS: Mapping[str, Parameter] = {
    "temperature": Parameter("Temperature", 84, "such as 0.2", _number, 0.5),
    "top_p": Parameter("Top p", 46, "up to 1", _number, 0.5),
    "max_tokens": Parameter("Max tokens", 80, "such as 500", int, 100),
    "reasoning_effort": Parameter("Effort", 46, "low … high", str, "low"),
}

_MODES = {
    Mode.REPLAY: "Only recorded answers; nothing is sent",
    Mode.FALLBACK: "Recorded answers; what is not recorded is asked and recorded",
    Mode.CAPTURE: "Ask, and record over what is there",
    Mode.DISABLED: "Ask; recordings are neither read nor written",
}


def takes(reference: str, name: str) -> bool:
    """Whether a model takes a parameter, as far as the table of providers knows.

    >>> takes("openai/gpt-4o", "temperature"), takes("openai/gpt-5-mini", "temperature")
    (True, False)
    """
    try:
        provider, model = routing.resolve(reference, config.default())
        asked = catalog.provider(provider)
        messages = [{"role": "user", "content": "?"}]
        plain = Request(provider=provider, model=model, messages=messages)
        parameters = {name: PARAMETERS[name].example}
        more = Request(provider=provider, model=model, messages=messages, parameters=parameters)
        return len(asked.notes(more)) == len(asked.notes(plain))
    except LLMMagicError:
        # The call itself will say what is wrong with the model's name.
        return True


class AskTab(ipywidgets.VBox):
    """Asks, and shows the answer while the kernel goes on.

    Attributes
    ----------
    running : bool
        Whether an answer is under way.
    told : str
        What went wrong, or what happened.
    """

    running = Bool(False, help="whether an answer is under way")
    told = Unicode("", help="what went wrong, or what happened")

    def __init__(self) -> None:
        super().__init__()
        self._answering: Answering | None = None
        self._following = Following()
        self.picker = ModelPicker()
        self.mode = ipywidgets.ToggleButtons(
            options=[str(mode) for mode in _MODES],
            tooltips=list(_MODES.values()),
            layout={"width": "auto"},
            style={"button_width": "100px"},
        )
        self._reason = ipywidgets.HTML()
        self.system = _area("System", "how the model should behave; may stay empty", 2)
        self.prompt = _area("Prompt", "what do you want to know?", 4)
        self.parameters = {
            name: ipywidgets.Text(
                description=one.label,
                placeholder=one.hint,
                description_allow_html=False,
                continuous_update=False,
                layout={"width": f"{one.width + 96}px"},
                style={"description_width": f"{one.width}px"},
            )
            for name, one in PARAMETERS.items()
        }
        self.complete = ipywidgets.Button(
            description="Complete", tooltip="Ask the model", icon="play", button_style="primary"
        )
        self.stop = ipywidgets.Button(
            description="Stop", tooltip="Hang up; nothing is stored", icon="stop", disabled=True
        )
        self.output = rendered()
        self._status = ipywidgets.HTML()
        self.children = [
            self.picker,
            ipywidgets.HBox([_label("Mode"), self.mode, self._reason], layout=_WRAP),
            self.system,
            self.prompt,
            ipywidgets.HBox(list(self.parameters.values()), layout=_WRAP),
            ipywidgets.HBox([self.complete, self.stop, self._status], layout=_WRAP),
            self.output,
        ]
        self.picker.observe(self._fit, "value")
        self.mode.observe(self._set_mode, "value")
        self.complete.on_click(self._complete)
        self.stop.on_click(self._stop)
        self.observe(self._show_state, ["running", "told"])
        self._fit()
        self.refresh()

    def refresh(self) -> None:
        """Show the mode as it is set now."""
        settings = config.default()
        self.mode.disabled = settings.imposed
        reason = "REPLAY is imposed from outside (LLM_MAGIC_MODE)" if settings.imposed else ""
        self._reason.value = quiet(reason) if reason else ""
        with self._following.follow():
            try:
                self.mode.value = str(settings.get("mode"))
            except LLMMagicError as error:
                self.told = visible(str(error))

    def _set_mode(self, change: Any) -> None:
        with self._following.heard() as by_hand:
            if not by_hand:
                return
            config.default().set("mode", change["new"])
        attachment.follow_mode()
        self.refresh()
        changes.tell()

    def _fit(self, change: Any = None) -> None:
        model = self.picker.value
        for name, field in self.parameters.items():
            fits = model is None or takes(model, name)
            field.disabled = not fits
            field.placeholder = PARAMETERS[name].hint if fits else "not taken"

    def _given(self) -> dict[str, Any]:
        given: dict[str, Any] = {"system": self.system.value.strip() or None}
        for name, field in self.parameters.items():
            text = field.value.strip()
            if text and not field.disabled:
                try:
                    given[name] = PARAMETERS[name].read(text)
                except ValueError:
                    hint = PARAMETERS[name].hint
                    raise ValueError(f"{field.description} {text!r}: {hint}") from None
        return given

    def _complete(self, button: Any) -> None:
        if not self.prompt.value.strip():
            self.told = "the prompt is empty; write one above"
            return
        try:
            options = self._given()
        except ValueError as error:
            self.told = visible(str(error))
            return
        self.ask(self.prompt.value, options)

    def ask(self, prompt: Any, options: Mapping[str, Any]) -> None:
        """Ask, unless an answer is under way; the answer comes on a thread of its own."""
        if self.running:
            self.told = "one answer is under way; stop it first"
            return
        self.running, self.told, self.output.value = True, "", ""
        live = LiveAnswer(handle=_Shown(self.output))
        self._answering = Answering(prompt, options, live, self._ended)

    def _ended(self, completion: Completion | None, told: str) -> None:
        self.told = told
        self.running = False
        changes.tell()

    def _stop(self, button: Any) -> None:
        if self._answering is not None:
            self._answering.stop()

    def join(self) -> None:
        """Wait for the end of the answer under way."""
        if self._answering is not None:
            self._answering.join()

    def _show_state(self, change: Any) -> None:
        self.complete.disabled, self.stop.disabled = self.running, not self.running
        status = "the answer is coming …" if self.running and not self.told else self.told
        self._status.value = quiet(status) if status else ""

    def close(self) -> None:
        """Hang up, and wait for the end of the thread."""
        if getattr(self, "_answering", None) is not None:
            self._stop(None)
            self.join()
        super().close()


class _Shown:
    """Where a live answer is shown: an HTML widget, which gets inert HTML."""

    def __init__(self, output: ipywidgets.HTML) -> None:
        self._output = output

    def update(self, answer: Answer) -> None:
        self._output.value = answer.html()


def _label(text: str) -> ipywidgets.Label:
    # Buttons that have a description of their own stand under it.
    layout = {"display": "flex", "justify_content": "flex-end", "width": "84px"}
    return ipywidgets.Label(text, layout={**layout, "margin": "2px 8px 2px 2px"})


def _area(label: str, hint: str, lines: int) -> ipywidgets.Textarea:
    return ipywidgets.Textarea(
        description=label,
        placeholder=hint,
        description_allow_html=False,
        rows=lines,
        layout={"width": "auto"},
        style={"description_width": "84px"},
    )


_WRAP = {"flex_flow": "row wrap", "align_items": "center"}
