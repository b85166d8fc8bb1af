"""YAML with its places: what a scalar says, piece by piece, and where each piece is written.

    run: >                        run: 'echo ''a'''          device: &x !!str cuda
      python a.py                      ^^^^^^^ ^ ^^                           ^^^^
      --device cuda

The pieces together are the scalar's value. What is no piece of the file - the blank that folds two lines, a tab written
as `\\t` - stands nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from porter.source import CannotParse

if TYPE_CHECKING:
    from yaml.nodes import Node, ScalarNode

#: An anchor or tag, and what stands before the text that it goes with.
_PROPERTY = re.compile(r"(?:&[^\s,\[\]{}]+|!<[^>\s]*>|![^\s,\[\]{}]*)(?:\s+(?:\#[^\n]*\n\s*)*|\Z)")
_HEADER = re.compile(r"[|>][^\r\n]*\s*")
_LINE = re.compile(r"(?P<text>[^\r\n]*)(?P<end>\r\n|\r|\n|\Z)")
_INSIDE = {
    "'": re.compile(r"(?P<break>[ \t]*(?:\r?\n[ \t]*)+)|(?P<escape>'')|(?P<text>(?:(?![ \t]*\r?\n)[^'])+)"),
    '"': re.compile(
        r"""(?P<joined>\\\r?\n[ \t]*)|(?P<break>[ \t]*(?:\r?\n[ \t]*)+)|(?P<escape>\\["\\/ ])
            |(?P<other>\\(?:x..|u.{4}|U.{8}|.))|(?P<text>(?:(?![ \t]*\r?\n)[^"\\])+)""",
        re.VERBOSE,
    ),
}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}


class Written(NamedTuple):
    """A part of a value, and where it begins in the file; None: nowhere."""

    text: str
    at: int | None


def yaml_documents(text: str) -> list[Node | None]:
    """The documents of a YAML text, each node with its place. Raises CannotParse."""
    import yaml

    try:
        return list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise CannotParse(f"not YAML: {error.problem or error.context}", mark.line + 1 if mark else None) from None
    except yaml.YAMLError as error:
        raise CannotParse(f"not YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise CannotParse("not YAML that can be read: it nests too deeply") from None


def place_of(node: ScalarNode, document: str) -> tuple[int, int]:
    """Where a scalar is written, quotes included: behind its anchor and tag, and of a block the lines alone."""
    start, end = _beginning(node, document), node.end_mark.index
    header = _HEADER.match(document, start, end) if node.style in ("|", ">") else None
    return (start, end) if header is None else (header.end(), max(header.end(), len(document[:end].rstrip())))


def pieces(node: ScalarNode, document: str) -> list[Written]:
    """The pieces of a value; none where they would not add up to it."""
    start, end = _beginning(node, document), node.end_mark.index
    if node.style in ("|", ">"):
        found = list(_of_block(document, start, end, node))
    elif node.style in _INSIDE:
        found = list(_of_quoted(document, start + 1, end - 1, node.style))
    else:
        found = list(_of_lines(document, start, end))
    value = "".join(one.text for one in found)
    ends_apart = node.style in ("|", ">")  # how its last lines end, which no command depends on
    same = value.rstrip() == node.value.rstrip() if ends_apart else value == node.value
    return found if same else []


def _beginning(node: ScalarNode, document: str) -> int:
    at, end = node.start_mark.index, node.end_mark.index
    while document[at : at + 1] in ("&", "!") and (found := _PROPERTY.match(document, at, end)):
        at = found.end()
    return at


def _of_block(document: str, start: int, end: int, node: ScalarNode) -> Iterator[Written]:
    """The lines of a block, without what all of it is indented by. Folded, two lines are one where both begin there."""
    lines = [line for line in _LINE.finditer(document, start, end) if line[0]][1:]
    written = [number for number, line in enumerate(lines) if line["text"].strip()]
    lines = lines[: written[-1] + 1] if written else []
    first = next((line for line in node.value.split("\n") if line.strip()), "")
    indent = _blanks(lines[written[0]]["text"]) - _blanks(first) if written else 0
    cut = [(line["text"][indent:], line.start() + min(indent, len(line["text"]))) for line in lines]
    blanks = 0
    for number, (text, at) in enumerate(cut):
        if node.style == "|":
            yield Written(f"{text}\n", at)
            continue
        if not text:
            blanks += 1
            continue
        if number > blanks:
            before = cut[number - blanks - 1][0]
            runs_on = not before.startswith((" ", "\t")) and not text.startswith((" ", "\t"))
            yield Written(("\n" * blanks or " ") if runs_on else "\n" * (blanks + 1), None)
        elif blanks:
            yield Written("\n" * blanks, None)
        yield Written(text, at)
        blanks = 0


def _blanks(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _of_quoted(document: str, start: int, end: int, quote: str) -> Iterator[Written]:
    for found in _INSIDE[quote].finditer(document, start, end):
        groups = found.groupdict()
        if groups["text"]:
            yield Written(found[0], found.start())
        elif groups["break"]:
            yield Written("\n" * (found[0].count("\n") - 1) or " ", None)
        elif groups["escape"]:
            yield Written(found[0][1], found.start() + 1)
        elif groups.get("other"):
            yield Written(_meant(found[0][1:]), None)


def _meant(escape: str) -> str:
    return chr(int(escape[1:], 16)) if escape[0] in "xuU" else _CONTROLS.get(escape, "\N{REPLACEMENT CHARACTER}")


def _of_lines(document: str, start: int, end: int) -> Iterator[Written]:
    """A plain scalar, which goes on in lines that are indented."""
    blanks = 0
    for line in _LINE.finditer(document, start, end):
        text = line["text"].strip(" \t")
        if not text:
            blanks += 1
            continue
        if line.start() > start:
            yield Written("\n" * blanks or " ", None)
        yield Written(text, document.index(text, line.start()))
        blanks = 0
