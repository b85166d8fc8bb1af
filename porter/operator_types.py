"""Which operators the hardware refuses on a type, or runs on its AI CPU: the vendor's definitions, and public reports.

The same table as the emulated NPU's, so that a report before the port and a refusal in its trial say the same.
"""

from __future__ import annotations

import ast
from functools import cache, lru_cache
from typing import Any

from porter.tables import read_table
from porter.unit import Unit

#: They take fractions, and make complex numbers.
_MAKERS = {"polar", "complex", "view_as_complex"}
#: Named where the file itself calls nothing that is refused.
_USUAL = ("index", "repeat_interleave", "matmul")


def on_type(type_name: str, unit: Unit) -> tuple[list[str], list[str]]:
    """Of the operators that a file calls by name: those refused on a type, and those that run on the AI CPU."""
    refused, slow = _judged(type_name, unit.translation.hardware or "")
    called = _called(unit) - _MAKERS
    return sorted(called & refused), sorted(called & slow - refused)


def runs_on_the_ai_cpu(operator: str, type_name: str, hardware: str) -> bool:
    """Whether the hardware leaves an operator to its AI CPU for a type."""
    return operator in _judged(type_name, hardware)[1]


def sentence(type_name: str, unit: Unit) -> str:
    """What happens to a type on the hardware, with the operators that the file calls where there are any."""
    title, hardware = unit.translation.new.title, unit.translation.hardware
    refused, slow = on_type(type_name, unit)
    if refused:
        return f"{title} ({hardware}) refuses {type_name} in {_listed(refused)}"
    if slow:
        return f"{title} ({hardware}) runs {_listed(slow)} on {type_name} on its AI CPU, many times slower"
    usual = [name for name in _USUAL if name in _judged(type_name, hardware or "")[0]]
    others = f", such as {_listed(usual)}," if usual else ""
    return f"{title} ({hardware}) refuses {type_name} in some operators{others} and runs others on its AI CPU"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


@lru_cache(maxsize=1)
def _called(unit: Unit) -> frozenset[str]:
    """Last names of what a file calls; `@` is matmul. Every finding of a file asks, so that it is walked only once."""
    names = set()
    for node in ast.walk(unit.source.tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=name)) | ast.Call(func=ast.Name(id=name)):
                names.add(name)
            case ast.BinOp(op=ast.MatMult()):
                names.add("matmul")
    return frozenset(names)


@cache
def _judged(type_name: str, hardware: str) -> tuple[frozenset[str], frozenset[str]]:
    """All operators that are refused on a type, and all that run on the AI CPU, by their names without overloads."""
    table = read_table("ascend_operators.json")
    column = table["lines"].index(hardware) if hardware in table["lines"] else 0
    having = [type_name in types for types in table["sets"]]
    refused: set[str] = set()
    taken: set[str] = set()
    slow: set[str] = set()
    for name, entry in table["operators"].items():
        base = name.partition(".")[0]
        first = next(iter(entry.get("takes", {}).items()), None)
        if first is None:
            continue
        number = _at(first[1], column)
        if number is not None:
            (taken if having[number] else refused).add(base)
        elsewhere = _at(entry.get("ai_cpu", {}).get(first[0]), column)
        if elsewhere is not None and having[elsewhere]:
            slow.add(base)
    for report in read_table("ascend_reports.json")["reports"]:
        counts = not report.get("cann_before") and hardware in (report.get("lines") or table["lines"])
        if counts and type_name in report["types"]:
            for judged in (refused, taken, slow):
                judged -= set(report["ops"])
            if report["verdict"] not in ("runs", "apart"):
                (refused if report["verdict"] == "refused" else slow).update(report["ops"])
    return frozenset(refused - taken), frozenset(slow)


def _at(value: Any, column: int) -> int | None:
    number: int | None = value[column] if isinstance(value, list) else value
    return number
