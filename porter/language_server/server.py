"""The server: a document's text is ported as a file's is, and what came of it is told in the protocol's words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from porter import __version__
from porter.language_server.documents import SOURCE, Document, is_safe, read_notebook, read_text
from porter.language_server.project import Project
from porter.port import Plan
from porter.settings import SettingsError, every_rule

_FIX_ALL = lsp.CodeActionKind.SourceFixAll
_WATCHES = "diffsynth-port-settings"
_NOTEBOOKS = lsp.NotebookDocumentSyncOptions(
    [lsp.NotebookDocumentFilterWithNotebook("jupyter-notebook", [lsp.NotebookCellLanguage("python")])]
)


def serve(options: Mapping[str, Any]) -> None:
    """Until the editor closes it. `options` go over the settings."""
    server = PortServer(Project(options))
    for feature, (answer, how) in _ANSWERS.items():
        server.feature(feature, how)(answer)
    server.start_io()


class PortServer(LanguageServer):
    """What the editor has open, read as the settings of each document say."""

    def __init__(self, project: Project) -> None:
        super().__init__(SOURCE, __version__, notebook_document_sync=_NOTEBOOKS)
        self.project = project
        self._said_wrong: set[str] = set()

    def read(self, uri: str) -> Document:
        """A file's text or a notebook's cell, with what is found in it."""
        notebook = self.workspace.get_notebook_document(cell_uri=uri)
        if notebook is not None:
            return next(one for one in self._cells(notebook) if one.text.uri == uri)
        text = self.workspace.get_text_document(uri)
        path = to_fs_path(uri) or uri
        plan = self._plan(path)
        return Document(text, ported=text.source) if plan is None else read_text(text, path, plan)

    def tell_of(self, uri: str) -> None:
        """Says what is found in a file's text."""
        self._say_what_is_wrong(uri)
        self._tell(self.read(uri))

    def tell_of_notebook(self, uri: str) -> None:
        """Says what is found in each cell of a notebook."""
        self._say_what_is_wrong(uri)
        notebook = self.workspace.get_notebook_document(notebook_uri=uri)
        for document in self._cells(notebook) if notebook is not None else ():
            self._tell(document)

    def tell_anew(self) -> None:
        """Says all that is open once more, by the settings as they are now."""
        self.project.begin_anew()
        self._said_wrong.clear()
        cells = {cell.document for one in self.workspace.notebook_documents.values() for cell in one.cells}
        for uri in [uri for uri in self.workspace.text_documents if uri not in cells]:
            self.tell_of(uri)
        for uri in list(self.workspace.notebook_documents):
            self.tell_of_notebook(uri)

    def say_nothing_of(self, uri: str) -> None:
        """Takes back what was said of a text that was closed."""
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, []))

    def _plan(self, path: str) -> Plan | None:
        try:
            return self.project.plan(path)
        except SettingsError:  # told by `_say_what_is_wrong`; until it is mended, nothing is said of the text
            return None

    def _cells(self, notebook: lsp.NotebookDocument) -> list[Document]:
        path = to_fs_path(notebook.uri) or notebook.uri
        texts = [self.workspace.get_text_document(cell.document) for cell in notebook.cells]
        is_code = [cell.kind == lsp.NotebookCellKind.Code for cell in notebook.cells]
        plan = self._plan(path)
        if plan is None:
            return [Document(text, ported=text.source) for text in texts]
        return read_notebook(path, texts, is_code, plan)

    def _tell(self, document: Document) -> None:
        uri, version = document.text.uri, document.text.version
        said = lsp.PublishDiagnosticsParams(uri, document.diagnostics(), version=version)
        self.text_document_publish_diagnostics(said)

    def _say_what_is_wrong(self, uri: str) -> None:
        """Once for each mistake in the settings."""
        try:
            self.project.plan(to_fs_path(uri) or uri)
        except SettingsError as error:
            if str(error) not in self._said_wrong:
                self._said_wrong.add(str(error))
                self.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Error, f"diffsynth-port: {error}"))


def _watch_settings(ls: PortServer, _: lsp.InitializedParams) -> None:
    """Asks the editor to tell when settings change, if it can."""
    workspace = ls.client_capabilities.workspace
    watched = workspace.did_change_watched_files if workspace is not None else None
    if watched is None or not watched.dynamic_registration:
        return
    options = lsp.DidChangeWatchedFilesRegistrationOptions([lsp.FileSystemWatcher("**/pyproject.toml")])
    asked = lsp.Registration(_WATCHES, lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)
    ls.client_register_capability(lsp.RegistrationParams([asked]))


