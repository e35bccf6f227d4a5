"""Calls that other libraries make, recorded, replayed and metered as our own are.

``llm_magic.attach()`` watches what httpx2 and httpx send, on which the SDKs of OpenAI and
Anthropic, LangChain, LiteLLM, pydantic-ai and others stand. A request to a language model is looked
up, sent and stored by the mode in force; everything else passes untouched. What is replayed is the
body, byte for byte and decompressed, with its content type and no other header.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from llm_magic import config, routing
from llm_magic.attachment import endpoints, keys
from llm_magic.attachment.hooks import Hooks

__all__ = ["Attachment", "Status", "attach", "detach_all", "follow_mode", "status"]

_lock = threading.RLock()
_hooks = Hooks()


class Attachment:
    """What :func:`attach` began; ends with :meth:`detach` or the end of its ``with`` block."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self.hosts = tuple(hosts)

    def detach(self) -> None:
        """End it; a second time changes nothing. With the last one, all is as it was before."""
        with _lock:
            if self not in _attachments:
                return
            _attachments.remove(self)
            _hooks.hosts = _all_hosts()
            if not _attachments:
                _hooks.remove()
                keys.take_away()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.detach()


_attachments: list[Attachment] = []


def attach(*, hosts: Sequence[str] = ()) -> Attachment:
    """Record, replay and meter the calls that other libraries make in this process.

    Parameters
    ----------
    hosts : sequence of str
        Servers of your own, as ``llm.example.org``, ``127.0.0.1:8080`` or their address. Those of
        the catalog, and those that a variable such as ``OPENAI_BASE_URL`` names, are known.

    Returns
    -------
    Attachment
        Has ``detach()``, and ends with its ``with`` block.

    Raises
    ------
    ConfigError
        For a host that is none.

    Examples
    --------
    ::

        with llm_magic.attach():
            openai.OpenAI().chat.completions.create(...)     recorded; in REPLAY from the recording

        attached = llm_magic.attach(hosts=["llm.example.org"])
        ...
        attached.detach()
    """
    if isinstance(hosts, str):
        hosts = [hosts]
    made = Attachment([endpoints.check_host(host) for host in hosts])
    routing.learn_providers(config.default())
    with _lock:
        _attachments.append(made)
        _hooks.hosts = _all_hosts()
        if len(_attachments) == 1:
            _hooks.install()
        keys.follow_mode()
    return made


def detach_all() -> bool:
    """End every attachment; False when there was none."""
    with _lock:
        ended = list(_attachments)
        for attachment in ended:
            attachment.detach()
    return bool(ended)


def follow_mode() -> None:
    """Tell that the mode has changed: in REPLAY clients can be built without a key."""
    with _lock:
        if _attachments:
            keys.follow_mode()


@dataclass(frozen=True, slots=True)
class Status:
    """What is watched: how many attachments there are, which libraries, and whose servers."""

    attachments: int
    libraries: tuple[str, ...]
    hosts: tuple[str, ...]


def status() -> Status:
    """What is watched now."""
    with _lock:
        return Status(len(_attachments), tuple(_hooks.libraries), tuple(_hooks.hosts))


def _all_hosts() -> tuple[str, ...]:
    return tuple(dict.fromkeys(host for one in _attachments for host in one.hosts))
