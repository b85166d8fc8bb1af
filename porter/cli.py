"""The command line. What is not needed to print the version or the help is imported only where it is used."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from porter import __version__
from porter.tables import target_names

if TYPE_CHECKING:
    from porter.session import Session

TARGETS = target_names()
FORMATS = ("text", "json", "sarif", "github", "gitlab", "junit")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="diffsynth-port")
@click.argument("paths", nargs=-1, metavar="PATHS...")
@click.option("--target", type=click.Choice((*TARGETS, "cuda")), help="The accelerator to port to; cuda undoes a port.")
@click.option("--from", "source", type=click.Choice(TARGETS), help="The accelerator whose port to undo (default: npu).")
@click.option("--hardware", metavar="LINE", help="Ascend product line: atlas-a2 (default), atlas-a3, ascend-950dt, ...")
@click.option("--torch-npu", metavar="VERSION", help="The build of torch_npu to port to (default: the newest known).")
@click.option(
    "--keep-cuda", is_flag=True, help="Port so that the program still runs on CUDA: it asks torch for the device."
)
@click.option("--check", is_flag=True, help="Change nothing; exit with 1 if something would change.")
@click.option("--diff", is_flag=True, help="Like --check, and print what would change as a unified diff.")
@click.option("--watch", is_flag=True, help="Run again after every change, until Ctrl-C.")
@click.option("--output", metavar="DIR", help="Write a ported copy of the tree here and leave the originals alone.")
@click.option("--npu-scripts", is_flag=True,
              help="Leave all files as they are; write special/npu_training/*-NPU.sh for launch scripts.")  # fmt: skip
@click.option("--unsafe-fixes/--no-unsafe-fixes", default=None,
              help="Make changes that may not be meant, too (the default), or leave them as findings.")  # fmt: skip
@click.option("--affinity", is_flag=True, help="Also report what the NPU has a faster, fused form for.")
@click.option("--apply-affinity", is_flag=True, help="Write the fused forms; results differ by rounding.")
@click.option(
    "--dynamic-shapes", is_flag=True, help="Also report what makes the NPU wait for the host or compile anew."
)
@click.option("--packages", is_flag=True, help="Also tell which packages are imported, and what they call of CUDA.")
@click.option("--python", metavar="PATH", help="The Python whose packages --packages looks at (default: this one).")
@click.option("--select", multiple=True, metavar="RULES", help="Only these rules: codes, names or prefixes (DP1).")
@click.option("--ignore", multiple=True, metavar="RULES", help="Not these rules.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave out files that match, as in .gitignore.")
@click.option("--add-ignores", is_flag=True,
              help="Port nothing; write ignore comments where there is a finding left to a person.")  # fmt: skip
@click.option("--fix-unused-ignores", is_flag=True, help="Also take out ignore comments that ignore nothing.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Processes to use; by default one for each core.")
@click.option("--explain-skipped", is_flag=True, help="List the lines that name CUDA and were passed over, and why.")
@click.option("-q", "--quiet", is_flag=True, default=None, help="Print errors only.")
@click.option("--statistics", is_flag=True, default=None, help="Count the findings of each rule.")
@click.option(
    "--format",
    "--output-format",
    "format_",
    type=click.Choice(FORMATS),
    help="How to print the findings (default: text).",
)
@click.option("--report", "reports", multiple=True, metavar="FILE",
              help="Also write a report to plan the port by, .html or .md by its ending; may be repeated.")  # fmt: skip
@click.option("--fail-on", type=click.Choice(["error", "warning", "note"]), help="Mildest finding that fails the run.")
@click.option("--exit-zero", is_flag=True, help="Exit with 0 whatever was found.")
@click.option("--baseline", metavar="FILE", help="Report only findings that are not in this file.")
@click.option("--write-baseline", is_flag=True, help="Accept today's findings: write them to the baseline.")
@click.option("--record", metavar="FILE", help="Keep what changed in this file, to be committed, and undo by it.")
@click.option("--no-record", is_flag=True, help="Neither keep what changed nor undo by it.")
@click.option("--no-cache", is_flag=True, help="Look at every file anew, and remember nothing.")
@click.option(
    "--cache-dir",
    metavar="DIR",
    envvar="DIFFSYNTH_PORT_CACHE_DIR",
    help="Where runs remember files with nothing to change.",
)
@click.option("--stdin-filename", metavar="NAME", default="stdin.py", help="What standard input (-) is called.")
@click.option("--config", metavar="FILE", help="The pyproject.toml to read; by default the nearest one above.")
@click.option("--no-config", is_flag=True, help="Read no pyproject.toml.")
@click.option("--list-rules", is_flag=True, help="Print every rule, the project's own too, and exit.")
@click.option("--explain", metavar="RULE", help="Print a rule's page and exit.")
def command(paths: tuple[str, ...], **options: Any) -> None:
    """Rewrite PyTorch programs written for CUDA so that they run on another accelerator.

    PATHS are Python files, notebooks, Markdown, shell scripts, configurations (YAML, JSON, TOML), lists of packages,
    Dockerfiles, Makefiles, folders of them, or - for standard input. Files are rewritten in place unless --check,
    --diff, --output or --npu-scripts says otherwise; what cannot be ported is reported.

    `diffsynth-port verify PATHS...` runs scripts and their ported forms, and tells whether they make the same frames
    (diffsynth-port verify --help). `diffsynth-port server` is a language server for editors.

    \b
    Exit status: 0 nothing left to do
                 1 something would change (--check, --diff), or an error needs a person
                 2 something could not be done
    """
    sys.exit(_run(paths, options))


def _run(paths: tuple[str, ...], options: dict[str, Any]) -> int:
    from porter.session import Session, Unusable, is_verified

    try:
        if options["list_rules"] or options["explain"] is not None:
            return _tell_of_rules(options)
        if options["watch"]:
            from porter.watching import watch

            return watch(paths, options)
        session = Session.from_command_line(paths, options)
        if not is_verified(session.plan.target) and not session.quiet:
            click.echo(f"note: the table of {session.plan.target} is unverified; nobody has tried it there", err=True)
        if session.stand_in is not None and not session.quiet:
            click.echo(f"note: {session.stand_in}", err=True)
        return _port_stdin(session) if paths == ("-",) else _port_files(session)
    except Unusable as error:
        raise click.UsageError(str(error)) from None
    except KeyboardInterrupt:
        click.echo("interrupted; every file is as it was or ported, none in between", err=True)
        return 2


def _tell_of_rules(options: dict[str, Any]) -> int:
    """The list of the rules, those of the project's settings too, or the page of one."""
    from porter.session import rules_of

    rules, wanted = rules_of(options), options["explain"]
    if wanted is None:
        for rule in rules:
            click.echo(f"{rule.code}  {rule.name:24}{'rewrites' if rule.fixes else 'reports':10}{rule.summary}")
        return 0
    for rule in rules:
        if wanted.lower() in (rule.code.lower(), rule.name):
            click.echo(rule.explanation)
            return 0
    raise click.BadParameter(f"no rule is called {wanted!r}; --list-rules names them all", param_hint="'--explain'")


