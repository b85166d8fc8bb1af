"""A launch script with all that it runs, laid out in a folder of its own, in one of its two forms.

    where it is run from/           ->   FOLDER/
      examples/wan/train.py                examples/wan/train.py              ported too
      examples/wan/full/14B.sh             examples/wan/full/14B.sh
      examples/wan/full/zero2.yaml         examples/wan/full/zero2.yaml

A launch script is written to be run from one folder, the root of its project as a rule: the one from which what it
launches is found.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from porter.discovery import find_inputs
from porter.documents.document import CannotPort, byte_order_mark, decode
from porter.shell.launch import Launch, named
from porter.shell.script import ShellScript
from porter.shell.script_file import find_script, folders_above
from porter.shell.values import HERE, UNKNOWN
from porter.source import CannotParse
from porter.verify.launch_processes import processes_of
from porter.verify.project_modules import project_modules

#: Kinds of files that a training runs or reads as its settings.
_KINDS = (".py", ".sh", ".bash", ".yaml", ".yml", ".json")
_LARGEST = 2**20

#: Launchers whose script has to be there; of others (`python -m pip`) that cannot be told.
_LAUNCHERS = ("accelerate", "torchrun", "deepspeed")

Forms = Callable[[str, bytes], tuple[bytes, bytes]]


class CannotLayOut(Exception):
    """The launch script cannot be run in a folder of its own; the message says why."""


@dataclass(frozen=True)
class LaunchTree:
    """What a launch script needs.

    Attributes:
        script: its path; `root` is the folder that it is run from. Both absolute.
        scripts, configs: the files that it launches and the accelerate configs that it names, as far as its text says.
        launchers: what launches them.
        by_deepspeed: whether a launch is made by DeepSpeed, by its own launcher, a flag or a config.
        processes: of the launch that asks for most, as far as the text says; None where each is one by itself.
        data: the script's own bytes: it need not be a file.
    """

    script: str
    root: str
    scripts: tuple[str, ...]
    configs: tuple[str, ...]
    launchers: frozenset[str]
    by_deepspeed: bool
    processes: int | None
    data: bytes

    def lay_out(self, folder: Path, form: int, forms: Forms) -> str:
        """Copies it all, as form 0 (cuda) or 1 (ported) of what `forms` gives. Returns where the script lies there."""
        for path in sorted(self._files()):
            place = folder / self._place(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(forms(path, self.data if path == self.script else _read(path))[form])
        return self._place(self.script)

    def _files(self) -> set[str]:
        """The script and its neighbours, the configs and theirs, whatever lies below a launched script, and what of its
        project that imports."""
        beside = {os.path.dirname(path) for path in (self.script, *self.configs)}
        below = {os.path.dirname(path) for path in self.scripts}
        found = {os.path.join(folder, name) for folder in beside for name in os.listdir(folder) if _is_kind(name)}
        for one in find_inputs(sorted(below), every_file=True):
            if one.problem is None and _is_kind(one.path):
                found.add(os.path.abspath(one.path))
        found.update(path for one in self.scripts for path in project_modules(one, _read(one)).files)
        small = {path for path in found if os.path.isfile(path) and os.path.getsize(path) <= _LARGEST}
        return small | {self.script}

    def _place(self, path: str) -> str:
        """Relative to the laid out folder; what lies elsewhere than below the root goes into `outside`."""
        relative = os.path.relpath(path, self.root)
        return os.path.join("outside", path.lstrip(os.sep)) if relative.startswith(os.pardir) else relative


def launch_tree(path: str, data: bytes) -> LaunchTree:
    """What a launch script needs. Raises CannotLayOut."""
    try:
        script = ShellScript(decode(data, byte_order_mark(data)), path)
    except (CannotPort, CannotParse) as error:
        raise CannotLayOut(str(error)) from None
    own, root = os.path.abspath(path), _root(script)
    scripts = tuple(dict.fromkeys(found for launch in script.launches if (found := _script_of(launch, script))))
    if not scripts:
        raise CannotLayOut("it launches no Python script by python, torchrun, accelerate or deepspeed")
    configs = tuple(dict.fromkeys(found for launch in script.launches for found in _configs_of(launch, root, script)))
    by_deepspeed = any(map(_is_by_deepspeed, script.launches)) or any(map(_is_for_deepspeed, configs))
    asked = [
        processes_of(launch, lambda path: find_script(path, own))
        for launch in script.launches
        if launch.launcher in _LAUNCHERS
    ]
    launchers = frozenset(launch.launcher for launch in script.launches)
    return LaunchTree(own, root, scripts, configs, launchers, by_deepspeed, max(asked, default=None), data)


def _script_of(launch: Launch, script: ShellScript) -> str | None:
    """The file that is launched. Raises CannotLayOut where accelerate could not find it either."""
    found = launch.script and find_script(launch.script, script.path, script.folder_at(launch.command.start))
    if found:
        return os.path.abspath(found)
    if launch.script and launch.launcher in _LAUNCHERS:
        shown = launch.script.replace(UNKNOWN, "...").replace(HERE, ".")
        raise CannotLayOut(f"it launches {shown}, found neither from here nor from a folder above the script")
    return None


def _configs_of(launch: Launch, root: str, script: ShellScript) -> Iterator[str]:
    folder = script.folder_at(launch.command.start)
    for name, value in named(launch.options):
        if name == "config_file" and value:
            found = find_script(value, script.path, folder) or find_script(os.path.join(root, value), script.path)
            if found is not None:
                yield os.path.abspath(found)


def _is_by_deepspeed(launch: Launch) -> bool:
    return launch.launcher == "deepspeed" or any(name == "use_deepspeed" for name, _ in named(launch.options))


def _is_for_deepspeed(config: str) -> bool:
    import yaml

    with open(config, encoding="utf-8") as file:
        try:
            settings = yaml.safe_load(file)
        except yaml.YAMLError:
            return False  # accelerate says what is wrong with it
    return isinstance(settings, dict) and settings.get("distributed_type") == "DEEPSPEED"


def _root(script: ShellScript) -> str:
    """The folder from which all that is launched is found; that of its project if the script knows its own way."""
    own = os.path.abspath(script.path)
    bases = [os.getcwd(), *folders_above(os.path.dirname(own))]
    wanted = [
        (script.folder_at(launch.command.start).lstrip(UNKNOWN + HERE + os.sep), launch.script)
        for launch in script.launches
        if launch.script is not None and not launch.script.startswith((UNKNOWN, HERE, os.sep))
    ]
    for base in bases:
        if wanted and all(any(os.path.isfile(os.path.join(base, cd, one)) for cd in (cd, "")) for cd, one in wanted):
            return base
    return bases[0] if os.path.commonpath([bases[0], own]) == bases[0] else bases[-1]


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _is_kind(name: str) -> bool:
    return name.lower().endswith(_KINDS)
