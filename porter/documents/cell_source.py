"""The source of a notebook's cell: a JSON string, or a list of strings, as a rule one for each line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from porter.changes import Change
from porter.documents.json_places import changed_string, string_lines


@dataclass(frozen=True)
class CellSource:
    """Where a source stands in the notebook's text, quotes or brackets included, and the strings that it holds.

    `spans` are the places of the `strings`; for a source that is one string, its own place. A change of the list's
    strings leaves those around them as they are, and an added line is set apart as its neighbours are.
    """

    start: int
    end: int
    strings: list[str]
    spans: list[tuple[int, int]]

    @property
    def text(self) -> str:
        return "".join(self.strings)

    def changed(self, notebook: str, changes: Iterable[Change]) -> Change:
        """What changes in the notebook's text, for changes that count within the source."""
        raw = [notebook[start:end] for start, end in self.spans]
        if self.spans == [(self.start, self.end)]:
            return Change(self.start, self.end, changed_string(raw[0], changes))
        own = self._by_string(changes)
        new = [self._string(index, raw[index], own[index]) for index in range(len(raw))]
        return Change(self.start + 1, self.end - 1, self._joined(notebook, new))

    def _by_string(self, changes: Iterable[Change]) -> list[list[Change]]:
        """The changes of each string. What is added between two strings goes to the end of the first."""
        own: list[list[Change]] = [[] for _ in self.strings]
        for start, end, new in changes:
            first = 0
            for index, string in enumerate(self.strings):
                stop = first + len(string)
                begins_here = first <= start < stop or (start == end == stop)
                if string and (begins_here or start < first < end):
                    piece = new if begins_here else ""
                    own[index].append(Change(max(start - first, 0), min(end, stop) - first, piece))
                    if start == end:
                        break
                first = stop
        return own

    def _string(self, index: int, raw: str, changes: list[Change]) -> list[str]:
        """What one raw string becomes: none if nothing of it is left, several if lines were added."""
        if not changes:
            return [raw]
        if sum(end - start for start, end, _ in changes) == len(self.strings[index]) and not any(
            c.new for c in changes
        ):
            return []
        changed = changed_string(raw, changes)
        is_one_line = "\n" not in self.strings[index][:-1]
        return string_lines(changed) if is_one_line else [changed]

    def _joined(self, notebook: str, strings: list[list[str]]) -> str:
        """The inside of the list. Only its strings are new; a string that was added has a neighbour's separator."""
        lead = notebook[self.start + 1 : self.spans[0][0]]
        between = [notebook[end:start] for (_, end), (start, _) in pairwise(self.spans)]
        usual = between[0] if between else "," + (lead or " ")
        separated = [
            (between[index - 1] if index and not nth else usual, string)
            for index, several in enumerate(strings)
            for nth, string in enumerate(several)
        ]
        if not separated:
            return ""
        rest = "".join(separator + string for separator, string in separated[1:])
        return lead + separated[0][1] + rest + notebook[self.spans[-1][1] : self.end - 1]
