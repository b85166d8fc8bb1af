"""No network in a trial: whatever tries to connect is told so, by name."""

from __future__ import annotations

import sys


def refuse_network() -> None:
    """From now on, for the rest of the process, connecting to another machine raises ConnectionRefusedError."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in (None, "", "localhost", "::1") and not str(host).startswith("127."):
        raise ConnectionRefusedError(f"a trial uses no network, and the script asked for {host}")
