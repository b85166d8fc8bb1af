"""Port the bytes of one file. Its name tells what kind of document it is; the same bytes come back if nothing changes.

.ipynb            notebook: the source of its code cells
.md, .markdown    Markdown: its fenced Python blocks
.sh, .bash        shell script; so is what names a shell in its first line, and ends in nothing known
.yaml, .yml       configuration of accelerate; other YAML stays as it is
anything else     Python
"""

from __future__ import annotations

import os.path
from importlib import import_module

from porter.documents.base import CannotPort, PortedBytes
from porter.port import Plan
from porter.shebang import names_a_shell

__all__ = ["CannotPort", "PortedBytes", "port_bytes"]

_DOCUMENTS = {
    ".ipynb": "notebook",
    ".md": "markdown",
    ".markdown": "markdown",
    ".sh": "shell",
    ".bash": "shell",
    ".yaml": "accelerate_yaml",
    ".yml": "accelerate_yaml",
}

#: What is Python whatever its first line says.
PYTHON = (".py", ".pyi", ".pyw")


def port_bytes(name: str, data: bytes, plan: Plan) -> PortedBytes:
    """Port the file `name`, whose content is `data`. Raises CannotPort if it cannot be read."""
    ported: PortedBytes = import_module(f"porter.documents.{kind_of(name, data)}").port(name, data, plan)
    return ported


def kind_of(name: str, data: bytes) -> str:
    """Which kind of document a file is: a module of porter.documents."""
    ending = os.path.splitext(name)[1].lower()
    if ending not in _DOCUMENTS and ending not in PYTHON and names_a_shell(data):
        return "shell"
    return _DOCUMENTS.get(ending, "python")
