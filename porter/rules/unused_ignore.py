"""
# DP117 unused-ignore: a comment that ignores a rule which finds nothing there

## What it does

Reports names in `# port: ignore[...]`, and whole comments, without which the run would say the same (note).
`--fix-unused-ignores` takes them out. Only rules that the run goes by are judged: a name of an analysis that nobody
asked for, or of a rule that `--select` leaves out, may well be needed elsewhere.

## Why

A comment that ignores nothing hides what comes to that line later.

## Before

    model.eval()  # port: ignore[DP105]

## What to write instead

    model.eval()
"""

from __future__ import annotations

from porter.rules.rule import Rule

#: It judges comments by what all other rules have found, so porter.unused_ignores applies it.
RULE = Rule("DP117", "unused-ignore", __doc__, words=(), fixes=False)
