"""A configuration file of accelerate: one unit, in UTF-8. Other YAML is passed over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from porter.accelerate_config import KEYS, AccelerateConfig
from porter.documents.base import PortedBytes
from porter.documents.lines import port_document
from porter.port import Plan
from porter.port_lines import Language


def port(name: str, data: bytes, plan: Plan, added: frozenset[str] = frozenset()) -> PortedBytes:
    """Raises CannotPort."""
    if not all(key.encode() in data for key in KEYS):
        return PortedBytes(data)
    return port_document(data, plan, Language("accelerate", AccelerateConfig, _parts), added)


def _parts(config: AccelerateConfig) -> Iterator[Any]:
    yield config
    yield from config.entries()
