"""
# DP103 mem-get-info: the free memory of the current device, in a script that uses diffsynth

## What it does

`torch.cuda.mem_get_info("cuda")` becomes `torch.npu.mem_get_info(get_device_name())`, and the import of
`get_device_name` is added after the last diffsynth import above it unless it is there. Any other argument is ported
like every device, and so is a script that does not use diffsynth. Undoing without a record of the port puts `"cuda"`
back and leaves the import in.

## Why

`torch.npu.mem_get_info` asks for a device with a number, and `get_device_name()` answers with the current one:
`npu:0`. This is how the published guide ports it.

## Before

    from diffsynth.pipelines.wan_video import WanVideoPipeline

    vram_limit = torch.cuda.mem_get_info("cuda")[1] / (1024 ** 3) - 2

## After

    from diffsynth.pipelines.wan_video import WanVideoPipeline
    from diffsynth.core.device.npu_compatible_device import get_device_name

    vram_limit = torch.npu.mem_get_info(get_device_name())[1] / (1024 ** 3) - 2
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.findings import Edit
from porter.rules.rule import Rule
from porter.targets import Translation
from porter.unit import LIBRARY, Found, Unit

HELPER = "get_device_name"
HELPER_MODULE = "diffsynth.core.device.npu_compatible_device"
IMPORT = f"from {HELPER_MODULE} import {HELPER}"


def _words(translation: Translation) -> frozenset[str]:
    """An imported `mem_get_info(get_device_name())` stands on a line that names no accelerator."""
    return frozenset({translation.old.name} | ({"mem_get_info"} if translation.undoes else set()))


RULE = Rule("DP103", "mem-get-info", __doc__, words=_words, targets=frozenset({"npu"}), beside=("mem_get_info",))


@RULE.on(ast.Call)
def ask_about_the_current_device(node: ast.Call, unit: Unit) -> Iterator[Found]:
    if unit.dotted(node.func) != _query(unit) or not unit.uses_library:
        return
    argument = _only_argument(node)
    if argument is None:
        return
    if unit.translation.undoes:
        if isinstance(argument, ast.Call) and unit.dotted(argument.func) == f"{HELPER_MODULE}.{HELPER}":
            yield _undone(argument, unit)
    elif isinstance(argument, ast.Constant) and argument.value == unit.translation.old.name:
        yield from _ported(argument, unit)


def _ported(argument: ast.expr, unit: Unit) -> Iterator[Found]:
    names = unit.source.names
    bound = [name for name, meaning in names.bound.items() if meaning == f"{HELPER_MODULE}.{HELPER}"]
    if not bound and (HELPER in names.bound or HELPER in names.defined):
        return  # the name is taken; the argument is ported like every device
    edits = [Edit(*unit.source.span(argument), "", (f"{bound[0] if bound else HELPER}()",))]
    if not bound:
        edits.append(_import_after_the_last_of_the_library(unit, _first_query(argument, unit)))
    yield unit.fix(RULE.code, argument, f"the argument becomes {HELPER}(), the current device", *edits)


def _undone(argument: ast.expr, unit: Unit) -> Found:
    edit = Edit(*unit.source.span(argument), "", (_quoted(unit.translation.new.name, unit),))
    return unit.fix(RULE.code, argument, f'the argument becomes "{unit.translation.new.name}"', edit)


def _quoted(text: str, unit: Unit) -> str:
    """In the quotes that the script uses most; nothing tells which ones stood here before the port."""
    bare = unit.source.text.replace('"""', "").replace("'''", "")
    return f"'{text}'" if bare.count("'") > bare.count('"') else f'"{text}"'


def _only_argument(call: ast.Call) -> ast.expr | None:
    if len(call.args) == 1 and not call.keywords:
        return call.args[0]
    if not call.args and len(call.keywords) == 1 and call.keywords[0].arg == "device":
        return call.keywords[0].value
    return None


def _import_after_the_last_of_the_library(unit: Unit, first_query: int) -> Edit:
    """A line of its own below the last line that imports the library, indented alike, with the same line ending.

    Imports below the line of the first query do not count: the helper would come too late.
    """
    source = unit.source
    last = max(
        (statement for statement in source.names.imports if _is_of_the_library(statement)),
        key=lambda statement: (statement.col_offset == 0, statement.lineno < first_query, statement.lineno),
    )
    start, end = _line_around(unit, last)
    line = source.data[start:end].decode("utf-8")
    indent = line[: len(line) - len(line.lstrip(" \t\f"))]
    ending = line[len(line.rstrip("\r\n")) :]
    if not ending:
        newline = "\r\n" if b"\r\n" in source.data else "\r" if b"\r" in source.data else "\n"
        return Edit(end, end, "", (f"{newline}{indent}{IMPORT}",))
    return Edit(end, end, "", (f"{indent}{IMPORT}{ending}",))


def _first_query(argument: ast.expr, unit: Unit) -> int:
    """The first line on which the free memory is asked for; `argument` is that of one such call."""
    nodes = unit.source.walk([line for line in unit.source.lines_of({b"mem_get_info"}) if line < argument.lineno])
    lines = (node.lineno for node in nodes if isinstance(node, ast.Call) and unit.dotted(node.func) == _query(unit))
    return min(lines, default=argument.lineno)


def _query(unit: Unit) -> str:
    return f"torch.{unit.translation.old.name}.mem_get_info"


def _is_of_the_library(statement: ast.Import | ast.ImportFrom) -> bool:
    if isinstance(statement, ast.ImportFrom):
        return not statement.level and (statement.module or "").split(".")[0] == LIBRARY
    return any(alias.name.split(".")[0] == LIBRARY for alias in statement.names)


def _line_around(unit: Unit, statement: ast.stmt) -> tuple[int, int]:
    """The bytes from the first line of a statement to the end of the last line of all that shares its last line."""
    starts = unit.source.line_starts
    last = statement.end_lineno or statement.lineno
    for other in unit.source.statements():
        if other.lineno == last and not hasattr(other, "body"):
            last = max(last, other.end_lineno or last)
    end = starts[last] if last < len(starts) else len(unit.source.data)
    return starts[statement.lineno - 1], end
