"""Running every script every way: the ways beside each other, the scripts one after the other."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from porter.verify.outcome import Outcome, Row
from porter.verify.scripts import Script
from porter.verify.trial_process import CannotStart, Ended, TrialProcess
from porter.verify.verdict import problems
from porter.verify.ways import Way

#: Characters of what a failed script printed that the report keeps.
_OUTPUT_KEPT = 4000


@dataclass(frozen=True)
class Request:
    """What is asked for besides the scripts.

    `exact` is false where results may differ by rounding; then the noise is drawn on the CPU, to be the same
    everywhere. `picture` is the folder for pictures of the frames.
    """

    ways: list[Way]
    exact: bool
    timeout: float
    picture: str | None = None


class Verification:
    """The processes of a run, and the temporary folder it works in."""

    def __init__(self, request: Request, folder: Path) -> None:
        self.request = request
        self._folder = folder
        weights = folder / "weights"
        weights.mkdir()
        self._processes = [TrialProcess(way, folder, weights) for way in request.ways]
        self._pool = ThreadPoolExecutor(len(self._processes))

    def start(self) -> dict[str, dict[str, Any]]:
        """What each way runs on. Raises CannotStart, also where a way would not run on the device it is for."""
        for started in as_completed([self._pool.submit(process.start) for process in self._processes]):
            started.result()
        for process in self._processes:
            _check_machine(process.way, process.machine)
        return {process.way.name: process.machine for process in self._processes}

    def run(self, script: Script) -> Row:
        """Runs one script. Raises CannotStart."""
        row = Row(script, self.request.ways)
        if script.problem is not None:
            return replace(row, problems=[script.problem])
        folder = Path(tempfile.mkdtemp(prefix="script-", dir=self._folder))
        ran = self._pool.map(lambda process: self._run_one_way(process, script, folder), self._processes)
        outcomes = {way.name: outcome for way, outcome in zip(self.request.ways, ran, strict=True)}
        differences = self._differences(outcomes, folder)
        found = problems(self.request.ways, outcomes, differences, self.request.exact)
        if self.request.picture is not None:
            self._draw(script, outcomes, folder)
        shutil.rmtree(folder, ignore_errors=True)
        return replace(row, outcomes=outcomes, differences=differences, problems=found)

    def stop(self) -> None:
        for process in self._processes:
            process.stop()
        self._pool.shutdown()

    def _run_one_way(self, process: TrialProcess, script: Script, parent: Path) -> Outcome:
        folder = parent / process.way.name
        work = folder / "work"
        work.mkdir(parents=True)
        path = folder / os.path.basename(script.path)
        path.write_bytes(script.cuda if process.way.form == "cuda" else script.ported)
        job = {
            "do": "run",
            "path": str(path),
            "beside": os.path.dirname(os.path.abspath(script.path)),
            "folder": str(work),
            "started_in": os.getcwd(),
            "noise_on_cpu": not self.request.exact,
            "result": str(folder / "result.json"),
        }
        try:
            outcome = _outcome(process.ask(job, self.request.timeout))
        except Ended as error:
            outcome = Outcome(error=str(error), seconds=0.0)
        return outcome if outcome.ran else replace(outcome, output=_end_of(folder / "output.txt"))

    def _differences(self, outcomes: dict[str, Outcome], folder: Path) -> dict[str, dict[str, float] | None]:
        """Between the first way and each other one that saved something else."""
        first, *others = outcomes.values()
        found: dict[str, dict[str, float] | None] = {}
        for way, outcome in zip(self.request.ways[1:], others, strict=True):
            if first.saved and outcome.saved and not first.same_results(outcome):
                job = {"do": "compare", "first": first.arrays, "second": outcome.arrays}
                found[way.name] = self._processes[0].ask(
                    {**job, "result": str(folder / f"{way.name}-difference.json")}, self.request.timeout
                )
        return found

    def _draw(self, script: Script, outcomes: dict[str, Outcome], folder: Path) -> None:
        assert self.request.picture is not None
        runs = [{"label": way.title, "array": next(iter(outcomes[way.name].arrays), None)} for way in self.request.ways]
        picture = os.path.abspath(script.place_in(self.request.picture, ".png"))
        job = {"do": "picture", "runs": runs, "picture": picture, "result": str(folder / "picture.json")}
        self._processes[0].ask(job, self.request.timeout)


@contextmanager
def verification(request: Request) -> Iterator[Verification]:
    """A run of the command; at its end no process and no temporary file of it is left."""
    with tempfile.TemporaryDirectory(prefix="diffsynth-verify-", ignore_cleanup_errors=True) as folder:
        running = Verification(request, Path(folder))
        try:
            yield running
        finally:
            running.stop()


def verify(request: Request, scripts: list[Script], tell: Callable[[int, Script], None]) -> tuple[list[Row], Any]:
    """Every script's row, and what each way ran on. `tell` hears of each script before it runs. Raises CannotStart."""
    with verification(request) as running:
        machines = running.start()
        rows = []
        for number, script in enumerate(scripts, start=1):
            tell(number, script)
            rows.append(running.run(script))
        return rows, machines


def _check_machine(way: Way, machine: dict[str, Any]) -> None:
    if way.device == "npu" and machine["npu"] is None:
        raise CannotStart(
            "--device npu needs an Ascend NPU with torch_npu, and there is none here; "
            "leave --device out for the emulated NPU"
        )
    if machine["cuda_is"] != way.cuda_is:
        raise CannotStart(
            f'{way.title}: "cuda" means {machine["cuda_is"]} here, and {way.cuda_is} was to be tried; '
            f"hide the other accelerators of this machine"
        )


def _outcome(result: dict[str, Any]) -> Outcome:
    error = result.pop("error") or {}
    return Outcome(error=error.get("message"), line=error.get("line"), **result)


def _end_of(file: Path) -> str:
    return file.read_text("utf-8", "replace")[-_OUTPUT_KEPT:] if file.exists() else ""
