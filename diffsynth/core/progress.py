"""Progress: a bar on a terminal, a line a minute where nobody watches; one for all processes of a shared generation."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from typing import Any

from tqdm import tqdm

from diffsynth.core.parallel.main_rank import is_main_rank

ProgressBar = Callable[[Iterable[Any]], Iterable[Any]]


class ALineNowAndThen(tqdm):  # type: ignore[type-arg]  # it can be subscripted in its stubs alone
    """tqdm for a pipe or a file: nothing for short work, and for long work a plain line every minute and at its end."""

    seconds_between_lines = 60.0
    _written: float = 0

    def __init__(self, iterable: Iterable[Any] | None = None, **options: Any) -> None:
        every = self.seconds_between_lines
        super().__init__(iterable, **{**options, "mininterval": every, "delay": every, "miniters": 1})

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """A line of its own, instead of one that is overwritten."""
        if self.n > self._written and self.format_dict["elapsed"] >= self.seconds_between_lines:
            self._written = self.n
            sys.stderr.write(self.format_meter(**{**self.format_dict, "bar_format": _LINE, "ncols": None}) + "\n")
            sys.stderr.flush()

    def close(self) -> None:
        """Writes the last line, if there were any before."""
        if not self.disable:
            self.display()
            self.delay = sys.maxsize  # nothing of tqdm's own then, which are characters to overwrite
        super().close()


_LINE = "{desc}: {n_fmt} of {total_fmt} {unit}, {elapsed} gone, {remaining} to go"


def progress_bar(iterable: Iterable[Any] | None = None, **options: Any) -> tqdm[Any]:
    """tqdm on standard error: a bar on a terminal, else a line now and then; silent but for the main rank."""
    kind: type[tqdm[Any]] = tqdm if sys.stderr.isatty() else ALineNowAndThen
    return kind(iterable, **{"disable": not is_main_rank(), "dynamic_ncols": True, **options})


def labelled(bar: ProgressBar, label: str) -> ProgressBar:
    """Gives tqdm's own bars a label; a caller's own function is called with the iterable alone, on the main rank."""
    if not callable(bar):
        raise TypeError(f"progress_bar_cmd={bar!r}: expected what wraps a loop, such as tqdm, or iter for no bar")
    if not is_main_rank():
        return iter
    is_tqdm = bar is progress_bar or (isinstance(bar, type) and issubclass(bar, tqdm))
    return functools.partial(bar, desc=label) if is_tqdm else bar  # type: ignore[call-arg]
