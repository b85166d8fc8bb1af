"""The surface of torch_npu, from the table of its wheel: a module of ours is completed by what it lacks of it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from npu_emulator.npu.not_emulated import placeholder
from npu_emulator.operator_table import read_table

Entry = dict[str, Any]


@functools.cache
def modules() -> dict[str, dict[str, Entry]]:
    """The public modules of torch_npu, each with its public names."""
    read: dict[str, dict[str, Entry]] = read_table("torch_npu_surface.json")["modules"]
    return read


@functools.cache
def parts(package: str) -> tuple[str, ...]:
    """Names of the public modules right below one."""
    below = (name.removeprefix(f"{package}.") for name in modules() if name.startswith(f"{package}."))
    return tuple(dict.fromkeys(name.partition(".")[0] for name in below))


def complete(module: ModuleType, name: str, known: Mapping[str, Any] | None = None) -> None:
    """Gives ``module`` every name the table has for ``name``: from ``known``, else one that raises when used."""
    for public, entry in modules().get(name, {}).items():
        if not hasattr(module, public):
            value = (known or {}).get(public)
            setattr(module, public, placeholder(public, name, entry) if value is None else value)


def refused(name: str, module: str) -> Any:
    """What the table has under that name, as something that raises when used."""
    return placeholder(name, module, modules()[module][name])
