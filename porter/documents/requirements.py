"""A list of packages: one unit, in UTF-8."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from porter.accounting.commented_text import mentions as mentions
from porter.accounting.commented_text import reasons
from porter.documents.document import PortedBytes, byte_order_mark, decode, port_document
from porter.port import Language, Plan
from porter.required_packages import RequirementsFile
from porter.rules.named_line import left_lines


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort."""
    ported = port_document(data, plan, Language("requirements", RequirementsFile, _parts))
    text = decode(data, byte_order_mark(data))
    return PortedBytes(ported.data, (*ported.findings, *left_lines(text, reasons, ported.findings, plan)))


def _parts(source: RequirementsFile, words: frozenset[bytes]) -> Iterator[Any]:
    yield from source.requirements
