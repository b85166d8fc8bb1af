"""The scripts to verify, each in its CUDA form and in its ported form.

A script that runs a pipeline is verified once. A launch script is verified with each number of processes.
"""

from __future__ import annotations

import ast
import glob
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from porter.discovery import Input, find_inputs
from porter.documents import port_bytes
from porter.documents.document import CannotPort
from porter.kinds import ENDINGS, is_shell_script
from porter.port import NAMES_BOTH, Plan
from porter.port_file import destination
from porter.syntax_tree import syntax_tree
from script_trial.known_adapters import libraries

if TYPE_CHECKING:
    from porter.verify.launch_tree import LaunchTree

#: What a module that is imported by scripts consists of.
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BESIDE_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.Expr)

#: As what a command that launches something is laid out.
COMMAND_LINE = "command-line.sh"

#: In a script that works on several devices by itself: it starts processes for them, or numbers them.
_SEVERAL_DEVICES = re.compile(rb"multiprocessing|\bspawn\(|\b(?:cuda|npu):[1-9]")

#: Where a script writes that all ways of it would write to at once: fixed names among temporary files.
_SHARED = re.compile(rb"/tmp\b|\bgettempdir\b|\bTMPDIR\b")

#: Numbers of processes that launch scripts are run with.
PROCESSES = (1, 2)


class NothingToVerify(Exception):
    """The paths lead to no script; the message says what is missing."""


class NotTwoForms(Exception):
    """A file has not both forms; the message says why."""


@dataclass(frozen=True)
class Script:
    """A script: `cuda` and `ported` are its two forms, of which it is one itself. `problem` is why it has not both.

    `arguments` are those of its command line. `processes` is for a launch script, and `command` for one that is no file
    but a command. `skipped` is why it cannot be run on this machine, which says nothing about it.
    """

    path: str
    inside: str | None
    cuda: bytes = b""
    ported: bytes = b""
    problem: str | None = None
    arguments: tuple[str, ...] = ()
    processes: int | None = None
    command: str | None = None
    skipped: str | None = None

    @property
    def shown(self) -> str:
        path = self.command or shlex.join([self.path.replace(os.sep, "/"), *self.arguments])
        if self.processes is None:
            return path
        return f"{path} ({self.processes} {'process' if self.processes == 1 else 'processes'})"

    @property
    def devices_told(self) -> int:
        """How many a script that is run by itself is told of, in every way the same."""
        return 2 if _SEVERAL_DEVICES.search(self.cuda) else 1

    @property
    def repeat(self) -> str:
        """The command that verifies this script alone."""
        if self.command is not None:
            return f"diffsynth-port verify -- {self.command}"
        how = [] if self.processes is None else ["--processes", str(self.processes)]
        behind = ["--", *self.arguments] if self.arguments else []
        return shlex.join(["diffsynth-port", "verify", *how, self.path.replace(os.sep, "/"), *behind])

    def place_in(self, folder: str, ending: str) -> str:
        """Where something about the script goes below a folder: its own place in its tree, with another ending."""
        return os.path.splitext(destination(Input(self.path, self.inside), folder))[0] + ending


def find_scripts(
    paths: Iterable[str],
    hardware: str | None,
    processes: Sequence[int] = PROCESSES,
    arguments: Sequence[str] = (),
    skip_others: bool = False,
) -> list[Script]:
    """The scripts in the order of their paths, each to be run with these arguments. Raises NothingToVerify.

    With `skip_others` a file that is named is taken only where it would be found in its folder.
    """
    paths = list(paths)
    scripts: list[Script] = []
    inputs = list(find_inputs(paths))
    if skip_others:
        inputs = [replace(one, inside=one.inside or os.path.dirname(one.path) or ".") for one in inputs]
    launched: set[str] = set()
    for found in inputs:
        if found.problem is not None:
            raise NothingToVerify(f"{found.path}: {found.problem}")
        is_launch = is_shell_script(found.path)
        if found.inside is not None and not (is_launch or found.path.endswith(".py")):
            continue
        with open(found.path, "rb") as file:
            data = file.read()
        if is_launch:
            scripts += _launch_scripts(found, data, inputs, hardware, processes, launched)
        elif found.inside is None or _is_of_a_library(data):
            scripts.append(_with_both_forms(found, data, hardware))
    # What a launch script launches is run by it; on its own it would lack its arguments.
    scripts = [one for one in scripts if one.inside is None or os.path.abspath(one.path) not in launched]
    if not scripts:
        raise NothingToVerify(
            f"no script in {', '.join(paths)} imports {_told(libraries())}, and none launches one; name other programs "
            f"one by one{_unreadable(inputs)}"
        )
    return [replace(one, arguments=tuple(arguments)) for one in scripts]


