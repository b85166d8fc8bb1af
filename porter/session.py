"""One run of the command: what was asked for, by options and settings, and what it comes to."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from porter import __version__, baseline
from porter.analysis import ANALYSES
from porter.baseline import Baseline
from porter.cache import Cache, cache_file
from porter.changes import diff_of
from porter.definitions import defined_in
from porter.discovery import Input, find_inputs
from porter.documents import port_bytes
from porter.documents.document import CannotPort
from porter.files import CannotWrite, check_new_file, replace_file
from porter.findings import SEVERITIES, Failure, FileReport
from porter.kinds import PYTHON, is_shell_script
from porter.nested_settings import NestedSettings
from porter.port import Plan
from porter.port_file import Job, destination, plan_for
from porter.record_log import Record, RecordError, is_record
from porter.repository import files_above
from porter.runner import run
from porter.settings import Settings, SettingsError, every_rule, load_settings, selected_codes
from porter.shell.npu_script import is_npu_script
from porter.targets import default_hardware, hardware_lines, table
from porter.torch_npu_builds import UnknownBuild, build_for, is_known

if TYPE_CHECKING:
    from porter.analysis.packages.survey import Row
    from porter.reporting.context import RunContext
    from porter.rules.rule import Rule

#: The baseline in the working directory that is used where none is named, if it is there.
DEFAULT_BASELINE = "diffsynth-port-baseline.json"

#: The commands of their own, which are asked for by the first word.
COMMANDS = ("verify", "server")

#: How the names of records end, most often.
_OF_RECORDS = (".json", ".jsonl")

#: By the ending of a report's name, the module of porter.reporting that writes it.
REPORTS = {".html": "report_page", ".md": "report_markdown"}


class Unusable(Exception):
    """The options or settings cannot be followed; the message says which and what to do."""


class Inputs(NamedTuple):
    """The files of a run, and the paths beside them: of files that are of no kind it knows, and of earlier records."""

    files: list[Input]
    others: list[str]
    records: list[str]


@dataclass(frozen=True)
class Session:
    """Everything that one run was asked for."""

    paths: tuple[str, ...]
    settings: Settings
    plan: Plan
    check: bool
    diff: bool
    output: str | None
    exit_zero: bool
    write_baseline: bool
    stdin_filename: str
    npu_scripts: bool = False
    record: Record | None = None
    explains: bool = False
    caches: bool = True
    cache_dir: str | None = None
    surveys: bool = False
    python: str | None = None
    reports: tuple[str, ...] = ()
    nested: NestedSettings | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_command_line(cls, paths: tuple[str, ...], options: dict[str, Any]) -> Session:
        """Options win over settings. Raises Unusable."""
        try:
            settings = load_settings(options["config"], not options["no_config"]).overridden_by(options)
            nested = NestedSettings(settings, options, search=not (options["config"] or options["no_config"]))
            settings = _with_target(settings, nested, paths)
            codes = _codes(settings, options)
        except SettingsError as error:
            raise Unusable(str(error)) from None
        if not paths:
            raise Unusable("no PATHS given; name files or folders, or - for standard input")
        _check_commands(paths)
        if "-" in paths and len(paths) > 1:
            raise Unusable("- (standard input) goes alone")
        if settings.target is None:
            raise Unusable("no target; say --target npu, or set target in [tool.diffsynth-port] of pyproject.toml")
        _check_hardware(settings.target, settings.hardware)
        _check_ignores(settings.target, options)
        _check_analyses(settings.target, options)
        _check_output(paths, options)
        _check_reports(paths, options["reports"])
        if options["source"] and settings.target != "cuda":
            raise Unusable("--from says what to undo; it goes with --target cuda")
        if options["keep_cuda"] and (settings.target == "cuda" or options["npu_scripts"]):
            raise Unusable("--keep-cuda is for a port: it goes neither with --target cuda nor with --npu-scripts")
        if options["explain_skipped"] and (settings.target == "cuda" or options["npu_scripts"]):
            raise Unusable("--explain-skipped is about a port; it goes neither with --target cuda nor --npu-scripts")
        if options["npu_scripts"]:
            _check_npu_scripts(paths, settings.target, options)
        if options["diff"] and settings.format != "text":
            raise Unusable(f"--diff prints a diff, not {settings.format}; say --check, or --format text")
        return cls(
            paths=paths,
            settings=settings,
            plan=_plan(settings, options, codes),
            nested=nested,
            options=options,
            check=options["check"] or options["diff"] or options["write_baseline"],
            diff=options["diff"],
            output=options["output"],
            exit_zero=options["exit_zero"],
            write_baseline=options["write_baseline"],
            stdin_filename=options["stdin_filename"],
            npu_scripts=options["npu_scripts"],
            record=None if options["add_ignores"] else _record(settings, options),  # comments are no port
            explains=options["explain_skipped"],
            caches=not options["no_cache"],
            cache_dir=options["cache_dir"],
            surveys=options["packages"],
            python=options["python"],
            reports=options["reports"],
        )

    @property
    def quiet(self) -> bool:
        return bool(self.settings.quiet)

    @property
    def format(self) -> str:
        return self.settings.format

    @property
    def stand_in(self) -> str | None:
        """That a build of torch_npu which is not known is taken as one that is; None where none is."""
        asked = self.settings.torch_npu
        if asked is None or is_known(asked):
            return None
        return f"torch_npu {asked} is not known; taken as {self.plan.torch_npu}, the last one before it that is"

    @property
    def baseline(self) -> str:
        """The file of accepted findings."""
        return self.settings.baseline or DEFAULT_BASELINE

    def inputs(self) -> Inputs:
        """The files of the run, and those beside them of kinds that are not looked at."""
        found = list(self._found())
        records = [one.path for one in found if self._may_be_a_record(one) and is_record(one.path)]
        others = [one.path for one in found if not one.portable and one.problem is None and one.path not in records]
        if self.output is None:
            return Inputs([one for one in found if one.portable and one.path not in records], others, records)
        files = list(_kept_apart(found, self.output))
        _check_destinations(files, self.output)
        return Inputs(files, others, records)

    def check_named(self, inputs: Inputs) -> None:
        """Raises Unusable where files would be written, and a path of the command line leads to none."""
        for one in inputs.files if not self.check else ():
            if one.inside is None and one.problem is not None and not os.path.isfile(one.path):
                raise Unusable(f"{one.path}: {one.problem}; nothing was written")

    def _may_be_a_record(self, one: Input) -> bool:
        """By its name; where one is needed, whatever else is no file that can be ported."""
        return one.problem is None and (one.path.endswith(_OF_RECORDS) or (self.plan.undoes and not one.portable))

    def not_looked_at(self, inputs: Inputs) -> tuple[str, ...]:
        """The files beside those of the run that name CUDA too; none where the run does not port whole trees."""
        if self.plan.undoes or self.npu_scripts:
            return ()
        from porter.accounting.mentions import file_names_cuda

        naming = (path for path in inputs.others if self.cache.recall(path, "cuda", partial(file_names_cuda, path)))
        return tuple(path.replace(os.sep, "/") for path in naming)

    def _own_plans(self, paths: Iterable[str]) -> dict[str, tuple[Plan, Settings]]:
        """By folder, how its files are ported and their settings, where these are not those of the run.

        Raises Unusable.
        """
        found: dict[str, tuple[Plan, Settings]] = {}
        by_folder: dict[int, tuple[Plan, Settings]] = {}
        for folder in sorted({os.path.dirname(path) for path in paths}) if self.nested is not None else ():
            own = self._above(folder)
            if own:
                if id(own[0]) not in by_folder:
                    by_folder[id(own[0])] = self._own_plan(own[0])
                found[folder] = by_folder[id(own[0])]
        return found

    def _own_plan(self, settings: Settings) -> tuple[Plan, Settings]:
        if settings.target not in (None, self.plan.target) and not self.options["target"]:
            where = os.path.relpath(os.path.join(settings.folder, "pyproject.toml"))
            raise Unusable(
                f"{where}: target is {settings.target}, and the run's is {self.plan.target}; "
                f"port that folder apart by --target {settings.target}, or both by --target {self.plan.target}"
            )
        settings = replace(settings, target=self.plan.target, format=self.settings.format)
        try:
            return _plan(settings, self.options, _codes(settings, self.options)), settings
        except SettingsError as error:
            raise Unusable(str(error)) from None

    def settings_files(self, paths: Iterable[str]) -> set[str]:
        """Where the settings of these files are, or would be."""
        return self.nested.files(map(os.path.dirname, paths)) if self.nested is not None else set()

    def _above(self, folder: str) -> tuple[Settings, ...]:
        """The settings of a folder, those of the run left out, the nearest first. Raises Unusable."""
        try:
            return self.nested.above(folder) if self.nested is not None else ()
        except SettingsError as error:
            raise Unusable(str(error)) from None

    def _found(self) -> Iterator[Input]:
        leave_out = os.path.realpath(self.output) if self.output else None
        exclude, folder = self.settings.exclude, self.settings.folder
        found = find_inputs(self.paths, exclude, folder, every_file=True, leave_out=leave_out)
        if self.npu_scripts:
            found = (one for one in found if one.problem or (is_shell_script(one.path) and not is_npu_script(one.path)))
        elif self.plan.target == "cuda":  # a script that was written for the NPU beside another is none to be undone
            found = (one for one in found if one.inside is None or not is_npu_script(one.path))
        return (one for one in found if not self._is_excluded(one.path))

    def _is_excluded(self, path: str) -> bool:
        own = self._above(os.path.dirname(path))
        return any(settings.excludes(path) for settings in own)

    def reading_records_of(self, inputs: Inputs) -> Session:
        """This run, where it undoes without `--record`, by what lies in the tree as such a record as well."""
        if self.record is None or self.record.file is not None or not self.plan.undoes:
            return self
        above = (one for path in self.paths for one in files_above(path))
        records = (*inputs.records, *filter(is_record, above))
        beside = tuple(dict.fromkeys(map(os.path.realpath, records)))
        return replace(self, record=replace(self.record, beside=beside))

    def run(self, inputs: Sequence[Input]) -> Iterator[FileReport]:
        gc.disable()  # trees are freed by their reference counts; looking for cycles in them costs a third of the time
        job = self._job(self._defined(inputs), (one.path for one in inputs))
        rests_on = _circumstances(job)
        known = [None if one.problem else self.cache.findings(one.path, rests_on(one.path)) for one in inputs]
        left = [one for one, findings in zip(inputs, known, strict=True) if findings is None]
        fresh = run(left, job, self.settings.jobs or _cores())
        for one, findings in zip(inputs, known, strict=True):
            if findings is None:
                report = next(fresh)
                self.cache.keep(one.path, rests_on(one.path), report)
            else:
                report = FileReport(one.path.replace(os.sep, "/"), findings=findings)
            yield report

    def _defined(self, inputs: Sequence[Input]) -> frozenset[str]:
        """What the Python files define that others of them may mean."""
        python = (one.path for one in inputs if one.portable and one.problem is None and one.path.endswith(PYTHON))
        return frozenset().union(*(self.cache.recall(path, "defined", partial(defined_in, path)) for path in python))

    @cached_property
    def cache(self) -> Cache:
        """What earlier runs know, where a run like this one may go by it: one that reports on files in their places."""
        apart = self.plan.undoes or self.npu_scripts or self.explains or self.output is not None
        if apart or not self.caches or not any(map(os.path.isdir, self.paths)):
            return Cache(None)
        return Cache(cache_file(self.cache_dir, self.settings.what_findings_rest_on, self.plan, self.paths))

    def settle(self, reports: Iterable[FileReport]) -> list[FileReport]:
        """The reports, less what the baseline accepts."""
        accepted = self._accepted()
        done = list(reports)
        if self.record is not None and not self.check:
            try:
                self.record.tidy()
            except (RecordError, CannotWrite, OSError) as error:
                raise Unusable(f"{self.settings.record}: the record was not tidied up: {error}") from None
        return self._against_baseline(done, accepted)

    def survey(self, inputs: Inputs) -> tuple[Row, ...] | None:
        """The third-party packages that the files import; None where nobody asked for them. Raises Unusable."""
        if not self.surveys:
            return None
        from porter.analysis.packages.installed import NoPython
        from porter.analysis.packages.survey import survey

        files = [one.path for one in inputs.files if one.problem is None and one.path.endswith(PYTHON)]
        try:
            return tuple(survey(files, self.plan, self.python, self.settings.jobs or _cores()))
        except NoPython as error:
            raise Unusable(str(error)) from None

    def with_packages(self, reports: list[FileReport], packages: tuple[Row, ...] | None) -> list[FileReport]:
        """The reports with what there is to say of packages."""
        if packages is None or self.plan.codes is None:
            return reports
        from porter.analysis.packages.survey import with_findings

        return with_findings(reports, packages, self.plan.codes)

    def port_stream(self, data: bytes) -> tuple[FileReport, bytes]:
        """Standard input. What cannot be ported comes back as it is."""
        try:
            ported = port_bytes(
                self.stdin_filename, data, plan_for(self.stdin_filename, self._job(frozenset(), (self.stdin_filename,)))
            )
        except CannotPort as error:
            return FileReport(self.stdin_filename, failure=Failure(str(error), error.line)), data
        diff = diff_of(self.stdin_filename, data, ported.data) if self.diff else ""
        report = FileReport(self.stdin_filename, ported.data != data, ported.findings, diff=diff)
        return self._against_baseline([report], self._accepted())[0], ported.data

    def render(
        self,
        reports: Sequence[FileReport],
        color: bool,
        not_looked_at: tuple[str, ...] = (),
        packages: tuple[Row, ...] | None = None,
    ) -> str:
        from porter.reporting import render

        return render(self.format, reports, self._context(color, not_looked_at, packages))

    def write_reports(
        self, reports: Sequence[FileReport], not_looked_at: tuple[str, ...], packages: tuple[Row, ...] | None
    ) -> Iterator[str]:
        """Writes each report that was asked for, and gives its name. Raises Unusable."""
        context = self._context(False, not_looked_at, packages)
        for file in self.reports:
            module = import_module(f"porter.reporting.{REPORTS[os.path.splitext(file)[1].lower()]}")
            try:
                replace_file(file, module.render(reports, context).encode("utf-8", "backslashreplace"))
            except (CannotWrite, OSError) as error:
                raise Unusable(f"--report {file}: it was not written: {error}") from None
            yield file

    def _context(self, color: bool, not_looked_at: tuple[str, ...], packages: tuple[Row, ...] | None) -> RunContext:
        from porter.reporting.context import RunContext

        mode = "diff" if self.diff else "check" if self.check else "rewrite"
        return RunContext(
            target=self.plan.target,
            hardware=self.plan.hardware,
            torch_npu=self.plan.torch_npu,
            mode=mode,
            version=__version__,
            statistics=bool(self.settings.statistics),
            quiet=self.quiet,
            color=color,
            npu_scripts=self.npu_scripts,
            adds_ignores=self.plan.adds_ignores,
            explains=self.explains,
            not_looked_at=not_looked_at,
            packages=packages,
            paths=self.paths,
            output=self.output,
            own=self.nested.rules if self.nested is not None else self.settings.rules,
        )

    def exit_status(self, reports: Sequence[FileReport]) -> int:
        """2 if a file could not be done, 1 if something would change or a person is needed, else 0."""
        if self.exit_zero:
            return 0
        if any(report.failure for report in reports):
            return 2
        would_change = self.check and not self.write_baseline and any(report.changed for report in reports)
        worst = SEVERITIES.index(self.settings.fail_on)
        needs_a_person = any(
            SEVERITIES.index(finding.severity) >= worst for report in reports for finding in report.findings
        )
        return int(would_change or needs_a_person)

    def _job(self, defined: frozenset[str], paths: Iterable[str]) -> Job:
        own = self._own_plans(paths)
        flags = frozenset(name for name in defined if ":" in name)
        of_files = partial(replace, classes=defined - flags, flags=flags)
        return Job(
            plan=of_files(self.plan),
            own={folder: (of_files(plan), settings) for folder, (plan, settings) in own.items()},
            writes=not self.check,
            diff=self.diff,
            output=self.output,
            npu_scripts=self.npu_scripts,
            record=self.record,
            ignored_codes=self.settings.ignored_codes if self.settings.per_file_ignores else None,
            explains=self.explains,
        )

    def _accepted(self) -> Baseline | None:
        """What the baseline holds, if there is one; asked for before any file is written."""
        if self.write_baseline or (self.settings.baseline is None and not os.path.exists(self.baseline)):
            return None
        try:
            return baseline.load(self.baseline)
        except baseline.BaselineError as error:
            raise Unusable(str(error)) from None

    def _against_baseline(self, reports: list[FileReport], accepted: Baseline | None) -> list[FileReport]:
        if self.write_baseline:
            try:
                baseline.write(self.baseline, reports)
                accepted = baseline.load(self.baseline)
            except baseline.BaselineError as error:
                raise Unusable(str(error)) from None
        if accepted is None:
            return reports
        return [replace(report, findings=baseline.new_findings(report, accepted)) for report in reports]


def _circumstances(job: Job) -> Callable[[str], str]:
    """What findings in a file rest on beside the file and the run: what other files define, settings of its own."""
    defined = ",".join(sorted(job.plan.classes | job.plan.flags))
    own = {
        folder: f"{defined} {replace(plan, classes=frozenset(), flags=frozenset())} {settings.what_findings_rest_on}"
        for folder, (plan, settings) in job.own.items()
    }
    return lambda path: own.get(os.path.dirname(path), defined) if own else defined


def rules_of(options: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Every rule, and those of the project that the command is given in. Raises Unusable."""
    try:
        return every_rule(load_settings(options["config"], not options["no_config"]).rules)
    except SettingsError as error:
        raise Unusable(str(error)) from None


