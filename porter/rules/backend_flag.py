"""
# DP205 backend-flag: switches and questions of CUDA's own libraries

## What it does

Reports `torch.backends.cudnn.X` and `torch.backends.cuda.X`, set or read, and the choice of an attention kernel by
`sdpa_kernel` or `sdp_kernel` (note). What asks for a version or a build of CUDA, such as `torch.version.cuda`, is a
warning: the answer is None or False. What the port renames is left alone.

## Why

They steer cuDNN, cuBLAS and CUDA's attention kernels, which the target does not use: setting them does nothing, so a
result that depended on one differs. A program that asks for a version may refuse to start: `torch.version.cuda` is
None in every torch without CUDA (documentation of torch.backends and torch.version; for Ascend the vendor's table of
native APIs lists most of torch.backends.cuda as not supported).

## Before

    torch.backends.cudnn.deterministic = True
    assert torch.version.cuda

## What to write instead

    torch.use_deterministic_algorithms(True)
    assert torch.accelerator.is_available()
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.rules.rule import Rule
from porter.unit import Found, Unit
from porter.uses import spelled, torch_names

_LIBRARIES = ("torch.backends.cudnn.", "torch.backends.cuda.")
_KERNEL_CHOICES = frozenset({"torch.nn.attention.sdpa_kernel", "torch.backends.cuda.sdp_kernel"})
_QUESTIONS = frozenset(
    {
        "torch.version.cuda",
        "torch.backends.cuda.is_built",
        "torch.backends.cudnn.is_available",
        "torch.backends.cudnn.version",
    }
)
#: A module whose import is no use of it.
_MODULE = "torch.backends.cuda.matmul"
_DETERMINISTIC = "torch.use_deterministic_algorithms(True)"

RULE = Rule(
    "DP205",
    "backend-flag",
    __doc__,
    words=("cuda", "cudnn", "allow_tf32", "sdpa_kernel"),
    fixes=False,
    beside=("backends", "version", "sdpa_kernel"),
)


@RULE.on(ast.Attribute, ast.Import, ast.ImportFrom)
def report_the_flag(node: ast.AST, unit: Unit) -> Iterator[Found]:
    title = unit.translation.new.title
    for place, name in torch_names(node, unit):
        if isinstance(place, ast.Attribute) and not _is_spelled_out(place):
            continue
        if _is_ported(name, unit) or name.endswith(".*") or name == _MODULE:
            continue
        if question := next((q for q in _QUESTIONS if f"{name}.".startswith(f"{q}.")), None):
            answer = "None" if "version" in question else "False"
            message = f"{question} asks about CUDA, and the answer is {answer} there"
            yield unit.report(RULE.code, "warning", place, message, "ask torch.accelerator.is_available()")
        elif name in _KERNEL_CHOICES:
            message = f"{name} chooses among CUDA's attention kernels; {title} has its own"
            yield unit.report(RULE.code, "note", place, message, "leave the choice to torch")
        elif name.startswith(_LIBRARIES):
            message = f"{name} is a switch of CUDA's libraries and does nothing on {title}"
            yield unit.report(RULE.code, "note", place, message, _way_out(name, unit))


def _way_out(name: str, unit: Unit) -> str:
    if name.endswith("allow_tf32"):
        return unit.translation.new.tools.get("tf32", "torch.set_float32_matmul_precision")
    return _DETERMINISTIC if name.endswith("deterministic") else ""


def _is_ported(name: str, unit: Unit) -> bool:
    """Whether the table has a new name for it, or for what it is below."""
    name = name.removeprefix("torch.")
    while name.startswith("backends.") and name not in unit.translation.names:
        name = name.rpartition(".")[0]
    return name.startswith("backends.")


def _is_spelled_out(place: ast.Attribute) -> bool:
    """An alias can hide every word of the rule; then nothing is said, rather than said by chance."""
    text = spelled(place)
    return any(word in text for word in ("cuda", "cudnn", "allow_tf32", "sdpa_kernel"))
