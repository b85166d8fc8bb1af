"""A script in its process: what is set up before its first line, and what is told of it at its end."""

from __future__ import annotations

import itertools
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from script_trial.device_count import tell_devices
from script_trial.known_adapters import libraries
from script_trial.meeting_points import MeetingPoints
from script_trial.offline import refuse_network
from script_trial.own_folders import OwnFolders
from script_trial.own_processes import notice_processes
from script_trial.printed import Printed
from script_trial.read_elsewhere import StandsFor, read_elsewhere
from script_trial.to_its_end import to_its_end
from script_trial.trial import Place, Trial


@dataclass(frozen=True)
class Script:
    """A script to run.

    Attributes:
        path: the file that is run; with `module` it is run as the module of this name.
        arguments: those of its command line.
        beside: the folder that its user has it in, where modules and files are found that are not laid out with it.
        stand_for: folders that its modules are imported from, each with the one of its user that it stands for; the
            first is that of the script itself, or of the outermost package of a module.
        devices: how many accelerators its own code is told of; None for as many as there are.
    """

    path: str
    beside: str
    arguments: tuple[str, ...] = ()
    module: str | None = None
    stand_for: tuple[StandsFor, ...] = ()
    devices: int | None = None

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


class WatchedScript:
    """A script that is tried in this process, which should end afterwards: savers, libraries and warnings stay changed.

    Args:
        meet_at: the folder for where its processes meet, see `MeetingPoints`; None where a launcher has seen to that.
    """

    def __init__(self, script: Script, place: Place, meet_at: Path | None) -> None:
        self.script, self.place, self.meet_at = script, place, meet_at
        self.laid_out = Path(script.folder)  # the script may go elsewhere
        self._begun = time.time()
        refuse_network()
        self.trial = Trial(place)
        self.trial.stand_for = _stands_for(script, place)
        self.trial.elsewhere = read_elsewhere(self.trial.stand_for)
        users = (place.started_in, Path(script.beside))
        own = (place.made_up.parent, place.folder, place.results)
        self.own_folders = self.trial.own_folders = OwnFolders(own, users, self.trial.note)
        self.own_folders.keep_to()
        notice_processes(self.trial.note, script.is_own_code)
        self._printed = Printed(script.path)
        _begin_noticing_modules()

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Within it the script is run to its true end, and all is recorded."""
        self.trial.start()
        if self.meet_at is not None:
            MeetingPoints(self.meet_at).keep_apart()
        if self.script.devices is not None:
            tell_devices(self.script.devices, self.script.is_own_code)
        _begin_random_numbers()
        counted = self.trial.operations.counting(operators=torch.accelerator.is_available())
        with counted, self._printed.listening(), to_its_end(self.script.is_own_code):
            yield

    def told(self) -> dict[str, Any]:
        """All that was recorded (saved, networks, printed and more), but for how it ended."""
        note = self.trial.note
        for module in not_laid_out(self.script, self._begun):
            note(f"{module} was imported as it lies, not ported: no import names it before the script runs")
        for text in (*self.trial.results.unread, *self._printed.left_out):
            note(text)
        lines = self._printed.comparable(self.place.folder, self.laid_out, self.place.made_up)
        return {**self.trial.as_json(), "printed": lines}

    def begin_anew(self, place: Place) -> None:
        """In a process that was forked off: what has been recorded is another's, and results are kept at `place`."""
        self.place = place
        self.trial.begin_anew(place.results)
        self._printed.begin_anew()


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


def not_laid_out(script: Script, begun: float) -> list[str]:
    """Modules of the project that were imported where their user has them, and so not in this way's form.

    What has been written since the trial has begun is nobody's: torch makes itself a module in a temporary folder, and
    the script may lie around that.
    """
    users = [script.beside, *(str(there) for _, there in script.stand_for)]
    found = set()
    for name in _imported_since():
        file = getattr(sys.modules.get(name), "__file__", None) or ""
        if name.partition(".")[0] in libraries() or not file.endswith(".py"):
            continue
        is_users = any(file.startswith(folder + os.sep) for folder in users)
        if not is_users or "site-packages" in file or file.startswith(sys.prefix + os.sep):
            continue
        if os.path.exists(file) and os.path.getmtime(file) < begun:
            found.add(os.path.relpath(file, script.beside))
    return sorted(found)


def _begin_random_numbers() -> None:
    """They begin alike in every way, since many a program seeds none, or builds its network before it does.

    An emulated device draws from the host's generator too: in whichever order a program draws on both, the reference
    draws so.
    """
    emulator: Any = torch.ops.npu_emulator
    if hasattr(emulator, "draw_from_host"):
        emulator.draw_from_host()
    random.seed(0)
    torch.default_generator.manual_seed(0)
    if numpy := sys.modules.get("numpy"):  # torch has imported it where it is installed
        numpy.random.seed(0)
