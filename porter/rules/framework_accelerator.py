"""
# DP212 framework-accelerator: a GPU that a framework is asked for

## What it does

Reports `accelerator="gpu"` and `gpus=` of Lightning's `Trainer` and `Fabric` (error), and `num_gpus=`, `use_gpu=` of
Ray (warning).

## Why

Lightning's "gpu" is CUDA, or Apple MPS where that is there, and it raises `MisconfigurationException` without either;
`gpus=` left it with release 2.0 (its documentation). Ray counts GPUs of NVIDIA, AMD and Intel; Ascend NPUs are its
resource "NPU" (its documentation of accelerators).

## Before

    from lightning import Trainer
    trainer = Trainer(accelerator="gpu", devices=8)

## What to write instead

    from lightning import Trainer
    trainer = Trainer(accelerator=NPUAccelerator(), devices=8)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.places import label_of
from porter.rules.rule import Rule
from porter.unit import Found, Unit
from porter.uses import text_of

_OF_LIGHTNING = frozenset({"Trainer", "Fabric", "LightningTrainer", "LightningFabric"})
_OF_RAY = frozenset({"num_gpus", "use_gpu", "num_gpus_per_worker", "num_gpus_per_learner", "num_gpus_per_env_runner"})

RULE = Rule(
    "DP212",
    "framework-accelerator",
    __doc__,
    words=("gpu", "gpus", "cuda", "npu", *sorted(_OF_RAY)),
    fixes=False,
    beside=("Trainer", "Fabric", "ray", "ScalingConfig", "LightningTrainer", "LightningFabric"),
)


@RULE.on(ast.Call)
def report_the_accelerator(node: ast.Call, unit: Unit) -> Iterator[Found]:
    if label_of(node.func) not in _OF_LIGHTNING:
        return
    new = unit.translation.new
    for keyword in node.keywords:
        if keyword.arg == "gpus" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value in (0, None)):
            message = "gpus= counts CUDA devices, and left Lightning with release 2.0"
            yield unit.report(RULE.code, "error", keyword.value, message, "accelerator= and devices=")
        elif keyword.arg == "accelerator" and text_of(keyword.value) == "gpu" and "lightning" not in new.frameworks:
            message = f'Lightning means CUDA or MPS by "gpu", and has no accelerator for {new.title}'
            way_out = "an Accelerator of your own (lightning.pytorch.accelerators), or the loop under accelerate"
            yield unit.report(RULE.code, "error", keyword.value, message, way_out)


@RULE.on(ast.Call)
def report_the_resources(node: ast.Call, unit: Unit) -> Iterator[Found]:
    if not _is_of_ray(node, unit):
        return
    for keyword in node.keywords:
        is_off = isinstance(keyword.value, ast.Constant) and not keyword.value.value
        if keyword.arg in _OF_RAY and not is_off:
            resource = unit.translation.new.tools.get("ray", "GPU")
            message = f"Ray counts no {unit.translation.new.title} by {keyword.arg}="
            way_out = f'resources={{"{resource}": 1}}, or resources_per_worker= in a ScalingConfig'
            yield unit.report(RULE.code, "warning", keyword, message, way_out)


def _is_of_ray(call: ast.Call, unit: Unit) -> bool:
    if (unit.dotted(call.func) or "").partition(".")[0] == "ray" or unit.source.names.imports_package("ray"):
        return True
    return label_of(call.func) == "ScalingConfig"
