"""
# DP113 keyword-name: an argument that the target calls otherwise

## What it does

Renames keywords of functions of `torch.cuda` whose counterparts take the same argument under another name:
`get_device_properties(device=0)`, `get_device_name(device=0)`, `can_device_access_peer(device=0, peer_device=1)`. By
position they stay as they are.

## Why

`torch.npu.get_device_properties(device=0)` raises `TypeError`: there the parameter is `device_name`, in every build of
torch_npu (its own sources).

## Before

    memory = torch.cuda.get_device_properties(device=0).total_memory

## After

    memory = torch.npu.get_device_properties(device_name=0).total_memory
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.findings import Edit
from porter.rules.rule import Rule
from porter.targets import Translation
from porter.unit import Found, Unit


def _words(translation: Translation) -> frozenset[str]:
    return frozenset(name.rpartition(".")[2] for name in translation.keywords)


#: Where the function is called with anything.
_SPELLED = r"{0}\s*\(\s*[^\s)]"

RULE = Rule(
    "DP113",
    "keyword-name",
    __doc__,
    words=_words,
    spelled={
        name: _SPELLED.format(name) for name in ("can_device_access_peer", "get_device_name", "get_device_properties")
    },
)


@RULE.on(ast.Call)
def rename_the_keyword(node: ast.Call, unit: Unit) -> Iterator[Found]:
    pairs = unit.translation.keywords.get((unit.dotted(node.func) or "").removeprefix("torch."), {})
    for keyword in node.keywords:
        if new := pairs.get(keyword.arg or ""):
            start, _ = unit.source.span(keyword)
            edit = Edit(
                start, start + len((keyword.arg or "").encode()), "rename_chain", ((keyword.arg or "",), (new,))
            )
            yield unit.fix(RULE.code, keyword, f"{keyword.arg}= becomes {new}=", edit)
