"""The code cells of a notebook as one unit, so that an import in the first cell counts in the last."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable

from porter.changes import Change, within_lines
from porter.documents.document import CannotPort
from porter.documents.ipython import as_python
from porter.documents.notebook_cells import CodeCell
from porter.findings import Finding
from porter.source import CannotParse, parse

_NEWLINE = re.compile(r"\r\n|\r|\n")

#: IPython reads a cell that begins with an indented line as if it were not; this makes it a block of its own.
_INDENTED = re.compile(r"(?:[ \t]*(?:\#[^\r\n]*)?(?:\r\n|\r|\n))*[ \t]+[^\s#]")
_BLOCK = "if 1:\n"


class JoinedCells:
    """Texts of cells one after the other, each with what stands above it, and a line ending after it."""

    def __init__(self, cells: Iterable[tuple[CodeCell, str, str]]) -> None:
        self._cells: list[CodeCell] = []
        self._endings: list[str] = []
        self._starts: list[int] = []
        self._first_lines: list[int] = []
        pieces: list[str] = []
        at, line = 0, 1
        for cell, above, text in cells:
            newline = _NEWLINE.search(text)
            ending = newline[0] if newline else "\n"
            self._cells.append(cell)
            self._endings.append(ending)
            self._starts.append(at + len(above))
            self._first_lines.append(line + above.count("\n"))
            pieces += above, text, ending
            at += len(above + text + ending)
            line += len(_NEWLINE.findall(above + text + ending))
        self.text = "".join(pieces)

    def by_cell(self, changes: Iterable[Change]) -> list[tuple[CodeCell, list[Change]]]:
        """The changes of each cell that has any, counted in its source."""
        own: dict[int, list[Change]] = {}
        for change in within_lines(self.text, changes):
            # What is added after a cell's last line belongs to it, though the next cell begins there.
            at = change.start if change.start < change.end else change.start - 1
            index = max(bisect_right(self._starts, at) - 1, 0)
            own.setdefault(index, []).append(self._within(index, change))
        return [(self._cells[index], changes) for index, changes in own.items()]

    def placed(self, finding: Finding) -> Finding:
        """The finding, its lines counted in its cell; one about the whole unit is put into the first."""
        index, above = self._cell_of(finding.line)
        line, end_line = max(finding.line - above, 1), max(finding.end_line - above, 1)
        return finding._replace(line=line, end_line=end_line, cell=self._cells[index].number)

    def _within(self, index: int, change: Change) -> Change:
        """A change that takes in the ending put after the cell takes in the one before instead."""
        start, end = change.start - self._starts[index], change.end - self._starts[index]
        length, ending = len(self._cells[index].source.text), self._endings[index]
        if end <= length:
            return Change(start, end, change.new)
        new = ending + change.new.removesuffix(ending) if change.new else ""
        return Change(max(start - len(ending), 0), end - len(ending), new)

    def _cell_of(self, line: int) -> tuple[int, int]:
        """The index of the cell that a line of the unit is in, and how many lines are above the cell."""
        index = max(bisect_right(self._first_lines, line) - 1, 0)
        return index, self._first_lines[index] - 1


def as_written(cells: Iterable[CodeCell]) -> JoinedCells:
    """The sources of cells as they are, whatever language they are in."""
    return JoinedCells((cell, "", cell.source.text) for cell in cells)


class NotebookUnit(JoinedCells):
    """`text` holds what is Python in each cell, character for character, and a line ending after it."""

    def __init__(self, cells: Iterable[CodeCell]) -> None:
        texts = ((cell, as_python(cell.source.text)) for cell in cells)
        super().__init__(
            (cell, _BLOCK if _INDENTED.match(python) else "", python) for cell, python in texts if python is not None
        )

    def by_cell(self, changes: Iterable[Change]) -> list[tuple[CodeCell, list[Change]]]:
        """Raises CannotPort if a cell that changes is Python only together with its neighbours."""
        own = super().by_cell(changes)
        for cell, _ in own:
            _check_alone(cell)
        return own

    def placed_error(self, error: CannotPort) -> CannotPort:
        """The error, with the cell that it is about: the first that does not parse by itself."""
        for cell in self._cells:
            try:
                _check_alone(cell)
            except CannotPort as alone:
                return alone
        if error.line is None:
            return error
        index, above = self._cell_of(error.line)
        return _error(self._cells[index], error.line - above, error)


def _check_alone(cell: CodeCell) -> None:
    """Raises CannotPort for a cell that does not parse by itself."""
    unit = NotebookUnit([cell])
    try:
        parse(unit.text)
    except CannotParse as error:
        line = error.line and error.line - unit._first_lines[0] + 1
        raise _error(cell, line, error) from None


def _error(cell: CodeCell, line: int | None, error: Exception) -> CannotPort:
    place = f"cell {cell.number}, line {line}" if line else f"cell {cell.number}"
    return CannotPort(f"{place}: {error}")
