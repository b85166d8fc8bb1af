"""Branches of a script for CUDA and the new accelerator both: the one for CUDA stays as its author wrote it.

if [ "$DEVICE" = npu ]; then                    case "$DEVICE" in
    python train.py --device npu                    npu) python train.py --device npu ;;
else                                                *) python train.py --device cuda ;;
    python train.py --device cuda               esac
fi
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from porter.findings import SUPPORTS_BOTH
from porter.shell.script import ShellScript
from porter.shell.syntax import walk
from porter.text_unit import Span, TextUnit
from porter.unit import Found

if TYPE_CHECKING:
    from tree_sitter import Node


def sifted(found: list[Found], unit: TextUnit[ShellScript], codes: frozenset[str] | None) -> list[Found]:
    """What rules have found, less what is for CUDA beside a branch for the new accelerator, with a note of each."""
    source, translation = unit.source, unit.translation
    is_left_out = codes is not None and SUPPORTS_BOTH not in codes
    if is_left_out or translation.undoes or not found or not translation.names_new(source.data):
        return found
    starts = [edit.start for one in found if one.finding.is_fix for edit in one.edits if edit.start < edit.end]
    for statement in list(walk(source.root)):
        if statement.type not in ("if_statement", "case_statement"):
            continue
        branches = list(_branches(statement))
        for_new = [span for span in branches if translation.names_new(source.data[slice(*span)])]
        for_cuda = [span for span in branches if span not in for_new and any(_is_in(at, [span]) for at in starts)]
        if not for_new or not for_cuda:
            continue
        found = [one for one in found if not (one.edits and all(_is_in(edit.start, for_cuda) for edit in one.edits))]
        starts = [at for at in starts if not _is_in(at, for_cuda)]
        message = f"supports {translation.new.name} already: 1 place"
        found.append(unit.report(SUPPORTS_BOTH, "note", for_cuda[0], message))
    return found


def _branches(statement: Node) -> Iterator[Span]:
    """The bytes of each branch; what is asked first belongs to the first one."""
    own = [child for child in statement.children if child.type in ("elif_clause", "else_clause", "case_item")]
    if statement.type == "if_statement":
        yield statement.start_byte, own[0].start_byte if own else statement.end_byte
    yield from ((child.start_byte, child.end_byte) for child in own)


def _is_in(at: int, spans: list[Span]) -> bool:
    return any(start <= at < end for start, end in spans)
