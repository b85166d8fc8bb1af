"""`[tool.diffsynth-port]` in pyproject.toml, and how the options of the command line go over it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from porter.files import relative_to
from porter.settings_keys import CHECKS, described

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

    from porter.analysis.custom.rule_settings import CustomRule
    from porter.rules.rule import Rule

_TABLE = "tool.diffsynth-port"


class SettingsError(Exception):
    """A setting or option cannot be followed; the message names it, what was expected and what was found."""


@dataclass(frozen=True)
class Settings:
    """What a run goes by. Patterns are as in .gitignore, relative to `folder`; rules are codes, names or prefixes.

    `select` None means every rule, `jobs` None one process for each core. `baseline` and `record` are paths as seen
    from the working directory. `per_file_ignores` holds the codes themselves. `unsafe_fixes` None leaves
    the choice to who asks: a port makes them, an editor only on request. `folder` is the working directory or one
    above it.
    """

    target: str | None = None
    hardware: str | None = None
    torch_npu: str | None = None
    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    per_file_ignores: tuple[tuple[str, frozenset[str]], ...] = ()
    jobs: int | None = None
    fail_on: str = "error"
    format: str = "text"
    baseline: str | None = None
    record: str | None = None
    statistics: bool = False
    quiet: bool = False
    unsafe_fixes: bool | None = None
    rules: tuple[CustomRule, ...] = ()
    folder: str = field(default_factory=os.getcwd)

    def overridden_by(self, options: Mapping[str, Any]) -> Settings:
        """The settings under the options of the command line; None, False and () are options not given.

        `select` and `ignore` take the settings' place: `select` also that of their `ignore`, so that a rule asked
        for is run. `exclude` is added. A hardware line of the settings counts only for a target that has it, a
        build of torch_npu for npu.
        """
        changes: dict[str, Any] = {
            name: options[name]
            for name in ("target", "hardware", "jobs", "fail_on", "baseline", "record", "statistics", "quiet")
            if options.get(name)
        }
        if options.get("unsafe_fixes") is not None:
            changes["unsafe_fixes"] = options["unsafe_fixes"]
        if options.get("torch_npu") is not None:  # an empty one is a mistake
            changes["torch_npu"] = options["torch_npu"]
        if options.get("format_"):
            changes["format"] = options["format_"]
        if options.get("select"):
            changes |= {"select": _split(options["select"]), "ignore": ()}
        if options.get("ignore"):
            changes["ignore"] = _split(options["ignore"])
        if options.get("exclude"):
            _check_patterns(options["exclude"], "--exclude: ")
            above = relative_to(self.folder, os.getcwd())
            changes["exclude"] = self.exclude + tuple(_seen_from(above, one) for one in options["exclude"])
        if "target" in changes and "hardware" not in changes:
            from porter.targets import hardware_lines

            changes["hardware"] = self.hardware if self.hardware in hardware_lines(changes["target"]) else None
        if changes.get("target", "npu") != "npu" and "torch_npu" not in changes:
            changes["torch_npu"] = None
        return replace(self, **changes)

    @property
    def what_findings_rest_on(self) -> tuple[object, ...]:
        """Those of the settings that decide what is said about a file."""
        return (self.folder, self.select, self.ignore, self.per_file_ignores)

    def excludes(self, path: str) -> bool:
        """Whether `exclude` leaves a file out."""
        return any(_spec(one).match_file(relative_to(self.folder, path)) for one in self.exclude)

    def ignored_codes(self, path: str) -> frozenset[str]:
        """The rules that `per-file-ignores` leaves out for a file."""
        seen = relative_to(self.folder, path)
        return frozenset(
            code for glob, codes in self.per_file_ignores if _spec(glob).match_file(seen) for code in codes
        )


def load_settings(config: str | None = None, search: bool = True) -> Settings:
    """The settings in the file `config`, or in the nearest pyproject.toml above that has the table.

    The search begins in the working directory. Paths and patterns are relative to the folder of the file that was
    found, but to the working directory where the file was named. Raises SettingsError.
    """
    if config is not None:
        table = _table_of(config)
        if table is None:
            raise SettingsError(f"{config}: there is no [{_TABLE}] in it")
        return _checked(table, config, os.getcwd())
    folder = os.getcwd()
    while search:
        if (found := settings_in(folder)) is not None:
            return found
        if os.path.dirname(folder) == folder:
            break
        folder = os.path.dirname(folder)
    return Settings()


def settings_in(folder: str) -> Settings | None:
    """The settings in a folder's pyproject.toml; None where it has no table of them. Raises SettingsError."""
    path = os.path.join(folder, "pyproject.toml")
    if os.path.isfile(path) and (table := _table_of(path)) is not None:
        return _checked(table, path, folder)
    return None


