"""A script that goes to its own folder, put into another folder: it goes to the same place from there.

    cd "$(dirname "$0")/.."                                        cd "$(dirname "$0")/../../full/.."
    HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"           HERE="$(cd "$(dirname ...)/../../full" && pwd)"

Behind a `cd`, the two ways come to the same folder by the same name. Anywhere else the script would see another path
than before, which it may print, cut or compare, so that such a script is not moved.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from porter.shell.command import Command
from porter.shell.script import ShellScript
from porter.shell.syntax import text_of, walk

if TYPE_CHECKING:
    from tree_sitter import Node

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
