"""A configuration file, YAML, JSON or TOML, in UTF-8; accelerate's own by its own rules too.

One that cannot be read - a template, or JSON with comments - is reported where it names CUDA, and stays as it is.
"""

from __future__ import annotations

import os.path
import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import partial
from itertools import accumulate
from typing import Any

from porter.accelerate_config import KEYS, AccelerateConfig
from porter.accounting import commented_text as plain
from porter.accounting.mentions import Place, Reason, is_named
from porter.changes import LINE, Change, apply, located_in
from porter.configuration_file import Configuration
from porter.documents.document import (
    CannotPort,
    PortedBytes,
    byte_order_mark,
    decode,
    encode,
    port_document,
    with_edits,
)
from porter.documents.shell import port_shell
from porter.documents.yaml_commands import YamlCommands
from porter.port import Language, Plan, calls_for_nothing
from porter.rules.named_line import RULE, left_lines
from porter.source import CannotParse
from porter.vocabulary import says_device, says_text

_ENTRY = re.compile(r"\s*(?:-\s+)?[\"']?(?P<key>[\w.-]+)[\"']?\s*[:=]\s*(?P<value>.*)")
_PAIR = re.compile(r"[\"']?(?P<key>[\w.-]+)[\"']?\s*[:=]\s*(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\"'{}\[\],]+)")
_SENTENCE = re.compile(r"[^\s=]+(?:\s+[^\s=-][^\s=]*){3,}[\"',.;]*\s*")


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort for a configuration of accelerate that cannot be read."""
    ending = os.path.splitext(name)[1].lower()
    if all(key.encode() in data for key in KEYS) and ending in (".yaml", ".yml"):
        return port_document(data, plan, Language("accelerate", AccelerateConfig, _parts_of_accelerate))
    language = Language("configuration", partial(Configuration, ending=ending), _parts)
    try:
        ported = port_document(data, plan, language)
    except CannotPort:
        ported = PortedBytes(data)
    if ending in (".yaml", ".yml"):
        ported = _with_commands(name, ported, data, plan)
    if not is_named(data):
        return ported
    try:
        text = decode(data, byte_order_mark(data))
    except CannotPort:
        return ported
    return PortedBytes(ported.data, (*ported.findings, *left_lines(text, reasons, ported.findings, plan)))


def _with_commands(name: str, ported: PortedBytes, data: bytes, plan: Plan) -> PortedBytes:
    """With what is shell in it ported too, where the keys have not told already what becomes of it."""
    if calls_for_nothing(data, plan, Language("shell", str, lambda text, words: ())):
        return ported
    try:
        mark = byte_order_mark(data)
        text = decode(data, mark)
        commands = YamlCommands(text)
    except (CannotPort, CannotParse, RecursionError):
        return ported
    if not commands.text:
        return ported
    shell = port_shell(commands.text, plan, name)
    lines = {one.line for one in ported.findings}
    placed = (commands.placed(one) for one in with_edits(commands.text, shell) if one.code != RULE.code)
    own = [one for one in placed if one is not None and one.line not in lines]
    changes = commands.changes_of_the_document(shell.changes)
    rest = [one for one in changes if located_in(text, [one.start])[0][0] not in lines]
    changed = decode(ported.data, mark)
    if rest and changed != text:
        rest = _after_the_others(text, changed, rest)
    new = mark + encode(apply(changed, rest)) if rest else ported.data
    return PortedBytes(new, tuple(sorted((*ported.findings, *own), key=lambda one: (one.line, one.column))))


def _after_the_others(text: str, changed: str, changes: list[Change]) -> list[Change]:
    """The changes of other lines than those changed already, counted in the text as it is now."""
    old = [0, *accumulate(map(len, LINE.findall(text)))]
    new = [0, *accumulate(map(len, LINE.findall(changed)))]
    return [one._replace(start=one.start + new[at] - old[at], end=one.end + new[at] - old[at])
            for one in changes for at in [bisect_right(old, one.start) - 1]]  # fmt: skip


def _parts(source: Configuration, words: frozenset[bytes]) -> Iterator[Any]:
    yield source
    yield from source.values
    yield from source.keys


def _parts_of_accelerate(config: AccelerateConfig, words: frozenset[bytes]) -> Iterator[Any]:
    yield config
    yield from config.entries()


def mentions(text: str) -> Iterator[tuple[Place, Reason | None]]:
    return ((Place(0, line), reason) for line, reason in reasons(text))


def reasons(text: str) -> Iterator[tuple[int, Reason | None]]:
    """Each line that names CUDA, with why it is passed over: as in any text, and by its key."""
    lines = re.split(r"\r\n|\r|\n", text)
    for number, reason in plain.reasons(text):
        line = lines[number - 1]
        yield number, reason or (None if plain.loads_a_module(line) else _by_its_key(line))


def _by_its_key(line: str) -> Reason | None:
    if not is_named(_PAIR.sub(_unless_text, line).encode()):
        return Reason.TEXT
    entry = _ENTRY.fullmatch(line)
    if entry is not None and entry["value"].startswith("[") and not is_named(entry["value"].encode()):
        return Reason.NAME  # a list that is called so, such as the extra of a package
    if entry is None:
        return Reason.SENTENCE if _SENTENCE.fullmatch(line.strip()) else None
    return Reason.SENTENCE if _SENTENCE.fullmatch(entry["value"].strip()) else None


def _unless_text(pair: re.Match[str]) -> str:
    """The pair itself, or nothing where its key says that the value is text."""
    return "" if says_text(pair["key"]) and not says_device(pair["key"]) else pair[0]
