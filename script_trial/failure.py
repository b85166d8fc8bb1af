"""Why a script ended early, in one sentence and with its line."""

from __future__ import annotations

import traceback
from typing import Any

from script_trial.adapter import CannotMakeUp
from script_trial.refusals import refused


def failure_of(error: BaseException, script: str) -> dict[str, Any]:
    """``message``, and ``line`` of the script (None where it was in none)."""
    return {"message": _message(error), "line": _line(error, script)}


def _message(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, CannotMakeUp):
        return f"it needs {text}"
    if isinstance(error, ModuleNotFoundError):
        return f"it needs the module {error.name}, which is not installed"
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return f"it needs {error.filename}, which is not there and cannot be made up"
    if isinstance(error, SystemExit):
        reason = error.__context__  # a script that catches its own error and says what is wrong
        because = f": {' '.join(str(reason).split())}" if isinstance(reason, Exception) and str(reason) else ""
        return f"it ended itself with exit status {error.code}{because}"
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted"
    if type(error).__name__ == "OutOfMemoryError" or refused(text):
        return text  # which says it all
    return f"{type(error).__name__}: {text}"


def _line(error: BaseException, script: str) -> int | None:
    """Of the script's own code, the innermost line that was running; for a syntax error, where that is."""
    if isinstance(error, SyntaxError) and error.filename == script:
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == script]
    return lines[-1] if lines else None
