"""
# DP106 process-group-backend: nccl where a communication backend is meant

## What it does

Renames `"nccl"` as argument, assignment, default and choice, alone and per device (`"cpu:gloo,cuda:nccl"`), and
`Backend.NCCL`. Comparisons with the string follow DP102.

## Why

NCCL drives NVIDIA devices only; `init_process_group("nccl")` raises on any other. Ascend's own is HCCL, Intel's XCCL.

## Before

    dist.init_process_group("nccl")
    dist.new_group(backend="cpu:gloo,cuda:nccl")

## After

    dist.init_process_group("hccl")
    dist.new_group(backend="cpu:gloo,npu:hccl")
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.findings import Edit
from porter.literals import backend_literal
from porter.places import device_is_meant, label_of, place_of
from porter.rules.rule import Rule
from porter.targets import Translation
from porter.unit import Found, Unit


def _words(translation: Translation) -> frozenset[str]:
    backend = translation.old.backend
    return frozenset({backend, backend.upper()} if backend else ())


RULE = Rule("DP106", "process-group-backend", __doc__, words=_words)


@RULE.on(ast.Constant)
def rename_the_backend(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    literal = backend_literal(node, unit.translation)
    if literal is None:
        return
    place = place_of(node, unit.source)
    if place.is_question or not device_is_meant(place):
        return
    if literal.new:
        message = f'"{literal.old}" becomes "{literal.new}"'
        yield unit.fix(RULE.code, node, message, literal.edit(unit.source))
    else:
        yield _has_none(node, unit)


@RULE.on(ast.Attribute)
def rename_the_constant(node: ast.Attribute, unit: Unit) -> Iterator[Found]:
    """`torch.distributed.Backend.NCCL`; a backend that registers itself gets a constant of its own there."""
    old, new = unit.translation.old.backend, unit.translation.new.backend
    if not old or node.attr != old.upper() or label_of(node.value) != "Backend":
        return
    if new:
        edit = Edit(*unit.source.span(node), "rename_chain", ((node.attr,), (new.upper(),)))
        yield unit.fix(RULE.code, node, f"Backend.{node.attr} becomes Backend.{new.upper()}", edit)
    else:
        yield _has_none(node, unit)


def _has_none(node: ast.expr, unit: Unit) -> Found:
    way_out = 'run in one process, or use "gloo" on CPU copies'
    return unit.report(RULE.code, "error", node, f"{unit.translation.new.title} has no communication backend", way_out)
