"""What every kind of document gives, and how it has its units ported."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from porter.changes import LINE, Change, within_lines
from porter.documents.completed import completed
from porter.findings import Finding, Replacement
from porter.port import PYTHON, Plan, Ported, port_text
from porter.source import CannotParse


class CannotPort(Exception):
    """A document cannot be read or written: the message is one sentence, `line` where in the file (None: nowhere)."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class PortedBytes:
    """The bytes as they shall be, and the findings in the bytes as they were."""

    data: bytes
    findings: tuple[Finding, ...] = ()


def port_unit(text: str, plan: Plan) -> Ported:
    """What there is to say of a unit of Python. Every refusal is CannotPort."""
    try:
        return completed(text, port_text(text, plan), plan, PYTHON.commenting)
    except CannotParse as error:
        raise CannotPort(str(error), error.line) from None
    except RecursionError:
        raise CannotPort("an expression or statement nests too deeply to be ported") from None
    except UnicodeEncodeError:
        raise CannotPort("it holds half of a surrogate pair, which is no character") from None


def with_edits(text: str, ported: Ported) -> list[Finding]:
    """The findings, each with its edits where the plan asked for them; `text` is what the changes count in."""
    if not ported.edits:
        return ported.findings
    edits = {finding: located(text, changes) for finding, changes in ported.edits.items()}
    return [one._replace(edits=edits.get(one, ())) for one in ported.findings]


def located(text: str, changes: Iterable[Change]) -> tuple[Replacement, ...]:
    """The changes by line and column, each as small as it can be."""
    starts = [0, *accumulate(map(len, LINE.findall(text)))]

    def place(at: int) -> tuple[int, int]:
        line = bisect_right(starts, at)
        is_past_the_end = line == len(starts) and line > 1 and not text.endswith(("\n", "\r"))
        return (line - 1, at - starts[line - 2] + 1) if is_past_the_end else (line, at - starts[line - 1] + 1)

    return tuple(Replacement(*place(start), *place(end), new) for start, end, new in within_lines(text, changes))
