"""``python -m npu_compat doctor`` and ``python -m npu_compat run``."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NoReturn

_OWN_FRAMES = (__file__, contextlib.__file__, runpy.__file__, "<frozen runpy>")


def main(arguments: list[str] | None = None) -> int:
    """Returns 0, 1 where doctor found problems, 2 on bad input; ``run`` ends as its program does."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.error("name a command: doctor or run")
    if importlib.util.find_spec("torch") is None:
        return _bad_input(
            f"{options.command} needs torch, which is not installed here: install torch and what your accelerator "
            "needs beside it (for Ascend, torch_npu of the same version)"
        )
    try:
        if options.command == "doctor":
            return _doctor(options.json)
        program = _program(options)
        if options.emulate:
            _run_emulated(program)
        _redirect()
    except ValueError as error:
        return _bad_input(str(error))
    _execute(program)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m npu_compat",
        description="Run unchanged CUDA programs on the active accelerator.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="{doctor,run}")
    doctor = commands.add_parser(
        "doctor", help="say what accelerator was found, what is redirected, what does not fit", allow_abbrev=False
    )
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    run = commands.add_parser("run", help="run a script or module with torch.cuda redirected", allow_abbrev=False)
    run.add_argument("--emulate", action="store_true", help="on an emulated NPU (set NPU_EMULATOR_* for its size)")
    run.add_argument("-m", dest="module", nargs=argparse.REMAINDER, help="a module and its arguments, as python -m")
    run.add_argument("program", nargs=argparse.REMAINDER, metavar="script.py", help="a script and its arguments")
    return parser


def _doctor(as_json: bool) -> int:
    from npu_compat.doctor import as_text, diagnose

    findings = diagnose()
    print(json.dumps(findings, indent=2) if as_json else as_text(findings))
    return 1 if findings["problems"] else 0


def _program(options: argparse.Namespace) -> list[str]:
    """The script and its arguments, or ``-m``, the module and its arguments."""
    program: list[str] = options.program if options.module is None else ["-m", *options.module]
    program = program[1:] if program[:1] == ["--"] else program
    if not program or (program[0] == "-m" and len(program) < 2):
        raise ValueError("run: name a script, or -m and a module")
    if program[0] != "-m" and not Path(program[0]).is_file():
        reason = "is a folder" if Path(program[0]).is_dir() else "no such file"
        raise ValueError(f"run: {program[0]}: {reason}; expected a Python script")
    return program


def _redirect() -> None:
    from npu_compat.activation import activate_on_import
    from npu_compat.environment import mirror_environment

    os.environ["NPU_COMPAT"] = "1"  # asked for by name, whatever the environment says
    mirror_environment(os.environ)
    activate_on_import()


def _run_emulated(program: list[str]) -> NoReturn:
    """Starts over in this process, as the emulated device has to be there before anything looks for an accelerator.

    Interrupts, other signals and the exit status are then the program's own.
    """
    if sys.platform == "win32":  # where exec begins another process and ends this one
        raise ValueError("run --emulate: the emulated NPU needs Linux (WSL has one)")
    from npu_compat.environment import mirror_environment

    command = [sys.executable, "-m", "npu_emulator", "run", "-m", "npu_compat", "run", *program]
    mirrored = {**os.environ, "NPU_EMULATOR": "1"}
    mirror_environment(mirrored)
    # The emulator opens its devices before the redirect sets this; the rest is left to that, which reports it.
    visible = {name: mirrored[name] for name in ("ASCEND_RT_VISIBLE_DEVICES",) if name in mirrored}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, command, {**os.environ, **visible, "NPU_COMPAT": "0"})


def _execute(program: list[str]) -> None:
    if program[0] == "-m":
        sys.argv = program[1:]
        sys.path.insert(0, os.getcwd())
        with _errors_as_without():
            runpy.run_module(program[1], run_name="__main__", alter_sys=True)
        return
    sys.argv = program
    sys.path[0] = str(Path(program[0]).resolve().parent)
    with _errors_as_without():
        runpy.run_path(program[0], run_name="__main__")


@contextlib.contextmanager
def _errors_as_without() -> Iterator[None]:
    """An error that ends the program is shown from its own first line on, as Python shows it without this command."""
    try:
        yield
    except BaseException:
        shown = sys.excepthook  # Python's, or one that the program has set

        def show(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
            while frames is not None and frames.tb_frame.f_code.co_filename in _OWN_FRAMES:
                frames = frames.tb_next
            shown(kind, error.with_traceback(frames), frames)

        sys.excepthook = show
        raise


def _bad_input(message: str) -> int:
    print(f"npu_compat: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
