"""What an editor holds, and what the rules say of it: texts, and notebooks, which are held cell by cell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lsprotocol import types as lsp
from pygls.workspace import TextDocument

from porter.documents import port_bytes
from porter.documents.document import CannotPort
from porter.findings import UNSAFE, Finding
from porter.kinds import kind_by_name
from porter.port import Plan

_SEVERITIES = {
    "error": lsp.DiagnosticSeverity.Error,
    "warning": lsp.DiagnosticSeverity.Warning,
    "note": lsp.DiagnosticSeverity.Information,
    "fix": lsp.DiagnosticSeverity.Warning,
}
SOURCE = "diffsynth-port"


@dataclass
class Document:
    """One text, or one cell of a notebook, and what there is to say of it; of one that cannot be ported, `why`."""

    text: TextDocument
    findings: tuple[Finding, ...] = ()
    ported: str = ""
    why: CannotPort | None = None

    def diagnostics(self) -> list[lsp.Diagnostic]:
        if self.why is not None:
            line = (self.why.line or 1) - 1
            place = self._range(line, 0, line, 0)
            message = f"not looked at: {self.why}"
            return [lsp.Diagnostic(place, message, severity=lsp.DiagnosticSeverity.Information, source=SOURCE)]
        return [self.diagnostic(finding) for finding in self.findings]

    def diagnostic(self, finding: Finding) -> lsp.Diagnostic:
        said = finding.message + (f"\nhelp: {finding.way_out}" if finding.way_out else "")
        tags = [lsp.DiagnosticTag.Unnecessary] if finding.code == "DP117" else None
        data = {"applicability": finding.applicability} if finding.applicability else None
        severity = _SEVERITIES[finding.severity]
        return lsp.Diagnostic(
            self.range_of(finding), said, severity=severity, code=finding.code, source=SOURCE, tags=tags, data=data
        )

    def range_of(self, finding: Finding) -> lsp.Range:
        return self._range(finding.line - 1, finding.column - 1, finding.end_line - 1, finding.end_column - 1)

    def edits(self, finding: Finding) -> list[lsp.TextEdit]:
        return [
            lsp.TextEdit(
                self._range(edit.line - 1, edit.column - 1, edit.end_line - 1, edit.end_column - 1), edit.content
            )
            for edit in finding.edits
        ]

    def as_ported(self) -> lsp.TextEdit | None:
        """The edit that makes the whole text what a port makes of it; None where that is what it is."""
        if self.ported == self.text.source:
            return None
        return lsp.TextEdit(self._range(0, 0, len(self.text.lines), 0), self.ported)

    def at(self, wanted: lsp.Range) -> Iterator[Finding]:
        """The findings that a range touches."""
        first, last = _key(wanted.start), _key(wanted.end)
        for finding in self.findings:
            place = self.range_of(finding)
            if _key(place.start) <= last and first <= _key(place.end):
                yield finding

    def _range(self, line: int, column: int, end_line: int, end_column: int) -> lsp.Range:
        """In the units that were agreed on with the editor, UTF-16 as a rule; ours are characters."""
        place = lsp.Range(lsp.Position(line, column), lsp.Position(end_line, end_column))
        return self.text.position_codec.range_to_client_units(self.text.lines, place)


def read_text(text: TextDocument, path: str, plan: Plan) -> Document:
    """A text that stands alone."""
    if kind_by_name(path) in (None, "notebook"):  # one that an editor holds as text is its JSON, which nobody edits
        return Document(text, ported=text.source)
    try:
        done = port_bytes(path, text.source.encode("utf-8", "surrogatepass"), plan)
    except CannotPort as error:
        return Document(text, ported=text.source, why=error)
    return Document(text, done.findings, done.data.decode("utf-8", "surrogatepass"))


def read_notebook(path: str, cells: Sequence[TextDocument], is_code: Sequence[bool], plan: Plan) -> list[Document]:
    """The cells of a notebook, which are ported together: what one imports counts in the others."""
    kinds = ("code" if code else "markdown" for code in is_code)
    content = {"cells": [{"cell_type": kind, "source": cell.source} for kind, cell in zip(kinds, cells, strict=True)]}
    try:
        done = port_bytes(f"{path}.ipynb", json.dumps(content).encode("utf-8"), plan)
    except CannotPort as error:
        documents = [Document(cell, ported=cell.source) for cell in cells]
        if documents:
            documents[0].why = error
        return documents
    ported = json.loads(done.data)["cells"]
    return [
        Document(cell, tuple(one for one in done.findings if one.cell == number), ported[number - 1]["source"])
        for number, cell in enumerate(cells, 1)
    ]


def is_safe(finding: Finding) -> bool:
    return finding.applicability != UNSAFE


def _key(position: lsp.Position) -> tuple[int, int]:
    return position.line, position.character
