"""Processes that a script starts by multiprocessing: each is watched as the script is, and told of with it.

torch.multiprocessing.spawn(train, nprocs=2)     two workers, with their results, operators and errors
DataLoader(..., num_workers=2)                   they load data: nothing of them counts
multiprocessing.Pool(2).map(f, data)             any of them may do any of it: told of as one, in an order of its own
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing import spawn
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from script_trial.processes import how_it_ended
from script_trial.together import of_pools
from script_trial.trial import Place
from script_trial.watched_run import Ending, watched_run
from script_trial.watched_script import Script, WatchedScript

#: Modules whose processes only load data.
_LOADERS = ("torch.utils.data", "multiprocessing.managers")
_POOLS = ("multiprocessing.pool", "concurrent.futures.process")

#: What these raise when a process of theirs has ended early.
_RAISED_FOR_OTHERS = ("ProcessRaisedException", "ProcessExitedException")

#: Who is ended so was not asked for all that it had to do.
_ENDED_BY_ANOTHER = (None, -signal.SIGTERM, -signal.SIGKILL)
_LOST = "{} of the processes that it started were ended before their last line: what they computed is not seen"

#: Seconds that one of a pool is woken to end, and between two of these signals.
_SECONDS_TO_END, _BETWEEN_SIGNALS = 30.0, 0.1

#: The signal that wakes it: one that does nothing where nobody handles it.
_WAKE = signal.SIGURG


class Workers:
    """Those of a script that is watched in this process, numbered as they are started."""

    def __init__(
        self, watched: WatchedScript, recording: contextlib.AbstractContextManager[object] | None = None
    ) -> None:
        """`recording` is of a worker itself: what has to end before it is told of."""
        self._watched = watched
        self._recording = recording
        self._process = os.getpid()
        self._started: list[tuple[Any, Worker]] = []
        self._crashed: list[str] = []
        self._is_told = False
        self._starting = threading.local()

    def watch(self) -> None:
        """From now on, for the rest of the process."""
        start, bootstrap, prepare = BaseProcess.start, BaseProcess._bootstrap, spawn.get_preparation_data  # type: ignore[attr-defined]
        terminate = BaseProcess.terminate

        def started(process: Any) -> None:
            worker = self._next(process)
            self._starting.worker = process._tried = worker
            try:
                start(process)
            finally:
                self._starting.worker = None

        def prepared(name: str) -> dict[str, Any]:
            worker = getattr(self._starting, "worker", None)
            begins = {} if worker is None else {"script_trial": _Begins(worker)}
            return {**begins, **prepare(name)}

        def begun(process: Any, *args: Any, **kwargs: Any) -> Any:
            worker = vars(process).pop("_tried", None)
            if worker is not None:
                self._be(worker, process)
            return bootstrap(process, *args, **kwargs)

        def terminated(process: Any) -> None:
            terminate(process)
            is_own = os.getpid() == self._process  # only who started a process can wait for it
            if is_own and any(worker.is_of_pool for one, worker in self._started if one is process):
                _wake_until_ended(process)

        BaseProcess.start = started  # type: ignore[method-assign,assignment]
        BaseProcess.terminate = terminated  # type: ignore[method-assign,assignment]
        BaseProcess._bootstrap = begun  # type: ignore[attr-defined]
        spawn.get_preparation_data = prepared

    def told(self) -> list[dict[str, Any]]:
        """What was recorded of all that came to their end, and of what they started themselves."""
        told = [worker for _, worker in self._started if worker.record.exists()]
        lost = [(_exit_status(process), worker) for process, worker in self._started if worker not in told]
        ended = [worker for status, worker in lost if status in _ENDED_BY_ANOTHER and not worker.had_nothing_to_do]
        if ended:
            self._watched.trial.note(_LOST.format(len(ended)))
        self._crashed = [how_it_ended(status) for status, _ in lost if status not in _ENDED_BY_ANOTHER]
        every = [json.loads(worker.record.read_text("utf-8")) for worker in told]
        alone = [worker for worker in every if not worker["is_of_pool"]]
        pools = of_pools([worker for worker in every if worker["is_of_pool"]])
        return [one for worker in (*alone, *pools) for one in (worker, *worker["workers"])]

    def with_their_errors(self, told: dict[str, Any], raised: BaseException | None) -> dict[str, Any]:
        """What is told of a script, with the errors of its workers: they are its own where it ended for them."""
        errors = [one["error"] for one in told["workers"] if one["error"]]
        errors += [{"message": how, "line": None} for how in self._crashed]
        if errors and type(raised).__name__ in _RAISED_FOR_OTHERS:
            return {**told, "error": errors[0]}
        return {**told, "threads": [*told["threads"], *({**error, "of": "process"} for error in errors)]}

    def _next(self, process: Any) -> Worker | None:
        """None for one that is not watched."""
        if _module_of(process).startswith(_LOADERS):
            return None
        watched = self._watched
        place = replace(watched.place, results=watched.place.results / f"worker-{len(self._started)}")
        unique = tuple(watched.own_folders.unique)
        worker = Worker(watched.script, place, watched.meet_at, unique, _module_of(process).startswith(_POOLS))
        self._started.append((process, worker))
        return worker

    def _be(self, worker: Worker, process: Any) -> None:
        """In the worker: it is told of when it has run."""
        if os.getpid() != self._process:  # it was forked off
            self._process, self._started = os.getpid(), []
            self._watched.begin_anew(worker.place)
        run = process.run
        process.run = lambda: self._run(run, worker)

    def _run(self, run: Callable[[], object], worker: Worker) -> None:
        worker.place.results.mkdir(parents=True, exist_ok=True)

        def whole() -> None:
            if worker.is_of_pool:
                self._hear_the_end()
            with self._recording or contextlib.nullcontext():
                try:
                    run()
                except SystemExit as ended:
                    raise _cause(ended) from None
                finally:
                    if worker.is_of_pool:  # it ends by itself now, and is to be told of first
                        signal.signal(signal.SIGTERM, signal.SIG_IGN)

        def tell(ending: Ending) -> None:
            if not self._is_told:
                self._is_told = True
                self._tell(ending, worker)

        ending = watched_run(whole, self._watched.script.path, tell)
        tell(ending)
        if ending.raised is not None:
            raise ending.raised

    def _hear_the_end(self) -> None:
        """In one of a pool: what it starts itself ends by the signal as ever."""
        before = signal.signal(signal.SIGTERM, self._end_of_pool)
        signal.signal(_WAKE, lambda *_: None)

        forking = threading.local()

        def block() -> None:  # or the signal could come to the child before it is as ever there, and would be lost
            forking.blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

        def unblock() -> None:
            signal.pthread_sigmask(signal.SIG_SETMASK, forking.blocked)

        def as_ever() -> None:
            if signal.getsignal(signal.SIGTERM) == self._end_of_pool:
                signal.signal(signal.SIGTERM, before)
            unblock()

        os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=as_ever)

    def _end_of_pool(self, *_: object) -> None:
        """A pool ends its workers by a signal when there is no more to do, maybe more than once."""
        if not self._is_told:
            os._exit(0)

    def _tell(self, ending: Ending, worker: Worker) -> None:
        told = {**ending.as_json(), **self._watched.told(), "workers": self.told(), "is_of_pool": worker.is_of_pool}
        told = self.with_their_errors({**told, "seen": self._watched.trial.results.seen}, ending.raised)
        unfinished = worker.record.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(told), encoding="utf-8")
        unfinished.replace(worker.record)


@dataclass(frozen=True)
class Worker:
    """What a fresh process is told, to watch the script there, too; `unique` see `OwnFolders`."""

    script: Script
    place: Place
    meet_at: Path | None
    unique: tuple[str, ...]
    is_of_pool: bool

    @property
    def record(self) -> Path:
        """What it tells at its end."""
        return self.place.results / "told.json"

    @property
    def had_nothing_to_do(self) -> bool:
        """Whether it is one of a pool that was ended before it ran."""
        return self.is_of_pool and not self.place.results.exists()

    def begin(self) -> None:
        """In that process, before it has imported anything of the script."""
        watched = WatchedScript(self.script, self.place, self.meet_at)
        watched.own_folders.unique.extend(self.unique)
        recording = watched.recording()
        recording.__enter__()
        ends = contextlib.ExitStack()
        ends.push(recording)
        Workers(watched, ends).watch()


class _Begins:
    """As a process unpickles what it is prepared by, the trial begins there."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __reduce__(self) -> tuple[Any, ...]:
        lies_in = str(Path(__file__).parents[1])
        program = (
            f"import pickle, sys\nsys.path.append({lies_in!r})\npickle.loads({pickle.dumps(self._worker)!r}).begin()\n"
        )
        return exec, (program, {})


