"""A process that pays for its imports once: it reads jobs, one JSON object a line, and forks a child for each.

    {"do": "run", "path": ..., "module": null, "arguments": [], "beside": ..., "stand_for": [[..., ...]],
     "folder": ..., "started_in": ..., "made_up": ..., "results": ..., "noise_on_cpu": false, "devices": 1,
     "result": FILE}
    {"do": "launch", "script": ..., "arguments": [], "root": ..., "folder": ..., "started_in": ..., "made_up": ...,
     "processes": 2, "noise_on_cpu": false, "result": FILE}
    {"do": "compare", "first": [{"kind": "array", "name": ..., "array": FILE} ...], "second": [...], "result": FILE}
    {"do": "picture", "runs": [{"label": ..., "array": FILE}], "picture": FILE, "result": FILE}
    {"do": "show", "runs": {NAME: [FILE ...]}, "result": FILE}

A job has an ``id`` besides, and {"do": "end", "id": ...} ends one with all its processes. A child writes its result as
JSON to the file and what it prints to ``output.txt`` beside it. The answer on standard output is one line: the ``id``
and the exit status, negative for a signal. The first line of all says what this process runs on.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import platform
import select
import signal
import socket
import sys
import traceback
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn, TextIO

import click

from script_trial.adapter import StockingAdapter
from script_trial.huge_pages import use_huge_pages
from script_trial.known_adapters import adapter_for, known_adapters
from script_trial.processes import adopt_orphans, children_of, end_with_all_below


@click.command()
@click.option("--once", is_flag=True, help="Do a single job in this process, for devices that do not survive a fork.")
@click.option("--library", "named", multiple=True, metavar="NAME", help="Import it before the first job.")
def serve(once: bool, named: tuple[str, ...]) -> None:
    """Run the jobs that come in on standard input, one JSON object a line, beside each other."""
    answers = _own_stdout()
    _import_what_jobs_need(named)
    _say(answers, machine())
    if once:
        job = json.loads(sys.stdin.readline())
        _say(answers, {"id": job["id"], "status": perform({**job, "forks": False})})
        return
    Jobs(answers).serve(sys.stdin.fileno())


class Jobs:
    """Forks a child for each job, and answers when it has ended."""

    def __init__(self, answers: TextIO) -> None:
        self._answers = answers
        self._running: dict[int, int] = {}  # process: job
        self._launches_paid = False
        self._has_forked = False
        self._unread = b""

    def serve(self, requests: int) -> None:
        """Until the file of requests ends, and with it the jobs: who asked for them is gone."""
        adopt_orphans()
        wake, woken = socket.socketpair()
        for end in (wake, woken):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        while True:
            self._reap()
            readable: list[Any] = [requests, woken]
            ready, _, _ = select.select(readable, [], [], 1.0)
            if woken in ready:
                with contextlib.suppress(BlockingIOError):
                    woken.recv(4096)
            if requests in ready:
                read = os.read(requests, 1 << 16)
                if not read:
                    self._end(self._running)
                    return
                *lines, self._unread = (self._unread + read).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))

    def _take(self, job: dict[str, Any]) -> None:
        if job["do"] == "end":
            self._end(process for process, number in self._running.items() if number == job["id"])
            return
        if job["do"] == "launch" and not self._launches_paid:
            _import_what_launches_need()
            self._launches_paid = True
        if "made_up" in job:
            _fill_stocks(Path(job["made_up"]))
        if not self._has_forked:  # later again would cost as much as it saves
            use_huge_pages()
        self._has_forked = True
        gc.freeze()  # what is there now is shared; collecting it would copy it
        child = os.fork()
        if child == 0:
            _be_a_child(job)
        self._running[child] = job["id"]

    def _end(self, processes: Iterable[int]) -> None:
        for process in processes:
            end_with_all_below(process)

    def _reap(self) -> None:
        for process, number in list(self._running.items()):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                del self._running[process]
                self._end_orphans()
                _say(self._answers, {"id": number, "status": os.waitstatus_to_exitcode(status)})

    def _end_orphans(self) -> None:
        """Whatever an ended job has left behind: what is no job of this process, it was given by one."""
        for orphan in set(children_of(os.getpid())) - self._running.keys():
            end_with_all_below(orphan)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(orphan, 0)


def _be_a_child(job: dict[str, Any]) -> NoReturn:
    """Does a job, in a process group that can be ended as a whole."""
    status = 1
    try:
        os.setsid()
        adopt_orphans()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        status = perform({**job, "forks": True})
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def machine() -> dict[str, Any]:
    """What a report has to say about where it was made."""
    import torch

    npu: Any = getattr(torch, "npu", None)
    there = npu is not None and npu.is_available()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "torch_npu": _torch_npu_version() if there else None,
        "cuda_is": torch.device("cuda").type,
        "npu": npu.get_device_name(0) if there else None,
        "npus": npu.device_count() if there else 0,
    }


def perform(job: dict[str, Any]) -> int:
    """Does one job in this process and writes its result."""
    result = Path(job["result"])
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)  # a script that reads its standard input finds its end, rather than our jobs
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - it is the process's own
    with open(result.parent / "output.txt", "ab", buffering=0) as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    try:
        done = _JOBS[job["do"]](job)
    except Exception as error:  # what scripts raise is in what comes of them: this is ours
        traceback.print_exc()
        done = {"trial_failed": f"{type(error).__name__}: {error}"}
    unfinished = result.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(done), encoding="utf-8")
    os.replace(unfinished, result)
    return 0


def _run(job: dict[str, Any]) -> dict[str, Any]:
    from script_trial.own_folders import remove_left
    from script_trial.run_script import run_script
    from script_trial.together import of_one_program
    from script_trial.trial import Place
    from script_trial.watched_script import Script

    stand_for = [(Path(here), Path(there)) for here, there in job["stand_for"]]
    script = Script(
        job["path"], job["beside"], tuple(job["arguments"]), job["module"], tuple(stand_for), job.get("devices")
    )
    told, _ = run_script(script, Place.from_json(job))
    remove_left(path for one in (told, *told["workers"]) for path in one["left"])
    return of_one_program(told)


def _launch(job: dict[str, Any]) -> dict[str, Any]:
    from script_trial.launches.script import LaunchScript

    told: dict[str, Any] = {name: Path(job[name]) for name in ("root", "folder", "started_in", "made_up")}
    told |= {name: job[name] for name in ("processes", "forks", "noise_on_cpu")}
    return LaunchScript(job["script"], tuple(job["arguments"]), **told).run()


def _compare(job: dict[str, Any]) -> dict[str, Any]:
    from script_trial.compare import compare

    return compare(job["first"], job["second"])


def _picture(job: dict[str, Any]) -> None:
    from script_trial.pictures import draw_side_by_side

    draw_side_by_side(job["runs"], Path(job["picture"]))


def _show(job: dict[str, Any]) -> dict[str, list[str]]:
    from script_trial.pictures import frames_as_uris

    return frames_as_uris(job["runs"])


_JOBS = {"run": _run, "launch": _launch, "compare": _compare, "picture": _picture, "show": _show}


def _own_stdout() -> TextIO:
    """Standard output for answers alone; whatever else prints there goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _say(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _import_what_jobs_need(named: Iterable[str]) -> None:
    """Before anything is computed: a pool of threads, or an opened device, would not survive the fork.

    Of the libraries those that are named, and those that they import themselves.
    """
    gc.disable()  # nothing that is imported is garbage, and it would be looked through again and again
    from script_trial import emulator_counter, operations, run_script  # noqa: F401

    emulator_counter.backend()
    operations.hear_calls()
    for is_wanted in (set(named).__contains__, sys.modules.__contains__):
        for adapter in known_adapters():
            spec = find_spec(adapter.library) if is_wanted(adapter.library) else None
            if spec is not None and adapter_for(spec) is adapter:
                adapter.warm()
    gc.freeze()
    gc.enable()


def _import_what_launches_need() -> None:
    """Once, before the first of them."""
    from torch.distributed import run  # noqa: F401
    from torch.distributed.algorithms import ddp_comm_hooks  # noqa: F401
    from torch.distributed.elastic.rendezvous import static_tcp_rendezvous  # noqa: F401

    from script_trial.launches import script  # noqa: F401

    if find_spec("accelerate") is not None:
        from accelerate.commands import accelerate_cli  # noqa: F401

        from script_trial.launches import accelerate  # noqa: F401


def _fill_stocks(made_up: Path) -> None:
    """Of the libraries that are there."""
    for adapter in known_adapters():
        if isinstance(adapter, StockingAdapter) and adapter.library in sys.modules:
            spec = sys.modules[adapter.library].__spec__
            if spec is not None and adapter.is_for(spec):
                adapter.fill_stock(made_up)


def _torch_npu_version() -> str | None:
    if find_spec("torch_npu") is None:
        return None
    import torch_npu

    return getattr(torch_npu, "__version__", None)
