"""An option that launches of some models need on an accelerator: whether one lacks it, and where it goes.

Which series of models a launch trains is told from the model ids on its command line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from porter.shell.launch import Launch
from porter.shell.script import ShellScript
from porter.shell.script_file import find_script
from porter.shell.script_options import options_of
from porter.shell.values import HERE, UNKNOWN
from porter.text_unit import TextUnit, replaced
from porter.unit import Found

WAN_14B, QWEN_IMAGE, Z_IMAGE = "Wan 14B", "Qwen-Image", "Z-Image"

#: A model id or path belongs to the series whose pattern it holds.
_SERIES = {
    WAN_14B: re.compile(r"(?<![a-z])wan(?![a-z]).*(?<!\d)14b(?![a-z])", re.IGNORECASE),
    QWEN_IMAGE: re.compile(r"(?<![a-z])qwen[-_]?image(?![a-z])", re.IGNORECASE),
    Z_IMAGE: re.compile(r"(?<![a-z])z[-_]image(?![a-z])", re.IGNORECASE),
}

#: What is next to the model that is trained, and often another family's: text encoders, VAEs, tokenizers.
_BESIDE = re.compile(
    r"(?:^|/)(?:text_encoder|vae|tokenizer|processor|image_encoder|google|models_t5|models_clip|wav2vec)|vae\.",
    re.IGNORECASE,
)

_SPLIT_TASK = re.compile(r".*:(?:data_process|train)")


@dataclass(frozen=True)
class Flag:
    """`--name` for launches that train a model of one of `series`. Split training may do without."""

    name: str
    series: frozenset[str]
    in_split_training: bool = True

    def judged(self, code: str, launch: Launch, unit: TextUnit[ShellScript]) -> Iterator[Found]:
        """What a rule with this code has to say of a launch."""
        if not unit.translation.undoes and not launch.has(self.name) and self._is_wanted(launch):
            yield from self._added_or_reported(code, launch, unit)

    def _is_wanted(self, launch: Launch) -> bool:
        if not launch.trains or (not self.in_split_training and _SPLIT_TASK.fullmatch(launch.argument("task") or "")):
            return False
        return cannot_tell(launch) or not self.series.isdisjoint(series_of(launch))

    def _added_or_reported(self, code: str, launch: Launch, unit: TextUnit[ShellScript]) -> Iterator[Found]:
        command = launch.command
        span = (command.start, command.end)
        severity, obstacle = self._obstacle(launch, unit)
        if cannot_tell(launch):
            if not obstacle:
                way_out = f"add --{self.name} if it is of the {_either(self.series)} series"
                message = "which model is trained is known when the script runs"
                yield unit.report(code, "note", span, message, way_out)
            return
        series = min(self.series & series_of(launch))
        if obstacle:
            way_out = f"training the {series} series needs --{self.name} on {unit.translation.new.title}"
            yield unit.report(code, severity, span, f"--{self.name} was not added: {obstacle}", way_out)
            return
        edit = replaced((command.end, command.end), f"{command.separator}--{self.name}")
        message = f"--{self.name} is added for the {series} series"
        yield unit.fix(code, span, message, edit)

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


def _either(series: frozenset[str]) -> str:
    return " or ".join(sorted(series))


def series_of(launch: Launch) -> set[str]:
    """The series of the models that are trained."""
    return {name for model in _models(launch) for name, pattern in _SERIES.items() if pattern.search(model)}


def cannot_tell(launch: Launch) -> bool:
    """Whether the models depend on what only a run can tell, such as an argument of the script."""
    return not series_of(launch) and any(UNKNOWN in value.partition(":")[0] for value in _ids(launch))


def _ids(launch: Launch) -> Iterator[str]:
    """`--model_id_with_origin_paths ID:PATTERN,ID:PATTERN`."""
    yield from (launch.argument("model_id_with_origin_paths") or "").split(",")


def _models(launch: Launch) -> Iterator[str]:
    """The ids and paths of what is trained."""
    for entry in _ids(launch):
        model, _, pattern = entry.partition(":")
        if not _BESIDE.search(pattern):
            yield model
    for path in re.findall(r"[^\s\[\]\"',]+", launch.argument("model_paths") or ""):
        folder, _, name = path.rpartition("/")
        if not _BESIDE.search(name) and not _BESIDE.search(folder.rpartition("/")[2]):
            yield path
