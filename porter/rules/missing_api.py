"""
# DP201 missing-api: an API of torch.cuda that the target does not have

## What it does

Reports every `torch.cuda.X`, through every form of import, that

- the target lacks by its table, with the table's way out (error);
- the target has, but not on the chosen hardware line (error);
- the target has without the device argument that is passed here (error);
- the table does not know (warning).

It also reports functions of `torch.cuda` looked for in `torch.accelerator`, which never had them, and what
`torch.accelerator` has in later releases of torch than the one that the build of torch_npu goes with (`--torch-npu`);
without a build, and on other accelerators, the newest release is meant (error).

## Why

The call raises `AttributeError`, or `AssertionError: Torch not compiled with CUDA enabled`, where the program gets to
it and not before. Public reports: Comfy-Org/ComfyUI#6483 (a `torch.cuda` query on an NPU machine),
pytorch/tutorials#3883 and vllm-project/llm-compressor#2884 (`torch.accelerator.get_device_name`). The tables come from
the vendor's list of supported APIs and from torch itself; by that list Ascend 950DT runs about half of what Atlas A2
runs.

## Before

    torch.cuda.nvtx.range_push("denoise")
    name = torch.accelerator.get_device_name()

## What to write instead

    torch.npu.mstx.range_start("denoise")
    name = torch.get_device_module().get_device_name()
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter import torch_minors
from porter.guards import is_asked_for
from porter.rules.rule import Rule
from porter.targets import Translation
from porter.torch_npu_builds import build_of, torch_minor
from porter.unit import Found, Unit
from porter.uses import cuda_name, imported_as, spelled, torch_names

#: Where a function takes its device, if not first. None: only by keyword.
_DEVICE_AT = {"set_per_process_memory_fraction": 1, "_record_memory_history": None}


def _words(translation: Translation) -> frozenset[str]:
    """`from torch import cuda` is ported, so after it what lacks is looked for by its own name."""
    refused = [translation.names.get(name, name) for name in translation.refused if _refused(name, translation)]
    bare = [translation.names.get(name, name) for name in translation.takes_no_device]
    last = {name.rpartition(".")[2] for name in (*translation.lacking, *refused, *bare)}
    return frozenset({translation.old.name, "accelerator"} | last)


#: `torch.accelerator`, or as one of several imports. Scripts that use accelerate call an object of theirs the same.
_AS_A_MODULE = r"""(?x) accelerator\b (?:
    (?<= [.,(] accelerator ) | (?<= [.,(] \s accelerator ) | (?<= import \s accelerator )
    | (?<= [\s\\] \s accelerator ) (?= \s* (?: [,)\#;\\] | as\b | $ ) | [ \t]* [\r\n] ) )"""

RULE = Rule("DP201", "missing-api", __doc__, words=_words, fixes=False, spelled={"accelerator": _AS_A_MODULE})


@RULE.on(ast.Attribute, ast.Import, ast.ImportFrom)
def report_what_the_target_lacks(node: ast.AST, unit: Unit) -> Iterator[Found]:
    title = unit.translation.new.title
    for place, dotted in torch_names(node, unit):
        name = cuda_name(dotted, unit)
        if name is None or _is_reported_at_its_import(place, unit):
            continue
        if lacking := _known_start(name, unit.translation.lacking):
            message, way_out = f"{title} has no torch.{lacking}", unit.translation.lacking[lacking]
            yield unit.report(RULE.code, "error", place, message, way_out)
        elif refused := _refused(name, unit.translation):
            new = unit.translation.names.get(refused, refused)
            message = f"torch.{new} is not supported on {unit.translation.hardware}"
            yield unit.report(RULE.code, "error", place, message, "run on another hardware line, or do without it")
        elif dotted == f"torch.{name}" and _stays(name, place, unit):
            message = f"the table of {title} does not know torch.{name}; it was left as it is"
            yield unit.report(RULE.code, "warning", place, message, f"look for it in the documentation of {title}")


@RULE.on(ast.Call)
def report_the_device_argument(node: ast.Call, unit: Unit) -> Iterator[Found]:
    name = cuda_name(unit.dotted(node.func) or "", unit)
    if name in unit.translation.takes_no_device and _passes_a_device(node, name):
        new = unit.translation.names.get(name, name)
        message = f"torch.{new} takes no argument `device`"
        yield unit.report(RULE.code, "error", node, message, "leave it out: the call is about the one device there is")


@RULE.on(ast.Attribute, ast.Import, ast.ImportFrom)
def report_what_torch_accelerator_lacks(node: ast.AST, unit: Unit) -> Iterator[Found]:
    minor = _torch_minor(unit.translation)
    for place, dotted in torch_names(node, unit):
        name = ".".join(dotted.split(".")[1:3])
        if name.partition(".")[0] != "accelerator" or torch_minors.has(name, minor):
            continue
        if isinstance(place, ast.Attribute) and "accelerator" not in spelled(place):
            continue
        last = name.rpartition(".")[2]
        if not torch_minors.has("accelerator", minor):
            yield from _report_accelerator("accelerator", f"torch.{unit.translation.names['cuda']}", place, unit)
        elif torch_minors.is_known(name):
            yield from _report_accelerator(name, _below_the_module(last, unit), place, unit)
        elif way_out := _below_the_module(last, unit):
            yield unit.report(RULE.code, "error", place, f"torch.accelerator has no {last}", way_out)


def _report_accelerator(name: str, way_out: str, place: ast.AST, unit: Unit) -> Iterator[Found]:
    """What a later torch than the one that is meant has; not twice, at the import and where it is used."""
    imported = (imported_as(place, unit) or "").removeprefix("torch.")
    minor = _torch_minor(unit.translation)
    if imported == name or is_asked_for(place, name.rpartition(".")[2], unit):
        return
    message = f"torch {minor} has no torch.{name}; it is there {torch_minors.where_it_is(name)}"
    yield unit.report(RULE.code, "error", place, message, way_out)


def _below_the_module(name: str, unit: Unit) -> str:
    """Where the target has a function of torch.cuda that was looked for in torch.accelerator."""
    name = f"{unit.translation.old.name}.{name}"
    if name in unit.translation.names:
        return f"torch.get_device_module().{name.partition('.')[2]}"
    return unit.translation.lacking.get(name, "")


def _torch_minor(translation: Translation) -> str | None:
    """The torch that goes with the build of torch_npu; None, the newest, for other accelerators."""
    return torch_minor(build_of(translation)) if translation.new.name == "npu" else None


def _known_start(name: str, known: dict[str, str]) -> str | None:
    """The leading part of a dotted name that is a key of `known`."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def _refused(name: str, translation: Translation) -> str | None:
    """The leading part of a dotted name that the hardware line asked for does not run."""
    while name and translation.hardware not in translation.refused.get(name, ()):
        name = name.rpartition(".")[0]
    return name or None


def _stays(name: str, place: ast.AST, unit: Unit) -> bool:
    """Whether the port leaves a name as it is: unknown to the table, with no renamed import for its first part."""
    if unit.translation.known_part(name) is not None or name in unit.translation.modules or name.endswith(".*"):
        return False
    return imported_as(place, unit) in (None, "torch")


def _is_reported_at_its_import(place: ast.AST, unit: Unit) -> bool:
    imported = cuda_name(imported_as(place, unit) or "", unit)
    if imported is None:
        return False
    return bool(_known_start(imported, unit.translation.lacking) or _refused(imported, unit.translation))


def _passes_a_device(call: ast.Call, name: str) -> bool:
    if any(keyword.arg == "device" for keyword in call.keywords):
        return True
    index = _DEVICE_AT.get(name.rpartition(".")[2], 0)
    return index is not None and len(call.args) > index
