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

        @self.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def heard(params: lsp.PublishDiagnosticsParams) -> None:
            self.said.put_nowait(params)

    async def open(self, text: str) -> list[lsp.Diagnostic]:
        document = lsp.TextDocumentItem(URI, "python", 1, text)
        self.text_document_did_open(lsp.DidOpenTextDocumentParams(document))
        return list((await self.said.get()).diagnostics)

    async def type(self, text: str) -> list[lsp.Diagnostic]:
        document = lsp.VersionedTextDocumentIdentifier(version=2, uri=URI)
        whole = lsp.TextDocumentContentChangeWholeDocument(text)
        self.text_document_did_change(lsp.DidChangeTextDocumentParams(document, [whole]))
        return list((await self.said.get()).diagnostics)

    async def actions(self, place: lsp.Range, *only: str) -> list[Any]:
        context = lsp.CodeActionContext([], only=list(only) or None)
        wanted = lsp.CodeActionParams(lsp.TextDocumentIdentifier(URI), place, context)
        return list(await self.text_document_code_action_async(wanted) or ())


def drive(folder: Path, story: Callable[[Editor], Awaitable[None]]) -> None:
    async def told() -> None:
        editor = Editor()
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "porter", "server", "--target", "npu"]
        await editor.start_io(*command, cwd=str(folder), env=environment)
        await editor.initialize_async(lsp.InitializeParams(capabilities=lsp.ClientCapabilities()))
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


def test_without_a_target_it_says_so(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "porter", "server"], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"no target" in done.stderr