def command_line(words: Sequence[str], hardware: str | None, processes: Sequence[int]) -> list[Script]:
    """A command that launches a script, as if it stood in a launch script in the current folder.

    It is run with as many processes as it asks for, two at most, unless other numbers are asked for.
    Raises NothingToVerify.
    """
    from porter.verify.launch_tree import CannotLayOut, launch_tree

    path = os.path.join(os.getcwd(), COMMAND_LINE)
    data = f"{shlex.join(words)}\n".encode()
    try:
        tree = launch_tree(path, data)
    except CannotLayOut as reason:
        raise NothingToVerify(f"{shlex.join(words)}: {reason}") from None
    script = _with_both_forms(Input(COMMAND_LINE, None), data, hardware)
    script = replace(script, skipped=_missing(tree), command=shlex.join(words))
    counts = processes or (min(tree.processes or 1, 2),)
    return [replace(script, processes=count) for count in counts]


def libraries_of(scripts: Iterable[Script]) -> frozenset[str]:
    """The libraries that a trial knows and that are named in scripts that are run, or in what they launch."""
    return frozenset(name for data in _texts_of(scripts) for name in libraries() if name.encode() in data)


def shares_places(script: Script) -> bool:
    """Whether it may write to a place that all ways share, by its text, its arguments and what it launches."""
    return any(map(_SHARED.search, (*_texts_of([script]), *(word.encode() for word in script.arguments))))


def _texts_of(scripts: Iterable[Script]) -> Iterator[bytes]:
    from porter.verify.launch_tree import CannotLayOut, launch_tree

    launched: set[str] = set()
    for script in scripts:
        if script.skipped is not None or script.problem is not None:
            continue
        yield script.cuda
        if script.processes is not None:
            with suppress(CannotLayOut):
                launched.update(launch_tree(script.path, script.cuda).scripts)
    for path in launched:
        with open(path, "rb") as file:
            yield file.read()


def _is_of_a_library(data: bytes) -> bool:
    """Whether a file in a folder is a script of a library that a trial knows, rather than a module of definitions."""
    names = b"|".join(name.encode() for name in sorted(libraries()))
    if not re.search(rb"^\s*(?:from|import)\s+(?:" + names + rb")\b", data, re.MULTILINE):
        return False
    try:
        body = syntax_tree(data).body
    except SyntaxError:
        return True  # which is said of it
    return not (any(isinstance(one, _DEFINITIONS) for one in body) and all(map(_only_defines, body)))


def _unreadable(inputs: Iterable[Input]) -> str:
    """The first Python file that is none, for a message on finding no script."""
    for path in (one.path for one in inputs if one.path.endswith(".py")):
        try:
            with open(path, "rb") as file:
                syntax_tree(file.read())
        except SyntaxError as error:
            return f"; {path} cannot be read: line {error.lineno}: {error.msg}"
        except ValueError as error:  # null bytes, to Python 3.11
            return f"; {path} cannot be read: {error}"
    return ""


def _only_defines(statement: ast.stmt) -> bool:
    calls = isinstance(statement, (ast.Assign, ast.AnnAssign, ast.Expr)) and any(
        isinstance(part, ast.Call) for part in ast.walk(statement)
    )
    return isinstance(statement, (*_DEFINITIONS, *_BESIDE_DEFINITIONS)) and not calls


def _told(names: Iterable[str]) -> str:
    *others, last = sorted(names)
    return f"{', '.join(others)} or {last}" if others else last


