"""What is going on while scripts run: a line on a terminal that changes, or in a file a line for what happens."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TextIO

from porter.verify.outcome import Row
from porter.verify.scripts import Script
from porter.verify.ways import Way

#: Seconds between two looks on a terminal, and between two lines of what still runs where nobody watches.
_LOOK, _LINE = 0.5, 30.0

_WIDTH = 110


class Progress:
    """Tells what runs: scripts, ways and seconds.

    Args:
        total: how many scripts there are.
        stream: where it is told; None for nowhere.
    """

    def __init__(self, total: int, stream: TextIO | None) -> None:
        self._total, self._stream = total, stream
        self._watched = stream is not None and stream.isatty()
        self._begun: dict[str, int] = {}
        self._now: dict[tuple[str, str], float] = {}
        self._done = 0
        self._lock = threading.Lock()
        self._over = threading.Event()

    @contextlib.contextmanager
    def shown(self) -> Iterator[Progress]:
        """Within it, what still runs is told now and then."""
        if self._stream is None:
            yield self
            return
        thread = threading.Thread(target=self._look, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()
            self._clear()

    def begun(self, script: Script) -> None:
        with self._lock:
            self._begun[script.shown] = len(self._begun) + 1
            if not self._watched:
                self._say(f"[{self._begun[script.shown]}/{self._total}] {script.shown}")

    @contextlib.contextmanager
    def running(self, script: Script, way: Way) -> Iterator[None]:
        with self._lock:
            self._now[script.shown, way.name] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._now.pop((script.shown, way.name), None)

    def ended(self, row: Row) -> None:
        with self._lock:
            self._done += 1
            if row.failed:
                self._say(f"FAILED {row.script.shown}: {row.problems[0]}")

    def _look(self) -> None:
        while not self._over.wait(_LOOK if self._watched else _LINE):
            with self._lock:
                running = [
                    f"{script.rpartition('/')[2]} {way} {time.monotonic() - since:.0f} s"
                    for (script, way), since in self._now.items()
                ]
            told = f"{self._done}/{self._total} done" + (f"; running: {', '.join(running)}" if running else "")
            if self._watched:
                self._write(f"\r\x1b[K{told[:_WIDTH]}")
            else:
                self._say(told)

    def _say(self, line: str) -> None:
        self._clear()
        self._write(line + "\n")

    def _clear(self) -> None:
        if self._watched:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(text)
            self._stream.flush()
