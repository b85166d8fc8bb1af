"""A list of packages: one unit, in UTF-8."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from porter.accounting.commented_text import mentions as mentions
from porter.accounting.commented_text import reasons
from porter.commenting import REQUIREMENTS
from porter.documents.document import PortedBytes, port_document
from porter.port import Language, Plan
from porter.required_packages import RequirementsFile


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort."""
    language = Language("requirements", RequirementsFile, _parts, commenting=REQUIREMENTS)
    return port_document(data, plan, language, reasons)


def _parts(source: RequirementsFile, words: frozenset[bytes]) -> Iterator[Any]:
    yield from source.requirements
