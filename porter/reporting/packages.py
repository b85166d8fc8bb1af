"""The third-party packages of a run: a table for people, objects for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from porter.analysis.packages.survey import Row


def table(rows: Sequence[Row]) -> list[str]:
    """Package, version, verdict, what it calls of CUDA or what to do; in columns."""
    cells = [("package", "version", "verdict", "calls of CUDA, or what to do")]
    cells += [(row.package, row.version or "-", row.verdict, _last(row)) for row in rows]
    widths = [max(len(cell[at]) for cell in cells) for at in range(3)]
    return ["  ".join([*(one[at].ljust(widths[at]) for at in range(3)), one[3]]).rstrip() for one in cells]


def objects(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Keys keep their order and are always there."""
    found = []
    for row in rows:
        plain = asdict(row)
        first = dict(zip(row.first._fields, row.first, strict=True))
        calls = [{"name": name, "count": count} for name, count in row.calls]
        found.append({**plain, "first": first, "calls": calls, "way_out": row.way_out or None})
    return found


def _last(row: Row) -> str:
    if row.calls:
        return ", ".join(f"{name} ({count})" for name, count in row.calls[:4])
    return row.way_out
