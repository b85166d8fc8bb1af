"""The language server as an editor meets it: a process, driven over its pipes by pygls' own client."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pygls")
from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

from ..conftest import ROOT

TEXT = 'import torch\n\nname = "模型😀"; model = Model("模型😀").to("cuda")\ntorch.cuda.nvtx.mark("a")\n'
URI = "file:///work/a.py"


class Editor(LanguageClient):
    """Opens one file, and waits for what the server says of it."""

    def __init__(self) -> None:
        super().__init__("editor", "1")
        self.said: asyncio.Queue[lsp.PublishDiagnosticsParams] = asyncio.Queue()
        self.messages: list[str] = []
        self.registered: list[str] = []

        @self.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def heard(params: lsp.PublishDiagnosticsParams) -> None:
            self.said.put_nowait(params)

        @self.feature(lsp.WINDOW_SHOW_MESSAGE)
        def shown(params: lsp.ShowMessageParams) -> None:
            self.messages.append(params.message)

        @self.feature(lsp.CLIENT_REGISTER_CAPABILITY)
        def registered(params: lsp.RegistrationParams) -> None:
            self.registered += [one.method for one in params.registrations]

    async def open(self, text: str, uri: str = URI) -> list[lsp.Diagnostic]:
        document = lsp.TextDocumentItem(uri, "python", 1, text)
        self.text_document_did_open(lsp.DidOpenTextDocumentParams(document))
        return list((await self.said.get()).diagnostics)

    async def type(self, text: str) -> list[lsp.Diagnostic]:
        document = lsp.VersionedTextDocumentIdentifier(version=2, uri=URI)
        whole = lsp.TextDocumentContentChangeWholeDocument(text)
        self.text_document_did_change(lsp.DidChangeTextDocumentParams(document, [whole]))
        return list((await self.said.get()).diagnostics)

    async def actions(self, place: lsp.Range, *only: str, uri: str = URI) -> list[Any]:
        context = lsp.CodeActionContext([], only=list(only) or None)
        wanted = lsp.CodeActionParams(lsp.TextDocumentIdentifier(uri), place, context)
        return list(await self.text_document_code_action_async(wanted) or ())


def drive(folder: Path, story: Callable[[Editor], Awaitable[None]]) -> None:
    async def told() -> None:
        editor = Editor()
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "porter", "server", "--target", "npu"]
        await editor.start_io(*command, cwd=str(folder), env=environment)
        watching = lsp.DidChangeWatchedFilesClientCapabilities(dynamic_registration=True)
        capabilities = lsp.ClientCapabilities(
            workspace=lsp.WorkspaceClientCapabilities(did_change_watched_files=watching),
            notebook_document=lsp.NotebookDocumentClientCapabilities(lsp.NotebookDocumentSyncClientCapabilities()),
        )
        await editor.initialize_async(lsp.InitializeParams(capabilities=capabilities))
        editor.initialized(lsp.InitializedParams())
        await story(editor)
        await editor.shutdown_async(None)
        editor.exit(None)
        await editor.stop()

    asyncio.run(asyncio.wait_for(told(), 60))


def applied(text: str, edits: list[lsp.TextEdit]) -> str:
    """The text with edits, counted in UTF-16."""
    lines = [line.encode("utf-16-le") for line in text.splitlines(keepends=True)]
    starts = [sum(map(len, lines[:at])) for at in range(len(lines) + 1)]
    data = text.encode("utf-16-le")
    for edit in sorted(edits, key=lambda one: (one.range.start.line, one.range.start.character), reverse=True):
        start, end = (starts[at.line] + 2 * at.character for at in (edit.range.start, edit.range.end))
        data = data[:start] + edit.new_text.encode("utf-16-le") + data[end:]
    return data.decode("utf-16-le")


def test_findings_while_typing_their_fixes_and_the_rules_page(tmp_path: Path) -> None:
    async def story(editor: Editor) -> None:
        found = await editor.open(TEXT)
        assert [one.code for one in found] == ["DP101", "DP201"]
        assert [one.severity for one in found] == [lsp.DiagnosticSeverity.Warning, lsp.DiagnosticSeverity.Error]
        start = TEXT.splitlines()[2].partition('"cuda"')[0]
        assert found[0].range.start == lsp.Position(2, len(start.encode("utf-16-le")) // 2)

        (fix,) = await editor.actions(found[0].range, "quickfix")
        ported = TEXT.replace('"cuda"', '"npu"')
        assert applied(TEXT, fix.edit.changes[URI]) == ported
        (whole,) = await editor.actions(lsp.Range(lsp.Position(0, 0), lsp.Position(0, 0)), "source.fixAll")
        assert applied(TEXT, whole.edit.changes[URI]) == ported

        asked = lsp.HoverParams(lsp.TextDocumentIdentifier(URI), found[1].range.start)
        hover = await editor.text_document_hover_async(asked)
        assert hover is not None
        assert hover.contents.value.startswith("# DP201 missing-api")  # type: ignore[union-attr]

        (broken,) = await editor.type('x = ("cuda"\n')
        assert "never closed" in broken.message
        assert [one.code for one in await editor.type(ported)] == ["DP201"]
        assert await editor.type("print(1)\n") == []

    drive(tmp_path, story)


def test_settings_hold(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.diffsynth-port]\nignore = ["DP201"]\n', encoding="utf-8")

    async def story(editor: Editor) -> None:
        assert [one.code for one in await editor.open(TEXT)] == ["DP101"]

    drive(tmp_path, story)


def test_settings_are_those_of_the_nearest_file_and_read_anew(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    nested = tmp_path / "lib" / "pyproject.toml"
    nested.write_text('[tool.diffsynth-port]\nignore = ["DP101"]\n', encoding="utf-8")
    uri = (tmp_path / "lib" / "a.py").as_uri()

    async def changed(editor: Editor) -> list[str]:
        event = lsp.FileEvent(nested.as_uri(), lsp.FileChangeType.Changed)
        editor.workspace_did_change_watched_files(lsp.DidChangeWatchedFilesParams([event]))
        return [str(one.code) for one in (await editor.said.get()).diagnostics]

    async def story(editor: Editor) -> None:
        assert [one.code for one in await editor.open(TEXT, uri)] == ["DP201"]
        assert editor.registered == [lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES]
        own = '[tool.diffsynth-port.rules.X001]\nreport = "Model"\nmessage = "no models"\n'
        nested.write_text(f'[tool.diffsynth-port]\nignore = ["DP2"]\n\n{own}', encoding="utf-8")
        assert await changed(editor) == ["DP101"]
        nested.write_text("[tool.diffsynth-port]\nignored = 1\n", encoding="utf-8")
        assert await changed(editor) == []
        assert len(editor.messages) == 1
        assert 'lib/pyproject.toml: [tool.diffsynth-port] unknown key "ignored"' in editor.messages[0]
        nested.unlink()
        assert await changed(editor) == ["DP101", "DP201"]
        nested.write_text('[tool.diffsynth-port]\nexclude = ["a.py"]\n', encoding="utf-8")
        assert await changed(editor) == []

    drive(tmp_path, story)


def test_without_being_told_it_sees_changed_settings_all_the_same(tmp_path: Path) -> None:
    settings = tmp_path / "pyproject.toml"
    uri = (tmp_path / "a.py").as_uri()

    async def story(editor: Editor) -> None:
        assert [one.code for one in await editor.open(TEXT, uri)] == ["DP101", "DP201"]
        settings.write_text('[tool.diffsynth-port]\nignore = ["DP2"]\n', encoding="utf-8")
        assert [one.code for one in await editor.open(TEXT, uri)] == ["DP101"]

    drive(tmp_path, story)


def test_an_unsafe_change_is_made_only_when_asked_for(tmp_path: Path) -> None:
    text = 'a = build("cuda")\nb.to("cuda")\nc = 1  # port: ignore\n'

    async def story(editor: Editor) -> None:
        found = await editor.open(text)
        assert [(one.code, one.data) for one in found] == [
            ("DP101", {"applicability": "unsafe"}),
            ("DP101", {"applicability": "safe"}),
            ("DP117", {"applicability": "safe"}),
        ]
        assert list(found[2].tags or ()) == [lsp.DiagnosticTag.Unnecessary]
        unsafe, safe, unused = [(await editor.actions(one.range, "quickfix"))[0] for one in found]
        assert (unsafe.is_preferred, safe.is_preferred) == (False, True)
        assert unsafe.title.endswith("(unsafe)")
        assert applied(text, unsafe.edit.changes[URI]).startswith('a = build("npu")\n')
        assert applied(text, unused.edit.changes[URI]).endswith("c = 1\n")
        everything = lsp.Range(lsp.Position(0, 0), lsp.Position(0, 0))
        (whole,) = await editor.actions(everything, "source.fixAll")
        assert applied(text, whole.edit.changes[URI]) == text.replace('.to("cuda")', '.to("npu")')

    drive(tmp_path, story)


def test_a_notebook_is_one_program(tmp_path: Path) -> None:
    sources = ["from torch import cuda\n", "Text", 'cuda.nvtx.mark("模型😀"); x.to("cuda")']
    notebook = (tmp_path / "a.ipynb").as_uri()
    uris = [f"vscode-notebook-cell:{notebook.removeprefix('file:')}#{number}" for number in range(3)]
    kinds = [lsp.NotebookCellKind.Code, lsp.NotebookCellKind.Markup, lsp.NotebookCellKind.Code]

    async def heard(editor: Editor) -> list[list[str]]:
        said = {one.uri: one for one in [await editor.said.get() for _ in sources]}
        return [[str(one.code) for one in said[uri].diagnostics] for uri in uris]

    async def story(editor: Editor) -> None:
        cells = [lsp.NotebookCell(kind, uri) for kind, uri in zip(kinds, uris, strict=True)]
        texts = [lsp.TextDocumentItem(uri, "python", 1, source) for uri, source in zip(uris, sources, strict=True)]
        document = lsp.NotebookDocument(notebook, "jupyter-notebook", 1, cells)
        editor.notebook_document_did_open(lsp.DidOpenNotebookDocumentParams(document, texts))
        assert await heard(editor) == [["DP104"], [], ["DP104", "DP201", "DP101"]]

        nowhere = lsp.Range(lsp.Position(0, 0), lsp.Position(0, 0))
        (whole,) = await editor.actions(nowhere, "source.fixAll", uri=uris[2])
        assert applied(sources[2], whole.edit.changes[uris[2]]) == 'npu.nvtx.mark("模型😀"); x.to("npu")'
        hover = await editor.text_document_hover_async(
            lsp.HoverParams(lsp.TextDocumentIdentifier(uris[2]), lsp.Position(0, 1))
        )
        assert hover is not None

        change = lsp.NotebookDocumentCellContentChanges(
            lsp.VersionedTextDocumentIdentifier(2, uris[2]), [lsp.TextDocumentContentChangeWholeDocument("pass")]
        )
        changes = lsp.NotebookDocumentCellChanges(text_content=[change])
        editor.notebook_document_did_change(
            lsp.DidChangeNotebookDocumentParams(
                lsp.VersionedNotebookDocumentIdentifier(2, notebook), lsp.NotebookDocumentChangeEvent(cells=changes)
            )
        )
        assert await heard(editor) == [["DP104"], [], []]

    drive(tmp_path, story)


def test_without_a_target_it_says_so(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "porter", "server"], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"no target" in done.stderr
