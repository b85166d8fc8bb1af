"""The NPU form of a launch script, when the script itself is left as it is: where it goes, and how it gets there.

    model_training/full/Wan2.2-T2V-A14B.sh -> model_training/special/npu_training/Wan2.2-T2V-A14B-NPU.sh
    model_training/lora/Wan2.2-T2V-A14B.sh -> model_training/special/npu_training/Wan2.2-T2V-A14B-lora-NPU.sh

Scripts of one name lie in several folders, so each folder but `full` adds its own name. Elsewhere than below a
`model_training`, the folder of the script takes its place. A script that goes to its own folder goes to the same place
from there:

    cd "$(dirname "$0")/.."                                        cd "$(dirname "$0")/../../full/.."
    HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"           HERE="$(cd "$(dirname ...)/../../full" && pwd)"

Behind a `cd`, the two ways come to the same folder by the same name. Anywhere else the script would see another path
than before, which it may print, cut or compare, so that such a script is not moved.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from porter.shell.command import Command
from porter.shell.script import ShellScript
from porter.shell.syntax import text_of, walk

if TYPE_CHECKING:
    from tree_sitter import Node


_TRAINING = "model_training"
_FOLDER = os.path.join("special", "npu_training")
_ENDING = "-NPU"


def npu_script_of(path: str) -> str:
    """The path of the NPU form of a script."""
    folder, name = os.path.split(path)
    stem, ending = os.path.splitext(name)
    top, variants = _above(folder)
    parts = [stem, *(part for part in variants if part not in ("full", "special"))]
    return os.path.join(top, _FOLDER, "-".join(parts) + _ENDING + (ending or ".sh"))


def place_of_form(path: str) -> str:
    """Where the NPU form of a script lies: the one that is there, be it `X-LoRA-NPU.sh`, or where it would go."""
    form = npu_script_of(path)
    folder, name = os.path.split(form)
    if os.path.exists(form) or not os.path.isdir(folder or "."):
        return form
    there = (one for one in sorted(os.listdir(folder or ".")) if one.casefold() == name.casefold())
    return os.path.join(folder, next(there, name))


def is_npu_script(path: str) -> bool:
    """Whether a file is such a form: it lies where they go, or is called as they are."""
    folder, name = os.path.split(os.path.abspath(path))
    return folder.endswith(os.sep + _FOLDER) or os.path.splitext(name)[0].endswith(_ENDING)


def _above(folder: str) -> tuple[str, list[str]]:
    """The nearest folder called model_training, and the folders on the way down from it."""
    variants: list[str] = []
    above = folder
    while os.path.basename(above) and os.path.basename(above) != _TRAINING:
        variants.insert(0, os.path.basename(above))
        above = os.path.dirname(above)
    return (above, variants) if os.path.basename(above) == _TRAINING else (folder, [])


_OWN = re.compile(r"\$\{?(?:0|BASH_SOURCE)\b")
#: `dirname` of the script's path as it is, or with its links followed.
_ITS_FOLDER = re.compile(
    r"""(?:[$]\(|`)\s* dirname \s+ (?:--\s+)?
        (?: "?[$]\{?(?:0|BASH_SOURCE(?:\[0\])?)\}?"?
          | "?[$]\(\s*(?:realpath|readlink\s+-[ef])\s+(?:--\s+)?"?[$]\{?(?:0|BASH_SOURCE(?:\[0\])?)\}?"?\s*\)"? )
        \s*(?:\)|`)""",
    re.VERBOSE,
)
_PLAIN_PATH = re.compile(r"[\w./-]+")


class CannotMove(Exception):
    """A script does more with its own folder than to go there; the message is the line that does."""


def moved(script: ShellScript, way_back: str) -> bytes:
    """The script for another folder, from which `way_back` leads to its own one. Raises CannotMove."""
    if not _OWN.search(script.text):
        return script.data
    ends = []
    for node in _asks(script):
        if not _PLAIN_PATH.fullmatch(way_back) or not _is_gone_to(node, script):
            raise CannotMove(script.line_text(script.line_of(node.start_byte)).strip())
        ends.append(node.end_byte)
    data = script.data
    for end in sorted(ends, reverse=True):
        data = data[:end] + b"/" + way_back.encode() + data[end:]
    return data


def _asks(script: ShellScript) -> Iterator[Node]:
    """Each place that makes something of the script's own path; its name alone (`basename "$0"`) is no place."""
    covered = 0
    for node in walk(script.root):
        if node.start_byte < covered:
            continue
        if node.type == "command_substitution" and _ITS_FOLDER.fullmatch(text_of(node)):
            covered = node.end_byte
            yield node
        elif node.type == "command" and (name := node.child_by_field_name("name")) and _OWN.search(text_of(node)):
            if text_of(name) in ("dirname", "realpath", "readlink"):
                covered = node.end_byte
                yield node
        elif node.type == "expansion" and re.match(r"\$\{(?:0|BASH_SOURCE(?:\[0\])?)[%/#]", text_of(node)):
            yield node


def _is_gone_to(node: Node, script: ShellScript) -> bool:
    """Whether it is the argument of a `cd`, with nothing before it and a path or nothing behind it."""
    if node.type != "command_substitution":
        return False
    word = node
    while word.parent is not None and word.parent.type in ("string", "concatenation"):
        word = word.parent
    around = word.parent
    if around is None or around.type != "command" or Command(around, script.values, script.data).name != "cd":
        return False
    before = script.data[word.start_byte : node.start_byte].strip(b'"')
    behind = script.data[node.end_byte : word.end_byte].strip(b'"')
    return not before and behind[:1] in (b"", b"/")
