"""A configuration file, YAML, JSON or TOML, in UTF-8; accelerate's own by its own rules too.

One that cannot be read - a template, or JSON with comments - is reported where it names CUDA, and stays as it is.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterator
from functools import partial
from typing import Any

from porter.accelerate_config import KEYS
from porter.accounting.configuration import reasons
from porter.accounting.mentions import is_named
from porter.configuration import Configuration
from porter.documents import accelerate_yaml
from porter.documents.encoding import byte_order_mark, decode
from porter.documents.left_lines import left_lines
from porter.documents.one_text import port_document
from porter.documents.ported import CannotPort, PortedBytes
from porter.port import Language, Plan


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort for a configuration of accelerate that cannot be read."""
    ending = os.path.splitext(name)[1].lower()
    if all(key.encode() in data for key in KEYS) and ending in (".yaml", ".yml"):
        return accelerate_yaml.port(name, data, plan)
    language = Language("configuration", partial(Configuration, ending=ending), _parts)
    try:
        ported = port_document(data, plan, language)
    except CannotPort:
        ported = PortedBytes(data)
    if not is_named(data):
        return ported
    try:
        text = decode(data, byte_order_mark(data))
    except CannotPort:
        return ported
    return PortedBytes(ported.data, (*ported.findings, *left_lines(text, reasons, ported.findings, plan)))


def _parts(source: Configuration, words: frozenset[bytes]) -> Iterator[Any]:
    yield source
    yield from source.values
    yield from source.keys
