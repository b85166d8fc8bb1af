"""Notices that another process has ended, whatever the backend of the collectives makes of it.

Every rank holds a connection to rank 0, which the system closes with the process at its other end. A rank that is done
says so first; one that fails says why. Rank 0 passes on what it hears. Whoever then does not end by itself, because it
waits within a collective that will never be over, is ended from here.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import socket
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from diffsynth.core.parallel import RankError

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

GRACE = 5.0  # seconds that a rank has to end by itself
_CONNECTING = 120.0  # seconds from the first rank to the last
_DONE = "done"
_PLACE = "diffsynth/lost_ranks"


class LostRanks:
    """Watches the other ranks from the moment it is made.

    Args:
        rank, size: of this process and of all.
        store: where rank 0 says how to reach it.
        address: the host of rank 0.

    Raises:
        RankError: the ranks cannot reach rank 0.
    """

    def __init__(self, rank: int, size: int, store: Store, address: str) -> None:
        self.rank, self.size = rank, size
        self._heard = threading.Event()
        self._loss = ""
        self._lock = threading.Lock()
        self._peers = self._accepted(store) if rank == 0 else {0: self._connected(store, address)}
        for number, peer in self._peers.items():
            _keep_alive(peer)
            threading.Thread(target=self._listen, args=(number, peer), daemon=True).start()
        atexit.register(self._leave)

    def loss(self, wait: float = 0.0) -> str:
        """Which rank ended and why, waiting so many seconds for the news; empty where none has."""
        self._heard.wait(wait)
        return self._loss

    def _accepted(self, store: Store) -> dict[int, socket.socket]:
        token = secrets.token_hex(16)
        peers: dict[int, socket.socket] = {}
        with socket.create_server(("", 0), backlog=self.size) as server:
            server.settimeout(_CONNECTING)
            store.set(_PLACE, f"{server.getsockname()[1]} {token}")
            while len(peers) < self.size - 1:
                try:
                    peer, _ = server.accept()
                except TimeoutError:
                    absent = sorted(set(range(1, self.size)) - set(peers))
                    raise RankError(f"ranks {absent} of {self.size} did not connect to rank 0") from None
                peer.settimeout(10)
                with contextlib.suppress(OSError, ValueError):  # a stranger's connection
                    said, number = peer.recv(64).decode().split()
                    if secrets.compare_digest(said, token):
                        peers[int(number)] = peer
        return peers

    def _connected(self, store: Store, address: str) -> socket.socket:
        store.wait([_PLACE], timedelta(seconds=_CONNECTING))
        port, token = store.get(_PLACE).decode().split()
        try:
            peer = socket.create_connection((address, int(port)), timeout=_CONNECTING)
            peer.sendall(f"{token} {self.rank}".encode())
        except OSError as error:
            raise RankError(f"rank {self.rank} cannot reach rank 0 at {address}:{port}: {error}") from error
        return peer

    def _listen(self, number: int, peer: socket.socket) -> None:
        """What the peer says last; a message ends with the connection."""
        peer.settimeout(None)
        said = b""
        with contextlib.suppress(OSError):
            while part := peer.recv(4096):
                said += part
        last = said.decode(errors="replace")
        if last != _DONE:
            self._note(last or f"rank {number} of {self.size} was killed, or its machine was lost")

    def _note(self, loss: str) -> None:
        with self._lock:
            if self._loss:
                return
            self._loss = loss
            if self.rank == 0:  # before anything here may end for it: the others would take this rank for the lost one
                self._say(loss)
        self._heard.set()
        timer = threading.Timer(GRACE, self._end)
        timer.daemon = True
        timer.start()

    def _say(self, message: str) -> None:
        for peer in self._peers.values():
            with contextlib.suppress(OSError):
                peer.sendall(message.encode())
                peer.shutdown(socket.SHUT_WR)

    def _end(self) -> None:
        sys.stderr.write(f"diffsynth: {self._loss}: rank {self.rank} cannot go on without it, and ends\n")
        _exit_at_once()

    def _leave(self) -> None:
        """At the end of the program, before the collectives' own destructors, which may wait for the lost rank."""
        with self._lock:  # what is being said is said first
            lost = bool(self._loss)
        if lost:
            _exit_at_once()
        error = getattr(sys, "last_value", None)
        if error is None:
            self._say(_DONE)
        else:
            line = next(iter(str(error).strip().splitlines()), "")
            self._say(f"rank {self.rank} of {self.size} ended with {type(error).__name__}: {line}")


def _exit_at_once() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(1)


def _keep_alive(peer: socket.socket) -> None:
    """A machine that is switched off closes nothing; within a quarter of a minute the system finds out."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)