def _with_target(settings: Settings, nested: NestedSettings, paths: Iterable[str]) -> Settings:
    """The settings of the run; where they name no target, it is that of the first path whose own settings do."""
    if settings.target is not None:
        return settings
    own = (nested.above(path if os.path.isdir(path) else os.path.dirname(path)) for path in paths if path != "-")
    named = next((one[0] for one in own if one and one[0].target), None)
    return settings if named is None else replace(settings, target=named.target)


def _plan(settings: Settings, options: Mapping[str, Any], codes: frozenset[str] | None) -> Plan:
    """How a file with these settings is ported. Raises Unusable."""
    target = str(settings.target)
    return Plan(
        target=target,
        hardware=settings.hardware or default_hardware(target),
        codes=codes,
        source=options["source"],
        torch_npu=_known_torch_npu(target, settings.torch_npu),
        keep_cuda=options["keep_cuda"],
        applies=options["apply_affinity"],
        own=settings.rules,
        shows_edits=settings.format in ("json", "sarif"),
        unsafe=settings.unsafe_fixes is not False,
        fixes_ignores=options["fix_unused_ignores"],
        adds_ignores=options["add_ignores"],
    )


def _codes(settings: Settings, options: Mapping[str, Any]) -> frozenset[str] | None:
    """Of the rules selected and those of the analyses asked for; None for the usual ones. Raises SettingsError."""
    asked = [name for name in ANALYSES if options[name.replace("-", "_")]]
    if options["apply_affinity"] and "affinity" not in asked:
        asked.append("affinity")
    if settings.select is None and not settings.ignore and not asked and not settings.rules:
        return None
    rules = every_rule(settings.rules)
    codes = selected_codes(settings.select, settings.ignore, rules)
    also = [ANALYSES[name][1] for name in asked]
    if settings.select is None:
        also += [own.code for own in settings.rules]
    return codes | selected_codes(also, settings.ignore, rules) if also else codes


