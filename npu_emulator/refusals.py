"""Which operators the emulated hardware refuses on which types, and what is said then.

Three sources, the later over the earlier: the vendor's lists, which name the types that were verified (so only float64
and the complex types are refused for missing from them); types known to work; public reports of what fails.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from npu_emulator.errors import RefusedOnNpu
from npu_emulator.npu import npu_config
from npu_emulator.settings import HARDWARE_LINES, enabled_with
from npu_emulator.support_table import OpSupport, op_support, read_table

# Only these are refused for missing from a list: the lists hold what the vendor verified, not all that runs.
WATCHED = frozenset({"float64", "complex64", "complex128"})
HOST_CPU_TYPE = "complex128"
EVERY_TYPE = (1 << 62) - 1
# They carry data or say what there is; nothing is computed on the values.
_MOVES = re.compile(
    r"(_?to|_to_copy|copy_?|clone|contiguous|detach_?|type|type_as|cpu|npu|cuda|item|tolist|numpy|requires_grad_|"
    r"(empty|zeros|ones|full|rand|randn|randint)(_like)?|new_\w+|fill_?|zero_?|float|double|half|bfloat16|"
    r"set_|resize_?|resolve_conj|resolve_neg|conj|resize_as_|data_ptr|element_size|record_stream|pin_memory|is_\w+|size|stride|dim|numel|backward)"
)
# The numbers of c10::ScalarType, which are part of the checkpoint format and do not change.
_NUMBERS = {"float16": 5, "float32": 6, "float64": 7, "complex64": 9, "complex128": 10, "bfloat16": 15}
_PRINTED = {"float16": "DT_FLOAT16", "float32": "DT_FLOAT", "float64": "DT_DOUBLE"}


@dataclass(frozen=True)
class Rule:
    """What happens when an operator meets a type."""

    verdict: str  # "refused", "host_cpu" or "missing"
    takes: tuple[str, ...] = ()
    kernel: str = ""
    reports: tuple[str, ...] = ()
    way_out: str = ""
    unless: str = ""


_rules: dict[tuple[str, str], Rule] = {}
_warned: set[tuple[str, str]] = set()
_library: Any = None  # kept, or torch would drop the registration


def install() -> None:
    """Reads the tables for the hardware line and tells the backend which operators ask on which types."""
    global _library
    make_library: Any = torch.library.Library
    _library = make_library("npu_emulator", "IMPL")
    _library.impl("ask_table", _ask, "CompositeExplicitAutograd")
    support = op_support(HARDWARE_LINES[enabled_with().hardware])
    _rules.update(make_rules(support))
    asked: dict[str, int] = {}
    for op, type_name in _rules:
        asked[op] = asked.get(op, 0) | _bit(type_name)
    vouched = {op: _vouched(op) for op in asked}
    for op, overload in _operators():
        if op in asked:
            torch.ops.npu_emulator.watch(f"aten::{op}", overload, asked[op], vouched[op])


def make_rules(support: dict[str, OpSupport]) -> dict[tuple[str, str], Rule]:
    """Rules by operator and type; type ``*`` stands for every type, for an operator the line does not have."""
    reports = read_table("ascend_refusals.json")
    rules: dict[tuple[str, str], Rule] = {}
    for op, known in support.items():
        if _MOVES.fullmatch(op):
            continue
        if not known.available:
            rules[op, "*"] = Rule("missing")
        elif known.types is not None:
            takes = tuple(sorted(known.types))
            rules.update({(op, name): Rule("refused", takes) for name in WATCHED - known.types})
            if HOST_CPU_TYPE in known.types:
                rules[op, HOST_CPU_TYPE] = Rule("host_cpu")
    for entry in reports["allowed"]:
        for key in _keys(entry):
            rules.pop(key, None)
    for verdict in ("host_cpu", "refused"):
        for entry in reports[verdict]:
            rules.update({key: _reported(verdict, entry) for key in _keys(entry)})
    return rules


def _keys(entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for op in entry["ops"]:
        for type_name in entry["types"]:
            yield op, type_name


def _reported(verdict: str, entry: dict[str, Any]) -> Rule:
    return Rule(
        verdict,
        takes=tuple(entry.get("takes", ())),
        kernel=entry.get("kernel", ""),
        reports=tuple(entry["reports"]),
        way_out=entry["way_out"],
        unless=entry.get("unless", ""),
    )


def _operators() -> Iterator[tuple[str, str]]:
    for full_name in torch._C._dispatch_get_all_op_names():
        if full_name.startswith("aten::"):
            op, _, overload = full_name.removeprefix("aten::").partition(".")
            yield op, overload


def _bit(type_name: str) -> int:
    if type_name == "*":
        return EVERY_TYPE
    return 1 << _NUMBERS[type_name]


def _vouched(op: str) -> int:
    """The types that the operator takes: its parts, if it has any, are not asked about them again."""
    bits = EVERY_TYPE
    for name in (*_NUMBERS, "*"):
        rule = _rules.get((op, name))
        if rule is not None and rule.verdict != "host_cpu":
            bits &= ~_bit(name)
    return bits


def _ask(op_name: str, dtype: torch.dtype) -> None:
    op = op_name.removeprefix("aten::")
    type_name = str(dtype).removeprefix("torch.")
    rule = _rules.get((op, type_name)) or _rules.get((op, "*"))
    if rule is None or (rule.unless == "plain_kernels" and npu_config.prebuilt_kernels_in_plain_layout()):
        return
    message = _message(op, type_name, rule)
    if rule.verdict == "refused" and enabled_with().strict:
        raise RefusedOnNpu(message)
    if rule.verdict == "missing" and enabled_with().strict and enabled_with().hardware == "ascend-950dt":
        raise NotImplementedError(message)
    _warn_once(op, type_name, message)


def _message(op: str, type_name: str, rule: Rule) -> str:
    line = enabled_with().hardware
    if rule.verdict == "missing":
        return f"{op} is not supported on {line}: the vendor's table of torch APIs does not have it for this line"
    tail = "".join(f"; report: {report}" for report in rule.reports)
    tail += f"; instead: {rule.way_out}" if rule.way_out else ""
    if rule.verdict == "host_cpu":
        return f"{op} on {type_name} runs on the host's AI CPU on {line}, many times slower than on the NPU{tail}"
    takes = ", ".join(_printed(name) for name in rule.takes)
    return (
        f"{rule.kernel or op}: tensor not implemented for {_printed(type_name)}, should be in dtype support list "
        f"[{takes}] ({op} on {type_name}, {line}{tail})"
    )


def _printed(type_name: str) -> str:
    return _PRINTED.get(type_name, f"DT_{type_name.upper()}")


def _warn_once(op: str, type_name: str, message: str) -> None:
    if (op, type_name) in _warned:
        return
    _warned.add((op, type_name))
    filename, line = _place()
    warnings.warn_explicit(message, UserWarning, filename, line)


def _place() -> tuple[str, int]:
    """File and line of the user's code: the innermost frame outside torch and this package."""
    frame = sys._getframe(1)
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in ("torch", "npu_emulator", "torch_npu", "warnings", "importlib"):
            return frame.f_code.co_filename, frame.f_lineno
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "<backward>", 0
