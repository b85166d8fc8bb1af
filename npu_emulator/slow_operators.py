"""What did not run on the NPU proper: operators on the AI CPU, and operators that fell back to the host. Counted, since
this is what makes a port slow."""

from __future__ import annotations

import threading
from dataclasses import dataclass

AI_CPU = "AI CPU"
HOST = "host"


@dataclass
class SlowOperator:
    """An operator that ran elsewhere.

    Attributes:
        name: operator with its overload, such as ``cumsum`` or ``sort.stable``.
        type: type of the tensor that sent it there; empty where it falls back whatever the type.
        where: ``"AI CPU"`` or ``"host"``.
        calls: how often.
        bytes: size of the tensors that it was given, over all calls.
    """

    name: str
    type: str
    where: str
    calls: int = 0
    bytes: int = 0


_counted: dict[tuple[str, str, str], SlowOperator] = {}
_lock = threading.Lock()


def count(name: str, type_name: str, where: str, size: int) -> bool:
    """Counts a call of ``size`` bytes; True for the first of its kind."""
    with _lock:
        is_new = (name, type_name, where) not in _counted
        operator = _counted.setdefault((name, type_name, where), SlowOperator(name, type_name, where))
        operator.calls += 1
        operator.bytes += size
    return is_new


def slow_operators() -> list[SlowOperator]:
    """Operators of this process that ran on the AI CPU or the host, those with most bytes first."""
    with _lock:
        return sorted(_counted.values(), key=lambda operator: (-operator.bytes, operator.name))


def reset_slow_operators() -> None:
    """Starts counting afresh; each kind warns again."""
    with _lock:
        _counted.clear()


def report() -> str:
    """The counts as a table, with a line above that says how many there are."""
    found = slow_operators()
    if not found:
        return "every operator ran on the NPU\n"
    rows = [("operator", "type", "ran on", "calls", "bytes")]
    rows += [(one.name, one.type, one.where, f"{one.calls:,}", f"{one.bytes:,}") for one in found]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    calls = sum(one.calls for one in found)
    lines = [
        f"{len(found)} operators did not run on the NPU, in {calls:,} calls on {sum(o.bytes for o in found):,} bytes"
    ]
    for row in rows:
        name, type_name, where, number, size = row
        text = [name.ljust(widths[0]), type_name.ljust(widths[1]), where.ljust(widths[2])]
        lines.append("  ".join([*text, number.rjust(widths[3]), size.rjust(widths[4])]))
    return "\n".join(lines) + "\n"
