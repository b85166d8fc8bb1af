"""Marks for the vendor's profiler: accepted and dropped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


def mark(message: str, stream: object = None, domain: str = "default") -> None:
    """A point in time."""


def range_start(message: str, stream: object = None, domain: str = "default") -> int:
    """Begins a range; returns its number."""
    return 0


def range_end(range_id: int, domain: str = "default") -> None:
    """Ends a range."""


@contextlib.contextmanager
def mstx_range(message: str, stream: object = None, domain: str = "default") -> Iterator[None]:
    """A range around a block of code."""
    yield
