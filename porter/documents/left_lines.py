"""The lines of a text that name CUDA and that nothing was said of: each becomes a note."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from porter.accounting.reasons import Reason
from porter.findings import Finding
from porter.port import Plan
from porter.rules.named_line import RULE


def left_lines(
    named: Iterable[tuple[int, Reason | None]], findings: Iterable[Finding], plan: Plan
) -> Iterator[Finding]:
    """Notes on those of the lines that have no reason and no finding. Undoing has nothing to say of them."""
    if plan.undoes or (plan.codes is not None and RULE.code not in plan.codes):
        return
    spoken = {line for one in findings for line in range(one.line, one.end_line + 1)}
    for line in dict.fromkeys(line for line, reason in named if reason is None):
        if line not in spoken:
            message = "this line names CUDA, and no rule knows what for; it was left as it is"
            yield Finding(RULE.code, "note", message, line, 1, line, 1, f"look whether {_title(plan)} is meant too")


def _title(plan: Plan) -> str:
    return plan.translation.new.title
