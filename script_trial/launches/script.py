"""A launch script, run as it is by bash, with its launchers replaced by what makes launches small and watches them.

FOLDER/bin/accelerate ...  the real launchers, on less work (python -m script_trial launch)
FOLDER/bin/modelscope ...  what would use the network: only takes note
FOLDER/work/...            the script and what it launches, laid out before; it runs here
FOLDER/records/...         what each launch and each of its processes did
"""

from __future__ import annotations

import gc
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from script_trial.launches import client
from script_trial.launches.requests import LaunchRequests
from script_trial.launches.settings import VARIABLE
from script_trial.own_folders import remove_left
from script_trial.processes import how_it_ended
from script_trial.results import Results
from script_trial.together import together

#: Commands that fetch something. Models and data sets are made up instead.
_FETCHING = "modelscope huggingface-cli hf wget curl aria2c git git-lfs pip pip3 apt apt-get conda uv".split()


_PYTHONS = ("python", "python3", f"python3.{sys.version_info.minor}")


@dataclass(frozen=True)
class LaunchScript:
    """A launch script to run.

    Attributes:
        script: where it lies below ``folder/work``, the folder it runs in; `arguments` are those of its command line.
        root: the folder that it is run from otherwise.
        folder: for all files of this run; `made_up` is for what is made up, shared between runs.
        started_in: the folder where input files are looked for before they are made up.
        processes: of each launch.
        noise_on_cpu: random numbers are drawn on the CPU whatever the script says.
        forks: run launchers and their processes as children of this one.
    """

    script: str
    arguments: tuple[str, ...]
    root: Path
    folder: Path
    started_in: Path
    made_up: Path
    processes: int
    forks: bool
    noise_on_cpu: bool = False

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def records(self) -> Path:
        return self.folder / "records"

    @property
    def notes(self) -> Path:
        return self.folder / "notes.txt"

    def run(self) -> dict[str, Any]:
        """What came of it.

        Returns:
            error (None, or ``message`` and ``line``), seconds, saved, curves (the numbers of each update, by launch),
            notes (what was done otherwise), and what `script_trial.together` puts together.
        """
        settings = self._write_settings()
        self._write_commands()
        gc.freeze()
        requests = LaunchRequests(self._socket, self.records, forks=self.forks)
        with open(self.folder / "output.txt", "ab") as output:
            script = subprocess.Popen(
                ["bash", self.script, *self.arguments],
                cwd=self.work,
                env=self._environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            status = requests.serve_until_ended(script)
        return self._outcome(status, requests.ended)

    @property
    def _socket(self) -> Path:
        return self.folder / "socket"

    def _write_settings(self) -> Path:
        told = {
            "processes": self.processes,
            "folder": str(self.work),
            "root": str(self.root),
            "started_in": str(self.started_in),
            "made_up": str(self.made_up),
            "noise_on_cpu": self.noise_on_cpu,
            "records": str(self.records),
            "notes": str(self.notes),
            "worker": str(self.folder / "bin" / "trial"),
            "socket": str(self._socket),
        }
        file = self.folder / "launch.json"
        file.write_text(json.dumps(told), encoding="utf-8")
        return file

    def _write_commands(self) -> None:
        commands = self.folder / "bin"
        commands.mkdir()
        asking = [sys.executable, "-I", "-S", client.__file__, str(self._socket)]
        launch = f"exec {shlex.join(asking)} launch"
        texts = {
            "trial": f'exec {shlex.join(asking)} "$@"',
            "accelerate": f'{launch} -- accelerate "$@"',
            "accelerate-launch": f'{launch} -- accelerate launch "$@"',
            "torchrun": f'{launch} -- torchrun "$@"',
            "deepspeed": f'{launch} -- deepspeed "$@"',
            **dict.fromkeys(_PYTHONS, f'{launch} -- python "$@"'),
        }
        notes = shlex.quote(str(self.notes))
        for name in _FETCHING:
            texts[name] = f'echo "left out, since it would fetch something: {name} $*" | tee -a {notes} >&2'
        for name, text in texts.items():
            path = commands / name
            path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
            path.chmod(0o755)

    def _environment(self, settings: Path) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": os.pathsep.join([str(self.folder / "bin"), os.environ.get("PATH", os.defpath)]),
            VARIABLE: str(settings),
            "HF_HOME": str(self.folder / "huggingface"),  # where accelerate looks for its user's own configuration
            "TORCH_EXTENSIONS_DIR": str(self.folder / "torch_extensions"),
            "WANDB_MODE": "offline",
        }

    def _outcome(self, status: int, ended: Mapping[int, int]) -> dict[str, Any]:
        folders = sorted(self.records.glob("launch-*"))
        launches = [_read(folder / "launch.json") for folder in folders]
        ranks = [[_read(file) for file in sorted(folder.glob("rank-*.json"))] for folder in folders]
        every = [one for launch in ranks for rank in launch for one in (rank, *rank["workers"])]
        noted = self.notes.read_text("utf-8").splitlines() if self.notes.exists() else []
        remove_left(path for rank in every for path in rank["left"])
        handed_over = [result for rank in every for result in rank["saved"]]
        results = Results(self.folder / "results")
        results.look_into(self.work)
        lost = [_lost(folder, ended) for folder in folders]
        output = (self.folder / "output.txt").read_text("utf-8", "replace")
        return {
            "error": _error(status, launches, ranks, lost, output),
            "seconds": sum(max((rank["seconds"] for rank in launch), default=0.0) for launch in ranks),
            "saved": [*handed_over, *results.kept],
            "printed": [rank["printed"] for rank in every],
            "curves": [next((rank["curve"] for rank in launch if rank["curve"]), []) for launch in ranks],
            "notes": list(
                dict.fromkeys([*noted, *results.unread, *(note for rank in every for note in rank["notes"])])
            ),
            **together(every),
        }


def _read(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))


def _lost(launch: Path, ended: Mapping[int, int]) -> list[str]:
    """How processes of a launch ended that did not come to the end of their script, and by themselves."""
    told = []
    for file in sorted(launch.glob("rank-*.begun")):
        process = int(file.read_text("utf-8"))
        if process in ended and not file.with_suffix(".json").exists():
            told.append(f"{file.stem.replace('-', ' ')}: {how_it_ended(ended[process])}")
    return told


def _error(
    status: int,
    launches: list[dict[str, Any]],
    ranks: list[list[dict[str, Any]]],
    lost: list[list[str]],
    output: str,
) -> dict[str, Any] | None:
    """Why the script did not come to its end, by the first launch that did not; None if it did."""
    for number, (launch, of_launch, of_lost) in enumerate(zip(launches, ranks, lost, strict=True), start=1):
        which = f"launch {number}: " if len(launches) > 1 else ""
        if of_lost:  # what the others say then is that one of them has gone
            return {"message": which + of_lost[0], "line": None}
        for rank in of_launch:
            if rank["error"]:
                return {**rank["error"], "message": which + rank["error"]["message"]}
        if launch["status"] != 0:
            return {"message": f"{which}{launch['launcher']} did not launch it: {_last_line(output)}", "line": None}
    if status:
        return {"message": f"bash ended with exit status {status}: {_last_line(output)}", "line": None}
    if not launches:
        return {"message": "it launched nothing by python, torchrun, accelerate or deepspeed", "line": None}
    return None


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"
