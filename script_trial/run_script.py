"""One script, run as it is but small, with everything recorded that tells whether its port is right."""

from __future__ import annotations

import os
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from script_trial.offline import refuse_network
from script_trial.own_folders import OwnFolders
from script_trial.printed import Printed
from script_trial.read_elsewhere import StandsFor, read_elsewhere
from script_trial.to_its_end import to_its_end
from script_trial.trial import Place, Trial
from script_trial.watched_run import watched_run


@dataclass(frozen=True)
class Script:
    """A script to run.

    Attributes:
        path: the file that is run; with `is_module` the name of a module.
        arguments: those of its command line.
        beside: the folder that its user has it in, where modules and files are found that are not laid out with it.
    """

    path: str
    beside: str
    arguments: tuple[str, ...] = ()
    is_module: bool = False

    @property
    def folder(self) -> str:
        """The folder whose modules it imports first."""
        return os.getcwd() if self.is_module else os.path.dirname(os.path.abspath(self.path))

    def is_own_code(self, file: str) -> bool:
        return any(file.startswith(folder + os.sep) for folder in (self.folder, self.beside))


def _stands_for(script: Script, place: Place) -> list[StandsFor]:
    beside = Path(script.beside)
    return [(Path(script.folder), beside), (place.folder, place.started_in), (place.folder, beside)]


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
    sys.path[:0] = dict.fromkeys([script.folder, script.beside])
    trial.elsewhere = _stands_for(script, place)
    read_elsewhere(trial.elsewhere)
    users = (place.started_in, Path(script.beside))
    trial.own_folders = OwnFolders((place.made_up.parent, place.folder, place.results), users, trial.note)
    trial.own_folders.keep_to()

    printed = Printed(script.path)

    def run() -> None:
        trial.start()
        counted = trial.operations.counting(operators=torch.accelerator.is_available())
        with counted, printed.listening(), to_its_end(script.is_own_code):
            if script.is_module:
                runpy.run_module(script.path, run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(script.path, run_name="__main__")

    ending = watched_run(run, script.path)
    if at is None:
        trial.results.look_into(place.folder)
    lines = printed.comparable(place.folder, laid_out, place.made_up)
    for note in (*trial.results.unread, *printed.left_out):
        trial.note(note)
    return {**ending.as_json(), **trial.as_json(), "printed": lines}, ending.raised
