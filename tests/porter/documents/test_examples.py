"""Every example, wrapped into a notebook and into Markdown, becomes its golden form, wrapped alike."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import indent

import pytest

from tests.porter.documents.bytes_in_out import check_ported

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden"
EXAMPLES = sorted(ROOT / "examples" / path.relative_to(GOLDEN) for path in GOLDEN.glob("*/**/*.py"))


def in_a_notebook(script: str) -> bytes:
    cells = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": script.splitlines(keepends=True)}]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1).encode()


def in_markdown(script: str) -> bytes:
    return f"1. Run this:\n\n   ```python\n{indent(script, '   ')}\n   ```\n".encode()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.relative_to(ROOT / "examples").as_posix())
def test_an_example_in_another_document(example: Path) -> None:
    before = example.read_text(encoding="utf-8")
    after = (GOLDEN / example.relative_to(ROOT / "examples")).read_text(encoding="utf-8")
    check_ported("run.ipynb", in_a_notebook(before), in_a_notebook(after))
    check_ported("run.md", in_markdown(before), in_markdown(after))
