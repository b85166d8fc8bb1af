"""Which minor releases of torch have a name."""

from __future__ import annotations

from functools import cache
from typing import Any

from porter.tables import read_table


@cache
def _table() -> dict[str, Any]:
    content: dict[str, Any] = read_table("torch_minors.json")
    return content


def is_known(name: str) -> bool:
    """Whether some release has the name below torch: "accelerator.random"."""
    return name in _table()["names"]


def has(name: str, minor: str | None) -> bool:
    """Whether a minor release has it ("2.9"; None: the newest). One before or after all known ones is like the next."""
    first, last = _table()["names"].get(name, (None, None))
    if first is None:
        return False
    at = _number(minor or _table()["minors"][-1])
    return _number(first) <= at and (last is None or at <= _number(last))


def where_it_is(name: str) -> str:
    """`from torch 2.9 on`, `from torch 2.6 to 2.12`."""
    first, last = _table()["names"][name]
    return f"from torch {first} to {last}" if last else f"from torch {first} on"


def _number(minor: str) -> tuple[int, ...]:
    return tuple(int(part) for part in minor.split("."))
