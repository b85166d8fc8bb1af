"""
# DP401 npu-exports: the environment of a training on Ascend NPUs

## What it does

Sets `PYTORCH_NPU_ALLOC_CONF=expandable_segments:True` and `CPU_AFFINITY_CONF=1` in shell scripts that launch a
training: below the head of the script (`#!`, comments followed by an empty line, `#SBATCH` lines), above the first
command and the comment that belongs to it. A variable that the script sets itself, by whichever value, stays as it is.

## Why

Expandable segments let the caching allocator grow a segment in place, so that memory of changing sizes does not
fragment; `CPU_AFFINITY_CONF=1` binds each process to the cores near its NPU. The guide to training on Ascend NPUs sets
both.

## Before

    # Wan2.1-T2V-1.3B, one device

    accelerate launch train.py --learning_rate 1e-5

## After

    # Wan2.1-T2V-1.3B, one device

    export PYTORCH_NPU_ALLOC_CONF=expandable_segments:True
    export CPU_AFFINITY_CONF=1

    accelerate launch train.py --learning_rate 1e-5
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from porter.environment import ALLOCATOR
from porter.rules.rule import Rule
from porter.shell.launch import OPTIONS_OF_TRAINING, TRAINS
from porter.shell.script import ShellScript
from porter.shell.syntax import text_of
from porter.text_unit import TextUnit, replaced
from porter.unit import Found

if TYPE_CHECKING:
    from tree_sitter import Node

EXPORTS = {"PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True", "CPU_AFFINITY_CONF": "1"}

#: A variable that says the same. torch_npu raises where the general one and its own are both set.
_ALSO = {"PYTORCH_NPU_ALLOC_CONF": ("PYTORCH_ALLOC_CONF", ALLOCATOR)}

#: Comments that a program reads, and only in the head of a script.
_DIRECTIVE = re.compile(r"#(?:!|SBATCH\b|PBS\b|BSUB\b|\$ |COBALT\b)|#\s*(?:shellcheck\b|vim?:|-\*-)")

RULE = Rule(
    "DP401",
    "npu-exports",
    __doc__,
    words=("py", "train", "accelerate", "torchrun", "deepspeed", "distributed", *EXPORTS),
    targets=frozenset({"npu"}),
    spelled={
        "py": rf"(?i:{TRAINS})[\w-]*\.py\b|--(?:{'|'.join(sorted(OPTIONS_OF_TRAINING))})\b",
        "distributed": r"torch\.distributed",
    },
    language="shell",
)


@RULE.on(ShellScript)
def set_the_environment(script: ShellScript, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    if unit.translation.undoes or not script.trainings:
        return
    missing = [name for name in EXPORTS if not _is_set(name, script)]
    if not missing:
        return
    lines = "".join(f"export {name}={EXPORTS[name]}{script.newline}" for name in missing)
    beside = _line_of_the_other(missing, script)
    at = beside if beside is not None else _below_the_head(script)
    edit = replaced((at, at), lines if beside is not None else lines + script.newline)
    first = script.trainings[0].command
    message = f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} set for the training"
    yield unit.fix(RULE.code, (first.start, first.end), message, edit)


def _is_set(name: str, script: ShellScript) -> bool:
    """Whether the script sets the variable: for all that follows, or for each training it launches."""
    names = (name, *_ALSO.get(name, ()))
    if any(_is_set_for_all(node) for one in names for node in script.names.get(one, ())):
        return True
    return all(not launch.command.environment.isdisjoint(names) for launch in script.trainings)


def _is_set_for_all(name: Node) -> bool:
    """`export X=1`, `X=1`, `: ${X:=1}`, but not `X=1 command`."""
    parent = name.parent
    if parent is None:
        return False
    if parent.type == "expansion":
        return ":=" in text_of(parent)
    return parent.type == "variable_assignment" and (parent.parent is None or parent.parent.type != "command")


def _line_of_the_other(missing: list[str], script: ShellScript) -> int | None:
    """Where the script exports one of the two by a line of its own above the first training: the end of that line."""
    others = {other for name in EXPORTS if name not in missing for other in (name, *_ALSO.get(name, ()))}
    for node in script.root.named_children:
        if any(launch.command.start <= node.start_byte for launch in script.trainings[:1]):
            break
        names = {text_of(child.child_by_field_name("name") or child) for child in node.named_children}
        end = _behind_the_line(node.end_byte, script)
        alone = script.data[node.end_byte : end].strip() == b"" and script.data[:end].endswith(b"\n")
        if node.type == "declaration_command" and alone and others & names:
            return end
    return None


def _below_the_head(script: ShellScript) -> int:
    """Above the first command and the comments right above it, but below what has to stand first."""
    above: Node | None = None
    at = 0
    for node in script.root.named_children:
        begins = _line_start(node.start_byte, script)
        is_attached = above is not None and script.line_of(above.end_byte) + 1 == script.line_of(node.start_byte)
        if not is_attached:
            at = begins
        if node.type != "comment":
            return at
        if _DIRECTIVE.match(text_of(node)):
            at = _behind_the_line(node.end_byte, script)
        above = node
    return at


def _line_start(offset: int, script: ShellScript) -> int:
    return script.line_starts[script.line_of(offset) - 1]


def _behind_the_line(offset: int, script: ShellScript) -> int:
    end = script.data.find(b"\n", offset)
    return len(script.data) if end < 0 else end + 1
