"""One script, run as it is but small, with everything recorded that tells whether its port is right."""

from __future__ import annotations

import itertools
import os
import random
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from script_trial.known_adapters import libraries
from script_trial.offline import refuse_network
from script_trial.own_folders import OwnFolders
from script_trial.own_processes import notice_processes
from script_trial.printed import Printed
from script_trial.read_elsewhere import StandsFor, read_elsewhere
from script_trial.to_its_end import to_its_end
from script_trial.trial import Place, Trial
from script_trial.watched_run import watched_run


@dataclass(frozen=True)
class Script:
    """A script to run.

    Attributes:
        path: the file that is run; with `module` it is run as the module of this name.
        arguments: those of its command line.
        beside: the folder that its user has it in, where modules and files are found that are not laid out with it.
        stand_for: folders that its modules are imported from, each with the one of its user that it stands for; the
            first is that of the script itself, or of the outermost package of a module.
    """

    path: str
    beside: str
    arguments: tuple[str, ...] = ()
    module: str | None = None
    stand_for: tuple[StandsFor, ...] = ()

    @property
    def folder(self) -> str:
        return os.path.dirname(os.path.abspath(self.path))

    @property
    def import_path(self) -> list[str]:
        """The folders that its modules are found in, before all others: laid out, and where its user has them."""
        laid_out, users = ([str(pair[one]) for pair in self.stand_for] for one in (0, 1))
        own = [] if self.module else [self.folder, self.beside]
        return list(dict.fromkeys([*own[:1], *laid_out, *own[1:], *users]))

    def is_own_code(self, file: str) -> bool:
        return any(file.startswith(folder + os.sep) for folder in (self.folder, *self.import_path))


def _stands_for(script: Script, place: Place) -> list[StandsFor]:
    beside = Path(script.beside)
    return [(Path(script.folder), beside), *script.stand_for, (place.folder, place.started_in), (place.folder, beside)]


def _begin_noticing_modules() -> None:
    """What is imported from now on stands behind this module.

    To look at all modules that are there would copy thousands of pages that a forked process shares with its parent.
    """
    sys.modules[__name__] = sys.modules.pop(__name__)


def _imported_since() -> list[str]:
    return list(itertools.takewhile(lambda name: name != __name__, reversed(sys.modules)))


def _not_laid_out(script: Script) -> list[str]:
    """Modules of the project that were imported where their user has them, and so not in this way's form."""
    users = [script.beside, *(str(there) for _, there in script.stand_for)]
    found = set()
    for name in _imported_since():
        file = getattr(sys.modules.get(name), "__file__", None) or ""
        if name.partition(".")[0] in libraries() or not file.endswith(".py"):
            continue
        is_users = any(file.startswith(folder + os.sep) for folder in users)
        if is_users and "site-packages" not in file and not file.startswith(sys.prefix + os.sep):
            found.add(os.path.relpath(file, script.beside))
    return sorted(found)


def _begin_random_numbers() -> None:
    """Those on the host begin alike in every way: many a program seeds none, or builds its network before it does."""
    random.seed(0)
    torch.default_generator.manual_seed(0)
    if numpy := sys.modules.get("numpy"):  # torch has imported it where it is installed
        numpy.random.seed(0)


def run_script(script: Script, place: Place, at: Path | None = None) -> tuple[dict[str, Any], BaseException | None]:
    """Runs it in this process, which should end afterwards: savers, libraries and warnings stay changed.

    It runs in the folder `at`, or in that of `place`; what it wrote there is looked into if that is where it ran.

    Returns:
        all that was recorded (seconds, error, refused, on_host, saved, networks and more), and what ended it early.
    """
    os.chdir(at or place.folder)
    laid_out = Path(script.folder)  # the script may go elsewhere
    refuse_network()
    trial = Trial(place)
    sys.argv = [script.path, *script.arguments]
    sys.path[:0] = script.import_path
    trial.elsewhere = _stands_for(script, place)
    read_elsewhere(trial.elsewhere)
    users = (place.started_in, Path(script.beside))
    trial.own_folders = OwnFolders((place.made_up.parent, place.folder, place.results), users, trial.note)
    trial.own_folders.keep_to()
    notice_processes(trial.note, script.is_own_code)

    printed = Printed(script.path)
    _begin_noticing_modules()

    def run() -> None:
        trial.start()
        _begin_random_numbers()
        counted = trial.operations.counting(operators=torch.accelerator.is_available())
        with counted, printed.listening(), to_its_end(script.is_own_code):
            if script.module:
                runpy.run_module(script.module, run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(script.path, run_name="__main__")

    process = os.getpid()
    ending = watched_run(run, script.path)
    if os.getpid() != process:  # it was forked off by the script, and has come to its end: the trial is another's
        sys.stdout.flush()
        os._exit(int(ending.error is not None))
    if at is None:
        trial.results.look_into(place.folder)
    lines = printed.comparable(place.folder, laid_out, place.made_up)
    for module in _not_laid_out(script):
        trial.note(f"{module} was imported as it lies, not ported: no import names it before the script runs")
    for note in (*trial.results.unread, *printed.left_out):
        trial.note(note)
    return {**ending.as_json(), **trial.as_json(), "printed": lines}, ending.raised