def _port_files(session: Session) -> int:
    inputs = session.inputs()
    session.check_named(inputs)
    packages = session.survey(inputs)  # before anything is written, since it may find that it cannot
    session = session.reading_records_of(inputs)
    results = session.run(inputs.files)
    if sys.stderr.isatty() and not session.quiet and session.format == "text":
        with click.progressbar(results, len(inputs.files), label="Porting", file=sys.stderr) as bar:
            reports = session.settle(bar)
    else:
        reports = session.settle(results)
    reports = session.with_packages(reports, packages)
    for report in reports:
        if report.diff:
            _print_diff(report.diff)
    colored = _colored(sys.stderr if session.diff else sys.stdout)
    not_looked_at = session.not_looked_at(inputs)
    text = session.render(reports, colored, not_looked_at, packages)
    session.cache.save()
    if text:
        click.echo(text, err=session.diff, color=colored or None)
    for file in session.write_reports(reports, not_looked_at, packages):
        click.echo(f"report written to {file}", err=True)
    if session.write_baseline and not session.quiet:
        click.echo(f"{session.baseline}: today's findings are accepted; delete it to see them again", err=True)
    return session.exit_status(reports)


def _port_stdin(session: Session) -> int:
    """Standard input to standard output; what there is to say goes to standard error, unless there is no output."""
    report, data = session.port_stream(sys.stdin.buffer.read())
    if session.diff:
        _print_diff(report.diff)
    elif not session.check:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    to_stderr = session.diff or not session.check
    colored = _colored(sys.stderr if to_stderr else sys.stdout)
    text = session.render([report], color=colored)
    if text:
        click.echo(text, err=to_stderr, color=colored or None)
    return session.exit_status([report])


def _print_diff(diff: str) -> None:
    colors = {"+": "green", "-": "red", "@": "cyan"}
    for line in diff.splitlines(keepends=True):
        if _colored(sys.stdout):
            heading = line.startswith(("+++", "---"))
            line = click.style(line, fg=None if heading else colors.get(line[0]), bold=heading or None)
        click.echo(line, nl=False, color=_colored(sys.stdout) or None)


def _colored(stream: Any) -> bool:
    """NO_COLOR wins over FORCE_COLOR, and both over what the stream is; an empty value counts as none."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or bool(stream.isatty())


def main() -> None:
    """The entry point of `diffsynth-port`. Files called `verify` or `server` are ported as ./verify, ./server."""
    try:
        os.getcwd()
    except OSError as error:
        click.echo(
            f"diffsynth-port: the current folder is gone or cannot be read ({error.strerror}): cd to one that is there",
            err=True,
        )
        sys.exit(2)
    if sys.argv[1:2] == ["verify"]:
        from porter.verify.verify_command import verify

        verify(sys.argv[2:], prog_name="diffsynth-port verify")
    if sys.argv[1:2] == ["server"]:
        from porter.language_server.server_command import server

        server(sys.argv[2:], prog_name="diffsynth-port server")
    try:
        command(prog_name="diffsynth-port")
    except SystemExit as ended:
        _end_at_once(ended)


def _end_at_once(ended: SystemExit) -> None:
    """Everything is written and closed; to take libcst down module by module would take as long as 50 files do."""
    if not isinstance(ended.code, int):
        raise ended
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended.code)
