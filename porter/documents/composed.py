"""A shell script that is put together from pieces of another file, each of which knows where it stands there.

    environment:                     CUDA_VISIBLE_DEVICES=0
      CUDA_VISIBLE_DEVICES: 0   ->
    run: python a.py                 python a.py

What the script needs besides, such as the `=`, is a piece that stands nowhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

from porter.changes import LINE, Change, located_in
from porter.commenting import SHELL, Commenting
from porter.documents.shell import ported_shell
from porter.findings import Finding
from porter.ignore_comments import Ignores
from porter.port import Plan, Ported
from porter.unit import Found


class Piece(NamedTuple):
    """Characters of the script that begin at `start`, and where they begin in the file; None: in neither."""

    start: int
    text: str
    at: int | None


class ComposedScript:
    """The script of one file; `text` is empty where the file holds none."""

    def __init__(self, document: str) -> None:
        self.document = document
        self._pieces: list[Piece] = []
        self._length = 0

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self._pieces)

    def add(self, text: str, at: int | None = None) -> None:
        """Goes on with a text that begins at a place of the file, or nowhere."""
        self._pieces.append(Piece(self._length, text, at))
        self._length += len(text)

    def changes_of_the_document(self, changes: Iterable[Change]) -> Iterator[Change]:
        """What lies within one piece; nothing else is a change of the file."""
        for start, end, new in changes:
            piece = self._piece(start)
            if piece is not None and piece.at is not None and end <= piece.start + len(piece.text):
                yield Change(piece.at + start - piece.start, piece.at + end - piece.start, new)

    def placed(self, findings: Iterable[Finding]) -> Iterator[tuple[Finding, Finding]]:
        """Each finding that is about a place in the file, and the same where it stands there."""
        starts = [0, *accumulate(map(len, LINE.findall(self.text)))]
        for finding in findings:
            first = starts[finding.line - 1] + finding.column - 1
            last = starts[finding.end_line - 1] + finding.end_column - 1
            piece = self._piece(first)
            if piece is None or piece.at is None:
                continue
            begin = piece.at + first - piece.start
            end = max(begin, self._end(last, piece))
            (line, column), (end_line, end_column) = located_in(self.document, (begin, end))
            yield finding, finding._replace(line=line, column=column, end_line=end_line, end_column=end_column)

    def _end(self, last: int, piece: Piece) -> int:
        """Where it ends in the file what begins in a piece: within it, or in one below."""
        other = self._piece(max(last - 1, piece.start))
        start, text, at = piece if other is None or other.at is None else other
        return (at or 0) + min(last - start, len(text.rstrip("\n")))

    def _piece(self, offset: int) -> Piece | None:
        index = bisect_right(self._pieces, offset, key=lambda piece: piece.start) - 1
        return self._pieces[index] if index >= 0 else None


def port_composed(script: ComposedScript, plan: Plan, name: str, commenting: Commenting, besides: Ported) -> Ported:
    """What there is to say of the script where `besides`, which is of the same file, has not told of it.

    `commenting` is how comments are written in the file.
    """
    document = script.document
    shell = ported_shell(script.text, replace(plan, shows_edits=True), name, SHELL)
    placed = {new: one for one, new in script.placed(shell.findings)}
    own = [one for one in placed if not any(_tells_of(one, other) for other in besides.findings)]
    kept, left_out = Ignores(document, commenting).split(map(Found, own))
    findings = [one.finding for one in kept]
    edits = {one: shell.edits.get(placed[one], []) for one in findings}
    wanted = [edit for own_edits in edits.values() for edit in own_edits]
    changes = (one for one in shell.changes if any(one.start <= edit.start and edit.end <= one.end for edit in wanted))
    shown = {one: list(script.changes_of_the_document(edits[one])) for one in findings} if plan.shows_edits else {}
    return replace(
        besides,
        findings=sorted((*besides.findings, *findings), key=lambda one: (one.line, one.column)),
        changes=sorted((*besides.changes, *script.changes_of_the_document(changes))),
        edits={**besides.edits, **{one: changes for one, changes in shown.items() if changes}},
        left_out=(*besides.left_out, *left_out, *(new for _, new in script.placed(shell.left_out))),
    )


def _tells_of(one: Finding, other: Finding) -> bool:
    """Whether another finding has the word: a report about the same line, or what is made right at the same place."""
    if one.line != other.line:
        return False
    begins_before_its_end = (one.line, one.column) < (other.end_line, other.end_column)
    ends_behind_its_begin = (other.line, other.column) < (one.end_line, one.end_column)
    return not other.is_fix or (begins_before_its_end and ends_behind_its_begin)
