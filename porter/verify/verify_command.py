"""The command `diffsynth-port verify`: what it is asked, and where its answer goes."""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from porter import __version__
from porter.files import CannotWrite, check_new_file
from porter.verify.interrupts import interrupted_once

if TYPE_CHECKING:
    from porter.verify.outcome import Row
    from porter.verify.verification import Request

#: Endings of the reports that there are.
REPORTS = (".json", ".xml", ".html")

#: Where the report of a real card goes unless --report names another place.
HARDWARE_REPORT = "diffsynth-verify-npu.json"


_BEHIND = f"{__name__}.behind"


class _WithArguments(click.Command):
    """Keeps what stands behind "--" apart: those words are not for this command."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        context.meta[_BEHIND] = args[at + 1 :]
        rest = super().parse_args(context, args[:at])
        if not context.params.get("paths") and not context.meta[_BEHIND] and not context.resilient_parsing:
            raise click.UsageError("Missing argument 'PATHS...', or a command behind \"--\".", context)
        return rest

    def collect_usage_pieces(self, context: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(context), "[-- ARGUMENTS...]"]


def _seconds(value: str | float) -> float:
    """A time limit."""
    with suppress(ValueError):
        if 0 < (seconds := float(value)) < math.inf:
            return seconds
    raise click.BadParameter(f"{str(value)!r}: expected a number of seconds above 0")


@click.command(cls=_WithArguments, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="diffsynth-port")
@click.argument("paths", nargs=-1, metavar="PATHS...")
@click.option("--device", type=click.Choice(["emulated", "npu"]), default="emulated", show_default=True,
              help="The emulated NPU, or the Ascend NPU of this machine.")  # fmt: skip
@click.option("--memory", metavar="SIZE",
              help="Memory of the emulated NPU, such as 8GiB (default: 64GiB, or all the host has).")  # fmt: skip
@click.option("--hardware", metavar="LINE", help="Ascend product line: atlas-a2 (default), atlas-a3, ascend-950dt, ...")
@click.option("--processes", type=click.IntRange(1, 8), multiple=True, metavar="N",
              help="Processes of each launch script, 1 to 8; may be given again (default: 1, and then 2).")  # fmt: skip
@click.option("--picture", metavar="FOLDER", help="Write the frames of all ways side by side here, a PNG a script.")
@click.option("--report", metavar="FILE", multiple=True,
              help="Write a report here too, by its ending: .html for people, .json, or .xml for JUnit's. May be given "
                   "several times; with --device npu a .json is always written.")  # fmt: skip
@click.option("--skip-others", is_flag=True,
              help="Of the files among PATHS take only scripts of known libraries, as of folders; it is no error if "
                   "there are none. For hooks, which name every file that changed.")  # fmt: skip
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How to print the outcome.")  # fmt: skip
@click.option("--timeout", type=_seconds, default=600.0, show_default=True,
              metavar="SECONDS", help="For each script and way.")  # fmt: skip
@click.pass_context
def verify(context: click.Context, /, paths: tuple[str, ...], **options: Any) -> None:
    """Run scripts and their ported forms, and tell whether they make the same or train alike.

    PATHS are Python scripts, launch scripts (.sh), and folders of those that use a library it knows. ARGUMENTS behind
    "--" are given to each; without PATHS they are a command that launches one: verify -- torchrun train.py --epochs 1

    Each is run three ways: unedited on the CPU, which is the reference; unedited on the NPU, redirected by npu_compat;
    and in its ported form on the NPU. Libraries that are known are run small and on made-up weights; other programs are
    run as they are, in the size that their arguments ask for. A script passes if all ways ran to their end, saved the
    same frames, arrays and weights, printed the same figures, and if on the NPU everything was computed there. No
    script is changed, and no network is used.

    Launch scripts are run by bash and by the launchers that they name (accelerate, torchrun, deepspeed), with 1 and 2
    processes.

    \b
    Exit status: 0 every script passed, or was skipped for what this machine does not have
                 1 a script did not pass, or none was run
                 2 the scripts could not be run
    """
    try:
        with interrupted_once():
            status = _run(paths, tuple(context.meta[_BEHIND]), options)
    except KeyboardInterrupt:
        with suppress(OSError):  # of a terminal that is closed
            click.echo("interrupted", err=True)
        status = 2
    sys.exit(status)


def _run(paths: tuple[str, ...], behind: tuple[str, ...], options: dict[str, Any]) -> int:
    from porter.verify.common_start import common_start
    from porter.verify.progress import Progress
    from porter.verify.scripts import PROCESSES, NothingToVerify, command_line, find_scripts
    from porter.verify.trial_process import CannotStart
    from porter.verify.verification import verify
    from porter.verify.what_it_needs import check_bash, check_torch

    try:
        request = _request(options)
        processes, hardware = sorted(set(options["processes"])), options["hardware"]
        with common_start(request.ways) as common:
            if paths:
                scripts = find_scripts(paths, hardware, processes or PROCESSES, behind, options["skip_others"])
            else:
                scripts = command_line(behind, hardware, processes)
            check_torch()
            check_bash(scripts)
            with Progress(len(scripts), sys.stderr).shown() as progress:
                rows, machines = verify(request, scripts, progress, common)
    except NothingToVerify as error:
        if options["skip_others"] and all(map(os.path.exists, paths)):
            click.echo("no script to verify", err=True)
            return 0
        raise click.UsageError(str(error)) from None
    except CannotStart as error:
        click.echo(f"diffsynth-port verify: {_as_asked(str(error), options)}", err=True)
        return 2
    _tell(rows, machines, options, request.exact)
    return 1 if any(row.failed for row in rows) or not any(row.passed for row in rows) else 0


def _tell(rows: list[Row], machines: dict[str, Any], options: dict[str, Any], exact: bool) -> None:
    """Prints and writes what came of it."""
    from porter.verify import report, table

    settings = {name: options[name] for name in ("device", "memory", "hardware")}
    as_json = report.render(rows, machines, settings)
    colored = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    click.echo(as_json if options["format_"] == "json" else table.render(rows, exact, colored))
    for file in _report_files(options):  # last, since a disk that is full must not cost what the runs came to
        _write(file, _rendered(file, rows, machines, as_json, _given(options)))


def _request(options: dict[str, Any]) -> Request:
    from porter.targets import hardware_lines
    from porter.verify.verification import Request
    from porter.verify.ways import emulated_ways, hardware_ways

    if platform.system() != "Linux":
        raise click.UsageError(f"verify runs on Linux, as torch_npu and its emulator do; this is {platform.system()}")
    emulated = options["device"] == "emulated"
    if options["hardware"] is not None and options["hardware"] not in hardware_lines("npu"):
        known = ", ".join(hardware_lines("npu"))
        raise click.UsageError(f"unknown hardware {options['hardware']!r}; known: {known}")
    if options["memory"] is not None and not emulated:
        raise click.UsageError("--memory is for the emulated NPU; a real one has the memory it has")
    if options["picture"] is not None and os.path.exists(options["picture"]) and not os.path.isdir(options["picture"]):
        raise click.UsageError(f"--picture {options['picture']} is a file; name a folder")
    for file in _report_files(options):
        _check_report(file)
    ways = emulated_ways(options["memory"], options["hardware"]) if emulated else hardware_ways()
    shows = any(file.lower().endswith(".html") for file in options["report"])
    return Request(ways, emulated, options["timeout"], options["picture"], options["hardware"], shows)


def _report_files(options: dict[str, Any]) -> Sequence[str]:
    """Where reports go: as asked, and else for a real card to a file of its own."""
    return options["report"] or ([HARDWARE_REPORT] if options["device"] == "npu" else [])


def _check_report(file: str) -> None:
    """Raises UsageError where the file cannot be written, which is better known before the scripts have run."""
    if not file.lower().endswith(REPORTS):
        raise click.UsageError(f"--report {file}: the name has to end in {' or '.join(REPORTS)}")
    try:
        check_new_file(file)
    except CannotWrite as error:
        raise click.UsageError(f"--report {error}") from None


def _as_asked(message: str, options: dict[str, Any]) -> str:
    """What an emulated NPU says of its settings, by the name that they were given by."""
    return message if options["memory"] is None else message.replace("NPU_EMULATOR_MEMORY=", "--memory ")


def _given(options: dict[str, Any]) -> list[str]:
    """Those of the command's options that a script has to be verified with again to see the same."""
    named = [name for name in ("device", "memory", "hardware") if options[name] not in (None, "emulated")]
    return [word for name in named for word in (f"--{name}", options[name])]


def _rendered(file: str, rows: list[Row], machines: dict[str, Any], as_json: str, options: list[str]) -> str:
    """The report that a file's name asks for."""
    if file.lower().endswith(".json"):
        return as_json + "\n"
    if file.lower().endswith(".html"):
        from porter.verify import page

        return page.render(rows, machines, options)
    from porter.verify import junit_xml as junit

    return junit.render(rows)


def _write(file: str, text: str) -> None:
    try:
        with open(file, "w", encoding="utf-8") as written:
            written.write(text)
    except OSError as error:
        raise click.UsageError(f"--report {file} was not written: {error.strerror}") from None
    click.echo(f"report written to {file}", err=True)
