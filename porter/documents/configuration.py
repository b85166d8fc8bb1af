"""A configuration file, YAML, JSON or TOML, in UTF-8; accelerate's own by its own rules too.

One that cannot be read - a template, or JSON with comments - is reported where it names CUDA, and stays as it is.
"""

from __future__ import annotations

import contextlib
import os.path
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from porter.accelerate_config import KEYS, AccelerateConfig
from porter.accounting import commented_text as plain
from porter.accounting.mentions import Place, Reason, is_named
from porter.commenting import CONFIGURATION, YAML
from porter.comments import line_comments
from porter.configuration_file import Configuration
from porter.documents.completed import completed
from porter.documents.composed import port_composed
from porter.documents.document import (
    CannotPort,
    PortedBytes,
    byte_order_mark,
    decode,
    port_document,
    unread,
    written,
)
from porter.documents.yaml_commands import YamlCommands
from porter.port import Language, Plan, Ported, calls_for_nothing, port_text
from porter.source import CannotParse
from porter.vocabulary import says_device, says_text

#: What calls for the rules of shell; it is read as a part of a document.
_COMMANDS = Language("shell", str, lambda text, words: ())

_ENTRY = re.compile(r"\s*(?:-\s+)?[\"']?(?P<key>[\w.-]+)[\"']?\s*[:=]\s*(?P<value>.*)")
_PAIR = re.compile(r"[\"']?(?P<key>[\w.-]+)[\"']?\s*[:=]\s*(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\"'{}\[\],]+)")
_ANCHOR = re.compile(r"(?:(?<=[:,\[\-]\s)|^\s*)[&*][\w-]+")
_SENTENCE = re.compile(r"[^\s=]+(?:\s+[^\s=-][^\s=]*){3,}[\"',.;]*\s*")


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort for a configuration of accelerate that cannot be read."""
    ending = os.path.splitext(name)[1].lower()
    if all(key.encode() in data for key in KEYS) and ending in (".yaml", ".yml"):
        accelerate = Language("accelerate", AccelerateConfig, _parts_of_accelerate, commenting=YAML)
        return port_document(data, plan, accelerate)
    commenting = CONFIGURATION.get(ending, YAML)
    language = Language("configuration", partial(Configuration, ending=ending), _parts, commenting=commenting)
    try:
        if ending in (".yaml", ".yml") and not calls_for_nothing(data, plan, _COMMANDS):
            return _port_with_commands(name, data, plan, language)
        return port_document(data, plan, language, reasons)
    except CannotPort:
        return unread(data, plan, language, reasons)


def _port_with_commands(name: str, data: bytes, plan: Plan, language: Language) -> PortedBytes:
    """Raises CannotPort. What is shell in it is ported too, also where it is no configuration that can be read."""
    text = decode(data, byte_order_mark(data))
    try:
        ported = port_text(text, plan, language)
    except (CannotParse, RecursionError):
        ported = Ported(text)
    with contextlib.suppress(CannotParse, RecursionError):
        ported = port_composed(YamlCommands(text), plan, name, YAML, ported)
    return written(data, text, completed(text, ported, plan, language.commenting, reasons))


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
    comments = line_comments(lines)
    for number, reason in plain.reasons(text):
        line = lines[number - 1]
        line = line[: comments[number][0] - 1] if number in comments else line
        yield number, reason or (None if plain.loads_a_module(line) else _by_its_key(line))


def _by_its_key(line: str) -> Reason | None:
    if not is_named(_ANCHOR.sub("", line).encode()):
        return Reason.NAME
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
