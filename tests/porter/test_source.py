"""The walk over a parsed text: which nodes it passes, and what it links."""

from __future__ import annotations

import ast

import pytest

from porter.changes import Change
from porter.source import CannotParse, Source, parse_changed

LEFT_OUT = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)

TEXT = """\
import torch

@decorated(
    "cuda"
)
def run(a, *, b=None, **rest):
    global where
    values = {**rest, "device": "cuda"}
    match values:
        case {"device": "cuda", **others} | Other(kind="cuda"):
            return f"{a:{b}} {
                'cuda'}" if not a < b else -b
    with open("x") as file, lock: pass
"""


@pytest.mark.parametrize("text", [TEXT, TEXT.replace("{\n                'cuda'}", "{'cuda'}")])
def test_a_walk_passes_each_node_once_and_links_it_to_its_parent(text):
    source = Source(text)
    nodes = list(source.walk())
    wanted = [node for node in ast.walk(source.tree) if not isinstance(node, LEFT_OUT)]
    assert len(nodes) == len(set(nodes)) == len(wanted)
    assert set(nodes) == set(wanted)
    assert all(child in source.parent for child in nodes[1:])
    assert all(child in ast.iter_child_nodes(parent) for child, parent in source.parent.items())


def test_a_walk_along_lines_passes_what_touches_them():
    source = Source(TEXT.replace("{\n                'cuda'}", "{'cuda'}"))
    lines = source.lines_of({b"cuda"})
    nodes = list(source.walk(lines))
    texts = [node for node in ast.walk(source.tree) if isinstance(node, ast.Constant) and node.value == "cuda"]
    assert len(texts) == 5
    assert set(texts) <= set(nodes)
    assert not any(isinstance(node, ast.withitem) for node in nodes)
    assert list(source.walk([])) == []


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        ("x = cuda\n", "cuda", "lambda"),
        ("x = cuda\n", "cuda", "2npu"),
        ("x = cuda\n", "cuda", "npu("),
        ("x = '\\cuda'\n", "cuda", "xpu"),
        ("x = 'cuda'\n", "'cuda'", "'npu"),
        ("ok = 'cuda'\nx = cuda\n", "cuda\n", "None = 1\n"),
    ],
)
def test_what_a_change_breaks_is_refused(text: str, old: str, new: str) -> None:
    start = text.rindex(old)
    with pytest.raises(CannotParse):
        parse_changed(Source(text), [Change(start, start + len(old), new)])


@pytest.mark.parametrize(("old", "new"), [('"cuda:1"', '"npu:1"'), ("torch.cuda.amp", "torch.npu.amp")])
def test_other_words_in_the_place_of_words_parse(old: str, new: str) -> None:
    parse_changed(Source(f"x = {old}\n"), [Change(4, 4 + len(old), new)])