def both_forms(path: str, data: bytes, hardware: str | None) -> tuple[bytes, bytes]:
    """A file for CUDA, and ported. One that is ported already is undone, so that it is verified like one that is not.

    Raises NotTwoForms.
    """
    try:
        ported = port_bytes(path, data, Plan("npu", hardware))
        if ported.data != data:
            return data, ported.data
        undone = port_bytes(path, data, Plan("cuda"))
    except CannotPort as error:
        line = f"line {error.line}: " if error.line else ""
        raise NotTwoForms(f"it cannot be ported: {line}{error}") from None
    if any(finding.code == NAMES_BOTH for finding in undone.findings):
        raise NotTwoForms("it names several devices; verify it as it was before it was ported")
    return undone.data, data


def _with_both_forms(found: Input, data: bytes, hardware: str | None) -> Script:
    try:
        cuda, ported = both_forms(found.path, data, hardware)
    except NotTwoForms as reason:
        return Script(found.path, found.inside, problem=str(reason))
    return Script(found.path, found.inside, cuda, ported)


def _launch_scripts(
    found: Input,
    data: bytes,
    inputs: list[Input],
    hardware: str | None,
    processes: Sequence[int],
    launched: set[str],
) -> Iterator[Script]:
    """A launch script, once for each number of processes; none for what launches nothing of ours.

    What it launches is added to `launched`.
    """
    from porter.verify.launch_tree import CannotLayOut, launch_tree

    script = _with_both_forms(found, data, hardware)
    original = _gpu_script_of(found.path)
    if original is not None:
        with open(original, "rb") as file:
            cuda = file.read()
        if found.inside is not None and _is_among(original, inputs) and _is_port_of(data, original, cuda, hardware):
            return  # the same run
        script = Script(found.path, found.inside, cuda, data)
    script = _by_one_strategy(script, original or found.path, hardware)
    try:
        tree = launch_tree(found.path, data)
        if found.inside is not None and not any(map(_imports_a_library, tree.scripts)):
            return
        launched.update(tree.scripts)
        script = replace(script, skipped=_missing(tree))
        if tree.processes is None:
            processes = [1]
    except CannotLayOut as reason:
        if found.inside is not None and not any(name in data for name in (b"accelerate", b"torchrun", b"deepspeed")):
            return
        script = replace(script, problem=script.problem or str(reason))
    yield from (replace(script, processes=count) for count in processes)


def _missing(tree: LaunchTree) -> str | None:
    """Which launcher of a launch script is not installed, in words."""
    if tree.by_deepspeed and find_spec("deepspeed") is None:
        return f"it trains by DeepSpeed, which is {_not_there('deepspeed')}: pip install deepspeed"
    if "accelerate" in tree.launchers and find_spec("accelerate") is None:
        return "it is launched by accelerate, which is not installed: pip install accelerate"
    return None


def _not_there(package: str) -> str:
    """How an installed package lacks what is imported of it."""
    try:
        return f"installed by its metadata alone (version {version(package)}), without its modules"
    except PackageNotFoundError:
        return "not installed"


def _gpu_script_of(path: str) -> str | None:
    """The launch script that this one is the NPU form of, where that lies beside it in its place."""
    from porter.shell.npu_script import is_npu_script, npu_script_of

    if not is_npu_script(path):
        return None
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(path))))
    below = (one for ending in ENDINGS for one in glob.iglob(f"{glob.escape(top)}/**/*{ending}", recursive=True))
    candidates = (one for one in sorted(below) if not is_npu_script(one))
    name = os.path.abspath(path).casefold()
    return next((one for one in candidates if npu_script_of(one).casefold() == name), None)


def _is_among(path: str, inputs: list[Input]) -> bool:
    return any(os.path.abspath(one.path) == path for one in inputs)


def _is_port_of(data: bytes, original: str, cuda: bytes, hardware: str | None) -> bool:
    try:
        return port_bytes(original, cuda, Plan("npu", hardware)).data == data
    except CannotPort:
        return False


def _by_one_strategy(script: Script, original: str, hardware: str | None) -> Script:
    """Where the port splits a training or shards it in another way, so does its CUDA form: it is devices that are
    compared."""
    if not _is_port_of(script.ported, original, script.cuda, hardware):
        return script
    codes = frozenset({"DP419"})
    return replace(script, cuda=port_bytes(original, script.cuda, Plan("npu", hardware, codes=codes)).data)


def _imports_a_library(path: str) -> bool:
    with open(path, "rb") as file:
        data = file.read()
    return any(name.encode() in data for name in libraries())
