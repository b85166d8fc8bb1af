"""What the words of a script come to, as far as the script itself says: `"$MODEL:*.safetensors"` where MODEL is set.

    MODEL="Wan-AI/Wan2.2-T2V-A14B"       a variable
    ARGS=(--height 480); ARGS+=(--x)     an array, which is several words
    ROOT="$(dirname "$0")/.."            the script's own folder

What only a run can tell is UNKNOWN, one character within the rest.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING

from porter.shell.syntax import text_of, walk

if TYPE_CHECKING:
    from tree_sitter import Node

UNKNOWN = "\0"

#: Stands for the folder of the script.
HERE = "\1"

#: How deep variables are made of variables, and how long they get.
_DEPTH = 8
_LONGEST = 20_000

_ESCAPE = re.compile(r"\\(\r?\n|.)", re.DOTALL)
_ESCAPE_IN_QUOTES = re.compile(r"\\(\r?\n|[$`\"\\])")
_ITS_OWN_FOLDER = re.compile(
    r"""[$]\( \s* (?:cd \s+ "?)? (?:[$]\(\s*)? dirname \s+ (?:--\s+)? "? [$]\{?(?:0|BASH_SOURCE(?:\[0\])?)\}? "?
        \s* \)? (?P<above> (?:/[\w.-]+)*) "? \s* (?:>\s*/dev/null\s*(?:2>&1)?)? (?:&&\s*pwd(?:\s+-P)?)? \s* \)?""",
    re.VERBOSE,
)
_CONDITIONAL = frozenset(
    "if_statement case_statement for_statement c_style_for_statement while_statement function_definition".split()
)


class Values:
    """The variables of one script. What a name is worth depends on where it is asked for."""

    def __init__(self, root: Node) -> None:
        self.assignments: dict[str, list[Node]] = {}
        self._worths: dict[str, list[str]] = {}
        for node in walk(root):
            if node.type == "variable_assignment" and (name := node.child_by_field_name("name")):
                self.assignments.setdefault(text_of(name), []).append(node)

    def text(self, node: Node, depth: int = 0) -> str:
        """What a word comes to, as one word."""
        match node.type:
            case "raw_string":
                return text_of(node)[1:-1]
            case "string":
                return self._between(node, 1, _ESCAPE_IN_QUOTES, depth)
            case "simple_expansion":
                return self._variable(text_of(node)[1:], node, depth)
            case "expansion":
                return self._expansion(node, depth)
            case "command_substitution":
                own = _ITS_OWN_FOLDER.fullmatch(text_of(node))
                return HERE + own["above"] if own else UNKNOWN
            case "word" | "number" | "concatenation" | "command_name" | "variable_name" | "test_operator":
                return self._between(node, 0, _ESCAPE, depth)
            case _:
                return UNKNOWN

    def words(self, node: Node) -> list[str]:
        """What a word comes to, which may be several: `"${ARGS[@]}"`, `$FLAGS`."""
        if array := re.fullmatch(r'("?)\$\{(\w+)\[[@*]\]\}\1', text_of(node)):
            return self._array(array[2], node.start_byte)
        is_split = re.fullmatch(r"\$(?:\w+|\{\w+\})", text_of(node))
        return self.text(node).split() if is_split else [self.text(node)]

    def _array(self, name: str, before: int) -> list[str]:
        """The elements of an array, those that are appended in a branch too."""
        known = [one for one in self.assignments.get(name, ()) if one.start_byte < before]
        words: list[str] = [] if known else [UNKNOWN]
        for one in known:
            if not _appends(one) and not _is_conditional(one):
                words = []
            array = value_of(one)
            elements = array.named_children if array and array.type == "array" else []
            words += [self.text(element) for element in elements if element.type != "comment"]
        return words

    def _variable(self, name: str, node: Node, depth: int) -> str:
        """The worth behind the last assignment before a place. Each is found out once, in their order."""
        assignments = self.assignments.get(name, [])
        count = bisect_right(assignments, node.start_byte, key=lambda one: one.end_byte)
        if not count or depth > _DEPTH:
            return UNKNOWN
        worths = self._worths.setdefault(name, [])
        while len(worths) < count:
            one = assignments[len(worths)]
            value = value_of(one)
            new, old = self.text(value, depth + 1) if value else "", worths[-1] if worths else UNKNOWN
            if _appends(one):
                new = old + new
            elif worths and new != old and _is_conditional(one):
                new = UNKNOWN
            worths.append(new if len(new) < _LONGEST else UNKNOWN)
        return worths[count - 1]

    def _expansion(self, node: Node, depth: int) -> str:
        """`${NAME}`, and `${NAME:-default}` of a name that the script does not set."""
        found = re.fullmatch(r"\$\{(\w+)(?::?[-=].*)?\}", text_of(node), re.DOTALL)
        if not found:
            return UNKNOWN
        default = node.named_children[1:]
        if default and found[1] not in self.assignments:
            return "".join(self.text(part, depth + 1) for part in default)
        return self._variable(found[1], node, depth)

    def _between(self, node: Node, quotes: int, escape: re.Pattern[str], depth: int) -> str:
        """A text with parts of its own: what stands between them is as it is, less its backslashes."""
        data, at = node.text or b"", quotes
        pieces: list[str] = []
        for part in node.named_children:
            if part.type != "string_content":
                start, end = part.start_byte - node.start_byte, part.end_byte - node.start_byte
                pieces += _unescaped(data[at:start], escape), self.text(part, depth)
                at = end
        pieces.append(_unescaped(data[at : len(data) - quotes], escape))
        return "".join(pieces)


def value_of(assignment: Node) -> Node | None:
    """The right side of `NAME=value`; None where it is empty."""
    return assignment.child_by_field_name("value")


def _appends(assignment: Node) -> bool:
    return any(child.type == "+=" for child in assignment.children)


def _is_conditional(node: Node) -> bool:
    """Whether it depends on a run whether, or how often, this is done."""
    parent = node.parent
    while parent is not None:
        if parent.type in _CONDITIONAL:
            return True
        parent = parent.parent
    return False


def _unescaped(data: bytes, escape: re.Pattern[str]) -> str:
    return escape.sub(lambda found: "" if "\n" in found[1] else found[1], data.decode("utf-8"))
