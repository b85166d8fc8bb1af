"""`python`, as launch scripts call it: a script or a module of the project is watched, anything else is left alone."""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

from script_trial.launches.settings import RECORD_VARIABLE, LaunchSettings, recorded

#: Options of the interpreter that take a value.
_WITH_VALUE = ("-W", "-X")

#: Modules that are launchers themselves.
_LAUNCHERS = {
    "accelerate.commands.launch": ("accelerate", "launch", "--"),
    "torch.distributed.run": ("torchrun", "--"),
    "torch.distributed.launch": ("torchrun", "--"),
}


def python(words: list[str]) -> int:
    """The exit status of `python WORDS`; does not come back where another program takes this one's place."""
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] not in ("-m", "-c", "-"):
        at += 2 if words[at] in _WITH_VALUE else 1
    first, rest = words[at : at + 1], words[at + 1 :]
    settings = LaunchSettings.from_environment()
    if first == ["-m"] and rest[:1] and rest[0] in _LAUNCHERS:
        launcher, *how = _LAUNCHERS[rest[0]]
        os.execvp(launcher, [launcher, *(word for word in how if word != "--"), *rest[1:]])
    is_module = first == ["-m"] and bool(rest) and _is_of_project(rest[0])
    if not is_module and not (first and first[0].endswith(".py")):
        os.execv(sys.executable, [sys.executable, *words])
    script, arguments = (rest[0], rest[1:]) if is_module else (settings.laid_out(first[0]), rest)

    def launch() -> None:
        from script_trial.launches.launched import run_process

        run_process(script, arguments, is_module=is_module)

    if RECORD_VARIABLE in os.environ and "RANK" in os.environ:  # a launcher was told to run this very program
        launch()
        return 0
    return recorded("python", words, settings.records, launch)


def _is_of_project(module: str) -> bool:
    """Whether a module lies below the current folder, rather than among what is installed."""
    return PathFinder.find_spec(module.partition(".")[0], [os.getcwd()]) is not None
