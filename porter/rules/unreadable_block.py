"""
# DP110 unreadable-block: a Python block of a Markdown file that does not parse

## What it does

Reports a fenced block that is marked as Python, holds a device, and cannot be parsed. The block is left as it is,
and the rest of the file is ported.

## Why

Documents abridge: `pipe = Pipeline(device="cuda", <your options>)` is no Python, so nothing tells what is meant by
the words in it.

## Before

    ```python
    pipe = Pipeline(device="cuda", <your options>)
    ```

## What to do instead

Port the block by hand, or make it Python: `...` stands for anything.
"""

from __future__ import annotations

from porter.rules.rule import Rule

#: It judges a block before there is a syntax tree, so porter.documents.markdown applies it.
RULE = Rule("DP110", "unreadable-block", __doc__, words=(), fixes=False)
