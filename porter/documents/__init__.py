"""One kind of file a module: `port`, bytes in and ported bytes out, and `mentions`, why lines that name CUDA stay."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from porter.kinds import kind_of

if TYPE_CHECKING:
    from porter.documents.document import PortedBytes
    from porter.port import Plan


def document_of(name: str, data: bytes) -> Any:
    """The module for the kind of file that `name` is, or `data` where the name does not tell."""
    return _module(kind_of(name, data))


@cache
def _module(kind: str) -> Any:
    return import_module(f"{__name__}.{kind}")


def port_bytes(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Port the file `name`, whose content is `data`; the same bytes come back if nothing changes. Raises CannotPort."""
    ported: PortedBytes = document_of(name, data).port(name, data, plan)
    return ported
