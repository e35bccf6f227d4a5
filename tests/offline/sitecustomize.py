"""No network but this machine, for a process and all it starts: put this folder on PYTHONPATH."""

import socket


def _refuse_to_leave_this_machine():
    def guard(name):
        original = getattr(socket.socket, name)

        def guarded(self, address, *rest):
            if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
                raise PermissionError(f"offline: a connection to {address} was refused")
            return original(self, address, *rest)

        setattr(socket.socket, name, guarded)

    for name in ("connect", "connect_ex"):
        guard(name)

    look_up = socket.getaddrinfo

    def getaddrinfo(host, *rest, **options):
        if host not in (None, "127.0.0.1", "::1", "localhost"):
            raise PermissionError(f"offline: {host} was not looked up")
        return look_up(host, *rest, **options)

    socket.getaddrinfo = getaddrinfo


# pytest imports this file too, as tests.offline.sitecustomize, in search of doctests.
if __name__ == "sitecustomize":
    _refuse_to_leave_this_machine()
