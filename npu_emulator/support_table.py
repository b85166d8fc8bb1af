"""What the vendor's support table says about torch's operators, for one hardware line."""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# The table's short names.
TYPE_NAMES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "fp64": "float64"}
# Namespaces whose functions are operators, with the prefix the operator's name takes.
_NAMESPACES = {
    "torch.": "",
    "torch.Tensor.": "",
    "torch.nn.functional.": "",
    "torch.linalg.": "linalg_",
    "torch.special.": "special_",
    "torch.fft.": "fft_",
}
_ABSENT = {"s": "000"}
# These parameters hold no tensor that the operator computes on.
_NOT_INPUTS = {"dtype", "lr", "params", "dataset", "data_source"}


@dataclass(frozen=True)
class OpSupport:
    """One operator: the APIs it is called by, whether the line has it, and the types it takes (None: no list)."""

    apis: tuple[str, ...]
    available: bool
    types: frozenset[str] | None


def read_table(name: str) -> dict[str, Any]:
    """One of the JSON tables of the accelerator_tables package."""
    resource = importlib.resources.files("accelerator_tables").joinpath(name)
    table: dict[str, Any] = json.loads(resource.read_text("utf-8"))
    return table


def op_support(line: str) -> dict[str, OpSupport]:
    """Operators of the newest table by name, for the hardware line in column ``line`` (A2, A3 or 950).

    Where several APIs are one operator, the line has it if one of them is supported, and it takes the types that all
    of their lists name.
    """
    table = read_table("sources/torch_npu_support.json")
    newest = max(table["versions"], key=lambda version: tuple(map(int, version.split("."))))
    column = table["schema"]["hw"].index(line)
    apis = table["versions"][newest]
    modules = {_snake(api): entry for api, entry in apis.items() if api.startswith("torch.nn.")}
    merged: dict[str, OpSupport] = {}
    for api, entry in apis.items():
        op = _op_name(api)
        if op is None or entry.get("k") == "c":
            continue
        before = merged.get(op, OpSupport((), modules.get(op, _ABSENT)["s"][column] == "1", None))
        available = before.available or entry["s"][column] == "1"
        types = _stricter(before.types, _types_of(entry.get("lim", {}), line))
        merged[op] = OpSupport((*before.apis, api), available, types)
    return merged


def _snake(module: str) -> str:
    """``torch.nn.GroupNorm`` as ``group_norm``: a module that is supported has its function."""
    name = module.removeprefix("torch.nn.").replace("ReLU", "Relu")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _op_name(api: str) -> str | None:
    namespace, _, name = api.rpartition(".")
    prefix = _NAMESPACES.get(f"{namespace}.")
    return None if prefix is None else prefix + name


def _stricter(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return one if other is None else other
    return one & other


def _types_of(limits: dict[str, Any], line: str) -> frozenset[str] | None:
    by_line = limits.get("hw", {}).get(line, {})
    lists = [set(types) for types in _lists(by_line.get("dtypes") or limits.get("dtypes") or {})]
    if not lists:
        return None
    types = set.intersection(*lists) | set(by_line.get("dtypes_plus", ()))
    types -= set(limits.get("not_dtypes", ())) | set(by_line.get("not_dtypes", ()))
    return frozenset(TYPE_NAMES.get(name, name) for name in types)


def _lists(by_parameter: dict[str, list[str]]) -> Iterator[list[str]]:
    for parameter, types in by_parameter.items():
        if parameter not in _NOT_INPUTS:
            yield types
