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
from porter.commenting import CONFIGURATION, YAML
from porter.configuration import Configuration
from porter.documents import accelerate_yaml
from porter.documents.one_text import port_document, unread
from porter.documents.ported import CannotPort, PortedBytes
from porter.port import Language, Plan


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort for a configuration of accelerate that cannot be read."""
    ending = os.path.splitext(name)[1].lower()
    if all(key.encode() in data for key in KEYS) and ending in (".yaml", ".yml"):
        return accelerate_yaml.port(name, data, plan)
    language = Language(
        "configuration", partial(Configuration, ending=ending), _parts, commenting=CONFIGURATION.get(ending, YAML)
    )
    try:
        return port_document(data, plan, language, reasons)
    except CannotPort:
        return unread(data, plan, language, reasons)


def _parts(source: Configuration, words: frozenset[bytes]) -> Iterator[Any]:
    yield source
    yield from source.values
    yield from source.keys
