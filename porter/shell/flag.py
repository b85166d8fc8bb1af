"""An option that launches of some models need on an accelerator: whether one lacks it, and where it goes.

Which series need it is in the tables of the families.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from porter.rules.rule import Rule
from porter.shell.families import Series, all_series, cannot_tell, is_a_stage, kind_of, series_of
from porter.shell.launch import Launch
from porter.shell.script import ShellScript
from porter.shell.script_file import find_script
from porter.shell.script_options import options_of
from porter.shell.split_training import is_to_be_split
from porter.shell.values import HERE, UNKNOWN
from porter.text_unit import TextUnit, replaced
from porter.unit import Found


@dataclass(frozen=True)
class Flag:
    """`--name` for launches that train a model of a series whose table names it."""

    name: str

    def rule(self, code: str, name: str, page: str | None) -> Rule:
        """The rule that adds it, and reports where it cannot."""
        words = ("model_id_with_origin_paths", "model_paths", self.name)
        rule = Rule(code, name, page, words=words, targets=frozenset({"npu"}), language="shell")
        rule.on(Launch)(partial(self._judged, code))
        return rule

    def _judged(self, code: str, launch: Launch, unit: TextUnit[ShellScript]) -> Iterator[Found]:
        if not unit.translation.undoes and not launch.has(self.name) and self._is_wanted(launch):
            yield from self._added_or_reported(code, launch, unit)

    def _is_wanted(self, launch: Launch) -> bool:
        return launch.trains and (cannot_tell(launch) or bool(self._series(launch)))

    def _series(self, launch: Launch) -> list[Series]:
        """The series of the launch that need the option for what it does."""
        is_split, kind = is_a_stage(launch) or is_to_be_split(launch), kind_of(launch)
        found = ((one, one.options[self.name]) for one in series_of(launch) if self.name in one.options)
        return [
            one for one, option in found if (option.split_training or not is_split) and option.trains in (None, kind)
        ]

    def _added_or_reported(self, code: str, launch: Launch, unit: TextUnit[ShellScript]) -> Iterator[Found]:
        command = launch.command
        span = (command.start, command.end)
        severity, obstacle = self._obstacle(launch, unit)
        if cannot_tell(launch):
            if not obstacle:
                way_out = f"add --{self.name} if it is of the {self._either()} series"
                message = "which model is trained is known when the script runs"
                yield unit.report(code, "note", span, message, way_out)
            return
        series = min(one.name for one in self._series(launch))
        if obstacle:
            way_out = f"training the {series} series needs --{self.name} on {unit.translation.new.title}"
            yield unit.report(code, severity, span, f"--{self.name} was not added: {obstacle}", way_out)
            return
        edit = replaced((command.end, command.end), f"{command.separator}--{self.name}")
        message = f"--{self.name} is added for the {series} series"
        yield unit.fix(code, span, message, edit)

    def _either(self) -> str:
        return " or ".join(sorted(one.name for one in all_series() if self.name in one.options))

    def _obstacle(self, launch: Launch, unit: TextUnit[ShellScript]) -> tuple[str, str]:
        """Why the option cannot be added, and how much that weighs; empty if it can."""
        if launch.script is None:
            return "warning", "which script is launched is known when it runs"
        shown = launch.script.replace(UNKNOWN, "...").replace(HERE, ".")
        path = find_script(launch.script, unit.source.path, unit.source.folder_at(launch.command.start))
        if path is None:
            return "warning", f"{shown} was not found, so nothing tells whether it knows the option"
        options = options_of(path)
        option = f"--{self.name}"
        if option in options.valued:
            return "warning", f"{shown} wants a value for it"
        if option in options.named:
            return "", ""
        if not options.is_complete:
            return "warning", f"not all of the parser of {shown} can be read, so nothing tells whether it knows it"
        return "note", f"{shown} does not know it"
