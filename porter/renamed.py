"""The record of a file that has another name now, by its lines: most of them are still what a port has left.

Of files that have lines in common, the one that shares most is meant, and one that is gone from its place rather than
one that is still there. Where two that a port changed differently are as like, it is the one of the same name, as in a
folder that was moved, or else none is guessed. A file that has most of the lines but not those that were ported was
never ported: it is a sibling of the one that was.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from zlib import crc32

from porter.record import Entry
from porter.record_log import Kept, Record

#: So many lines in common are enough, however much the file has grown since.
_MANY = 8

#: Lines that every program may have.
_EMPTY = crc32(b"")


def kept_for(path: str, sums: Sequence[int], record: Record, of_code: bool) -> Kept | None:
    """What was kept for the file that has these lines now, wherever it lay; of a notebook, those of its code."""
    known = _known(record, of_code)
    lines = set(sums) - {_EMPTY}
    shared = Counter(number for line in lines for number in known.with_line.get(line, ()))
    likely = [
        number
        for number, count in shared.items()
        if known.is_like(number, count, lines) and known.is_ported(number, lines)
    ]
    if not likely:
        return None
    best = max(shared[number] for number in likely)
    alike = [known.kept[number] for number in likely if shared[number] == best]
    gone = [one for one in alike if not os.path.exists(one.path)]
    named = [one for one in gone if os.path.basename(one.path) == os.path.basename(path)]
    for choice in (alike, gone, named):
        if len({_code(one.entry, of_code).changes for one in choice}) == 1:
            return (gone or alike)[0] if choice is alike else choice[0]
    return None


class _Known:
    """All that is kept, by the lines of the ported files."""

    def __init__(self, kept: list[Kept], of_code: bool) -> None:
        self.kept = kept
        self.lines = [set(_code(one.entry, of_code).sums) - {_EMPTY} for one in kept]
        self.changed = [_changed_lines(_code(one.entry, of_code)) for one in kept]
        self.with_line: dict[int, list[int]] = {}
        for number, lines in enumerate(self.lines):
            for line in lines:
                self.with_line.setdefault(line, []).append(number)

    def is_like(self, number: int, count: int, lines: set[int]) -> bool:
        """Whether most of a ported file is there."""
        return 2 * count >= len(self.lines[number]) and (count >= _MANY or 2 * count >= len(lines))

    def is_ported(self, number: int, lines: set[int]) -> bool:
        """Whether what was changed is there: most of it of a file that was renamed, all of one that is in its place."""
        changed = self.changed[number]
        if changed <= lines:
            return True
        return 2 * len(changed & lines) > len(changed) and not os.path.exists(self.kept[number].path)


@lru_cache(maxsize=4)
def _known(record: Record, of_code: bool) -> _Known:
    """Only what ports have left counts: an entry of no target says that a file was undone."""
    every = {one.path: one for one in record.all_kept() if one.entry.targets}
    return _Known([one for one in every.values() if (one.entry.code is not None) == of_code], of_code)


def _code(entry: Entry, of_code: bool) -> Entry:
    return entry.code if of_code and entry.code is not None else entry


def _changed_lines(entry: Entry) -> frozenset[int]:
    return frozenset(
        entry.sums[number]
        for change in entry.changes
        for number in range(change.line, change.line + change.lines)
        if number < len(entry.sums)
    ) - {_EMPTY}