def selected_codes(
    select: Sequence[str] | None, ignore: Sequence[str], rules: Iterable[Rule], where: str = "--"
) -> frozenset[str]:
    """The codes of the rules that are selected (None: all) and not ignored. Raises SettingsError for unknown ones.

    A rule of an analysis is selected by its name, its code or at least the first digit of it. `where` is put before
    "select" or "ignore" in the message.
    """
    known = tuple(rules)
    selected = {rule.code for rule in known} if select is None else _codes(select, known, f"{where}select")
    named = [one for one in select or () if len(one) > len("DP")]
    selected -= {rule.code for rule in known if rule.analysis and not any(rule.is_named(one) for one in named)}
    return frozenset(selected - _codes(ignore, known, f"{where}ignore"))


def every_rule(own: Sequence[CustomRule]) -> tuple[Rule, ...]:
    """The rules of the tool, and those of the project."""
    from porter.rules import all_rules

    if not own:
        return all_rules()
    from porter.analysis.custom.rules import rule_of

    return (*all_rules(), *map(rule_of, own))


def _own_rules(table: Mapping[str, Any], path: str) -> tuple[CustomRule, ...]:
    if not table:
        return ()
    from porter.analysis.custom.rule_settings import CustomRuleError, read_rules

    try:
        return read_rules(table, f"{path}: [{_TABLE}.rules")
    except CustomRuleError as error:
        raise SettingsError(str(error)) from None


def _codes(wanted: Iterable[str], rules: Sequence[Rule], where: str) -> set[str]:
    codes: set[str] = set()
    for one in wanted:
        found = {rule.code for rule in rules if rule.is_named(one)}
        if not found:
            hint = (
                _nearest_number(one.upper(), rules)
                or _nearest(one.upper(), (rule.code for rule in rules), _ALIKE)
                or _nearest(one.lower(), (rule.name for rule in rules))
                or "; --list-rules names them all"
            )
            raise SettingsError(f'{where}: there is no rule "{one}"{hint}')
        codes |= found
    return codes


def _split(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def _seen_from(above: str, pattern: str) -> str:
    """A pattern relative to the working directory, for a folder from which that is called `above`."""
    bare = pattern.removeprefix("!")
    if above == "." or "/" not in bare.rstrip("/"):
        return pattern
    folder = re.sub(r"([\\*?\[])", r"\\\1", above)
    return f"{'!' if bare != pattern else ''}/{folder}/{bare.lstrip('/')}"


@cache
def _spec(pattern: str) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines([pattern])


def _table_of(path: str) -> Mapping[str, Any] | None:
    """The table in a TOML file. None if it has none; one that never names the tool is not even parsed."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from None
    if b"diffsynth-port" not in data:
        return None
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        content = toml.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from None
    tools = content.get("tool")
    table = tools.get("diffsynth-port") if isinstance(tools, dict) else None
    if table is not None and not isinstance(table, dict):
        raise SettingsError(f"{path}: {_TABLE} should be a table, found {described(table)}")
    return table


def _checked(table: Mapping[str, Any], path: str, folder: str) -> Settings:
    where = f"{path}: [{_TABLE}] "
    for key, value in table.items():
        if key not in CHECKS:
            hint = _nearest(key.replace("_", "-"), CHECKS) or f"; known keys: {', '.join(CHECKS)}"
            raise SettingsError(f'{where}unknown key "{key}"{hint}')
        expected = CHECKS[key](value)
        if expected is not None:
            raise SettingsError(f"{where}{key} should be {expected}, found {described(value)}")
    values: dict[str, Any] = {
        key.replace("-", "_"): tuple(value) if isinstance(value, list) else value for key, value in table.items()
    }
    values["rules"] = _own_rules(values.pop("rules", {}), path)
    per_file = values.pop("per_file_ignores", {})
    if per_file or {"select", "ignore"} & values.keys():
        known = every_rule(values["rules"])
        selected_codes(values.get("select"), values.get("ignore", ()), known, where)
        values["per_file_ignores"] = tuple(
            (glob, frozenset(_codes(rules, known, f'{where}per-file-ignores "{glob}"')))
            for glob, rules in per_file.items()
        )
    _check_patterns((*values.get("exclude", ()), *per_file), where)
    for key in values.keys() & {"baseline", "record"}:
        values[key] = os.path.relpath(os.path.join(folder, values[key]))
    return Settings(**values, folder=folder)


def _check_patterns(patterns: Iterable[str], where: str) -> None:
    for pattern in patterns:
        try:
            _spec(pattern)
        except ValueError:
            raise SettingsError(f'{where}"{pattern}" is not a pattern as in .gitignore') from None


#: The farthest number that may have been meant by another, and how alike codes are: DP9 and DP419 share all of DP9.
_NEAR = 10
_ALIKE = 0.8


def _nearest_number(word: str, rules: Sequence[Rule]) -> str:
    """The rule whose number is nearest to that of a code which is none: DP301 for DP299."""
    if not re.fullmatch(r"DP\d{3}", word):
        return ""
    nearest = min((rule.code for rule in rules), key=lambda code: abs(int(code[2:]) - int(word[2:])))
    return f'; did you mean "{nearest}"?' if abs(int(nearest[2:]) - int(word[2:])) <= _NEAR else ""


def _nearest(word: str, known: Iterable[str], alike: float = 0.6) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), 1, alike)
    return f'; did you mean "{close[0]}"?' if close else ""
