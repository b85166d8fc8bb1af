"""What a rule says about a place in a file, and the edits that make it right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from porter.accounting.account import Account

#: Every severity, from the mildest. A "fix" is made by the tool itself and never counts for the exit status.
SEVERITIES = ("fix", "note", "warning", "error")

#: The code of the finding that a file supports CUDA and the target both.
SUPPORTS_BOTH = "DP116"


#: How sure an edit is. A safe one keeps what the program means; an unsafe one does so only if the tool understood a
#: place as it was meant, or but for rounding.
SAFE, UNSAFE = "safe", "unsafe"


def counted(count: int, noun: str) -> str:
    """`1 place`, `1,234 places`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


class Edit(NamedTuple):
    """Bytes `start:end` of a unit's UTF-8 text, and how they change.

    `change` names a function of porter.new_names or porter.pieces, which gets the piece and `arguments`. It is a name,
    not the function, so that a file in which nothing is put together anew never imports libcst. An empty name means
    that the bytes are a whole line, added or taken out, or an expression that is made anew, and `arguments` hold the
    new text: one, or several parts, of which a pair of numbers stands for those bytes as they are once changed. One
    edit may stand within another.
    """

    start: int
    end: int
    change: str
    arguments: tuple[Any, ...]


class Replacement(NamedTuple):
    """What an edit comes to: the text of a place, counted as a finding's is, and what takes its place."""

    line: int
    column: int
    end_line: int
    end_column: int
    content: str


class Finding(NamedTuple):
    """One thing a rule found. Lines and columns count from 1, columns in characters.

    In a notebook they count within the source of one cell, as people see it; `cell` is its number, from 1, among
    all cells of the notebook. Elsewhere it is None. `applicability` is SAFE or UNSAFE where the finding has edits,
    which are made if it is a fix and else only proposed; `edits` are there where they were asked for
    (Plan.shows_edits).
    """

    code: str
    severity: str
    message: str
    line: int
    column: int
    end_line: int
    end_column: int
    way_out: str = ""
    cell: int | None = None
    applicability: str = ""
    edits: tuple[Replacement, ...] = ()

    @property
    def is_fix(self) -> bool:
        return self.severity == "fix"


@dataclass(frozen=True)
class Failure:
    """Why a file could not be ported at all: one sentence, and the line where there is one."""

    message: str
    line: int | None = None


@dataclass(frozen=True)
class FileReport:
    """What came of one file. `path` is as the user gave it, with forward slashes; `diff` and `account`
    only where asked for. `missing` is whether the copy that --output asks for lacks it.
    """

    path: str
    changed: bool = False
    findings: tuple[Finding, ...] = ()
    failure: Failure | None = None
    diff: str = ""
    account: Account | None = None
    missing: bool = False
