"""
# DP116 supports-both: a file that serves CUDA and the target already

## What it does

Notes a file that has places for CUDA and for the target: branches, conditional expressions, `match`, `try` with a
fallback, tables, lists, enums, availability flags, functions and classes for both; in shell scripts, branches; in YAML,
JSON and TOML, lists and tables. Such places are left as they are, and so is what a Python file does where it has asked
for CUDA. All else is ported, unless it is little beside them: then the whole file is left, and the lines that name CUDA
alone are reported (warning). A flag counts in the files that import it as well. `--ignore DP116` ports every place of a
Python file or script.

## Why

In `"npu" if is_npu() else "cuda"`, renaming makes both branches the same; of `CUDA = "cuda"` beside `NPU = "npu"` it
makes two names for one device. The program runs on the target as it is.

## Before

    IS_CUDA = torch.cuda.is_available()
    IS_NPU = torch.npu.is_available()
    device = "cuda" if IS_CUDA else "npu" if IS_NPU else "cpu"

## What to do instead

Nothing, where the file does support the target. Where it only names it, `--ignore DP116`.
"""

from __future__ import annotations

from porter.rules.rule import Rule

#: It judges what all other rules have found, so porter.both_devices applies it.
RULE = Rule("DP116", "supports-both", __doc__, words=(), fixes=False)
