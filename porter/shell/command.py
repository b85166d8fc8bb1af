"""One command of a script: its words, and how it is laid out over its lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING

from porter.shell.syntax import text_of
from porter.shell.values import Values

if TYPE_CHECKING:
    from tree_sitter import Node

#: What stands between two words where a command goes on in the next line, with what that line is indented by.
_CONTINUES = re.compile(r"[ \t]*\\\r?\n[ \t]*")

#: Commands that run the command that follows them.
RUN_ANOTHER = frozenset(
    """nohup env time exec sudo srun nice ionice timeout stdbuf numactl taskset command setsid unbuffer uv poetry conda
    mamba micromamba pixi mpirun mpiexec xargs nsys ncu nvprof compute-sanitizer chrt singularity apptainer watch
    which""".split()
)

#: Commands whose words people read, or that look for text.
PRINTING = frozenset("echo printf grep egrep fgrep sed awk logger read :".split())

_ASSIGNS = re.compile(r"\w+=")
_REDIRECTIONS = ("file_redirect", "heredoc_redirect", "herestring_redirect")


@dataclass(frozen=True)
class Word:
    """What one word comes to, and the bytes it takes. Of several that one expansion comes to, each has its bytes."""

    text: str
    start: int
    end: int
    is_written_out: bool = True


class Command:
    """A simple command: `X=1 name word ...`. Its redirections are no words of it."""

    def __init__(self, node: Node, values: Values, data: bytes) -> None:
        self.node = node
        self.start = node.start_byte
        self._values = values
        self._data = data

    @cached_property
    def words(self) -> list[Word]:
        """The name and the arguments; also those that stand behind a redirection."""
        words: list[Word] = []
        for node in sorted(self._argument_nodes(), key=lambda node: node.start_byte):
            texts = self._values.words(node)
            words += (Word(text, node.start_byte, node.end_byte, len(texts) == 1) for text in texts)
        return words

    @property
    def name(self) -> str:
        return self.words[0].text if self.words else ""

    @property
    def texts(self) -> list[str]:
        return [word.text for word in self.words]

    def spells(self, word: Word, beginning: str) -> bool:
        """Whether a word begins with these very letters, neither quoted nor put together."""
        return word.is_written_out and self._data.startswith(beginning.encode("utf-8"), word.start)

    @property
    def end(self) -> int:
        """Behind the last word."""
        return self.words[-1].end if self.words else self.node.end_byte

    @cached_property
    def environment(self) -> frozenset[str]:
        """The variables that are set for this command alone: before its name, or by `env`."""
        before = [child for child in self.node.named_children if child.type == "variable_assignment"]
        by_env = takewhile(_ASSIGNS.match, self.texts[1:]) if self.texts[:1] == ["env"] else ()
        return frozenset(text.partition("=")[0] for text in (*map(text_of, before), *by_env))

    @property
    def separator(self) -> str:
        """What stands before a further word, as the author parts them: a blank, or a new line for each option."""
        ends = [self.start, *(word.end for word in self.words)]
        for word, end in zip(reversed(self.words), reversed(ends[:-1]), strict=True):
            between = self._data[end : word.start].decode("utf-8")
            if _CONTINUES.fullmatch(between):
                return between
        return " "

    def _argument_nodes(self) -> Iterator[Node]:
        for child in self.node.named_children:
            if child.type not in ("variable_assignment", "comment", *_REDIRECTIONS):
                yield child
        around = self.node.parent
        if around is not None and around.type == "redirected_statement":
            for redirection in around.children_by_field_name("redirect"):
                yield from _words_behind(redirection)


def _words_behind(redirection: Node) -> list[Node]:
    """`> log.txt --more`: the grammar counts what stands behind a redirection as part of it."""
    if redirection.type == "heredoc_redirect":
        return redirection.children_by_field_name("argument")
    return redirection.children_by_field_name("destination")[1:]
