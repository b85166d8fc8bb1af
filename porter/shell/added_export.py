"""The exports that a port adds to scripts that train on Ascend NPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from porter.shell.syntax import text_of

if TYPE_CHECKING:
    from tree_sitter import Node

EXPORTS = {"PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True", "CPU_AFFINITY_CONF": "1"}


def note(name: str) -> str:
    """That a port added this export to a file."""
    return f"export-{name}"


def added_names(statement: Node, notes: frozenset[str]) -> list[str]:
    """The variable of a statement that is an export as it was added; none of any other."""
    text = text_of(statement)
    return [name for name, value in EXPORTS.items() if note(name) in notes and text == f"export {name}={value}"]


def is_in_added(name: Node, notes: frozenset[str]) -> bool:
    """Whether a variable's name stands in an export as it was added."""
    statement = name.parent.parent if name.parent else None
    return statement is not None and bool(added_names(statement, notes))
