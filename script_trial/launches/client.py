"""Asks the process that serves a launch script for a run of `python -m script_trial ARGUMENTS`, and ends as it does.

python -I -S client.py SOCKET ARGUMENTS

What a script starts is this small program instead of one that imports torch. It hands over its standard streams, folder
and environment. What `socket` and `json` import takes as long as all the rest of it: it does without.

At the socket it is told ``begun PROCESS``, and at the end ``ended STATUS``, negative for a signal.
"""

import _socket
import os
import sys


def asked(
    where: bytes,
    arguments: list[bytes],
    environment: "dict[bytes, bytes] | os._Environ[bytes]",
    streams: tuple[int, int, int],
    leads_session: bool = False,
) -> _socket.socket:
    """The socket at which it is told what comes of it: of bytes the arguments and the environment.

    In a session of its own where `leads_session` says so.
    """
    variables = [name + b"=" + value for name, value in environment.items()]
    counted = [b"%d" % leads_session, b"%d" % len(arguments)]
    request = b"\0".join([os.getcwdb(), *counted, *arguments, *variables])
    numbers = b"".join(number.to_bytes(4, sys.byteorder) for number in streams)
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    server.connect(where)
    server.sendmsg([len(request).to_bytes(8, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)])
    server.sendall(request)
    return server


def main() -> int:
    where, *arguments = map(os.fsencode, sys.argv[1:])
    server = asked(where, arguments, os.environb, (0, 1, 2))
    said = b""
    while more := server.recv(64):
        said += more
    status = int(said.partition(b"ended ")[2] or b"1")
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
