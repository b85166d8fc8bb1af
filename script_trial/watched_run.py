"""A script, run to its end in this process, with what its warnings and its error say of operators."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from script_trial.failure import failure_of
from script_trial.processes import how_it_ended
from script_trial.refusals import left_to_the_host, refused

#: Characters of what is printed that a reason is looked for in.
_REMEMBERED = 2_000


@dataclass(frozen=True)
class Ending:
    """How a script ended.

    Attributes:
        seconds: from its first line to its last.
        error: None, or see `failure_of`; `raised` is what it raised then.
        refused, on_host: operators that the device refuses, and those it leaves to the host's processor.
        threads: why its threads ended early, see `failure_of`, each once.
        refusals: the same with ``line`` of the script (None where it is in none), ``message`` and whether it ``runs``
            on the host instead, each once.
    """

    seconds: float
    error: dict[str, Any] | None
    raised: BaseException | None
    refused: list[str]
    on_host: list[str]
    refusals: list[dict[str, Any]]
    threads: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("seconds", "error", "refused", "on_host", "refusals", "threads")}


def watched_run(run: Callable[[], object], script: str, tell: Callable[[Ending], object] | None = None) -> Ending:
    """Runs the script of this path by `run`. Whatever ends it early is printed and kept, and not raised.

    `tell` is called instead where the script ends the process at once, by `os._exit`.
    """
    notes = _Notes(script)
    started = time.perf_counter()

    def ending(error: dict[str, Any] | None, failed: BaseException | None = None) -> Ending:
        seconds = time.perf_counter() - started
        on_host = with_counts({one["operator"] for one in notes.refusals if one["runs"]})
        never = sorted({one["operator"] for one in notes.refusals if not one["runs"]})
        return Ending(seconds, error, failed, never, on_host, notes.refusals, notes.threads)

    def leaves(status: int) -> None:
        if tell is not None:
            tell(ending({"message": how_it_ended(status), "line": None} if status else None))

    error, failed = None, None
    with warnings.catch_warnings(), _threads_heard(notes), _last_line() as said, _exit_heard(leaves):
        warnings.simplefilter("default")
        warnings.showwarning = notes.take  # type: ignore[assignment]
        try:
            run()
        except BaseException as raised:
            if not (isinstance(raised, SystemExit) and raised.code in (None, 0)):
                error, failed = failure_of(raised, script, said()), raised
                traceback.print_exc()
                notes.hear(str(raised), error["line"])
    return ending(error, failed)


@contextlib.contextmanager
def _exit_heard(leaves: Callable[[int], None]) -> Iterator[None]:
    """Within it `leaves` is called, with the exit status, before this process ends by `os._exit`."""
    exit_now, process = os._exit, os.getpid()

    def left(status: int) -> None:
        try:
            if os.getpid() == process:  # and no fork, which multiprocessing ends so
                leaves(status)
        finally:
            exit_now(status)

    os._exit = left  # type: ignore[assignment]
    try:
        yield
    finally:
        os._exit = exit_now


@contextlib.contextmanager
def _threads_heard(notes: _Notes) -> Iterator[None]:
    """Within it errors that end a thread are kept, besides being printed as ever."""
    before = threading.excepthook

    def heard(ended: threading.ExceptHookArgs) -> None:
        if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
            notes.hear_thread(ended.exc_value)
        before(ended)

    threading.excepthook = heard
    try:
        yield
    finally:
        threading.excepthook = before


class _Remembering:
    """A stream whose last written words are kept."""

    def __init__(self, stream: Any) -> None:
        self._stream, self.last = stream, ""

    def write(self, text: str) -> Any:
        self.last = (self.last + text)[-_REMEMBERED:]
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _last_line() -> Iterator[Callable[[], str]]:
    """The last line that was printed to standard error, where programs say why they end."""
    before, remembering = sys.stderr, _Remembering(sys.stderr)
    sys.stderr = remembering
    try:
        yield lambda: "".join(remembering.last.strip().splitlines()[-1:]).strip()
    finally:
        sys.stderr = before


def with_counts(operators: set[str]) -> list[str]:
    """Operators that ran elsewhere, with calls and bytes where the device counts them, as the emulated one does."""
    emulator: Any = sys.modules.get("npu_emulator")
    counted = emulator.slow_operators() if emulator is not None else []
    told = {
        f"{one.name} on {one.type}" if one.type else f"aten::{one.name}": f" ({one.calls:,} calls, {one.bytes:,} bytes)"
        for one in counted
    }
    return sorted(operator + told.get(operator, "") for operator in operators)


class _Notes:
    """What warnings and errors say about operators."""

    def __init__(self, script: str) -> None:
        self.refusals: list[dict[str, Any]] = []
        self.threads: list[dict[str, Any]] = []
        self._script = script

    def hear(self, message: str, line: int | None) -> None:
        for operator, runs in ((refused(message), False), (left_to_the_host(message), True)):
            told = {"operator": operator, "runs": runs, "line": line, "message": message}
            if operator and told not in self.refusals:
                self.refusals.append(told)

    def hear_thread(self, error: BaseException) -> None:
        told = failure_of(error, self._script)
        self.hear(str(error), told["line"])
        if told not in self.threads:
            self.threads.append(told)

    def take(self, message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
        self.hear(str(message), lineno if filename == self._script else None)
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))
