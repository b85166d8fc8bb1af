"""Running every script every way: the ways beside each other, and as many scripts as keep the processors busy."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from porter.verify.common_start import CommonStart
from porter.verify.launch_tree import Forms, launch_tree
from porter.verify.outcome import Outcome, Row
from porter.verify.progress import Progress
from porter.verify.saved_verdict import not_compared
from porter.verify.script_folder import lay_out
from porter.verify.scripts import NotTwoForms, Script, both_forms, libraries_of, shares_places
from porter.verify.trial_process import CannotStart, Ended, TrialProcess
from porter.verify.verdict import notes, problems
from porter.verify.ways import Way

#: Characters of what a failed script printed that the report keeps.
_OUTPUT_KEPT = 4000


_SILENT = Progress(0, None)


@dataclass(frozen=True)
class Request:
    """What is asked for besides the scripts.

    `exact` is false where results may differ by rounding; then the noise is drawn on the CPU, to be the same
    everywhere. `picture` is the folder for pictures of the frames, `hardware` the line that is ported to. With `shows`
    each row has its frames.
    """

    ways: list[Way]
    exact: bool
    timeout: float
    picture: str | None = None
    hardware: str | None = None
    shows: bool = False


class Verification:
    """The processes of a run, and the temporary folder it works in."""

    def __init__(
        self,
        request: Request,
        folder: Path,
        progress: Progress,
        libraries: Iterable[str],
        common: CommonStart | None = None,
    ) -> None:
        self.request = request
        self._folder = folder
        self._made_up = folder / "made_up"
        self._made_up.mkdir()
        self._forms: dict[tuple[str, bytes], tuple[bytes, bytes]] = {}  # of what lies beside scripts
        self._processes = [TrialProcess(way, folder, libraries, common) for way in request.ways]
        self._progress, self._common = progress, common
        self._shared_places = threading.Lock()
        self._is_over = False
        self._pool = ThreadPoolExecutor(len(self._processes) * _scripts_at_once(request))

    def start(self) -> dict[str, dict[str, Any]]:
        """What each way runs on. Raises CannotStart, also where a way would not run on the device it is for."""
        for started in as_completed([self._pool.submit(process.start) for process in self._processes]):
            started.result()
        for process in self._processes:
            _check_machine(process.way, process.machine)
        return {process.way.name: process.machine for process in self._processes}

    def run(self, script: Script) -> Row:
        """Runs one script. Raises CannotStart."""
        self._progress.begun(script)
        row = self._run(script)
        if not self._is_over:  # or its processes were ended for no fault of its own
            self._progress.ended(row)
        return row

    def _run(self, script: Script) -> Row:
        script = self._skipped_without_devices(script)
        row = Row(script, self.request.ways)
        if script.problem is not None or script.skipped is not None:
            return replace(row, problems=[script.problem] if script.problem is not None else [])
        folder = Path(tempfile.mkdtemp(prefix="script-", dir=self._folder))
        outcomes = self.outcomes(script, self.request.ways, folder)
        row = self.judged(script, outcomes, folder)
        if self.request.picture is not None and script.processes is None:
            row = replace(row, notes=[*row.notes, *self._draw(script, outcomes, folder)])
        if self.request.shows:
            row = replace(row, pictures=self._frames(outcomes, folder))
        shutil.rmtree(folder, ignore_errors=True)
        return row

    def _skipped_without_devices(self, script: Script) -> Script:
        """The script, skipped if it is for more processes than there are NPUs for."""
        there = self._devices_there()
        if script.skipped is not None or script.processes is None or script.processes <= there:
            return script
        return replace(script, skipped=f"{script.processes} processes need as many NPUs, and there are {there} here")

    def _devices_there(self) -> int:
        there: int = min(process.machine["npus"] for process in self._processes if process.way.device == "npu")
        return there

    def outcomes(self, script: Script, ways: list[Way], folder: Path) -> dict[str, Outcome]:
        """What comes of running a script some of the ways, beside each other. Raises CannotStart.

        One that writes to places that all share is run one way after the other, and beside no other like it.
        """
        chosen = [process for process in self._processes if process.way in ways]
        one_way = self._run_one_way if script.processes is None else self._launch_one_way

        def run(process: TrialProcess) -> Outcome:
            with self._progress.running(script, process.way):
                return one_way(process, script, folder)

        if shares_places(script):
            with self._shared_places:
                ran = [run(process) for process in chosen]
        else:
            ran = list(self._pool.map(run, chosen))
        return {process.way.name: outcome for process, outcome in zip(chosen, ran, strict=True)}

    def judged(self, script: Script, outcomes: dict[str, Outcome], folder: Path) -> Row:
        """The row of a script that has been run all ways. Raises CannotStart."""
        differences = self._differences(outcomes, folder)
        found = problems(self.request.ways, outcomes, differences, self.request.exact)
        told = notes(self.request.ways, outcomes, differences, self.request.exact)
        return Row(script, self.request.ways, outcomes, differences, found, told)

    def stop(self) -> None:
        self._is_over = True
        if self._common is not None:
            self._common.cancel()
        for process in self._processes:
            process.end()
        self._pool.shutdown()
        for process in self._processes:
            process.stop()  # which was beginning meanwhile

    def _run_one_way(self, process: TrialProcess, script: Script, parent: Path) -> Outcome:
        folder = parent / process.way.name
        work = folder / "work"
        work.mkdir(parents=True)
        form = 0 if process.way.form == "cuda" else 1
        data = (script.cuda, script.ported)[form]
        laid_out = lay_out(script.path, data, folder / "script", form, self._forms_beside(script))
        job = {
            "do": "run",
            "path": str(laid_out.path),
            "module": laid_out.module,
            "arguments": list(script.arguments),
            "beside": os.path.dirname(os.path.abspath(script.path)),
            "stand_for": laid_out.stand_for,
            "devices": min(script.devices_told, self._devices_there()),
            "folder": str(work),
            "results": str(folder / "results"),
            **self._everywhere(),
        }
        return self._asked(process, job, folder)

    def _asked(self, process: TrialProcess, job: dict[str, Any], folder: Path) -> Outcome:
        """What came of running a script, a job that leaves its result and its output in a folder."""
        try:
            outcome = _outcome(process.ask({**job, "result": str(folder / "result.json")}, self.request.timeout))
        except Ended as error:
            outcome = Outcome(error=str(error), seconds=0.0)
        return outcome if outcome.ran else replace(outcome, output=_end_of(folder / "output.txt"))

    def _launch_one_way(self, process: TrialProcess, script: Script, parent: Path) -> Outcome:
        assert script.processes is not None
        folder = parent / process.way.name
        folder.mkdir()
        form = 0 if process.way.form == "cuda" else 1
        tree = launch_tree(script.path, script.cuda)
        job = {
            "do": "launch",
            "arguments": list(script.arguments),
            "script": tree.lay_out(folder / "work", form, self._forms_beside(script)),
            "root": tree.root,
            "folder": str(folder),
            "processes": script.processes,
            **self._everywhere(),
        }
        return replace(self._asked(process, job, folder), is_training=True)

    def _everywhere(self) -> dict[str, Any]:
        """What all jobs are told."""
        shared = {"started_in": os.getcwd(), "made_up": str(self._made_up)}
        return {**shared, "noise_on_cpu": not self.request.exact}

    def _forms_beside(self, script: Script) -> Forms:
        """Both forms of a launch script and of what lies beside it; what cannot be ported stays as it is."""

        def forms(path: str, data: bytes) -> tuple[bytes, bytes]:
            if os.path.abspath(script.path) == path:
                return script.cuda, script.ported
            if (path, data) not in self._forms:
                both = data, data
                with suppress(NotTwoForms):
                    both = both_forms(path, data, self.request.hardware)
                self._forms[path, data] = both
            return self._forms[path, data]

        return forms

    def _differences(self, outcomes: dict[str, Outcome], folder: Path) -> dict[str, dict[str, Any]]:
        """Between the first way and each other one that saved something else."""
        first, *others = outcomes.values()
        found: dict[str, dict[str, Any]] = {}
        for way, outcome in zip(self.request.ways[1:], others, strict=True):
            if first.saved_names == outcome.saved_names and first.saved and not first.saved_the_same(outcome):
                job = {"do": "compare", "first": first.saved, "second": outcome.saved}
                try:
                    found[way.name] = self._processes[0].ask(
                        {**job, "result": str(folder / f"{way.name}-difference.json")}, self.request.timeout
                    )
                except Ended as error:
                    found[way.name] = not_compared(str(error))
        return found

    def _draw(self, script: Script, outcomes: dict[str, Outcome], folder: Path) -> list[str]:
        """Notes: why there is no picture."""
        assert self.request.picture is not None
        runs = [{"label": way.title, "array": next(iter(outcomes[way.name].arrays), None)} for way in self.request.ways]
        picture = os.path.abspath(script.place_in(self.request.picture, ".png"))
        job = {"do": "picture", "runs": runs, "picture": picture, "result": str(folder / "picture.json")}
        try:
            self._processes[0].ask(job, self.request.timeout)
        except Ended as error:
            return [f"no picture of it was written to {self.request.picture}: {error}"]
        return []

    def _frames(self, outcomes: dict[str, Outcome], folder: Path) -> dict[str, list[str]]:
        """To look at; none where no way saved any array, or PIL is not there to draw them."""
        runs = {
            name: [one["array"] for one in outcome.saved if one["kind"] == "array"]
            for name, outcome in outcomes.items()
        }
        if not any(runs.values()):
            return {}
        job = {"do": "show", "runs": runs, "result": str(folder / "frames.json")}
        with suppress(Ended):
            frames: dict[str, list[str]] = self._processes[0].ask(job, self.request.timeout)
            return frames
        return {}


@contextmanager
def verification(
    request: Request,
    progress: Progress = _SILENT,
    libraries: Iterable[str] = (),
    common: CommonStart | None = None,
) -> Iterator[Verification]:
    """A run of the command; at its end no process and no temporary file of it is left.

    `libraries` are those that its scripts use; what one uses besides is imported by itself. `common` begins the
    processes of the ways.
    """
    with tempfile.TemporaryDirectory(prefix="diffsynth-verify-", ignore_cleanup_errors=True) as folder:
        running = Verification(request, Path(folder), progress, libraries, common)
        try:
            yield running
        finally:
            running.stop()


def verify(
    request: Request, scripts: list[Script], progress: Progress, common: CommonStart | None = None
) -> tuple[list[Row], dict[str, dict[str, Any]]]:
    """Every script's row, and what each way ran on. `progress` hears of what happens. Raises CannotStart."""
    libraries = libraries_of(scripts)
    if common is not None:
        common.import_for(libraries)
    with verification(request, progress, libraries, common) as running:
        machines = running.start()
        with ThreadPoolExecutor(_scripts_at_once(request)) as pool:
            try:  # an interrupt may come while scripts are still handed out, and the first runs already
                asked = [pool.submit(running.run, script) for script in scripts]
                rows = [one.result() for one in asked]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                running.stop()
                raise
        return rows, machines


def _scripts_at_once(request: Request) -> int:
    """So many that no processor waits: a launch does, for its processes. A real card is one script's at a time."""
    return max(2, len(os.sched_getaffinity(0))) if all(way.forks for way in request.ways) else 1


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
