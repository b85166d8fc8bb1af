"""The server: a document's text is ported as a file's is, and what came of it is told in the protocol's words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from porter import __version__
from porter.language_server.documents import SOURCE, Document, is_safe, read_notebook, read_text
from porter.nested_settings import NestedSettings
from porter.port import Plan
from porter.settings import Settings, SettingsError, every_rule, load_settings, selected_codes
from porter.targets import default_hardware

_FIX_ALL = lsp.CodeActionKind.SourceFixAll
_WATCHES = "diffsynth-port-settings"


class Project:
    """The settings of every document, as the files that they stand in are now."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forgets what was read. What cannot be read is told of each document that it is about."""
        self._problem: SettingsError | None = None
        try:
            base = load_settings().overridden_by(self._options)
        except SettingsError as error:
            self._problem, base = error, Settings().overridden_by(self._options)
        self._nested = NestedSettings(base, self._options)
        self._seen: dict[str, tuple[int, int] | None] = {}

    def of(self, path: str) -> Settings:
        """The settings of a file. Raises SettingsError."""
        files = self._nested.files([os.path.dirname(path)])
        if any(file in self._seen and self._seen[file] != _state(file) for file in files):
            self.begin_anew()
        self._seen |= {file: _state(file) for file in files if file not in self._seen}
        if self._problem is not None:
            raise self._problem
        return self._nested.of(path)

    def plan(self, path: str) -> Plan | None:
        """How a file is ported; None for one that `exclude` leaves out, or without a target. Raises SettingsError."""
        settings = self.of(path)
        target = settings.target or self._nested.base.target
        above = (*self._nested.above(os.path.dirname(path)), self._nested.base)
        if target in (None, "cuda") or any(one.excludes(path) for one in above):
            return None
        rules = every_rule(settings.rules)
        codes = selected_codes(settings.select, settings.ignore, rules)
        if settings.select is None:
            own = [one.code for one in settings.rules]
            codes |= selected_codes(own, settings.ignore, rules) if own else frozenset()
        return Plan(
            target=target,
            hardware=settings.hardware or default_hardware(target),
            codes=codes - settings.ignored_codes(path),
            torch_npu=settings.torch_npu,
            own=settings.rules,
            shows_edits=True,
            unsafe=settings.unsafe_fixes is True,  # many editors fix what they save, and nobody looks then
        )


