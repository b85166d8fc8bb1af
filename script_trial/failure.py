"""Why a script ended early, in one sentence and with its line."""

from __future__ import annotations

import os
import re
import sys
import traceback
from importlib.metadata import Distribution, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from script_trial.adapter import CannotMakeUp
from script_trial.own_folders import WritesElsewhere
from script_trial.refusals import refused


def failure_of(error: BaseException, script: str, said: str = "") -> dict[str, Any]:
    """``message``, and ``line`` of the script (None where it was in none). `said` is its last line on stderr."""
    return {"message": _message(error, said), "line": _line(error, script)}


def _message(error: BaseException, said: str) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, CannotMakeUp):
        return f"it needs {text}"
    if isinstance(error, WritesElsewhere):
        return text
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        return f"it needs the module {error.name}, which is not installed"
    if missing := _not_in_this_version(error, text):
        return missing
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        where = "there" if os.path.isabs(os.fsdecode(error.filename)) else "where it runs"
        return f"it needs {error.filename}, which is not {where} and cannot be made up"
    if isinstance(error, SystemExit):
        return _why_it_ended_itself(error, said)
    if isinstance(error, EOFError) and text.startswith("EOF when reading a line"):
        return "it asks for a line of standard input, and there is none in a trial"
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted"
    if type(error).__name__ == "OutOfMemoryError" or refused(text):
        return text  # which says it all
    return f"{type(error).__name__}: {text}"


def _not_in_this_version(error: BaseException, text: str) -> str | None:
    """Where a name is missing in a package that is installed, and the error says no more than that."""
    if isinstance(error, ImportError):
        missing = re.fullmatch(r"cannot import name '(?P<name>\w+)' from '(?P<module>[\w.]+)' \(.*\)", text)
    elif isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
        missing = re.fullmatch(r"module '?(?P<module>[\w.]+)'? has no attribute '?(?P<name>\w+)'?", text)
    else:
        missing = None
    if missing is None:
        return None
    name, module = missing["name"], missing["module"]
    package = _package_of(module)
    if package is None or _is_module(f"{module}.{name}"):  # it is there, and was only not imported
        return None
    installed = f"{package.name} {package.version}"
    return f"it needs {name} of {module}, and the installed {installed} has none: another version may"


def _package_of(module: str) -> Distribution | None:
    """The installed one that a module is of; None for one beside the script, of Python, and where several may be."""
    spec = getattr(sys.modules.get(module), "__spec__", None)
    packages = set(packages_distributions().get(module.partition(".")[0], ()))
    if spec is None or spec.origin is None or len(packages) != 1:
        return None
    package = distribution(packages.pop())
    return package if Path(spec.origin).is_relative_to(str(package.locate_file(""))) else None


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _why_it_ended_itself(error: SystemExit, said: str) -> str:
    if isinstance(error.code, str):
        return f"it ended itself: {' '.join(error.code.split())}"
    reason = error.__context__  # a script that catches its own error and says what is wrong
    because = " ".join(str(reason).split()) if isinstance(reason, Exception) else ""
    because = because or (said if "error" in said.lower() else "")  # as argparse and click say it
    return f"it ended itself with exit status {error.code}" + (f": {because}" if because else "")


def _line(error: BaseException, script: str) -> int | None:
    """Of the script's own code, the innermost line that was running; for a syntax error, where that is."""
    if isinstance(error, SyntaxError) and error.filename == script:
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == script]
    return lines[-1] if lines else None
