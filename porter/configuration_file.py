"""A configuration file, YAML, JSON or TOML: each text in it with its key, and the bytes that it takes.

Only places are looked for; what changes is written into the text as it stands, so comments and layout stay.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING

from porter.source import CannotParse
from porter.text_unit import Lines, Span
from porter.vocabulary import is_another_backend, says_device, says_text
from porter.yaml_text import place_of, yaml_documents

if TYPE_CHECKING:
    from yaml.nodes import Node

#: Deeper than this no configuration nests; parsers recurse.
_DEEPEST = 100

_TOML_TOKEN = re.compile(
    r"""(?P<comment> \#[^\r\n]* )
      | (?P<string> \"{3} (?: [^\\] | \\. )*? \"{3,5} | '{3} .*? '{3,5} | "(?: [^"\\\r\n] | \\. )*" | '[^'\r\n]*' )
      | (?P<newline> \r?\n )
      | (?P<mark> [\[\]{}=,] )
      | (?P<bare> [\w.+-]+ )""",
    re.VERBOSE | re.DOTALL,
)


_INI_LINE = re.compile(
    r"""^ (?: [#;].* | \[ (?P<section> [^\]\r\n]+ ) \].*
            | (?: (?P<key> [^\s=:\[#;][^=:\r\n]*? ) [ \t]* [=:] | (?=[ \t]) ) [ \t]*
              (?P<value> [^\s#;](?:[^\r\n]*[^\s])? )? [ \t]* ) $""",
    re.VERBOSE | re.MULTILINE,
)


@dataclass(frozen=True)
class Value:
    """A text: the keys that lead to it, outermost first, and the bytes of what is written for it, quotes included.

    `repeated` are the keys that lead to it by an alias of YAML.
    """

    path: tuple[str, ...]
    text: str
    span: Span
    repeated: tuple[tuple[str, ...], ...] = ()

    @property
    def key(self) -> str:
        return self.path[-1] if self.path else ""

    @property
    def is_of_a_device(self) -> bool:
        """Whether a key says that a device or backend is meant, or one above and none below says otherwise."""
        return any(map(_are_of_a_device, (self.path, *self.repeated)))

    @property
    def is_text_too(self) -> bool:
        """Whether an alias, or the anchor that it repeats, stands where text is meant."""
        return any(map(_are_of_text, (self.path, *self.repeated)))


def _are_of_a_device(path: tuple[str, ...]) -> bool:
    for key in reversed(path):
        if is_another_backend(key) or (says_text(key) and not says_device(key)):
            return False
        if says_device(key):
            return True
    return False


def _are_of_text(path: tuple[str, ...]) -> bool:
    for key in reversed(path):
        if says_device(key) and not is_another_backend(key):
            return False
        if is_another_backend(key) or says_text(key):
            return True
    return False


@dataclass(frozen=True)
class Key:
    """A key by itself, for what programs ask for by a key: `nvidia.com/gpu: 1`."""

    text: str
    span: Span


class Configuration(Lines):
    """One file, which may hold several documents. Raises porter.source.CannotParse if it cannot be read."""

    def __init__(self, text: str, ending: str) -> None:
        super().__init__(text)
        self.ending = ending
        found = list({".json": _of_json, ".toml": _of_toml, ".cfg": _of_ini}.get(ending, _of_yaml)(text))
        offsets = _Offsets(text)
        values: dict[int, Value] = {}
        for path, content, start, end, is_key in found:
            if not is_key and start in values:
                values[start] = replace(values[start], repeated=(*values[start].repeated, path))
            elif not is_key:
                values[start] = Value(path, content, (offsets[start], offsets[end]))
        self.values = list(values.values())
        self.keys = [Key(content, (offsets[start], offsets[end])) for _, content, start, end, is_key in found if is_key]


class _Offsets:
    """Where each character begins, in bytes."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._is_ascii = text.isascii()

    def __getitem__(self, character: int) -> int:
        return character if self._is_ascii else len(self._text[:character].encode("utf-8"))


_Found = tuple[tuple[str, ...], str, int, int, bool]


def _of_yaml(text: str) -> Iterator[_Found]:
    seen: set[int] = set()
    for document in yaml_documents(text):
        yield from _of_node(document, (), text, seen)


def _of_node(node: Node | None, path: tuple[str, ...], text: str, seen: set[int]) -> Iterator[_Found]:
    """The texts below a node. A text that aliases lead to is given once for each; what holds several, only once."""
    from yaml.nodes import MappingNode, ScalarNode, SequenceNode

    if isinstance(node, ScalarNode):
        yield path, node.value, *place_of(node, text), False
        return
    if node is None or id(node) in seen or len(path) > _DEEPEST:
        return
    seen.add(id(node))
    if isinstance(node, SequenceNode):
        for one in node.value:
            yield from _of_node(one, path, text, seen)
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            name = key.value if isinstance(key.value, str) else ""
            if isinstance(key, ScalarNode):
                yield path, name, *place_of(key, text), True
            yield from _of_node(value, (*path, name), text, seen)


def _of_json(text: str) -> Iterator[_Found]:
    from porter.documents.json_places import places

    try:
        json.loads(text, parse_int=float)
    except json.JSONDecodeError as error:
        raise CannotParse(f"not JSON: {error.msg}", error.lineno) from None
    except RecursionError:
        raise CannotParse("not JSON that can be read: it nests too deeply") from None
    for place in places(text, _DEEPEST):
        if text[place.start] == '"':
            path = tuple(key for key in place.path if isinstance(key, str))
            yield path, json.loads(text[place.start : place.end]), place.start, place.end, False


def _of_toml(text: str) -> Iterator[_Found]:
    """By tokens: the key of a string is the last before its equals sign; a table's name comes before it."""
    _check_toml(text)
    table: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    header: list[str] | None = None
    keys: list[str] = []
    depth, is_value = 0, False
    for token in _TOML_TOKEN.finditer(text):
        mark, written = token["mark"], token["string"] or token["bare"]
        if token["newline"]:
            if header is not None:
                table, header = tuple(header), None
            if not depth:
                keys, is_value = [], False
        elif mark == "=":
            key, keys, is_value = tuple(keys[-1:]), [], True
        elif mark and not is_value and mark in "[]":
            header = header if header is not None else []
        elif mark:
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark, 0)
            if mark == "{" or (mark == "," and _is_inline(text, token.end())):
                keys = []
        elif written and header is not None:
            header += _bare(written)
        elif token["string"] and is_value and not _is_followed_by_equals(text, token.end()):
            yield (*table, *key), _string(written), token.start(), token.end(), False
        elif written:
            keys += _bare(written)


def _of_ini(text: str) -> Iterator[_Found]:
    """Line by line: each line of a value by itself, as lists of packages are written."""
    section = key = ""
    for line in _INI_LINE.finditer(text):
        if line["section"] is not None:
            section, key = line["section"].strip(), ""
            continue
        key = line["key"].strip() if line["key"] is not None else key
        if section and key and line["value"]:
            yield (section, key), line["value"], line.start("value"), line.end("value"), False


def _check_toml(text: str) -> None:
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        toml.loads(text)
    except (ValueError, RecursionError) as error:
        raise CannotParse(f"not TOML: {error}") from None


def _is_inline(text: str, at: int) -> bool:
    return re.match(r"\s*(?:[\w.-]+|\"[^\"]*\"|'[^']*')\s*=", text[at : at + 200]) is not None


def _is_followed_by_equals(text: str, at: int) -> bool:
    return re.match(r"[ \t]*=", text[at : at + 80]) is not None


def _bare(written: str) -> list[str]:
    return [_string(written)] if written[0] in "\"'" else [part for part in written.split(".") if part]


def _string(written: str) -> str:
    quotes = 3 if written[:3] in ('"""', "'''") else 1
    return written[quotes:-quotes]
