"""Processes that a script starts by itself, and not by multiprocessing: nobody watches them, which is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

UNSEEN = (
    "it starts processes by {}: what they compute, print and save is not seen (let a launcher start them, such as "
    "torchrun, or have it run in one process)"
)


def notice_processes(note: Callable[[str], None], is_its_own: Callable[[str], bool]) -> None:
    """From now on, for the rest of the process, `note` is told of them. `is_its_own` tells the script's files."""

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen" and _is_python(arguments[0], arguments[1]) and is_its_own(_caller()):
            note(UNSEEN.format("subprocess"))
        elif event == "os.fork" and is_its_own(sys._getframe(1).f_code.co_filename):
            note(UNSEEN.format("os.fork"))

    sys.addaudithook(hear)


def _caller() -> str:
    """The file from which `subprocess` was called: libraries ask Python for this and that, too."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename == subprocess.__file__:
        frame = frame.f_back
    return frame.f_code.co_filename


def _is_python(executable: Any, words: Sequence[Any]) -> bool:
    first = executable or (words if isinstance(words, (str, bytes, os.PathLike)) else words[0] if words else "")
    return os.path.basename(os.fsdecode(first)).startswith("python")
