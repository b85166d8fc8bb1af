"""One script, run as it is but small, with everything recorded that tells whether its port is right."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

from script_trial.trial import Place
from script_trial.watched_run import watched_run
from script_trial.watched_script import Script, WatchedScript
from script_trial.workers import Workers


def run_script(
    script: Script, place: Place, at: Path | None = None, *, is_launched: bool = False
) -> tuple[dict[str, Any], BaseException | None]:
    """Runs it in this process, which should end afterwards: savers, libraries and warnings stay changed.

    It runs in the folder `at`, or in that of `place`; what it wrote there is looked into if that is where it ran.
    `is_launched` says that it is one of several processes, which its launcher lets meet.

    Returns:
        all that was recorded (seconds, error, refused, on_host, saved, networks and more), with the same of each
        process that it started as ``workers``; and what ended it early.
    """
    os.chdir(at or place.folder)
    watched = WatchedScript(script, place, None if is_launched else place.results.parent / "meeting_points")
    workers = Workers(watched)
    workers.watch()
    sys.argv = [script.path, *script.arguments]
    sys.path[:0] = script.import_path

    def run() -> None:
        with watched.recording():
            if script.module:
                runpy.run_module(script.module, run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(script.path, run_name="__main__")

    process = os.getpid()
    ending = watched_run(run, script.path)
    if os.getpid() != process:  # it was forked off by the script, and has come to its end: the trial is another's
        sys.stdout.flush()
        os._exit(int(ending.error is not None))
    watched.trial.elsewhere.end()
    theirs = workers.told()
    watched.trial.results.have_seen(file for one in theirs for file in one["seen"])
    if at is None:
        watched.trial.results.look_into(place.folder)
    told = {**ending.as_json(), **watched.told(), "workers": theirs}
    return workers.with_their_errors(told, ending.raised), ending.raised
