"""
# DP202 unverified-api: an API of torch that the vendor does not list as supported

## What it does

Reports names of torch outside `torch.cuda`, through every form of import, that the vendor's table of native APIs
marks as not supported on the chosen hardware line (warning). Annotations and `isinstance` are left alone.

A name as common as `save` is found where its module is spelled beside it: `export.save`, not `e.save`.

## Why

The call may raise, or run on the host's CPU. The source is the list of native APIs in the documentation of torch_npu,
for torch 2.13: of some 3,250 APIs, Atlas A2 and A3 run 3,057 and Ascend 950DT 1,484. The list says what the vendor has
verified, so a name in it may still work; try it.

## Before

    variance, mean = torch.var_mean(x, -1)

## What to write instead

    variance, mean = x.var(-1), x.mean(-1)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

from porter.rules.rule import Rule
from porter.tables import read_table
from porter.targets import Translation
from porter.unit import Found, Unit
from porter.uses import is_only_a_type, spelled, torch_names

#: Last names that half of all programs contain: the name of their module is looked for instead.
_EVERYDAY = frozenset(
    """load save reset disable enable events enabled mark strategy export is_available is_enabled list show size step
    narrow seed schedule verbose remove record wrap help identity convert profile clear context events backward
    grad linear synchronize device_count current_stream Event Node Graph Linear Store Join Stat Timer Worker""".split()
)

#: Other rules speak of these, and Tensor is in every program. What is said to the compiler runs nothing by itself.
_LEFT_TO_OTHERS = (
    "torch.compiler.",
    "torch.export.ExportedProgram",
    "torch.export.exported_program.",
    "torch.backends.cuda.",
    "torch.backends.cudnn.",
    "torch.utils.cpp_extension.",
    "torch.nn.DataParallel",
    "torch.nn.parallel.DataParallel",
    "torch.nn.parallel.data_parallel",
)
_IN_EVERY_PROGRAM = frozenset({"torch.Tensor"})


@cache
def _unsupported(hardware: str | None) -> dict[str, str]:
    """The names not supported on a hardware line, each with the word that it is looked for by."""
    names = (name for name, lines in read_table("ascend_unsupported.json").items() if hardware in lines)
    return {
        name: _word(name) for name in names if name not in _IN_EVERY_PROGRAM and not name.startswith(_LEFT_TO_OTHERS)
    }


def _word(name: str) -> str:
    *_, module, last = name.split(".")
    return module if last in _EVERYDAY and module != "torch" else last


def _words(translation: Translation) -> frozenset[str]:
    return frozenset(_unsupported(translation.hardware).values())


RULE = Rule("DP202", "unverified-api", __doc__, words=_words, fixes=False, targets=frozenset({"npu"}))


@RULE.on(ast.Attribute, ast.Import, ast.ImportFrom)
def report_what_the_table_does_not_list(node: ast.AST, unit: Unit) -> Iterator[Found]:
    unsupported = _unsupported(unit.translation.hardware)
    for place, dotted in torch_names(node, unit):
        name = dotted
        while name and name not in unsupported:
            name = name.rpartition(".")[0]
        if not name or is_only_a_type(place, unit.source):
            continue
        if isinstance(place, ast.Attribute) and unsupported[name] not in spelled(place):
            continue
        message = f"the vendor's table does not list {name} as supported on {unit.translation.hardware}"
        yield unit.report(RULE.code, "warning", place, message, "try it on the device, or compute it on the CPU")
