"""What a port changed in a file, so that undoing gives back what stood there and nothing else.

An entry holds each change with its line, and a checksum of every line of the ported file. A file that was edited since
is laid beside these checksums: a line that is still there is known again wherever it has moved to, and one that was
edited itself by what stands before and behind the change. A line comes back as a whole or not at all. What is not found
is said, and the rest goes on.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from struct import pack, unpack
from typing import Any, NamedTuple
from zlib import crc32

#: What checksums and columns leave out at both ends of a line, so that indentation and line endings may change.
_BLANKS = b" \t\r\n\f\v"

#: How many bytes before and behind a change are kept, to know it again in a line that was edited.
_BESIDE = 24

#: How many of them have to be the same.
_ENOUGH = 8

#: In how many edited lines a change is looked for.
_MOST_LINES = 200

_TOKEN = re.compile(rb"\w+|\W+")


class Change(NamedTuple):
    """`old` became `new`, in line `line` (from 0) of the ported file, `column` bytes behind its indentation.

    Where `column` is None, whole lines did: those of `new` begin at `line`; where it is empty, `old` stood before it.
    """

    line: int
    column: int | None
    old: bytes
    new: bytes
    left: bytes = b""
    right: bytes = b""

    @property
    def lines(self) -> int:
        """How many lines of the ported file it takes up."""
        return 1 if self.column is not None else len(self.new.splitlines())


@dataclass(frozen=True)
class Entry:
    """What ports to `targets` changed in a file. `sums` are checksums of its lines after, `before` of all before.

    `code` is the same for what is in a notebook's code cells, which Jupyter lays out anew when it saves.
    """

    targets: tuple[str, ...]
    before: int
    sums: tuple[int, ...]
    changes: tuple[Change, ...] = ()
    code: Entry | None = None

    def to_json(self) -> dict[str, Any]:
        code = {} if self.code is None else {"code": self.code.to_json()}
        return code | {
            "targets": list(self.targets),
            "before": self.before,
            "lines": b64encode(pack(f"<{len(self.sums)}I", *self.sums)).decode("ascii"),
            "changes": [[_text(one) if isinstance(one, bytes) else one for one in change] for change in self.changes],
        }

    @classmethod
    def from_json(cls, content: Any) -> Entry:
        """Raises ValueError, KeyError or TypeError for what `to_json` did not write."""
        lines = b64decode(content["lines"], validate=True)
        changes = tuple(
            Change(int(line), None if column is None else int(column), *map(_bytes, texts))
            for line, column, *texts in content["changes"]
        )
        sums = unpack(f"<{len(lines) // 4}I", lines)
        code = cls.from_json(content["code"]) if "code" in content else None
        return cls(tuple(map(str, content["targets"])), int(content["before"]), sums, changes, code)

    def is_of(self, data: bytes) -> bool:
        """Whether this is the ported file, but for blanks at the ends of its lines."""
        return sums_of(data) == self.sums


class Place(NamedTuple):
    """Where in the file, as it was given, a change was put back or missed: line and column from 1."""

    line: int
    column: int
    change: Change


@dataclass(frozen=True)
class Restored:
    """The bytes with every change put back that was found, and where that was, or should have been.

    Of a line with several changes, `missed` are those that are not there, and none of the others is put back.

    `edits` are what was put back: bytes, and what they became. `is_another_file` says that most of the ported file is
    not there at all: the entry is not about this one.
    """

    data: bytes
    found: tuple[Place, ...] = ()
    missed: tuple[Place, ...] = ()
    is_another_file: bool = False
    edits: tuple[tuple[int, int, bytes], ...] = ()


def entry_of(before: bytes, after: bytes, targets: Iterable[str]) -> Entry:
    """What a port made of a file."""
    new = after.splitlines(keepends=True)
    changes = () if before == after else tuple(_changes(before.splitlines(keepends=True), new))
    return Entry(tuple(targets), crc32(before), _sums(new), changes)


def restored(data: bytes, entry: Entry) -> Restored:
    """A file as it would be without the ports: exactly that where it has not been edited since."""
    if crc32(data) == entry.before:
        return Restored(data)
    file = _File(data, entry)
    if 2 * len(file.now) < len(entry.sums):
        return Restored(data, is_another_file=True)
    edits: list[tuple[int, int, bytes]] = []
    found, missed = list[Place](), list[Place]()
    for changes in _together(entry.changes):
        own = [file.edits_of(change) for change in changes]
        gone = [change for change, its in zip(changes, own, strict=True) if not its]
        if not gone and not _in_order(own):
            gone = changes
        if gone:
            missed += [file.place(file.about(change.line), change) for change in gone]
            continue
        edits += [edit for its in own for edit in its]
        found += [file.place(its[0][0], change) for change, its in zip(changes, own, strict=True)]
    pieces, at = list[bytes](), 0
    for start, end, old in sorted(edits):
        pieces += data[at:start], old
        at = end
    return Restored(b"".join([*pieces, data[at:]]), tuple(found), tuple(missed), edits=tuple(sorted(edits)))


def sums_of(data: bytes) -> tuple[int, ...]:
    """The checksum of each line, without the blanks at its ends."""
    return _sums(data.splitlines())


def _together(changes: Iterable[Change]) -> Iterator[list[Change]]:
    """The changes within one line are pieces of one: one without the others may be no program any more."""
    for (_, is_piece), group in groupby(changes, lambda change: (change.line, change.column is not None)):
        if is_piece:
            yield list(group)
        else:
            yield from ([change] for change in group)


def _in_order(edits: Sequence[list[tuple[int, int, bytes]]]) -> bool:
    """Whether the pieces of a line still come one after the other."""
    return all(one[-1][1] <= other[0][0] for one, other in pairwise(edits))


class _File:
    """A file beside the checksums of its ported form."""

    def __init__(self, data: bytes, entry: Entry) -> None:
        self.data = data
        self.lines = data.splitlines(keepends=True)
        self.starts = [0, *accumulate(map(len, self.lines))]
        self.now = _aligned(entry.sums, _sums(self.lines))
        self.taken = set(self.now.values())
        self.found: set[int] = set()

    def edits_of(self, change: Change) -> list[tuple[int, int, bytes]]:
        """What puts a change back: bytes, and what they shall be. None of it where the change is not found."""
        if change.column is None:
            return self._whole_lines(change)
        at = self._in_its_line(change) if change.line in self.now else self._in_an_edited_line(change)
        return [] if at is None else [(at, at + len(change.new), change.old)]

    def place(self, offset: int, change: Change) -> Place:
        line = max(min(bisect_right(self.starts, offset), len(self.lines)), 1)
        column = len(self.data[self.starts[line - 1] : offset].decode("utf-8", "replace")) + 1
        return Place(line, column, change)

    def about(self, line: int) -> int:
        """Where a line of the ported file would stand."""
        above = max((other for other in self.now if other < line), default=None)
        return 0 if above is None else min(self.starts[self.now[above] + 1], len(self.data))

    def _in_its_line(self, change: Change) -> int | None:
        number = self.now[change.line]
        at = self._text_start(number) + (change.column or 0)
        return at if self.data.startswith(change.new, at) else None

    def _in_an_edited_line(self, change: Change) -> int | None:
        """Among the edited lines where it should be, the place whose surroundings are most like those of the change."""
        above = max((other for other in self.now if other < change.line), default=None)
        below = min((other for other in self.now if other > change.line), default=None)
        first = 0 if above is None else self.now[above] + 1
        last = len(self.lines) if below is None else self.now[below]
        numbers = [number for number in range(first, last) if number not in self.taken][:_MOST_LINES]
        likeness = {at: alike for number in numbers for at, alike in self._like(change, number) if at not in self.found}
        best = max(likeness, key=lambda at: likeness[at], default=None)
        if best is None or list(likeness.values()).count(likeness[best]) > 1:
            return None
        self.found.add(best)
        return best

    def _like(self, change: Change, number: int) -> Iterator[tuple[int, int]]:
        """Each place in a line that could be the change: the same text, with enough of the same around it."""
        text, start = self.lines[number].strip(_BLANKS), self._text_start(number)
        for match in re.finditer(re.escape(change.new), text):
            before, behind = text[: match.start()], text[match.end() :]
            alike = _shared(before[::-1], change.left[::-1]) + _shared(behind, change.right)
            is_whole_side = (change.column == len(before) and before == change.left) or behind == change.right
            if alike >= _ENOUGH or (is_whole_side and alike):
                yield start + match.start(), alike

    def _whole_lines(self, change: Change) -> list[tuple[int, int, bytes]]:
        numbers = [self.now.get(change.line + index) for index in range(change.lines)]
        there = [number for number in numbers if number is not None]
        if not change.old:  # lines that the port added: each goes that is still there
            return [(self.starts[number], self.starts[number + 1], b"") for number in there]
        if not numbers:  # lines that it took out: they come back where they stood
            at = self._between(change.line)
            return [] if at is None else [(at, at, change.old)]
        if len(there) < len(numbers) or there != list(range(there[0], there[0] + len(there))):
            return []
        start, end = self.starts[there[0]], self.starts[there[-1] + 1]
        return [(start, end, change.old + self._ending(change.old, self.data[start:end]))]

    def _between(self, line: int) -> int | None:
        if line in self.now:
            return self.starts[self.now[line]]
        if not self.lines:
            return 0
        return self.starts[self.now[line - 1] + 1] if line - 1 in self.now else None

    def _text_start(self, number: int) -> int:
        line = self.lines[number]
        return self.starts[number] + len(line) - len(line.lstrip(_BLANKS))

    @staticmethod
    def _ending(old: bytes, now: bytes) -> bytes:
        """The line ending that has come behind what was once the end of the file."""
        return b"" if old.endswith((b"\n", b"\r")) else now[len(now.rstrip(b"\r\n")) :]


def _changes(old: list[bytes], new: list[bytes]) -> Iterator[Change]:
    """The lines that differ, found by their equal neighbours; most ports change lines and add none."""
    if len(old) == len(new):
        yield from _line_by_line(old, new, 0)
        return
    head = _shared(old, new)
    tail = _shared(old[head:][::-1], new[head:][::-1])
    old, new = old[head : len(old) - tail], new[head : len(new) - tail]
    for kind, start, end, new_start, new_end in _opcodes(old, new):
        if kind == "replace" and end - start == new_end - new_start:
            yield from _line_by_line(old[start:end], new[new_start:new_end], head + new_start)
        elif kind != "equal":
            yield Change(head + new_start, None, b"".join(old[start:end]), b"".join(new[new_start:new_end]))


def _opcodes(old: list[bytes], new: list[bytes]) -> Iterable[tuple[str, int, int, int, int]]:
    """What became of which lines, as difflib says it, which is asked unless lines came or went at one place only."""
    more, fewest = len(new) - len(old), min(len(old), len(new))
    above = list(accumulate((old[at] != new[at] for at in range(fewest)), initial=0))
    below = list(accumulate((old[-at] != new[-at] for at in range(1, fewest + 1)), initial=0))[::-1]
    differ, at = min((above[at] + below[at], at) for at in range(fewest + 1))
    if 2 * differ > fewest:  # then the others do not go together either
        from difflib import SequenceMatcher

        return SequenceMatcher(None, old, new).get_opcodes()
    gone, come = max(-more, 0), max(more, 0)
    return [
        ("replace", 0, at, 0, at),
        ("insert" if come else "delete", at, at + gone, at, at + come),
        ("replace", at + gone, len(old), at + come, len(new)),
    ]


def _line_by_line(old: Sequence[bytes], new: Sequence[bytes], first: int) -> Iterator[Change]:
    for number, (before, after) in enumerate(zip(old, new, strict=True), first):
        if before != after:
            yield from _within_a_line(before, after, number)


def _within_a_line(old: bytes, new: bytes, number: int) -> Iterator[Change]:
    """Word by word where both have as many; otherwise from the first difference to the last."""
    old_text, text = old.strip(_BLANKS), new.strip(_BLANKS)
    if not text or old != new.replace(text, old_text, 1):
        yield Change(number, None, old, new)
        return
    words, new_words = _TOKEN.findall(old_text), _TOKEN.findall(text)
    if len(words) != len(new_words):
        head = _shared(old_text, text)
        tail = _shared(old_text[head:][::-1], text[head:][::-1])
        words = [old_text[:head], old_text[head : len(old_text) - tail], old_text[len(old_text) - tail :]]
        new_words = [text[:head], text[head : len(text) - tail], text[len(text) - tail :]]
    at = 0
    for word, new_word in zip(words, new_words, strict=True):
        end = at + len(new_word)
        if word != new_word:
            yield Change(number, at, word, new_word, text[max(at - _BESIDE, 0) : at], text[end : end + _BESIDE])
        at = end


def _aligned(sums: Sequence[int], now: Sequence[int]) -> dict[int, int]:
    """For each line of the ported file that is still there, which line it is now."""
    if tuple(sums) == tuple(now):
        return {number: number for number in range(len(now))}
    from difflib import SequenceMatcher

    aligned: dict[int, int] = {}
    for first, second, size in SequenceMatcher(None, sums, now).get_matching_blocks():
        aligned |= zip(range(first, first + size), range(second, second + size), strict=True)
    return aligned | _moved(sums, now, aligned)


def _moved(sums: Sequence[int], now: Sequence[int], aligned: dict[int, int]) -> dict[int, int]:
    """Lines that are gone from their place and stand at another, in their order."""
    places: dict[int, list[int]] = {}
    for number in sorted(set(range(len(now))) - set(aligned.values()), reverse=True):
        places.setdefault(now[number], []).append(number)
    gone = (number for number in range(len(sums)) if number not in aligned)
    return {number: places[sums[number]].pop() for number in gone if places.get(sums[number])}


def _sums(lines: Iterable[bytes]) -> tuple[int, ...]:
    return tuple([crc32(line.strip(_BLANKS)) for line in lines])


def _shared(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many elements both begin with."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
