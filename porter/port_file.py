"""Port the bytes of one file. Its name tells what kind of document it is; the same bytes come back if nothing changes.

.ipynb            notebook: the source of its code cells
.md, .markdown    Markdown: its fenced Python blocks
anything else     Python
"""

from __future__ import annotations

import os.path
from importlib import import_module

from porter.documents.base import CannotPort, PortedBytes
from porter.port import Plan

__all__ = ["CannotPort", "PortedBytes", "port_bytes"]

_DOCUMENTS = {".ipynb": "notebook", ".md": "markdown", ".markdown": "markdown"}


def port_bytes(name: str, data: bytes, plan: Plan, added_import: bool = False) -> PortedBytes:
    """Port the file `name`, whose content is `data`. Raises CannotPort if it cannot be read.

    `added_import` says that an earlier port added the helper's import to this file, for undoing it.
    """
    ending = os.path.splitext(name)[1].lower()
    document = import_module(f"porter.documents.{_DOCUMENTS.get(ending, 'python')}")
    ported: PortedBytes = document.port(data, plan, added_import)
    return ported
