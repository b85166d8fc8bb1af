"""A list of packages: one unit, in UTF-8."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from porter.accounting.commented_text import reasons
from porter.documents.encoding import byte_order_mark, decode
from porter.documents.left_lines import left_lines
from porter.documents.one_text import port_document
from porter.documents.ported import PortedBytes
from porter.port import Language, Plan
from porter.requirements_file import RequirementsFile


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort."""
    ported = port_document(data, plan, Language("requirements", RequirementsFile, _parts))
    text = decode(data, byte_order_mark(data))
    return PortedBytes(ported.data, (*ported.findings, *left_lines(text, reasons, ported.findings, plan)))


def _parts(source: RequirementsFile, words: frozenset[bytes]) -> Iterator[Any]:
    yield from source.requirements
