"""The last word on a text, once the rules have had theirs: what nothing was said of, and comments that ignore.

rules -> left lines -> unused ignore comments -> or, where these shall be added, comments in the place of the port
"""

from __future__ import annotations

from dataclasses import replace

from porter.changes import Change, apply
from porter.commenting import Commenting
from porter.ignore_comments import Ignores
from porter.port import Plan, Ported, in_order
from porter.rules.named_line import Reasons, left_lines
from porter.unit import Found


def completed(text: str, ported: Ported, plan: Plan, commenting: Commenting, reasons: Reasons | None = None) -> Ported:
    """What there is to say of a text in all. `reasons` tells why its lines name CUDA; None: no line is asked."""
    if reasons is not None:
        ported = _with_left_lines(text, ported, plan, commenting, reasons)
    if "port:" in text and not plan.adds_ignores:
        ported = _with_unused(text, ported, plan, commenting)
    return _commented(text, ported, plan, commenting) if plan.adds_ignores else ported


def _with_left_lines(text: str, ported: Ported, plan: Plan, commenting: Commenting, reasons: Reasons) -> Ported:
    judged = (one._replace(severity="note") for one in ported.left_out)
    left = left_lines(text, reasons, [*ported.findings, *judged], plan)
    kept, left_out = Ignores(text, commenting).split(map(Found, left))
    findings = [*ported.findings, *(one.finding for one in kept)]
    return replace(ported, findings=findings, left_out=(*ported.left_out, *left_out))


def _with_unused(text: str, ported: Ported, plan: Plan, commenting: Commenting) -> Ported:
    from porter.unused_ignores import Unused

    unused = Unused(text, commenting, ported.left_out, plan)
    if not unused.findings:
        return ported
    made = [unused.changes[one] for one in unused.findings if one.is_fix]
    changes = [*ported.changes, *(one for one in made if not any(_overlap(one, other) for other in ported.changes))]
    changes.sort()
    edits = {one: [change] for one, change in unused.changes.items()} if plan.shows_edits else {}
    findings = sorted([*ported.findings, *unused.findings], key=in_order)
    return replace(
        ported, text=apply(text, changes), findings=findings, changes=changes, edits={**ported.edits, **edits}
    )


def _commented(text: str, ported: Ported, plan: Plan, commenting: Commenting) -> Ported:
    from porter.added_ignores import added

    changes, made, left = added(text, ported.findings, commenting)
    edits = made if plan.shows_edits else {}
    return Ported(apply(text, changes), sorted([*made, *left], key=in_order), changes, edits, ported.left_out)


def _overlap(one: Change, other: Change) -> bool:
    return one.start < other.end and other.start < one.end
