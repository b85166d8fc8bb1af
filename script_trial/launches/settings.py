"""What a launch script's trial is told, through a file that one variable of the environment names."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Names the file, for the launcher and for each process that it starts.
VARIABLE = "SCRIPT_TRIAL_LAUNCH"

#: A program with its local rank as its first argument.
_WITH_LOCAL_RANK = 'exec "$0" "--local_rank=$LOCAL_RANK" "$@"'

#: Names the folder of one launch, for its processes.
RECORD_VARIABLE = "SCRIPT_TRIAL_RECORD"


@dataclass(frozen=True)
class LaunchSettings:
    """How a launch script is tried.

    Attributes:
        processes: of each launch, whatever the script says.
        folder: where the script runs; what it would write elsewhere goes below. It stands for `root`, the folder that
            the script is run from otherwise.
        started_in: the folder where input files are looked for before they are made up.
        made_up: the folder for what is made up, shared between the ways of running it.
        noise_on_cpu: random numbers are drawn on the CPU whatever the script says.
        notes: a file for what is done otherwise than the script says, a line each.
        records: each launch writes what came of it into a folder of its own in here.
        worker: a program that runs `python -m script_trial` by asking for it at `socket`.
    """

    processes: int
    folder: Path
    root: Path
    started_in: Path
    made_up: Path
    records: Path
    notes: Path
    worker: str
    socket: str
    noise_on_cpu: bool = False

    @classmethod
    def from_environment(cls) -> LaunchSettings:
        """Raises KeyError outside of a trial."""
        told = json.loads(Path(os.environ[VARIABLE]).read_text("utf-8"))
        paths: dict[str, Any] = {
            name: Path(told[name]) for name in ("folder", "root", "started_in", "made_up", "records", "notes")
        }
        return cls(**{**told, **paths})

    @property
    def agent_logs(self) -> Path:
        """Where torch's agent keeps files of its own: it would leave them in the machine's temporary folder."""
        return self.records.parent / "agent_logs"

    def in_place_of(
        self, script: str, arguments: list[str], *, is_module: bool, is_program: bool, local_rank: bool = False
    ) -> dict[str, Any]:
        """What a launcher, accelerate's or torch's, has to be asked for so that its processes are watched.

        A program that is no Python script (`--no_python`) is run itself: if it calls `python`, that is watched.
        """
        if is_program and not script.endswith(".py"):
            if local_rank:
                script, arguments = "sh", ["-c", _WITH_LOCAL_RANK, script, *arguments]
            return {"module": False, "no_python": True, "training_script": script, "training_script_args": arguments}
        how = [*(["--module"] if is_module else []), *(["--local-rank"] if local_rank else [])]
        watched = ["launched", *how, "--", script if is_module else self.laid_out(script), *arguments]
        return {
            "module": False,
            "no_python": True,
            "training_script": self.worker,
            "training_script_args": watched,
        }

    def laid_out(self, path: str) -> str:
        """A file that is named by its place on this machine: where it lies in `folder`, if it was laid out there."""
        if not os.path.isabs(path):
            return path
        relative = os.path.relpath(path, self.root)
        outside = relative.startswith(os.pardir)
        placed = self.folder / (os.path.join("outside", path.lstrip(os.sep)) if outside else relative)
        return str(placed) if placed.exists() else path


def recorded(launcher: str, words: list[str], records: Path, launch: Callable[[], object]) -> int:
    """Runs a launch with a new folder for what comes of it, and returns its exit status."""
    record = next_record(records)
    told = {"launcher": launcher, "words": words, "status": None}
    (record / "launch.json").write_text(json.dumps(told), encoding="utf-8")
    os.environ[RECORD_VARIABLE] = str(record)
    try:
        launch()
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception:
        traceback.print_exc()
        status = 1
    (record / "launch.json").write_text(json.dumps({**told, "status": status}), encoding="utf-8")
    return status


def next_record(records: Path) -> Path:
    """A new folder for a launch; they are numbered in the order of the launches."""
    number = 0
    while True:
        folder = records / f"launch-{number:03d}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder
