"""The variables and commands in a YAML file of compose, GitHub, GitLab or Kubernetes, as a shell script of their own.

    environment:                    env:                          - name: CUDA_VISIBLE_DEVICES
      - CUDA_VISIBLE_DEVICES=0        CUDA_VISIBLE_DEVICES: "0"     value: "0"
    command: python a.py            run: |
                                      python a.py

Each piece of the script knows where it stands in the file; what is written otherwise than its value, with escapes or
folded, is no piece. Of a variable whose value bash would read otherwise, the name alone is one. What an anchor repeats
stands in the file only once.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from porter.changes import LINE, Change, located_in
from porter.configuration_file import yaml_documents
from porter.findings import Finding

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_VARIABLES = frozenset({"env", "environment", "variables"})
_COMMANDS = frozenset({"run", "command", "script", "before_script", "after_script", "entrypoint", "args"})
#: Where a list holds the words of one command, rather than commands.
_WORDS = frozenset({"command", "entrypoint", "args"})
_PROGRAM = "./program "

_ASSIGNMENT = re.compile(r"(?P<name>\w+)=(?P<value>.*)")
_PLAIN = re.compile(r"[^\s;&|<>$()\"'`\\#]*")
_EXPRESSION = re.compile(r"\$\{\{[^}\r\n]*\}\}")

#: Deeper than this no configuration nests.
_DEEPEST = 100


class Piece(NamedTuple):
    """Characters of the script that begin at `start`, and where they begin in the file; None: in neither."""

    start: int
    text: str
    at: int | None


class YamlCommands:
    """The script of one file; `text` is empty where the file holds none. Raises CannotParse."""

    def __init__(self, document: str) -> None:
        self._document = document
        self._pieces: list[Piece] = []
        self._length = 0
        self._looked_at: set[tuple[int, str]] = set()
        self._taken: set[int] = set()
        for root in yaml_documents(document):
            self._look_at(root, "", 0)
        self.text = "".join(piece.text for piece in self._pieces)

    def changes_of_the_document(self, changes: list[Change]) -> Iterator[Change]:
        """What lies within one piece; nothing else is a change of the file."""
        for start, end, new in changes:
            piece = self._piece(start)
            if piece is not None and piece.at is not None and end <= piece.start + len(piece.text):
                yield Change(piece.at + start - piece.start, piece.at + end - piece.start, new)

    def placed(self, finding: Finding) -> Finding | None:
        """The finding where it stands in the file; None for one about the script as a whole."""
        starts = [0, *accumulate(map(len, LINE.findall(self.text)))]
        first = starts[finding.line - 1] + finding.column - 1
        last = starts[finding.end_line - 1] + finding.end_column - 1
        piece = self._piece(first)
        if piece is None or piece.at is None:
            return None
        begin = piece.at + first - piece.start
        end = min(piece.at + last - piece.start, piece.at + len(piece.text.rstrip("\n")))
        (line, column), (end_line, end_column) = located_in(self._document, (begin, max(end, begin)))
        return finding._replace(line=line, column=column, end_line=end_line, end_column=end_column)

    def _piece(self, offset: int) -> Piece | None:
        index = bisect_right(self._pieces, offset, key=lambda piece: piece.start) - 1
        return self._pieces[index] if index >= 0 else None

    def _add(self, text: str, at: int | None) -> None:
        self._pieces.append(Piece(self._length, text, at))
        self._length += len(text)

    def _look_at(self, node: Node | None, key: str, depth: int) -> None:
        from yaml.nodes import MappingNode, ScalarNode, SequenceNode

        if node is None or depth > _DEEPEST or (id(node), key) in self._looked_at:
            return
        self._looked_at.add((id(node), key))
        if isinstance(node, ScalarNode):
            self._scalar(node, key)
        elif isinstance(node, SequenceNode):
            if not (key in _WORDS and self._words(node, key)):
                for one in node.value:
                    self._look_at(one, key, depth + 1)
        elif isinstance(node, MappingNode):
            self._mapping(node, key, depth)

    def _words(self, node: SequenceNode, key: str) -> bool:
        """Takes a list that holds a word of a command in each entry, and says whether it is one."""
        from yaml.nodes import ScalarNode

        words = [self._inside(one) for one in node.value if isinstance(one, ScalarNode)]
        is_one = len(words) == len(node.value) > 0 and all(_PLAIN.fullmatch(text) for text, _ in words)
        if is_one and self._takes(words[0][1]):
            if key == "args":  # of what the image begins with
                self._add(_PROGRAM, None)
            for text, at in words:
                self._add(text, at)
                self._add(" ", None)
            self._add("\n", None)
        return is_one

    def _mapping(self, node: MappingNode, key: str, depth: int) -> None:
        from yaml.nodes import ScalarNode

        pairs = [(name.value, name, value) for name, value in node.value if isinstance(name, ScalarNode)]
        if key in _VARIABLES:
            named = {name: value for name, _, value in pairs}
            if isinstance(named.get("name"), ScalarNode) and isinstance(named.get("value"), ScalarNode):
                self._variable(named["name"], named["value"])
                return
            for _, name_node, value in pairs:
                if isinstance(value, ScalarNode):
                    self._variable(name_node, value)
            return
        for name, _, value in pairs:
            self._look_at(value, name, depth + 1)

    def _variable(self, name: ScalarNode, value: ScalarNode) -> None:
        """A variable and its value, which stand apart in the file."""
        (written, at), content = self._inside(name), self._inside(value)
        if re.fullmatch(r"\w+", written) and self._takes(at):
            self._assignment((written, at), content)

    def _assignment(self, name: tuple[str, int], value: tuple[str, int]) -> None:
        self._add(*name)
        self._add("=", None)
        if _PLAIN.fullmatch(value[0]):
            self._add(*value)
        else:
            self._add("${_}", None)
        self._add("\n", None)

    def _scalar(self, node: ScalarNode, key: str) -> None:
        if key in _VARIABLES:
            self._entry(*self._inside(node))
        elif key in _COMMANDS and node.style == "|":
            for text, at in self._lines_of(node) if self._takes(node.start_mark.index) else ():
                self._add(text, at)
        elif key in _COMMANDS and self._inside(node)[0] == node.value and "\n" not in node.value:
            text, at = self._inside(node)
            if self._takes(at):
                self._add(_without_expressions(text), at)
                self._add("\n", None)

    def _entry(self, text: str, at: int) -> None:
        found = _ASSIGNMENT.fullmatch(text)
        if found is not None and self._takes(at):
            self._assignment((found["name"], at), (found["value"], at + len(found["name"]) + 1))

    def _takes(self, at: int) -> bool:
        """Whether what is written there is not in the script yet."""
        is_new = at not in self._taken
        self._taken.add(at)
        return is_new

    def _inside(self, node: ScalarNode) -> tuple[str, int]:
        """What is written for a value, without its quotes, and where."""
        start, end = node.start_mark.index, node.end_mark.index
        quotes = 1 if node.style in ("'", '"') else 0
        return self._document[start + quotes : end - quotes], start + quotes

    def _lines_of(self, node: ScalarNode) -> Iterator[tuple[str, int]]:
        """The lines of a block `|`, without what all of it is indented by."""
        at, end = node.start_mark.index, node.end_mark.index
        lines = list(LINE.finditer(self._document, at, end))[1:]
        indents = [len(line[0]) - len(line[0].lstrip(" ")) for line in lines if line[0].strip()]
        indent = min(indents, default=0)
        for line in lines:
            cut = min(indent, len(line[0].rstrip("\r\n")))
            yield _without_expressions(line[0][cut:]), line.start() + cut


def _without_expressions(text: str) -> str:
    """`${{ matrix.device }}` is a variable to bash, as long as it is."""
    return _EXPRESSION.sub(lambda found: "${" + "_" * (len(found[0]) - 3) + "}", text)
