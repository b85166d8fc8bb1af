"""Which operators the emulated hardware refuses on which types, what is said then, and what runs off the NPU.

The backend asks about a call only where the table has something against one of its types. Where sources disagree, a
public report wins over the vendor's definitions; where nothing is known, it runs.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from typing import Any

import torch

from npu_emulator.errors import RefusedOnNpu
from npu_emulator.npu import npu_config
from npu_emulator.operator_table import NAMES, NUMBERS, Entry, OperatorTable, Report
from npu_emulator.settings import enabled_with
from npu_emulator.slow_operators import AI_CPU, HOST, count

_PRINTED = {"float16": "DT_FLOAT16", "float32": "DT_FLOAT", "float64": "DT_DOUBLE"}
# Overloads for one tensor, by those for lists.
ONE_BY_ONE = {"List": "Tensor", "ScalarList": "Scalar"}
DIMS = -2  # what the backend asks about where it is not a type, as in refusals.h
_library: Any = None  # kept, or torch would drop the registration
_table: OperatorTable | None = None
_told: set[str] = set()


def install() -> None:
    """Reads the table for the hardware line and tells the backend which operators ask on which types."""
    global _library, _table
    make_library: Any = torch.library.Library
    _library = make_library("npu_emulator", "IMPL")
    _library.impl("ask_table", _ask, "CompositeExplicitAutograd")
    _table = OperatorTable(enabled_with().hardware, enabled_with().cann)
    torch.ops.npu_emulator.watch(_table.watches())


def _ask(op_name: str, overload: str, argument: str, number: int, size: int, with_a_number: bool) -> None:
    assert _table is not None
    op = op_name.removeprefix("aten::")
    name = f"{op}.{overload}".rstrip(".")
    found = _entry(op, overload)
    if number == DIMS:
        _refuse_dims(op, found)
        return
    if number not in NAMES:
        _about_every_type(op, name, found, size)
        return
    type_name = NAMES[number]
    report = _table.report(op, type_name)
    if report is not None and not (report.unless == "plain_kernels" and npu_config.prebuilt_kernels_in_plain_layout()):
        _as_reported(op, overload, argument, type_name, report, size)
    elif found is not None:
        _as_defined(op, argument, type_name, found, size, with_a_number)


def _entry(op: str, overload: str) -> Entry | None:
    """The table's entry of an operator, or of its form with a result given or in place, as the backend looks it up."""
    assert _table is not None
    form = f".{overload}" if overload else ""
    result = f".{overload}_out" if overload else ".out"
    plain = op.removesuffix("_")
    names = [op + form, op + result, plain + form, plain + result]
    names += [op] if overload == "out" else [op + "." + overload.removesuffix("_out")]
    return next(filter(None, map(_table.entry, [*names, f"{op}_{form}"])), None)


def _as_reported(op: str, overload: str, argument: str, type_name: str, report: Report, size: int) -> None:
    if report.verdict == "ai_cpu":
        _slow(op, type_name, size, "; ".join(_origin(report)))
    elif report.verdict == "host":
        _on_host(op, size, "; ".join(_origin(report)))
    elif report.verdict == "refused":
        _refuse(op, argument, type_name, report.aclnn or op, report.takes, "; ".join(_origin(report)))
    elif report.verdict == "apart":
        _ask(
            op.removeprefix("_foreach_"), ONE_BY_ONE.get(overload, overload), argument, NUMBERS[type_name], size, False
        )


def _origin(report: Report) -> Iterable[str]:
    yield from (f"report: {link}" for link in report.links)
    yield f"instead: {report.way_out}"


def _as_defined(op: str, argument: str, type_name: str, found: Entry, size: int, with_a_number: bool) -> None:
    taken = found.with_a_number.get(argument) if with_a_number else None
    taken = taken or found.takes.get(argument)
    if taken is not None and type_name not in taken:
        source = f"source: the definition of {', '.join(found.aclnn)}"
        _refuse(op, argument, type_name, found.aclnn[0], sorted(taken, key=list(NUMBERS).index), source)
    elif type_name in found.ai_cpu.get(argument, ()):
        _slow(op, type_name, size, f"source: the AI core types of {found.aclnn[0]}'s kernel")


def _about_every_type(op: str, name: str, found: Entry | None, size: int) -> None:
    line = enabled_with().hardware
    if found is None:
        _on_host(name, size, "source: torch_npu's list of operators")
        return
    message = f"{op} is not supported on {line}: none of {', '.join(found.aclnn)} is defined for it"
    if enabled_with().strict:
        raise NotImplementedError(message)
    _warn_once(message)


def _on_host(name: str, size: int, origin: str) -> None:
    if count(name, "", HOST, size):
        _warn(
            f"CAUTION: The operator 'aten::{name}' is not currently supported on the NPU backend and will fall back to "
            f"run on the CPU. This may have performance implications. ({origin})"
        )


def _refuse(op: str, argument: str, type_name: str, function: str, takes: Iterable[str], origin: str) -> None:
    listed = ",".join(map(_printed, takes))
    message = (
        f"{op}: NPU function error: call {function} failed, error code is 161002. EZ1001: Tensor {argument} not "
        f"implemented for {_printed(type_name)}, should be in dtype support list [{listed}]. "
        f"({op} on {type_name}, {enabled_with().hardware}; {origin})"
    )
    _refuse_with(message)


def _refuse_dims(op: str, found: Entry | None) -> None:
    function = found.aclnn[0] if found is not None and found.aclnn else "aclnnInplaceCopy"
    _refuse_with(
        f"{op}: NPU function error: call {function} failed, error code is 161002. EZ1001: Tensor self's dimension "
        f"should not be more than 8 ({op} on more than 8 dimensions, {enabled_with().hardware}; report: "
        "https://github.com/sgl-project/sglang/issues/14159; instead: merge dimensions before they are reordered)"
    )


def _refuse_with(message: str) -> None:
    if enabled_with().strict:
        raise RefusedOnNpu(message)
    _warn_once(message)


def _slow(op: str, type_name: str, size: int, origin: str) -> None:
    if count(op, type_name, AI_CPU, size):
        line = enabled_with().hardware
        _warn(f"{op} on {type_name} runs on the AI CPU of {line}, many times slower than on the AI core ({origin})")


def _printed(type_name: str) -> str:
    return _PRINTED.get(type_name, f"DT_{type_name.upper()}")


def _warn_once(message: str) -> None:
    if message not in _told:
        _told.add(message)
        _warn(message)


def _warn(message: str) -> None:
    filename, line = _place()
    warnings.warn_explicit(message, UserWarning, filename, line)


def _place() -> tuple[str, int]:
    """File and line of the user's code: the innermost frame outside torch, this package and what watches a script."""
    frame = sys._getframe(1)
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in ("torch", "npu_emulator", "torch_npu", "script_trial", "warnings", "importlib"):
            return frame.f_code.co_filename, frame.f_lineno
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "<backward>", 0
