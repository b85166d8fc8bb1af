"""
# DP206 rand-device: random numbers drawn on the device

## What it does

Notes where the device draws the random numbers: `rand_device=` set to the accelerator, and `torch.Generator` made for
it. `"cpu"` is left alone.

## Why

Every kind of device has a generator of its own: the same seed gives other noise, and so another picture, than it gave
on an NVIDIA card. Numbers drawn on the CPU are the same everywhere (documentation of torch, "Reproducibility":
results may not be reproducible between CPU and GPU executions, even with identical seeds).

## Before

    video = pipe(prompt, seed=0, rand_device="cuda")
    generator = torch.Generator("cuda").manual_seed(0)

## What to write instead

    video = pipe(prompt, seed=0, rand_device="cpu")
    generator = torch.Generator("cpu").manual_seed(0)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.places import place_of
from porter.rules.rule import Rule
from porter.targets import Translation
from porter.unit import Found, Unit
from porter.uses import names_device


def _words(translation: Translation) -> frozenset[str]:
    return frozenset({translation.old.name, translation.new.name})


RULE = Rule("DP206", "rand-device", __doc__, words=_words, fixes=False, beside=("rand_device", "Generator"))


@RULE.on(ast.Constant, ast.JoinedStr)
def report_the_rand_device(node: ast.expr, unit: Unit) -> Iterator[Found]:
    if names_device(node, unit) and "rand_device" in unit.source.text:
        place = place_of(node, unit.source)
        if place.label == "rand_device" and place.kind != "comparison":
            yield _note(node, unit)


@RULE.on(ast.Call)
def report_the_generator(node: ast.Call, unit: Unit) -> Iterator[Found]:
    if unit.dotted(node.func) == "torch.Generator":
        devices = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "device")]
        if any(names_device(device, unit) for device in devices):
            yield _note(node, unit)


def _note(node: ast.expr, unit: Unit) -> Found:
    message = f"{unit.translation.new.title} draws other random numbers for the same seed than CUDA does"
    return unit.report(RULE.code, "note", node, message, 'draw them on the "cpu" for the same picture on every device')
