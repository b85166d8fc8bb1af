"""Asks the process that serves a launch script for a run of `python -m script_trial ARGUMENTS`, and ends as it does.

python -I -S client.py SOCKET ARGUMENTS

What a launcher or a script starts is this small program instead of one that imports torch. It hands over its standard
streams, folder and environment. What `socket` and `json` import takes as long as all the rest of it: it does without.
"""

import _socket
import os
import sys


def main() -> int:
    environment = [name + b"=" + value for name, value in os.environb.items()]
    arguments = list(map(os.fsencode, sys.argv[2:]))
    asked = b"\0".join([os.getcwdb(), str(len(arguments)).encode(), *arguments, *environment])
    streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    server.connect(sys.argv[1])
    server.sendmsg([len(asked).to_bytes(8, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
    server.sendall(asked)
    answer = server.recv(16)
    return int(answer) if answer else 1


if __name__ == "__main__":
    sys.exit(main())
