"""A configuration file of accelerate: one unit, in UTF-8. Other YAML is passed over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from porter.accelerate_config import KEYS, AccelerateConfig
from porter.commenting import YAML
from porter.documents.one_text import port_document
from porter.documents.ported import PortedBytes
from porter.port import Language, Plan


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort."""
    if not all(key.encode() in data for key in KEYS):
        return PortedBytes(data)
    return port_document(data, plan, Language("accelerate", AccelerateConfig, _parts, commenting=YAML))


def _parts(config: AccelerateConfig, words: frozenset[bytes]) -> Iterator[Any]:
    yield config
    yield from config.entries()
