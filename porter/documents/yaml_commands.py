"""The variables and commands in a YAML file of compose, GitHub, GitLab or Kubernetes, as a shell script of their own.

    environment:                    env:                          - name: CUDA_VISIBLE_DEVICES
      - CUDA_VISIBLE_DEVICES=0        CUDA_VISIBLE_DEVICES: "0"     value: "0"
    command: python a.py            run: |
                                      python a.py

Each piece of the script knows where it stands in the file, also where lines are folded or quotes escaped. Of a variable
whose value bash would read otherwise, the name alone is one. What an anchor repeats stands in the file only once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from porter.documents.composed import ComposedScript
from porter.yaml_text import Written, pieces, yaml_documents

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


class YamlCommands(ComposedScript):
    """The script of one file. Raises CannotParse."""

    def __init__(self, document: str) -> None:
        super().__init__(document)
        self._looked_at: set[tuple[int, str]] = set()
        self._taken: set[int] = set()
        for root in yaml_documents(document):
            self._look_at(root, "", 0)

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

        words = [self._whole(one) for one in node.value if isinstance(one, ScalarNode)]
        is_one = len(words) == len(node.value) > 0 and all(one and _PLAIN.fullmatch(one.text) for one in words)
        if is_one and self._takes(node.value[0]):
            if key == "args":  # of what the image begins with
                self.add(_PROGRAM)
            for one in filter(None, words):
                self.add(*one)
                self.add(" ")
            self.add("\n")
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
        written = self._whole(name)
        if written is not None and re.fullmatch(r"\w+", written.text) and self._takes(name):
            self._assignment(written, self._whole(value))

    def _assignment(self, name: Written, value: Written | None) -> None:
        self.add(*name)
        self.add("=")
        if value is not None and _PLAIN.fullmatch(value.text):
            self.add(*value)
        else:
            self.add("${_}")
        self.add("\n")

    def _scalar(self, node: ScalarNode, key: str) -> None:
        if key in _VARIABLES:
            self._entry(node)
        elif key in _COMMANDS and (found := pieces(node, self.document)) and self._takes(node):
            script = _without_expressions("".join(one.text for one in found))
            at = 0
            for one in found:
                self.add(script[at : at + len(one.text)], one.at)
                at += len(one.text)
            self.add("\n")

    def _entry(self, node: ScalarNode) -> None:
        written = self._whole(node)
        found = _ASSIGNMENT.fullmatch(written.text) if written is not None else None
        if written is not None and written.at is not None and found is not None and self._takes(node):
            value = Written(found["value"], written.at + found.start("value"))
            self._assignment(Written(found["name"], written.at), value)

    def _takes(self, node: ScalarNode) -> bool:
        """Whether what is written there is not in the script yet."""
        is_new = node.start_mark.index not in self._taken
        self._taken.add(node.start_mark.index)
        return is_new

    def _whole(self, node: ScalarNode) -> Written | None:
        """A value that is written in one piece."""
        found = pieces(node, self.document)
        return Written(found[0].text.rstrip("\n"), found[0].at) if len(found) == 1 else None


def _without_expressions(text: str) -> str:
    """`${{ matrix.device }}` is a variable to bash, as long as it is."""
    return _EXPRESSION.sub(lambda found: "${" + "_" * (len(found[0]) - 3) + "}", text)
