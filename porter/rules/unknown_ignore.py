"""
# DP114 unknown-ignore: a comment that ignores a rule which is none

## What it does

Reports names in `# port: ignore[...]` that are no rule: neither a code, nor the beginning of one, nor a name (warning);
and comments whose names cannot be read for sure: the bracket is not closed, the commas are missing, or a code stands
outside of brackets. Such a one ignores only those of its words that are rules. Only comments count; the words in a
string are text.

## Why

The comment does nothing, or not what it says, and whoever wrote it takes the place for looked after.

## Before

    model.cuda()  # port: ignore[DP999]

## What to write instead

    model.cuda()  # port: ignore[DP105]
"""

from __future__ import annotations

from porter.rules.rule import Rule

#: It judges comments, which no syntax tree holds, so porter.unused_ignores applies it.
RULE = Rule("DP114", "unknown-ignore", __doc__, words=(), fixes=False)
