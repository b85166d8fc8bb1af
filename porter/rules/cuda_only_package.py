"""
# DP203 cuda-only-package: a package that is made for NVIDIA devices

## What it does

Reports the import of a package that needs CUDA, by a statement or by `importlib.import_module`, with what to use
instead. Where a build for the target exists under the same name it is a warning. An import that the program can do
without - in a `try` that catches the failure, below `if is_xformers_available():` - is a note, and one below
`if TYPE_CHECKING:` is none. One in a function that nothing in the file names again is a note. So is the import of a
package without a wheel for aarch64, which most hosts of Ascend NPUs are (warning).

It also reports what asks a library for such a package: `attn_implementation="flash_attention_2"`, and
`.enable_xformers_memory_efficient_attention()`.

## Why

The package cannot be installed there, or its first kernel fails. Public sources: huggingface/transformers#36618 and
Dao-AILab/flash-attention#1781 (flash_attn cannot be installed on Ascend), huggingface/transformers#36696 and
huggingface/transformers#40262 (transformers carries out `flash_attention_2` by `torch_npu.npu_fusion_attention`; 4.55
did not), the FAQ of triton-ascend (the build of triton for Ascend), the installation guide of bitsandbytes (NVIDIA,
AMD, Intel, Apple).

## Before

    from flash_attn import flash_attn_func
    pipe.enable_xformers_memory_efficient_attention()

## What to write instead

    from torch.nn.functional import scaled_dot_product_attention
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.guards import Guard, function_nobody_calls, guard_around
from porter.made_for_cuda import package_of, packages
from porter.places import label_of, place_of
from porter.rules.rule import Rule
from porter.unit import Found, Unit
from porter.uses import text_of

_SDPA = "torch.nn.functional.scaled_dot_product_attention"

_XFORMERS_METHOD = "enable_xformers_memory_efficient_attention"
_FLASH = ("flash_attention_2", "flash_attention_3")
_IMPORTERS = frozenset({"import_module", "__import__", "import_or_skip", "importorskip"})
_WORDS = {name.split(".")[-1] for name in packages()} | {_XFORMERS_METHOD, *_FLASH}

RULE = Rule("DP203", "cuda-only-package", __doc__, words=tuple(sorted(_WORDS)), fixes=False)


@RULE.on(ast.Import, ast.ImportFrom)
def report_the_import(node: ast.Import | ast.ImportFrom, unit: Unit) -> Iterator[Found]:
    if isinstance(node, ast.Import):
        found = {package for alias in node.names if (package := package_of(alias.name))}
    elif node.level or not node.module:
        return
    else:
        found = {package for alias in node.names if (package := package_of(f"{node.module}.{alias.name}"))}
    for package in sorted(found):
        yield from _reported(package, node, unit)


@RULE.on(ast.Call)
def report_the_import_by_name(node: ast.Call, unit: Unit) -> Iterator[Found]:
    if label_of(node.func) in _IMPORTERS and node.args and (package := package_of(text_of(node.args[0]))):
        yield from _reported(package, node, unit)


@RULE.on(ast.Call)
def report_the_switch_to_xformers(node: ast.Call, unit: Unit) -> Iterator[Found]:
    if isinstance(node.func, ast.Attribute) and node.func.attr == _XFORMERS_METHOD:
        way_out = f"take the call out: diffusers then uses {_SDPA}"
        yield unit.report(RULE.code, "error", node, f".{_XFORMERS_METHOD}() needs xformers", way_out)


@RULE.on(ast.Constant)
def report_the_implementation_asked_for(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    if node.value not in _FLASH:
        return
    place = place_of(node, unit.source)
    if place.kind == "comparison" or not place.label.endswith("attn_implementation"):
        return
    if node.value == "flash_attention_2" and unit.translation.new.name == "npu":
        message = 'transformers carries out "flash_attention_2" by torch_npu.npu_fusion_attention'
        yield unit.report(RULE.code, "note", node, message, "flash_attn is not needed, but by transformers 4.55")
    else:
        message = f'"{node.value}" needs flash_attn, which is made for NVIDIA devices'
        yield unit.report(RULE.code, "warning", node, message, '"sdpa"')


def _reported(name: str, node: ast.stmt | ast.expr, unit: Unit) -> Iterator[Found]:
    package, target = packages()[name], unit.translation.new.name
    guard = guard_around(node, unit)
    if guard is Guard.NEVER_RUN or (package.only_aarch64 and target != "npu"):
        return
    way_out = package.way_out(target)
    if package.only_aarch64:
        message = f"the package {name} has no wheel for aarch64, which most hosts of Ascend NPUs are"
        yield unit.report(RULE.code, "note" if guard is Guard.MAY_FAIL else "warning", node, message, way_out)
    elif guard is Guard.MAY_FAIL:
        message = f"the package {name} is made for NVIDIA devices; the program goes on without it"
        yield unit.report(RULE.code, "note", node, message, way_out)
    elif function := function_nobody_calls(node, unit):
        message = f"the package {name} is made for NVIDIA devices; nothing in this file calls {function}"
        yield unit.report(RULE.code, "note", node, message, way_out)
    elif target in package.exists_on:
        message = f"the package {name} as installed for CUDA does not run there"
        yield unit.report(RULE.code, "warning", node, message, way_out)
    else:
        yield unit.report(RULE.code, "error", node, f"the package {name} is made for NVIDIA devices", way_out)
