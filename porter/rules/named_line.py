"""
# DP418 named-line: a line that names CUDA, and no rule knows what for

## What it does

Reports lines of shell scripts, configurations, Dockerfiles, Makefiles and lists of packages that name CUDA, NCCL or
NVIDIA, that no other rule has judged, and that are not plainly a comment, text for people, a path or a name (note).

## Why

Nothing is passed over in silence: the line may be what decides where the program runs.

## Before

    ```bash
    module load cuda/12.1 nvidia
    ```

## What to do instead

Look at the line, and at what stands in its place on the target.
"""

from __future__ import annotations

from porter.rules.rule import Rule

#: It judges what all other rules have left, so porter.documents.left_lines applies it.
RULE = Rule("DP418", "named-line", __doc__, words=(), fixes=False)