def serve(options: Mapping[str, Any]) -> None:
    """Until the editor closes it. `options` go over the settings."""
    cells = lsp.NotebookDocumentFilterWithNotebook("jupyter-notebook", [lsp.NotebookCellLanguage("python")])
    sync = lsp.NotebookDocumentSyncOptions([cells])
    server = LanguageServer(SOURCE, __version__, notebook_document_sync=sync)
    project = Project(options)

    def plan_of(path: str) -> Plan | None:
        try:
            return project.plan(path)
        except SettingsError:  # told by `say_what_is_wrong`; until it is mended, nothing is said of the text
            return None

    def read(uri: str) -> Document:
        notebook = server.workspace.get_notebook_document(cell_uri=uri)
        if notebook is not None:
            return next(one for one in read_cells(notebook) if one.text.uri == uri)
        text = server.workspace.get_text_document(uri)
        path = to_fs_path(uri) or uri
        plan = plan_of(path)
        return Document(text, ported=text.source) if plan is None else read_text(text, path, plan)

    def read_cells(notebook: lsp.NotebookDocument) -> list[Document]:
        path = to_fs_path(notebook.uri) or notebook.uri
        texts = [server.workspace.get_text_document(cell.document) for cell in notebook.cells]
        is_code = [cell.kind == lsp.NotebookCellKind.Code for cell in notebook.cells]
        plan = plan_of(path)
        if plan is None:
            return [Document(text, ported=text.source) for text in texts]
        return read_notebook(path, texts, is_code, plan)

    def tell(document: Document) -> None:
        uri, version = document.text.uri, document.text.version
        said = lsp.PublishDiagnosticsParams(uri, document.diagnostics(), version=version)
        server.text_document_publish_diagnostics(said)

    def tell_of(uri: str) -> None:
        say_what_is_wrong(uri)
        tell(read(uri))

    def tell_of_notebook(uri: str) -> None:
        say_what_is_wrong(uri)
        notebook = server.workspace.get_notebook_document(notebook_uri=uri)
        for document in read_cells(notebook) if notebook is not None else ():
            tell(document)

    said_wrong: set[str] = set()

    def say_what_is_wrong(uri: str) -> None:
        """Once for each mistake in the settings."""
        try:
            project.plan(to_fs_path(uri) or uri)
        except SettingsError as error:
            if str(error) not in said_wrong:
                said_wrong.add(str(error))
                server.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Error, f"diffsynth-port: {error}"))

    @server.feature(lsp.INITIALIZED)
    def begun(_: lsp.InitializedParams) -> None:
        """Asks the editor to tell when settings change, if it can."""
        workspace = server.client_capabilities.workspace
        watched = workspace.did_change_watched_files if workspace is not None else None
        if watched is None or not watched.dynamic_registration:
            return
        options = lsp.DidChangeWatchedFilesRegistrationOptions([lsp.FileSystemWatcher("**/pyproject.toml")])
        asked = lsp.Registration(_WATCHES, lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)
        server.client_register_capability(lsp.RegistrationParams([asked]))

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def settings_changed(_: lsp.DidChangeWatchedFilesParams) -> None:
        project.begin_anew()
        said_wrong.clear()
        cells = {cell.document for one in server.workspace.notebook_documents.values() for cell in one.cells}
        for uri in [uri for uri in server.workspace.text_documents if uri not in cells]:
            tell_of(uri)
        for uri in list(server.workspace.notebook_documents):
            tell_of_notebook(uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: lsp.DidOpenTextDocumentParams) -> None:
        tell_of(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: lsp.DidChangeTextDocumentParams) -> None:
        tell_of(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    def saved(params: lsp.DidSaveTextDocumentParams) -> None:
        tell_of(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: lsp.DidCloseTextDocumentParams) -> None:
        server.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(params.text_document.uri, []))

    @server.feature(lsp.NOTEBOOK_DOCUMENT_DID_OPEN)
    def notebook_opened(params: lsp.DidOpenNotebookDocumentParams) -> None:
        tell_of_notebook(params.notebook_document.uri)

    @server.feature(lsp.NOTEBOOK_DOCUMENT_DID_CHANGE)
    def notebook_changed(params: lsp.DidChangeNotebookDocumentParams) -> None:
        tell_of_notebook(params.notebook_document.uri)

    @server.feature(lsp.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def notebook_closed(params: lsp.DidCloseNotebookDocumentParams) -> None:
        for cell in params.cell_text_documents:
            server.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(cell.uri, []))

    kinds = lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix, _FIX_ALL])

    @server.feature(lsp.TEXT_DOCUMENT_CODE_ACTION, kinds)
    def actions(params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        return list(_actions(read(params.text_document.uri), params))

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    def hovered(params: lsp.HoverParams) -> lsp.Hover | None:
        document = read(params.text_document.uri)
        found = list(document.at(lsp.Range(params.position, params.position)))
        codes = {finding.code for finding in found}
        own = project.of(to_fs_path(params.text_document.uri) or "").rules if found else ()
        pages = [rule.explanation for rule in every_rule(own) if rule.code in codes]
        if not pages:
            return None
        content = lsp.MarkupContent(lsp.MarkupKind.Markdown, "\n\n---\n\n".join(pages))
        return lsp.Hover(content, document.range_of(found[0]))

    server.start_io()


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


def _state(file: str) -> tuple[int, int] | None:
    try:
        state = os.stat(file)
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size