def _settings_changed(ls: PortServer, _: lsp.DidChangeWatchedFilesParams) -> None:
    ls.tell_anew()


def _text_changed(
    ls: PortServer,
    params: lsp.DidOpenTextDocumentParams | lsp.DidChangeTextDocumentParams | lsp.DidSaveTextDocumentParams,
) -> None:
    ls.tell_of(params.text_document.uri)


def _text_closed(ls: PortServer, params: lsp.DidCloseTextDocumentParams) -> None:
    ls.say_nothing_of(params.text_document.uri)


def _notebook_changed(
    ls: PortServer, params: lsp.DidOpenNotebookDocumentParams | lsp.DidChangeNotebookDocumentParams
) -> None:
    ls.tell_of_notebook(params.notebook_document.uri)


def _notebook_closed(ls: PortServer, params: lsp.DidCloseNotebookDocumentParams) -> None:
    for cell in params.cell_text_documents:
        ls.say_nothing_of(cell.uri)


def _offer(ls: PortServer, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
    return list(_actions(ls.read(params.text_document.uri), params))


def _explain(ls: PortServer, params: lsp.HoverParams) -> lsp.Hover | None:
    document = ls.read(params.text_document.uri)
    found = list(document.at(lsp.Range(params.position, params.position)))
    codes = {finding.code for finding in found}
    own = ls.project.of(to_fs_path(params.text_document.uri) or "").rules if found else ()
    pages = [rule.explanation for rule in every_rule(own) if rule.code in codes]
    if not pages:
        return None
    content = lsp.MarkupContent(lsp.MarkupKind.Markdown, "\n\n---\n\n".join(pages))
    return lsp.Hover(content, document.range_of(found[0]))


#: What answers each request and notice of the protocol, and the options that the editor is told of it.
_ANSWERS: dict[str, tuple[Callable[..., object], lsp.CodeActionOptions | None]] = {
    lsp.INITIALIZED: (_watch_settings, None),
    lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES: (_settings_changed, None),
    lsp.TEXT_DOCUMENT_DID_OPEN: (_text_changed, None),
    lsp.TEXT_DOCUMENT_DID_CHANGE: (_text_changed, None),
    lsp.TEXT_DOCUMENT_DID_SAVE: (_text_changed, None),
    lsp.TEXT_DOCUMENT_DID_CLOSE: (_text_closed, None),
    lsp.NOTEBOOK_DOCUMENT_DID_OPEN: (_notebook_changed, None),
    lsp.NOTEBOOK_DOCUMENT_DID_CHANGE: (_notebook_changed, None),
    lsp.NOTEBOOK_DOCUMENT_DID_CLOSE: (_notebook_closed, None),
    lsp.TEXT_DOCUMENT_CODE_ACTION: (
        _offer,
        lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix, _FIX_ALL]),
    ),
    lsp.TEXT_DOCUMENT_HOVER: (_explain, None),
}


def _actions(document: Document, params: lsp.CodeActionParams) -> Iterator[lsp.CodeAction]:
    uri, only = params.text_document.uri, params.context.only
    if _wanted(lsp.CodeActionKind.QuickFix, only):
        for finding in document.at(params.range):
            if edits := document.edits(finding):
                yield lsp.CodeAction(
                    f"{finding.code}: {finding.message}{'' if is_safe(finding) else ' (unsafe)'}",
                    kind=lsp.CodeActionKind.QuickFix,
                    diagnostics=[document.diagnostic(finding)],
                    is_preferred=is_safe(finding),
                    edit=lsp.WorkspaceEdit(changes={uri: edits}),
                )
    if _wanted(_FIX_ALL, only) and (whole := document.as_ported()) is not None:
        edit = lsp.WorkspaceEdit(changes={uri: [whole]})
        yield lsp.CodeAction("diffsynth-port: fix all in this file", kind=_FIX_ALL, edit=edit)


def _wanted(kind: lsp.CodeActionKind, only: Sequence[lsp.CodeActionKind | str] | None) -> bool:
    """An editor asks for a kind by its own name, or by one that it begins with."""
    return only is None or any(f"{kind.value}.".startswith(f"{_value(one)}.") for one in only)


def _value(kind: lsp.CodeActionKind | str) -> str:
    return kind.value if isinstance(kind, lsp.CodeActionKind) else kind
