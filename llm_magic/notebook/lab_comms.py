"""The two comms between this kernel and JupyterLab.

What Lab asks is heard on a thread of its own while a cell runs, but only if nothing was ever sent
on the comm that it comes on. So all answers go out on the other one, which the kernel opens.
Loading this module costs nothing: most of what answers is loaded by the first question.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from llm_magic.notebook.lab import CONTROL, STATE, VERSION, Calls, Reply, State

if TYPE_CHECKING:
    from llm_magic.notebook.lab_bridge import Bridge

__all__ = ["Comms"]


class Comms:
    """The comms of this process's kernel, from now on until they are closed."""

    def __init__(self) -> None:
        from comm import get_comm_manager

        self._lock = threading.Lock()
        self._bridge: Bridge | None = None
        self._controls: dict[str, Any] = {}
        self._state: Any = None
        self._manager = get_comm_manager()
        self._manager.register_target(CONTROL, self._control_opened)
        # nbclient, nbconvert and papermill warn of a comm that they do not know.
        if os.environ.get("JPY_SESSION_NAME"):
            self._announce()

    def _announce(self, comm_id: str | None = None) -> None:
        from comm import create_comm

        self._state = create_comm(
            target_name=STATE, comm_id=comm_id, primary=comm_id is None, data={"version": VERSION}
        )
        self._state.on_close(self._state_closed)

    def _state_closed(self, message: Any) -> None:
        """A page without our part closes what it does not know; the others go on with it."""
        closed = message["content"]["comm_id"]
        if self._state is not None and self._state.comm_id == closed:
            self._announce(closed)
            self._manager.register_comm(self._state)

    def _control_opened(self, comm: Any, message: Any) -> None:
        self._controls[comm.comm_id] = comm
        comm.on_close(self._control_closed)
        # Not even that it is closed: all pages would hear it, and those that have not opened it
        # print an error.
        comm.publish_msg = lambda *_, **__: None
        # Not by comm.on_msg(), which fires IPython's post_execute: matplotlib would then show and
        # close the figures that the running cell still draws.
        comm.handle_msg = self._hear
        # The first question may come with the opening: ipykernel warns, on the user's stderr, of
        # one that comes before it has handled the opening.
        self._hear(message)

    def _control_closed(self, message: Any) -> None:
        self._controls.pop(message["content"]["comm_id"], None)

    def _hear(self, message: Any) -> None:
        with self._lock:
            if self._bridge is None:
                from llm_magic.notebook.lab_bridge import Bridge  # nobody waits for it before

                self._bridge = Bridge(self._send)
        self._bridge.hear(message["content"]["data"])

    def _send(self, message: State | Calls | Reply) -> None:
        if self._state is not None:
            self._state.send(message)

    def close(self) -> None:
        """End what is under way and close the comms; pages notice it at ours."""
        self._manager.unregister_target(CONTROL, self._control_opened)
        with self._lock:
            bridge = self._bridge
        if bridge is not None:
            bridge.close()
        # A copy: a page that leaves closes its own on another thread.
        for comm in list(self._controls.values()):
            comm.close()
        self._controls.clear()
        if self._state is not None:
            self._state.close()
