"""The server: a document's text is ported as a file's is, and what came of it is told in the protocol's words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.workspace import TextDocument

from porter import __version__
from porter.documents import port_bytes
from porter.documents.document import CannotPort
from porter.findings import UNSAFE, Finding
from porter.kinds import kind_by_name
from porter.port import Plan
from porter.rules import all_rules
from porter.settings import Settings, selected_codes
from porter.targets import default_hardware

_SEVERITIES = {
    "error": lsp.DiagnosticSeverity.Error,
    "warning": lsp.DiagnosticSeverity.Warning,
    "note": lsp.DiagnosticSeverity.Information,
    "fix": lsp.DiagnosticSeverity.Warning,
}
_SOURCE = "diffsynth-port"
_FIX_ALL = lsp.CodeActionKind.SourceFixAll


class _Document:
    """One text, and what the rules say of it; of one that cannot be ported, `why`."""

    def __init__(self, document: TextDocument, settings: Settings) -> None:
        self.document = document
        self.findings: tuple[Finding, ...] = ()
        self.ported = document.source
        self.why: CannotPort | None = None
        if kind_by_name(document.path) in (None, "notebook"):  # editors hold notebooks as cells, not as their JSON
            return
        try:
            data = document.source.encode("utf-8", "surrogatepass")
            done = port_bytes(document.path, data, _plan(document.path, settings))
        except CannotPort as error:
            self.why = error
        else:
            self.findings, self.ported = done.findings, done.data.decode("utf-8", "surrogatepass")

    def diagnostics(self) -> list[lsp.Diagnostic]:
        if self.why is not None:
            line = (self.why.line or 1) - 1
            place = self._range(line, 0, line, 0)
            message = f"not looked at: {self.why}"
            return [lsp.Diagnostic(place, message, severity=lsp.DiagnosticSeverity.Information, source=_SOURCE)]
        return [self.diagnostic(finding) for finding in self.findings]

    def diagnostic(self, finding: Finding) -> lsp.Diagnostic:
        said = finding.message + (f"\nhelp: {finding.way_out}" if finding.way_out else "")
        severity = _SEVERITIES[finding.severity]
        return lsp.Diagnostic(self.range_of(finding), said, severity=severity, code=finding.code, source=_SOURCE)

    def range_of(self, finding: Finding) -> lsp.Range:
        return self._range(finding.line - 1, finding.column - 1, finding.end_line - 1, finding.end_column - 1)

    def edits(self, finding: Finding) -> list[lsp.TextEdit]:
        return [
            lsp.TextEdit(
                self._range(edit.line - 1, edit.column - 1, edit.end_line - 1, edit.end_column - 1), edit.content
            )
            for edit in finding.edits
        ]

    def everything(self) -> lsp.Range:
        return self._range(0, 0, len(self.document.lines), 0)

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
        return self.document.position_codec.range_to_client_units(self.document.lines, place)


def serve(settings: Settings) -> None:
    """Until the editor closes it."""
    server = LanguageServer(_SOURCE, __version__)

    def read(uri: str) -> _Document:
        return _Document(server.workspace.get_text_document(uri), settings)

    def publish(uri: str) -> None:
        document = read(uri)
        version = document.document.version
        server.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(uri, document.diagnostics(), version=version)
        )

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: lsp.DidOpenTextDocumentParams) -> None:
        publish(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: lsp.DidChangeTextDocumentParams) -> None:
        publish(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: lsp.DidCloseTextDocumentParams) -> None:
        server.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(params.text_document.uri, []))

    kinds = lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix, _FIX_ALL])

    @server.feature(lsp.TEXT_DOCUMENT_CODE_ACTION, kinds)
    def actions(params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        return list(_actions(read(params.text_document.uri), params))

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    def hovered(params: lsp.HoverParams) -> lsp.Hover | None:
        document = read(params.text_document.uri)
        found = list(document.at(lsp.Range(params.position, params.position)))
        pages = [rule.explanation for rule in all_rules() if rule.code in {finding.code for finding in found}]
        if not pages:
            return None
        content = lsp.MarkupContent(lsp.MarkupKind.Markdown, "\n\n---\n\n".join(pages))
        return lsp.Hover(content, document.range_of(found[0]))

    server.start_io()


def _actions(document: _Document, params: lsp.CodeActionParams) -> Iterator[lsp.CodeAction]:
    uri, only = params.text_document.uri, params.context.only
    if _wanted(lsp.CodeActionKind.QuickFix, only):
        for finding in document.at(params.range):
            if edits := document.edits(finding):
                is_safe = finding.applicability != UNSAFE
                yield lsp.CodeAction(
                    f"{finding.code}: {finding.message}{'' if is_safe else ' (unsafe)'}",
                    kind=lsp.CodeActionKind.QuickFix,
                    diagnostics=[document.diagnostic(finding)],
                    is_preferred=is_safe,
                    edit=lsp.WorkspaceEdit(changes={uri: edits}),
                )
    if _wanted(_FIX_ALL, only) and document.ported != document.document.source:
        whole = lsp.TextEdit(document.everything(), document.ported)
        edit = lsp.WorkspaceEdit(changes={uri: [whole]})
        yield lsp.CodeAction("diffsynth-port: fix all in this file", kind=_FIX_ALL, edit=edit)


def _wanted(kind: lsp.CodeActionKind, only: Sequence[lsp.CodeActionKind | str] | None) -> bool:
    """An editor asks for a kind by its own name, or by one that it begins with."""
    return only is None or any(f"{kind.value}.".startswith(f"{_value(one)}.") for one in only)


def _value(kind: lsp.CodeActionKind | str) -> str:
    return kind.value if isinstance(kind, lsp.CodeActionKind) else kind


def _plan(path: str, settings: Settings) -> Plan:
    target = settings.target or ""
    codes = selected_codes(settings.select, settings.ignore, all_rules()) - settings.ignored_codes(path)
    hardware = settings.hardware or default_hardware(target)
    unsafe = settings.unsafe_fixes is True  # saving a file fixes it in many editors, and nobody looks then
    return Plan(target, hardware, codes, torch_npu=settings.torch_npu, shows_edits=True, unsafe=unsafe)


def _key(position: lsp.Position) -> tuple[int, int]:
    return position.line, position.character
