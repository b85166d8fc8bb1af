"""Warnings that point at the line of the user's own program, however many layers of ours lie between."""

from __future__ import annotations

import sys
import warnings

_NOT_THE_USERS = ("diffsynth", "torch", "contextlib", "functools")


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the innermost line outside this library and torch."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in _NOT_THE_USERS:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
