"""
# DP109 names-both-devices: a file that cannot be undone

## What it does

With `--target cuda`, reports a file that names CUDA and an accelerator, or did when it was ported, or names two
accelerators, and leaves it alone.

## Why

Undoing turns every `"npu"` into `"cuda"`. In a file that chooses between the two, this would make both branches the
same; nothing in the file tells what a port has written and what its author has.

## Before

    device = "npu" if torch.npu.is_available() else "cuda"

## What to do instead

Undo it by hand, or take the file from before the port out of version control. If it names two accelerators, say which
one it was ported to: `--target cuda --from npu`.
"""

from __future__ import annotations

from porter.rules.base import Rule

#: It judges a whole file against both translations, so porter.port applies it.
RULE = Rule("DP109", "names-both-devices", __doc__, words=(), fixes=False)
