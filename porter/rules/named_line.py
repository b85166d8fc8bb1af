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

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from porter.accounting.mentions import Reason
from porter.findings import Finding
from porter.rules.rule import Rule

if TYPE_CHECKING:
    from porter.port import Plan

#: It judges what all other rules have left, so each document asks for `left_lines` at the end.
RULE = Rule("DP418", "named-line", __doc__, words=(), fixes=False)

Reasons = Callable[[str], Iterator[tuple[int, Reason | None]]]


def left_lines(text: str, reasons: Reasons, findings: Sequence[Finding], plan: Plan) -> Iterator[Finding]:
    """Notes on the lines that have neither a reason nor a report, once what is changed in them does not count.

    So they are the same before a port and after. Undoing has nothing to say of them.
    """
    if plan.undoes or (plan.codes is not None and RULE.code not in plan.codes):
        return
    reported = {line for one in findings if not one.is_fix for line in range(one.line, one.end_line + 1)}
    named = reasons(_less_fixes(text, findings))
    for line in dict.fromkeys(line for line, reason in named if reason is None):
        if line not in reported:
            message = "this line names CUDA, and no rule knows what for; it was left as it is"
            way_out = f"look whether {plan.translation.new.title} is meant too"
            yield Finding(RULE.code, "note", message, line, 1, line, 1, way_out)


def _less_fixes(text: str, findings: Sequence[Finding]) -> str:
    """The text with a word in the place of each one that is changed, but for what spans lines."""
    fixes = [one for one in findings if one.is_fix and one.line == one.end_line]
    if not fixes:
        return text
    lines = re.split(r"(\r\n|\r|\n)", text)
    for one in fixes:
        at = 2 * (one.line - 1)
        line = lines[at]
        changed = "x" * (one.end_column - one.column)
        lines[at] = line[: one.column - 1] + changed + line[one.end_column - 1 :]
    return "".join(lines)
