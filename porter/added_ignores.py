"""Write ignore comments where there is a finding, each with the codes of its line, and change nothing else.

torch.cuda.nvtx.mark("a")      ->      torch.cuda.nvtx.mark("a")  # port: ignore[DP201]
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from porter.changes import LINE, Change, apply
from porter.commenting import Commenting
from porter.findings import SAFE, Finding
from porter.ignore_comments import Ignores
from porter.rules.unknown_ignore import RULE as UNKNOWN
from porter.rules.unused_ignore import RULE as UNUSED

#: Findings that are about such comments themselves.
_ABOUT_COMMENTS = frozenset({UNKNOWN.code, UNUSED.code})


def added(
    text: str, findings: Iterable[Finding], commenting: Commenting
) -> tuple[list[Change], dict[Finding, list[Change]], list[Finding]]:
    """What is written, by the finding that says so, and the findings that no comment can be written for.

    Fixes get none, since the tool makes them itself.
    """
    wanted = [one for one in findings if not one.is_fix]
    places = commenting.places(text) if wanted else {}
    lines = LINE.findall(text)
    changes: dict[int, Change] = {}
    codes: dict[int, set[str]] = defaultdict(set)
    left: list[Finding] = []
    for one in wanted:
        options = _options(one, places, commenting)
        line = next((line for line in options if line in codes), None)
        if one.code in _ABOUT_COMMENTS:
            left.append(one)
            continue
        for at in (line,) if line is not None else options:
            change = _change(text, lines, at, {*codes.get(at, ()), one.code}, commenting)
            if change is not None and _does_it(text, change, one, commenting):
                changes[at] = change
                codes[at].add(one.code)
                break
        else:
            left.append(one)
    made = {_said(at, sorted(codes[at]), changes[at], commenting): [changes[at]] for at in sorted(changes)}
    return [changes[at] for at in sorted(changes)], made, left


def _options(finding: Finding, places: dict[int, int], commenting: Commenting) -> Sequence[int]:
    """The lines that a comment for a finding may stand on: its first, its last, and where those go on to."""
    lines = (finding.line, finding.end_line)
    if commenting.above:
        return tuple(dict.fromkeys(lines))
    return tuple(dict.fromkeys(places.get(line, line) for line in lines))


def _change(text: str, lines: list[str], at: int, codes: set[str], commenting: Commenting) -> Change | None:
    """The comment on a line, or above it; codes go into one that is there already."""
    if not 0 < at <= len(lines):
        return None
    there = [
        one
        for one in Ignores(text, commenting).directives
        if one.names is not None and not one.whole and not one.broken
        if one.line == (at - 1 if commenting.above else at)
    ]
    if there:
        one = there[-1]
        start = sum(map(len, lines[: one.line - 1])) + one.column - 1
        named = one.names or ()
        names = (*named, *sorted(codes - set(named)))
        return Change(start + one.comment.index("[", one.start) + 1, start + one.end - 1, ", ".join(names))
    line = lines[at - 1]
    content = line.rstrip("\r\n")
    start = sum(map(len, lines[: at - 1]))
    comment = f"{commenting.mark} port: ignore[{', '.join(sorted(codes))}]"
    if commenting.above:
        indent = content[: len(content) - len(content.lstrip())]
        return Change(start, start, f"{indent}{comment}{line[len(content) :] or chr(10)}")
    bare = content.rstrip()
    return Change(start + len(bare), start + len(content), f"  {comment}")


def _does_it(text: str, change: Change, finding: Finding, commenting: Commenting) -> bool:
    """Whether the code stays what it is, and the comment holds for the finding."""
    new = apply(text, [change])
    try:
        if commenting.code(new) != commenting.code(text):
            return False
    except ValueError:
        return False
    moved = new.count("\n", 0, change.start + len(change.new)) - text.count("\n", 0, change.end)
    placed = finding._replace(line=finding.line + moved, end_line=finding.end_line + moved)
    ignores = Ignores(new, commenting)
    return any(ignores.hold(directive, placed) for directive in ignores.directives)


def _said(at: int, codes: Sequence[str], change: Change, commenting: Commenting) -> Finding:
    message = f"{commenting.mark} port: ignore[{', '.join(codes)}] is added"
    return Finding(codes[0], "fix", message, at, 1, at, 1, applicability=SAFE)