def _module_of(process: Any) -> str:
    """Where what it runs is written, as long as it has not started: then it has forgotten that."""
    return str(getattr(getattr(process, "_target", None) or type(process), "__module__", ""))


def _wake_until_ended(process: Any) -> None:
    """A signal that comes just before a call that waits is handled only after that call, unless another ends it.

    SIGTERM itself is not sent again: a script's own handler of it may take its time, and is to run once.
    """
    ends_at = time.monotonic() + _SECONDS_TO_END
    with contextlib.suppress(ProcessLookupError):
        while process.exitcode is None and time.monotonic() < ends_at:
            process.join(_BETWEEN_SIGNALS)
            if process.exitcode is None:
                os.kill(process.pid, _WAKE)


def _exit_status(process: Any) -> int | None:
    """None of one that runs yet, or whose end nobody can ask for any more."""
    try:
        return process.exitcode  # type: ignore[no-any-return]
    except ValueError:  # it was closed
        return None


def _cause(ended: SystemExit) -> BaseException:
    """torch.multiprocessing.spawn ends a process whose function has raised something."""
    frame = ended.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    raised_by = frame.tb_frame.f_globals.get("__name__") if frame is not None else None
    is_for_another = raised_by == "torch.multiprocessing.spawn" and isinstance(ended.__context__, Exception)
    return ended.__context__ if is_for_another and ended.__context__ is not None else ended
