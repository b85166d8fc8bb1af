"""Port the bytes of one file, by the kind of document that it is; the same bytes come back if nothing changes."""

from __future__ import annotations

from importlib import import_module

from porter.documents.document import CannotPort, PortedBytes
from porter.kinds import kind_of
from porter.port import Plan

__all__ = ["CannotPort", "PortedBytes", "port_bytes"]


def port_bytes(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Port the file `name`, whose content is `data`. Raises CannotPort if it cannot be read."""
    ported: PortedBytes = import_module(f"porter.documents.{kind_of(name, data)}").port(name, data, plan)
    return ported
