"""The scripts to verify, each in its CUDA form and in its ported form."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from porter.discovery import Input, find_inputs
from porter.port import NAMES_BOTH, Plan
from porter.port_file import CannotPort, port_bytes
from porter.runner import destination

#: In folders, only files that hold this are scripts of a pipeline; a file that is named is always taken.
_PIPELINE = b"diffsynth.pipelines"


class NothingToVerify(Exception):
    """The paths lead to no script; the message says what is missing."""


@dataclass(frozen=True)
class Script:
    """A script: `cuda` and `ported` are its two forms, of which it is one itself. `problem` is why it has not both."""

    path: str
    inside: str | None
    cuda: bytes = b""
    ported: bytes = b""
    problem: str | None = None

    @property
    def shown(self) -> str:
        return self.path.replace(os.sep, "/")

    def place_in(self, folder: str, ending: str) -> str:
        """Where something about the script goes below a folder: its own place in its tree, with another ending."""
        return os.path.splitext(destination(Input(self.path, self.inside), folder))[0] + ending


def find_scripts(paths: Iterable[str], hardware: str | None) -> list[Script]:
    """The scripts in the order of their paths. Raises NothingToVerify."""
    scripts = []
    for found in find_inputs(paths):
        if found.problem is not None:
            raise NothingToVerify(f"{found.path}: {found.problem}")
        if found.inside is not None and not found.path.endswith(".py"):
            continue
        with open(found.path, "rb") as file:
            data = file.read()
        if found.inside is None or _PIPELINE in data:
            scripts.append(_both_forms(found, data, hardware))
    if not scripts:
        raise NothingToVerify("PATHS hold no script that uses a pipeline of diffsynth")
    return scripts


def _both_forms(found: Input, data: bytes, hardware: str | None) -> Script:
    """A script that is ported already is undone, so that it is verified like one that is not."""
    try:
        ported = port_bytes(found.path, data, Plan("npu", hardware))
        if ported.data != data:
            return Script(found.path, found.inside, data, ported.data)
        undone = port_bytes(found.path, data, Plan("cuda"))
    except CannotPort as error:
        line = f"line {error.line}: " if error.line else ""
        return Script(found.path, found.inside, problem=f"it cannot be ported: {line}{error}")
    for finding in undone.findings:
        if finding.code == NAMES_BOTH:
            reason = "it names several devices; verify it as it was before it was ported"
            return Script(found.path, found.inside, problem=reason)
    return Script(found.path, found.inside, undone.data, data)
