"""Progress bars: on a terminal, nothing in a pipe, and one for all processes of a shared generation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tqdm import tqdm

from diffsynth.core.parallel.main_rank import is_main_rank

ProgressBar = Callable[[Iterable[Any]], Iterable[Any]]


def progress_bar(iterable: Iterable[Any] | None = None, **options: Any) -> tqdm:
    """tqdm on standard error where that is a terminal and this is the main rank, silent otherwise."""
    return tqdm(iterable, disable=None if is_main_rank() else True, dynamic_ncols=True, **options)


def labelled(bar: ProgressBar, label: str) -> ProgressBar:
    """Gives tqdm's own bars a label; a caller's own function is called with the iterable alone, on the main rank."""
    if not callable(bar):
        raise TypeError(f"progress_bar_cmd={bar!r}: expected what wraps a loop, such as tqdm, or iter for no bar")
    if not is_main_rank():
        return iter
    if bar is progress_bar or (isinstance(bar, type) and issubclass(bar, tqdm)):
        return lambda iterable: bar(iterable, desc=label)
    return bar
