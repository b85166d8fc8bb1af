"""A Makefile: its recipes as shell, of which every other line is blanked out."""

from __future__ import annotations

from dataclasses import replace

from porter.accounting.commented_text import mentions as mentions
from porter.accounting.commented_text import reasons
from porter.commenting import MAKEFILE
from porter.documents.completed import completed
from porter.documents.document import PortedBytes, byte_order_mark, decode, written
from porter.documents.shell import ported_shell
from porter.port import Plan
from porter.shell.recipes import as_shell


def port(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Raises CannotPort."""
    text = decode(data, byte_order_mark(data))
    shell = ported_shell(as_shell(text), plan, name, replace(MAKEFILE, original=text))
    return written(data, text, completed(text, shell, plan, MAKEFILE, reasons))
