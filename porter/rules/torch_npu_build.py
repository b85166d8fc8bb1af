"""
# DP209 torch-npu-build: what the build of torch_npu that is ported to lacks

## What it does

Reports names of `torch.npu`, `torch_npu` and `torch.ops.npu`, and parameters of their functions, that the build named
by `--torch-npu` does not have and another build has (error): what the port makes of `torch.cuda`, and what a program
for NPUs says itself. Without the option, the newest known build is meant. It follows methods of objects that the file
itself makes (`event = torch.npu.Event()`).

A name that the program asks for first (`hasattr`, `except AttributeError`, a look at the version) is left alone.

## Why

The name raises `AttributeError` where the program gets to it, the parameter `TypeError`. What torch_npu offers follows
the day a build was made, not the torch that it is for: 2.7.1.post11, of October 2026, has more than 2.8.0.post5, of
June. The table was read from the wheels of 17 builds, from 2.1.0.post17 to 2.14.0; a line's later post release that is
not among them is taken as the last one before it that is.

`torch.profiler.ProfilerActivity.NPU` comes with torch 2.13.

## Before

    with torch.cuda.use_mem_pool(pool), torch.cuda.MemPoolContext(pool):
        y = model(x)

## What to write instead

    with torch.npu.use_mem_pool(pool):
        y = model(x)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter import torch_minors
from porter.guards import is_asked_for
from porter.places import label_of
from porter.rules.rule import Rule
from porter.targets import Translation
from porter.torch_npu_builds import Lacking, build_of, lacking_in, torch_minor, way_to_it, where_it_is
from porter.unit import Found, Unit
from porter.uses import imported_as, made_by, names_below, spelled

#: What serves in place of a name that is gone.
_INSTEAD = {"npu.MemPoolContext": "torch.npu.use_mem_pool(pool) alone does it"}

_ACTIVITY = "profiler.ProfilerActivity.NPU"

#: Modules whose contents have everyday names (SiLU, mark): these call for the rule in their place.
_MODULES = frozenset({"contrib", "mstx"})


def _words(translation: Translation) -> frozenset[str]:
    build = build_of(translation)
    lacking = lacking_in(build)
    words = {_word(name) for name in (*lacking.names, *lacking.parameters, *lacking.by_position)}
    return frozenset(words if _has_activity(build) else words | {"ProfilerActivity"})


RULE = Rule(
    "DP209",
    "torch-npu-build",
    __doc__,
    words=_words,
    fixes=False,
    targets=frozenset({"npu"}),
    beside=("cuda", "CUDA", "npu", "NPU", "torch_npu"),
)


@RULE.on(ast.Attribute, ast.Import, ast.ImportFrom)
def report_names(node: ast.AST, unit: Unit) -> Iterator[Found]:
    lacking = _lacking(unit)
    for place, dotted in names_below(("torch", "torch_npu"), node, unit):
        name = _known_start(_on_the_npu(dotted, unit), lacking)
        if name is None or (isinstance(place, ast.Attribute) and _word(name) not in spelled(place)):
            continue
        if _known_start(_on_the_npu(imported_as(place, unit) or "", unit), lacking) is None:
            yield from _report_name(name, place, unit)


@RULE.on(ast.Attribute)
def report_methods(node: ast.Attribute, unit: Unit) -> Iterator[Found]:
    """`event.ipc_handle()`, where the file says what `event` is."""
    lacking = _lacking(unit)
    if unit.dotted(node) is None and any(name.endswith(f".{node.attr}") for name in lacking.names):
        maker = made_by(node.value, unit)
        name = f"{_on_the_npu(unit.dotted(maker) or '', unit)}.{node.attr}" if maker is not None else ""
        if name in lacking.names:
            yield from _report_name(name, node, unit)


@RULE.on(ast.Call)
def report_parameters(node: ast.Call, unit: Unit) -> Iterator[Found]:
    name, lacking, build = _on_the_npu(unit.dotted(node.func) or "", unit), _lacking(unit), build_of(unit.translation)
    if not name or _word(name) not in spelled(node.func):
        return
    rows = lacking.parameters.get(name, {})
    for keyword in node.keywords:
        if (row := rows.get(keyword.arg or "")) is not None and not is_asked_for(node, keyword.arg or "", unit):
            message = f"{_written(name)} of torch_npu {build} has no parameter {keyword.arg}; it is there"
            yield unit.report(RULE.code, "error", keyword, f"{message} {where_it_is(row)}", way_to_it(row, build))
    most = lacking.by_position.get(name, len(node.args))
    if len(node.args) > most and not any(isinstance(one, ast.Starred) for one in node.args):
        message = f"{_written(name)} of torch_npu {build} takes {most} arguments by position, not {len(node.args)}"
        yield unit.report(RULE.code, "error", node, message, "leave out those that it lacks, name those that it has")


@RULE.on(ast.Attribute)
def report_the_activity(node: ast.Attribute, unit: Unit) -> Iterator[Found]:
    """`ProfilerActivity.NPU`, and the `ProfilerActivity.CUDA` that becomes it."""
    build = build_of(unit.translation)
    if node.attr not in (unit.translation.old.profiler_activity, unit.translation.new.profiler_activity):
        return
    enumeration = unit.dotted(node.value) or label_of(node.value)
    if enumeration.startswith("torch_npu.") or enumeration.rpartition(".")[2] != "ProfilerActivity":
        return
    if not _has_activity(build) and not is_asked_for(node, node.attr, unit):
        message = f"torch_npu {build} has no torch.{_ACTIVITY}; it is there {torch_minors.where_it_is(_ACTIVITY)}"
        yield unit.report(RULE.code, "error", node, message, "ProfilerActivity.PrivateUse1, or torch_npu.profiler")


def _report_name(name: str, place: ast.AST, unit: Unit) -> Iterator[Found]:
    build, row = build_of(unit.translation), _lacking(unit).names[name]
    if not is_asked_for(place, name.rpartition(".")[2], unit):
        message = f"torch_npu {build} has no {_written(name)}; it is there {where_it_is(row)}"
        yield unit.report(RULE.code, "error", place, message, _INSTEAD.get(name) or way_to_it(row, build))


def _lacking(unit: Unit) -> Lacking:
    return lacking_in(build_of(unit.translation))


def _has_activity(build: str) -> bool:
    return torch_minors.has(_ACTIVITY, torch_minor(build))


def _on_the_npu(dotted: str, unit: Unit) -> str:
    """A dotted name as the tables of builds spell it: `npu.X`, `torch_npu.X`; empty for any other."""
    if dotted.startswith(("torch.npu.", "torch_npu.npu.")):
        return dotted.partition(".")[2]
    if dotted.startswith("torch.ops.npu."):
        return f"torch_npu.{dotted.removeprefix('torch.ops.npu.')}"
    if dotted.startswith("torch.cuda."):
        return _renamed(dotted.removeprefix("torch."), unit)
    return dotted if dotted.startswith("torch_npu.") else ""


def _renamed(name: str, unit: Unit) -> str:
    """What a name of torch.cuda is called on the NPU; empty where it has none."""
    names, known = unit.translation.names, name
    while known and known not in names:
        known = known.rpartition(".")[0]
    return names[known] + name[len(known) :] if known != unit.translation.old.name else ""


def _known_start(name: str, lacking: Lacking) -> str | None:
    """The leading part of a name that the build lacks: a class, rather than what is below it."""
    parts = name.split(".")
    starts = (".".join(parts[:length]) for length in range(2, len(parts) + 1))
    return next((start for start in starts if start in lacking.names), None)


def _written(name: str) -> str:
    return f"torch.{name}" if name.startswith("npu.") else name


def _word(name: str) -> str:
    """What has to stand in a file for the rule to look for a name there: the last name, or that of its module."""
    _, *parts = name.split(".")
    return parts[0] if len(parts) > 1 and parts[0] in _MODULES else parts[-1]