def _check_analyses(target: str, options: dict[str, Any]) -> None:
    for name in ("affinity", "apply_affinity", "dynamic_shapes"):
        if options[name] and target != "npu":
            raise Unusable(f"--{name.replace('_', '-')} is about Ascend NPUs; it goes with --target npu, not {target}")
    if options["apply_affinity"] and options["keep_cuda"]:
        raise Unusable("--apply-affinity writes calls of torch_npu, which a program that keeps CUDA cannot have")
    if options["packages"] and (target == "cuda" or options["npu_scripts"]):
        raise Unusable("--packages is about a port; it goes neither with --target cuda nor with --npu-scripts")
    if options["python"] and not options["packages"]:
        raise Unusable("--python says where packages are installed; it goes with --packages")


def _check_ignores(target: str, options: dict[str, Any]) -> None:
    for name in ("add_ignores", "fix_unused_ignores"):
        option = f"--{name.replace('_', '-')}"
        if options[name] and (target == "cuda" or options["npu_scripts"] or options["write_baseline"]):
            others = "--target cuda, --npu-scripts and --write-baseline"
            raise Unusable(f"{option} is about the comments of sources; it goes with none of {others}")
    if options["add_ignores"]:
        for name in ("keep_cuda", "apply_affinity", "explain_skipped", "fix_unused_ignores", "record"):
            if options[name]:
                raise Unusable(f"--add-ignores ports nothing; it does not go with --{name.replace('_', '-')}")


