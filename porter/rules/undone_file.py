"""
# DP109 undo: what undoing a port gives back, and what it cannot

## What it does

With `--target cuda`, gives back what ports changed in a file, by their record: each place that is still there, wherever
it has moved to. A place that is gone is reported (error), its line is left as it is, and the rest is done. A file that
could not be parsed afterwards is left alone, and the run ends with 2.

A file that was renamed, and perhaps edited, is known by most of its lines and of those that were ported, a copy by all
that were ported (note: which record was taken); a notebook that Jupyter saved again, by the code of its cells. A file
without a record - ported on another machine, say - is undone by the words of the accelerator that `--from` names, npu
where it is not given, and that is said (note). If it names CUDA as well, it is reported and left alone (error).

## Why

Undoing by words turns every `"npu"` into `"cuda"`. In a file that chooses between the two, this would make both
branches the same; nothing in the file tells what a port has written and what its author has. The record does.

## Before

    device = "npu" if torch.npu.is_available() else "cuda"

## What to do instead

Undo it by hand, or take the file from before the port out of version control. `--record FILE` keeps the record in a
file that can be committed, so that a port can be undone on every machine.
"""

from __future__ import annotations

from porter.rules.rule import Rule

#: It judges whole files by their record, so porter.undo applies it.
RULE = Rule("DP109", "undo", __doc__, words=(), fixes=False)
