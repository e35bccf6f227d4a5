"""Settings as traits, for ``%config CompleteMagics`` and IPython's configuration files.

A trait holds nothing: it reads and writes the session's settings, so ``%config``, ``%llm config``
and the panel never tell different things.
"""

from __future__ import annotations

from typing import Any

from traitlets import TraitType

from llm_magic import config

__all__ = ["NAMES", "Setting"]

# The settings that are traits, in the order in which ``%config CompleteMagics`` shows them.
NAMES = ("model", "mode", "format", "system", "temperature", "max_tokens", "confirm_above")


class Setting(TraitType[Any, Any]):
    """A trait that is the setting of the same name.

    None takes away what was set for this session.
    """

    info_text = "a setting of llm-magic"

    def __init__(self, name: str) -> None:
        option = config.OPTIONS[name]
        super().__init__(option.default, allow_none=True, help=option.help)
        self._setting = name
        self.tag(config=True)

    def get(self, obj: Any, cls: Any = None) -> Any:
        """The value that counts now."""
        value = config.default().get(self._setting)
        return value if isinstance(value, (int, float, type(None))) else str(value)

    def set(self, obj: Any, value: Any) -> None:
        """Set it for this session."""
        settings = config.default()
        if value is None:
            settings.session.pop(self._setting, None)
        else:
            settings.set(self._setting, value)
        if self._setting == "mode":
            from llm_magic import attachment  # hooks libraries, which few want

            attachment.follow_mode()
