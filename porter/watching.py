"""`--watch`: the run again after every change of its files, each time in a process that has seen nothing yet."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime
from typing import Any

import click

from porter.files import read_file
from porter.record_log import Record, RecordError
from porter.session import Session, Unusable

#: Between two looks at the files pass at least so many seconds, and so many times what a look took.
_PAUSE, _REST = 0.5, 4

#: Runs the command without the working directory on the path, where a folder may be called as a module is.
_RUN = "import sys; sys.path.pop(0); sys.path.append({root!r}); from porter.cli import main; main()"

#: What a look saw: the time of change and the size of each file, by its path.
State = dict[str, tuple[int, int]]


def watch(paths: tuple[str, ...], options: dict[str, Any]) -> int:
    """Runs until it is interrupted, which gives 0. Raises Unusable where the first run could not begin."""
    if paths == ("-",):
        raise Unusable("--watch is for files and folders, not for standard input")
    if options["write_baseline"] or options["output"]:
        raise Unusable("--watch is about the files themselves; it goes neither with --write-baseline nor with --output")
    Session.from_command_line(paths, options)
    arguments = [one for one in sys.argv[1:] if one != "--watch"]
    said = "Watching for changes; Ctrl-C ends"
    try:
        while True:
            state = _state(paths, options)  # before the run, so that a change during it counts
            if sys.stdout.isatty():
                click.clear()
            click.echo(f"[{datetime.now():%H:%M:%S}] {said}", err=True)
            root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
            subprocess.run([sys.executable, "-c", _RUN.format(root=root), *arguments], check=False)
            _wait_for_another(_with_what_was_written(state, paths, options), paths, options)
            said = "File change detected"
    except KeyboardInterrupt:
        return 0


def _with_what_was_written(before: State, paths: tuple[str, ...], options: dict[str, Any]) -> State:
    """The files as the run saw them, and those that it wrote as it left them, which the record knows."""
    if options["check"] or options["diff"]:
        return before
    try:
        session = Session.from_command_line(paths, options)
        record = session.record
        after = _state(paths, options)
        written = {path for path, seen in after.items() if before.get(path) != seen and _is_as_ported(path, record)}
    except (Unusable, RecordError):
        return before
    return {**before, **{path: after[path] for path in written}}


def _is_as_ported(path: str, record: Record | None) -> bool:
    entry = record.entry(path) if record is not None else None
    if entry is None:
        return False
    try:
        return entry.is_of(read_file(path)[0])
    except OSError:
        return False


def _wait_for_another(state: State, paths: tuple[str, ...], options: dict[str, Any]) -> None:
    took = 0.0
    while True:
        time.sleep(max(_PAUSE, _REST * took))
        begun = time.perf_counter()
        if _state(paths, options) != state:
            return
        took = time.perf_counter() - begun


def _state(paths: tuple[str, ...], options: dict[str, Any]) -> State:
    """The files of the run and of its settings as they are; what the run itself writes is left out."""
    settings = options["config"] or "pyproject.toml"
    watched = [settings]
    try:
        session = Session.from_command_line(paths, options)
        files = [one.path for one in session.inputs().files]
        watched += [session.baseline, *files, *session.settings_files(files)]
    except Unusable:  # the run says so; until it is mended, the settings alone are watched
        pass
    written = {os.path.realpath(one) for one in options["reports"]}
    return {path: seen for path in watched if os.path.realpath(path) not in written and (seen := _seen(path))}


def _seen(path: str) -> tuple[int, int] | None:
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size
