"""Progress bars: on a terminal, and nothing in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tqdm import tqdm

ProgressBar = Callable[[Iterable[Any]], Iterable[Any]]


def progress_bar(iterable: Iterable[Any] | None = None, **options: Any) -> tqdm:
    """tqdm on standard error where that is a terminal, silent otherwise."""
    return tqdm(iterable, disable=None, dynamic_ncols=True, **options)


def labelled(bar: ProgressBar, label: str) -> ProgressBar:
    """Gives tqdm's own bars a label; a caller's own function is called with the iterable alone."""
    if bar is progress_bar or (isinstance(bar, type) and issubclass(bar, tqdm)):
        return lambda iterable: bar(iterable, desc=label)
    return bar