def _check_commands(paths: tuple[str, ...]) -> None:
    """A command that is misspelt, or does not come first, is no path."""
    if paths and not os.path.lexists(paths[0]):
        from difflib import get_close_matches

        for meant in get_close_matches(paths[0], COMMANDS, 1):
            raise Unusable(
                f"{paths[0]}: no such file or folder; did you mean the command {meant}? "
                f"It comes before all else: diffsynth-port {meant} --help"
            )


def _check_hardware(target: str, hardware: str | None) -> None:
    lines = hardware_lines(target)
    if hardware is not None and hardware not in lines:
        known = ", ".join(lines) if lines else f"none: {target} has no hardware lines, only npu has"
        raise Unusable(f"unknown hardware {hardware!r} for target {target}; known: {known}")


def _record(settings: Settings, options: dict[str, Any]) -> Record | None:
    if options["no_record"]:
        if options["record"]:
            raise Unusable("--record and --no-record exclude each other")
        return None
    record = Record(settings.record)
    try:
        record.check(must_exist=settings.target == "cuda")
    except RecordError as error:
        raise Unusable(str(error)) from None
    return record


def _known_torch_npu(target: str, asked: str | None) -> str | None:
    """The known build that is meant; None for the newest."""
    if asked is not None and target != "npu":
        raise Unusable(f"--torch-npu says which torch_npu to port to; it goes with --target npu, not {target}")
    try:
        return build_for(asked) if asked is not None else None
    except UnknownBuild as error:
        raise Unusable(str(error)) from None


