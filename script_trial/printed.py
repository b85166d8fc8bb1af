"""What a script prints, made comparable: lines without times, places and names of devices, and the numbers in them."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

#: At most so many lines are kept, the first and the last of them, and so many characters of each.
_MOST_LINES = 20_000
_LONGEST = 2_000

_CLOCK = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?)?Z?|\b\d{1,3}:\d\d(?::\d\d)?(?:\.\d+)?\b")
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{4,}\b")
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PATH = re.compile(r"(?:(?<=[\s'\"(=:])|^)/(?:[\w.+@-]+/)+[\w.+@-]*")
_NUMBER = r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"

#: An amount of time, of memory, or of either a second.
_AMOUNT = re.compile(
    rf"{_NUMBER}\s?(?:(?:[mµun]s|s|sec|secs|seconds?|minutes?|mins?|hours?|hrs?)\b|[kMGT]i?B\b|bytes\b|"
    rf"(?:it|img|imgs|images|samples|tokens|tok|steps|batches|frames|fps|tflops|flops)\s?/\s?s\w*|s\s?/\s?\w+|fps\b|"
    rf"TFLOP\S*|GFLOP\S*)",
    re.IGNORECASE,
)

#: A number that is called one of these.
_MEASURED = re.compile(
    rf"\b((?:\w*_)?(?:time|elapsed|duration|took|takes|eta|speed|throughput|fps|latency|mem|memory|allocated|reserved|"
    rf"runtime|per_second|seconds|ms|msec|pid|port|host|date|timestamp)(?:_\w*|/\w+)?\W{{0,4}}\s*){_NUMBER}",
    re.IGNORECASE,
)
#: What a tensor says of itself anywhere but on the CPU, maybe in the next line.
_DEVICE_OF_TENSOR = re.compile(r",\s*device='[a-z]+(?::\d+)?'")
_DEVICE = re.compile(r"\b(?:cuda|npu|cpu|privateuseone|gpu|hccl|nccl|gloo)(?::\d+)?\b", re.IGNORECASE)
_FIGURE = re.compile(
    r"(?<![\w.])[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|nan|inf)(?!\w)",
    re.IGNORECASE,
)


def comparable(text: str, folders: tuple[str, ...] = ()) -> list[str]:
    """The lines of an output as they would be on another device, in another folder and at another time.

    Left out are colours, what a carriage return has written over, and empty lines; times of day and dates, amounts of
    time and memory and speeds, addresses, paths and the names of devices are replaced.
    """
    lines = []
    for line in _few(_DEVICE_OF_TENSOR.sub("", _ESCAPE.sub("", text)).split("\n")):
        shown = line
        for folder in folders:
            shown = shown.replace(folder, "<folder>")
        shown = _PATH.sub("<path>", shown)
        shown = _ADDRESS.sub("<address>", _CLOCK.sub("<time>", shown))
        shown = _MEASURED.sub(r"\1<amount>", _AMOUNT.sub("<amount>", shown))
        shown = _DEVICE.sub("<device>", shown).strip()
        if shown:
            lines.append(shown)
    return lines


def _few(lines: list[str]) -> list[str]:
    """Those that are looked at, without what was written over, and no longer than is worth it."""
    filled = [shown for line in lines if (shown := line.rstrip().rpartition("\r")[2])]
    if len(filled) > _MOST_LINES:
        filled = filled[: _MOST_LINES // 2] + filled[-_MOST_LINES // 2 :]
    return [line[:_LONGEST] for line in filled]


def without_figures(line: str) -> str:
    return _FIGURE.sub("#", line)


def figures(lines: list[str]) -> list[dict[str, Any]]:
    """The lines that hold figures, such as losses: ``line``, what it says besides them, and the ``figures`` as text.

    A figure has a decimal point or an exponent, or is NaN or infinity: whole numbers count and name things.
    """
    found = []
    for line in lines:
        numbers = _FIGURE.findall(line)
        if numbers:
            found.append({"line": line, "says": without_figures(line), "figures": numbers})
    return found


def in_any_order(lines: list[str]) -> list[str]:
    """Lines that came in an order of no meaning, in one that does not hang on the last digits of their figures."""

    def place(line: str) -> tuple[str, list[float], str]:
        numbers = map(float, _FIGURE.findall(line))
        return without_figures(line), [math.inf if math.isnan(number) else number for number in numbers], line

    return sorted(lines, key=place)


class Printed:
    """Keeps what is printed to standard output, and what the script itself logs, in one order."""

    def __init__(self, script: str) -> None:
        self._script = script
        self._parts: list[str] = []

    def begin_anew(self) -> None:
        """In a process that was forked off: what has been printed so far is another's."""
        self._parts.clear()

    @property
    def left_out(self) -> list[str]:
        """What of it is not compared, in words."""
        lines = "".join(self._parts).split("\n")
        told = []
        if len(lines) > _MOST_LINES and sum(map(bool, map(str.strip, lines))) > _MOST_LINES:
            told.append(f"it printed {len(lines):,} lines, of which the first and the last {_MOST_LINES // 2:,} count")
        if any(len(line.rpartition("\r")[2]) > _LONGEST for line in lines):
            told.append(f"of lines that it printed the first {_LONGEST:,} characters count")
        return told

    def comparable(self, *folders: Path) -> list[str]:
        """The lines, see `comparable`."""
        return comparable("".join(self._parts), tuple(str(folder) for folder in folders))

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        output, handle = sys.stdout, logging.Logger.handle

        @functools.wraps(handle)
        def heard(logger: logging.Logger, record: logging.LogRecord) -> None:
            if record.pathname == self._script and record.levelno >= logging.INFO:
                with contextlib.suppress(Exception):  # a message with wrong arguments, of which logging itself tells
                    self._parts.append(record.getMessage() + "\n")
            handle(logger, record)

        sys.stdout = _Both(output, self._parts)
        logging.Logger.handle = heard  # type: ignore[assignment,method-assign]
        try:
            yield
        finally:
            logging.Logger.handle = handle  # type: ignore[method-assign]
            sys.stdout = output


class _Both:
    """A stream that keeps what is written to another one."""

    def __init__(self, stream: TextIO, parts: list[str]) -> None:
        self._stream, self._parts = stream, parts

    def write(self, text: str) -> int:
        self._parts.append(text)
        return self._stream.write(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
