"""Marks for the vendor's profiler. They go to torch's profiler as ranges, which is the one there is here."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import torch

_numbers = itertools.count(1)
_open: dict[int, Any] = {}
_pushed: list[int] = []


class mstx:
    """``torch.npu.mstx``: ``mark``, ``range_start`` and ``range_end``, ``mstx_range``."""

    @staticmethod
    def mark(message: str, stream: Any = None, domain: str = "default") -> None:
        """A point in time."""
        with torch.profiler.record_function(message):
            pass

    @staticmethod
    def range_start(message: str, stream: Any = None, domain: str = "default") -> int:
        """Begins a range; returns its number."""
        number = next(_numbers)
        _open[number] = torch.profiler.record_function(message)
        _open[number].__enter__()
        return number

    @staticmethod
    def range_end(range_id: int, domain: str = "default") -> None:
        """Ends a range; nothing for a number that is not open."""
        started = _open.pop(range_id, None)
        if started is not None:
            started.__exit__(None, None, None)

    @staticmethod
    def range_push(message: str, stream: Any = None, domain: str = "default") -> int:
        """Begins a range inside the one that was pushed last; returns how deep it is, from 0."""
        _pushed.append(mstx.range_start(message, stream, domain))
        return len(_pushed) - 1

    @staticmethod
    def range_pop(domain: str = "default") -> int:
        """Ends the range that was pushed last; returns how deep it was, -1 if there is none."""
        if not _pushed:
            return -1
        mstx.range_end(_pushed.pop(), domain)
        return len(_pushed)

    @staticmethod
    def mstx_range(message: str, stream: Any = None, domain: str = "default") -> Callable[[Any], Any]:
        """Decorator that makes each call of a function a range; also a context manager."""
        return annotate(message, stream, domain)


class annotate(contextlib.ContextDecorator):
    """A range around a block of code or around each call of a function."""

    def __init__(self, message: str = "", stream: Any = None, domain: str = "default") -> None:
        self._arguments = (message, stream, domain)
        self._ranges: list[int] = []

    def __enter__(self) -> annotate:
        self._ranges.append(mstx.range_start(*self._arguments))
        return self

    def __exit__(self, *_: object) -> None:
        mstx.range_end(self._ranges.pop())