def _check_output(paths: tuple[str, ...], options: dict[str, Any]) -> None:
    output = options["output"]
    if output is None:
        return
    if options["check"] or options["diff"] or options["write_baseline"] or paths == ("-",):
        raise Unusable("--output writes files; it does not go with --check, --diff, --write-baseline or -")
    for path in paths:
        if os.path.realpath(path) == os.path.realpath(output):
            raise Unusable(f"--output {output} is the input itself; name another folder, or leave --output out")
    if os.path.exists(output) and not os.path.isdir(output):
        raise Unusable(f"--output {output} is a file; name a folder")


def _check_reports(paths: tuple[str, ...], reports: tuple[str, ...]) -> None:
    for file in reports:
        if os.path.splitext(file)[1].lower() not in REPORTS:
            for_programs = "; for programs, --format json (or sarif, junit) prints what they read"
            raise Unusable(f"--report {file}: the name has to end in {' or '.join(REPORTS)}{for_programs}")
        if paths == ("-",):
            raise Unusable("--report is about files; it does not go with - (standard input)")
        try:
            check_new_file(file)
        except CannotWrite as error:
            raise Unusable(f"--report {error}") from None


def _check_npu_scripts(paths: tuple[str, ...], target: str, options: dict[str, Any]) -> None:
    if target != "npu":
        raise Unusable(f"--npu-scripts writes scripts for the NPU; it goes with --target npu, not {target}")
    if options["output"] or options["write_baseline"] or paths == ("-",):
        raise Unusable("--npu-scripts writes beside the scripts; it does not go with --output, --write-baseline or -")
    for path in paths:
        if os.path.isfile(path) and not is_shell_script(path):
            raise Unusable(f"--npu-scripts is for shell scripts; {path} is none; name launch scripts or folders")


def _kept_apart(inputs: Iterable[Input], output: str) -> Iterator[Input]:
    """The inputs; one whose copy would overwrite that of another is none to be done."""
    taken: dict[str, str] = {}
    for one in inputs:
        first = taken.setdefault(destination(one, output), one.path)
        if first == one.path:
            yield one
        else:
            yield replace(one, problem=f"its copy would overwrite that of {first}; name another --output for it")


def _check_destinations(inputs: Sequence[Input], output: str) -> None:
    """No copy may go where an input is, which would be its own place or another one's."""
    paths = {os.path.realpath(one.path) for one in inputs}
    for one in inputs:
        if one.problem is None and os.path.realpath(target := destination(one, output)) in paths:
            raise Unusable(f"--output {output}: the copy of {one.path} would replace {target}; name another folder")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_verified(target: str) -> bool:
    """Whether the target's table was checked against the accelerator's own documentation."""
    return target == "cuda" or bool(table(target)["verified"])
