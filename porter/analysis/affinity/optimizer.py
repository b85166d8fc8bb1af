"""
# DP506 fused-optimizer: an optimizer of torch that torch_npu has fused

## What it does

With `--affinity`, reports `torch.optim.AdamW`, `Adam` and `SGD` with arguments that the fused ones take too, and
`apex.optimizers.FusedAdam`. `--apply-affinity` writes `torch_npu.optim.NpuFusedAdamW`, `NpuFusedAdam` and
`NpuFusedSGD`; apex's is left to a person, with its import. A file that does what they refuse is left alone: bfloat16,
FSDP and other ways of sharding, accelerate, deepspeed, `zero_grad(set_to_none=True)`, `add_param_group`, options such
as `maximize`.

## Why

torch's launches kernels for each parameter or group of them; the fused ones keep all parameters of a type in one
tensor and update it at once. They take parameters in float32 and float16, made on the NPU before the optimizer is, and
gradients that are set to zero rather than dropped: call the optimizer's own `zero_grad()`.

## Before

    import torch


    def make(model):
        return torch.optim.AdamW(model.parameters(), lr=1e-4)

## After

    import torch
    import torch_npu


    def make(model):
        return torch_npu.optim.NpuFusedAdamW(model.parameters(), lr=1e-4)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from porter.analysis.affinity.fusing import ROUNDS, import_of
from porter.findings import Edit
from porter.rules.rule import Rule
from porter.unit import Found, Unit

_NUMBERS = (
    "differs by rounding only: after ten steps at most 1e-5 of the largest parameter; for parameters in float32 and "
    "float16, with the optimizer's own zero_grad()"
)

#: By torch's name: the fused one, and what it takes behind the parameters, in order.
_FUSED = {
    "torch.optim.AdamW": ("NpuFusedAdamW", ("lr", "betas", "eps", "weight_decay", "amsgrad")),
    "torch.optim.Adam": ("NpuFusedAdam", ("lr", "betas", "eps", "weight_decay", "amsgrad")),
    "torch.optim.SGD": ("NpuFusedSGD", ("lr", "momentum", "dampening", "weight_decay", "nesterov")),
}

#: What the fused optimizers do not go with, wherever in the file.
_REFUSED = re.compile(
    r"bfloat16|\bbf16\b|FSDP|FullyShardedDataParallel|fully_shard|ZeroRedundancyOptimizer|deepspeed|accelerat|lightning"
    r"|set_to_none\s*=\s*True|\badd_param_group\b|\b(?:model|net|module)\.zero_grad\(|torch_npu\.optim"
)

RULE = Rule(
    "DP506",
    "fused-optimizer",
    __doc__,
    words=("AdamW", "Adam", "SGD", "FusedAdam"),
    targets=frozenset({"npu"}),
    analysis="affinity",
)


@RULE.on(ast.Call)
def fuse(node: ast.Call, unit: Unit) -> Iterator[Found]:
    name = unit.dotted(node.func) or ""
    name = re.sub(r"^torch\.optim\.\w+\.(\w+)$", r"torch.optim.\1", name)
    if name == "apex.optimizers.FusedAdam":
        way_out = f"torch_npu.optim.NpuFusedAdamW with weight_decay=0.0 for its default; {_NUMBERS}"
        yield unit.report(RULE.code, "note", node, "apex.optimizers.FusedAdam has a counterpart in torch_npu", way_out)
        return
    if name not in _FUSED or _REFUSED.search(unit.source.text) or not _fits(node, *_FUSED[name]):
        return
    after = f"torch_npu.optim.{_FUSED[name][0]}"
    added = import_of("torch_npu", unit)
    edits = [] if added is None else [Edit(*unit.source.span(node.func), "", (after,)), *added]
    if not unit.applies or not edits:
        message = f"{name} has a fused form: {ast.unparse(node.func)}(...)"
        yield unit.propose(RULE.code, node, message, f"{after}(...); {_NUMBERS}", *edits)
    else:
        message = f"{ast.unparse(node.func)} becomes {after}; {_NUMBERS}"
        yield unit.fix(RULE.code, node, message, *edits, doubt=ROUNDS)


def _fits(node: ast.Call, fused: str, names: tuple[str, ...]) -> bool:
    """Whether the fused one takes the same arguments in the same places; SGD has no default rate."""
    if not node.args or any(isinstance(one, ast.Starred) for one in node.args):
        return False
    given = {*names[: len(node.args) - 1], *(keyword.arg for keyword in node.keywords)}
    takes = given <= set(names) and len(node.args) <= 1 + len(names)
    return takes and (fused != "NpuFusedSGD" or "lr" in given)
