"""Signals that end the command: the first one does, and those that follow do not interrupt its cleaning up."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: Of a keyboard, of `timeout` and CI, of a terminal that is closed.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Within it the first of these signals raises KeyboardInterrupt, and the others are passed over.

    `timeout` signals a command twice, and people press Ctrl-C again: a second interrupt would leave half of what runs
    to go on to its end, with the command waiting for it. Once interrupted they are passed over to the end of the
    process. A signal that the caller ignores or handles stays so.
    """
    interrupted = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _ENDING}
    unhandled = [
        number for number, handler in before.items() if handler in (signal.SIG_DFL, signal.default_int_handler)
    ]
    for number in unhandled:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in unhandled:
            signal.signal(number, signal.SIG_IGN if interrupted else before[number])
