"""The hooks: what sends a request in httpx2 and httpx asks us first, as long as we are attached.

They are on the classes of the transports, so that clients which are there already have them too.
Every class that sends is hooked, also those of other libraries and those that come later (LiteLLM
has its own, on aiohttp); where one transport uses another, the outer one counts. The libraries'
transports that stay in this process, as tests use them, are left alone. A library that is not
imported yet is hooked when it is.
"""

from __future__ import annotations

import functools
import json
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from llm_magic.attachment import endpoints, keys
from llm_magic.attachment.library import Library
from llm_magic.exceptions import MissingKeyError
from llm_magic.providers.sdk import handled

__all__ = ["LIBRARIES", "Hooks"]

LIBRARIES = ("httpx2", "httpx")

# Base classes of transports, and the method with which they send.
_BASES = {"BaseTransport": "handle_request", "AsyncBaseTransport": "handle_async_request"}

# Of a library's own transports, those that leave the process; the others are for tests.
_NETWORK = ("HTTPTransport", "AsyncHTTPTransport")


class Hooks:
    """The hooks in this process. ``hosts`` are the servers that count beside those of the catalog.

    Attributes
    ----------
    libraries : list of str
        Names of the modules that are hooked.
    """

    def __init__(self) -> None:
        self.hosts: Sequence[str] = ()
        self.libraries: list[str] = []
        self._active = False
        self._lock = threading.RLock()
        self._originals: dict[tuple[type, str], tuple[Any, Any]] = {}
        self._bases: list[type] = []
        self._finder = _Finder(self._imported)

    def install(self) -> None:
        """Hook what is imported, and what will be."""
        with self._lock:
            self._active = True
            sys.meta_path.insert(0, self._finder)
            for name in LIBRARIES:
                if name in sys.modules:
                    self._imported(sys.modules[name])

    def remove(self) -> None:
        """Leave everything as it was.

        Where somebody else has hooked in after us, our hook stays below theirs and does nothing.
        """
        with self._lock:
            self._active = False
            sys.meta_path.remove(self._finder)
            for base in self._bases:
                del base.__init_subclass__
            for (owner, name), (original, hook) in self._originals.items():
                if owner.__dict__.get(name) is hook:
                    setattr(owner, name, original)
            self._bases, self._originals, self.libraries = [], {}, []

    def _imported(self, module: ModuleType) -> None:
        with self._lock:
            # httpx2 can stand in for httpx, and is then one module with two names.
            if not self._active or module.__name__ in self.libraries:
                return
            self.libraries.append(module.__name__)
            library = Library(module)
            for base_name, method in _BASES.items():
                base = getattr(module, base_name)
                self._hook_all(base, method, library)
                self._hook_later(base, method, library)

    def _hook_all(self, owner: type, method: str, library: Library) -> None:
        kind: type
        for kind in owner.__subclasses__():
            self._hook(kind, method, library)
            self._hook_all(kind, method, library)

    def _hook_later(self, base: Any, method: str, library: Library) -> None:
        def init_subclass(cls: Any, /, **options: Any) -> None:
            super(base, cls).__init_subclass__(**options)
            self._hook(cls, method, library)

        base.__init_subclass__ = classmethod(init_subclass)
        self._bases.append(base)

    def _hook(self, owner: type, method: str, library: Library) -> None:
        original = owner.__dict__.get(method)
        own = owner.__module__.partition(".")[0] == library.module.__name__
        if original is None or (own and owner.__name__ not in _NETWORK):
            return
        with self._lock:
            if (owner, method) in self._originals:
                return
            make = self._sync_hook if method == "handle_request" else self._async_hook
            hook = make(original, library)
            self._originals[owner, method] = original, hook
            setattr(owner, method, hook)

    def _sync_hook(self, original: Callable[..., Any], library: Library) -> Callable[..., Any]:
        @functools.wraps(original)
        def handle_request(transport: Any, request: Any) -> Any:
            if handled.get() or not self._active:
                return original(transport, request)
            found = self._question(library, request)
            if found is None and not keys.carries_placeholder(request.headers):
                return original(transport, request)
            from llm_magic.attachment import exchange  # half of us, for those who ask models

            if found is None:
                return exchange.refuse(library, request, _unsent(request))
            return exchange.send(library, *found, functools.partial(original, transport))

        return handle_request

    def _async_hook(self, original: Callable[..., Any], library: Library) -> Callable[..., Any]:
        @functools.wraps(original)
        async def handle_async_request(transport: Any, request: Any) -> Any:
            if handled.get() or not self._active:
                return await original(transport, request)
            found = self._question(library, request)
            if found is None and not keys.carries_placeholder(request.headers):
                return await original(transport, request)
            from llm_magic.attachment import exchange

            if found is None:
                return exchange.refuse(library, request, _unsent(request))
            return await exchange.asend(library, *found, functools.partial(original, transport))

        return handle_async_request

    def _question(self, library: Library, request: Any) -> tuple[Any, Any, Any] | None:
        """Endpoint, request and body of a question to a model; None for all others.

        The body is None where it cannot be read: it is made while it is sent, is no JSON object, or
        asks for an answer that we do not read.
        """
        if request.method != "POST":
            return None
        endpoint = endpoints.find(str(request.url), self.hosts)
        if endpoint is None:
            return None
        body = None if endpoint.unread else _parsed(library.body(request))
        if body is None and keys.carries_placeholder(request.headers):
            return None
        return endpoint, request, body


def _unsent(request: Any) -> MissingKeyError:
    return MissingKeyError(
        f"a {request.method} to {request.url.host} was not sent: it is nothing that is recorded,"
        " and instead of an API key it has the placeholder for REPLAY"
    )


def _parsed(body: bytes | None) -> dict[str, Any] | None:
    try:
        value = json.loads(body) if body else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class _Finder(MetaPathFinder):
    """Tells when one of the libraries has been imported; finds nothing itself."""

    def __init__(self, imported: Callable[[ModuleType], None]) -> None:
        self._imported = imported

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in LIBRARIES:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next(filter(None, specs), None)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self._imported(module)

            loader.exec_module = exec_module
        return spec
