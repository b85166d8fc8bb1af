"""Asks the process that serves a launch script for a run of `python -m script_trial ARGUMENTS`, and ends as it does.

python -I -S client.py SOCKET ARGUMENTS

What a launcher or a script starts is this small program instead of one that imports torch. It hands over its standard
streams, folder and environment.
"""

import json
import os
import socket
import sys


def main() -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.connect(sys.argv[1])
        socket.send_fds(server, [b"{"], [0, 1, 2])
        asked = {"arguments": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}
        server.sendall(json.dumps(asked).encode()[1:] + b"\n")
        answer = server.recv(16)
    return int(answer) if answer else 1


if __name__ == "__main__":
    sys.exit(main())
