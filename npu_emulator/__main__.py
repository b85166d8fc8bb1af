"""``python -m npu_emulator run script.py args...`` and ``python -m npu_emulator doctor``."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import dataclasses
import json
import os
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from npu_emulator.activation import enable
from npu_emulator.errors import EmulatorError
from npu_emulator.settings import HARDWARE_LINES
from npu_emulator.slow_operators import report

_OWN_FRAMES = (__file__, contextlib.__file__, runpy.__file__, "<frozen runpy>")

#: What torch says to a program that asks for a CUDA device where there is none.
_FOR_CUDA = re.compile(
    r"not compiled with CUDA|no NVIDIA driver|No CUDA GPUs|on a CUDA device|'CUDA' backend"
    r"|'torch\._C' has no attribute '_cuda_"
)


def main(arguments: list[str] | None = None) -> int:
    """Returns 0, 1 where doctor found problems, 2 on bad input; ``run`` ends as its program does."""
    parser = _parser()
    options = parser.parse_args(_with_bare_report(sys.argv[1:] if arguments is None else arguments))
    if options.command is None:
        parser.error("name a command: doctor or run")
    try:
        if options.command == "doctor":
            return _doctor(options.json)
        program = _program(options)
        strict = False if options.no_strict else None
        enable(options.devices, options.memory, options.hardware, strict, options.cann)
        if options.report is not None:
            _report_at_exit(options.report)
    except (EmulatorError, ValueError, OSError) as error:
        print(f"npu_emulator: {error}", file=sys.stderr)
        return 2
    if options.module:
        _run_module(program)
    else:
        _run_script(program)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m npu_emulator", description="Run programs on an emulated Ascend NPU.", allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", metavar="{doctor,run}")
    doctor = commands.add_parser(
        "doctor", help="say whether the emulated NPU can be had here, and with which backend", allow_abbrev=False
    )
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    run = commands.add_parser(
        "run",
        help="run a script or module with a torch device called npu",
        allow_abbrev=False,
        formatter_class=_OptionalFile,
    )
    run.add_argument("--devices", help="number of NPUs, 1 to 16 (default: NPU_EMULATOR_DEVICES, or 1)")
    run.add_argument(
        "--memory", help="memory of each, such as 8GiB (default: NPU_EMULATOR_MEMORY, or 64GiB, or what the host has)"
    )
    run.add_argument("--hardware", help=f"{', '.join(HARDWARE_LINES)} (default: NPU_EMULATOR_HARDWARE, or atlas-a2)")
    run.add_argument("--cann", help="refuse what this older CANN refused too, such as 8.0 (default: NPU_EMULATOR_CANN)")
    run.add_argument(
        "--report",
        metavar="FILE",
        help="at the end, print which operators ran on the AI CPU or the host; --report=FILE writes it there",
    )
    run.add_argument("--no-strict", action="store_true", help="warn where the hardware would refuse")
    run.add_argument("-m", dest="module", nargs=argparse.REMAINDER, help="a module and its arguments, as python -m")
    run.add_argument("program", nargs=argparse.REMAINDER, metavar="script.py", help="a script and its arguments")
    return parser


class _OptionalFile(argparse.HelpFormatter):
    """Shows that the file of ``--report`` may be left out, and is no word of its own; argparse has no such option."""

    def format_help(self) -> str:
        # From Python 3.14 on there are colours between the words.
        return re.sub(r"--report(\x1b\S*)? (\x1b\S*)?FILE", r"--report\1[=\2FILE]", super().format_help())


def _doctor(as_json: bool) -> int:
    from npu_emulator.doctor import as_text, diagnose

    found = diagnose()
    print(json.dumps(dataclasses.asdict(found), indent=2) if as_json else as_text(found))
    return 1 if found.problems else 0


def _program(options: argparse.Namespace) -> list[str]:
    program: list[str] = options.module or options.program
    if not program:
        raise ValueError("run: name a script, or -m and a module")
    if not options.module and not Path(program[0]).is_file():
        reason = "is a folder" if Path(program[0]).is_dir() else "no such file"
        meant = f" (to write the report there: --report={program[0]})" if options.report == "" and program[1:] else ""
        raise ValueError(f"run: {program[0]}: {reason}; expected a Python script{meant}")
    return program


def _with_bare_report(arguments: list[str]) -> list[str]:
    """``--report`` alone as ``--report=``: what follows is the script to run, and no file to write to."""
    spelled = list(arguments)
    for place, word in enumerate(arguments):
        takes_value = place > 0 and arguments[place - 1] in ("--devices", "--memory", "--hardware", "--cann")
        if word == "--report":
            spelled[place] = "--report="
        elif word == "-m" or not (word.startswith("-") or takes_value or (place == 0 and word == "run")):
            break
    return spelled


def _report_at_exit(path: str) -> None:
    """Registers the report of this process; fails now if the file cannot be written."""
    if path:
        Path(path).write_text("", encoding="utf-8")
    here = os.getpid()

    def write() -> None:
        if os.getpid() != here:  # a fork that exits by itself
            return
        if path:
            Path(path).write_text(report(), encoding="utf-8")
        else:
            print(report(), end="", file=sys.stderr)

    atexit.register(write)


def _run_module(program: list[str]) -> None:
    asked = ["-m", *program]
    sys.argv = program
    sys.path.insert(0, os.getcwd())
    with _errors_as_without(asked):
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)


def _run_script(program: list[str]) -> None:
    asked = list(program)
    sys.argv = program
    sys.path[0] = str(Path(program[0]).resolve().parent)
    with _errors_as_without(asked):
        runpy.run_path(program[0], run_name="__main__")


@contextlib.contextmanager
def _errors_as_without(asked: list[str]) -> Iterator[None]:
    """An error that ends the program is shown from its own first line on, as Python shows it without this command.

    Args:
        asked: the program and its arguments, as the command line has them.
    """
    try:
        yield
    except BaseException:
        shown = sys.excepthook  # Python's, or one that the program has set

        def show(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
            while frames is not None and frames.tb_frame.f_code.co_filename in _OWN_FRAMES:
                frames = frames.tb_next
            shown(kind, error.with_traceback(frames), frames)
            if frames is not None and _FOR_CUDA.search(str(error)) and "npu_compat" not in sys.modules:
                print(_hint(asked, frames.tb_frame.f_code.co_filename), file=sys.stderr)

        sys.excepthook = show
        raise


def _hint(asked: list[str], file: str) -> str:
    """What to do with a program for CUDA: two commands for a shell, the second about the ``file`` that it is in."""
    return (
        "npu_emulator: the program asks for a CUDA device, and the emulated one is called npu. To run it as it is: "
        f"python -m npu_compat run --emulate {shlex.join(asked)}; to have it say npu: "
        f"diffsynth-port {shlex.quote(file)} --target npu"
    )


if __name__ == "__main__":
    sys.exit(main())
