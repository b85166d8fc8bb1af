"""What the vendor's definitions say of torch's operators, on one hardware line, with public reports over them."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

# The numbers of c10::ScalarType, which are part of the checkpoint format and do not change.
NUMBERS = {
    "uint8": 0,
    "int8": 1,
    "int16": 2,
    "int32": 3,
    "int64": 4,
    "float16": 5,
    "float32": 6,
    "float64": 7,
    "complex32": 8,
    "complex64": 9,
    "complex128": 10,
    "bool": 11,
    "bfloat16": 15,
    "float8_e5m2": 23,
    "float8_e4m3fn": 24,
    "uint16": 27,
    "uint32": 28,
    "uint64": 29,
    "float8_e8m0fnu": 44,
}
NAMES = {number: name for name, number in NUMBERS.items()}
# Where torch_npu makes int32 indices and torch int64 (op-plugin's AdaptiveMaxPool3dKernelNpuOpApi.cpp and
# MaxPool3dWithIndicesKernelNpuOpApi.cpp), and the lines where it does not.
SHORT_INDICES = {"max_pool3d_with_indices": (), "adaptive_max_pool3d": ("ascend-950dt",)}
DEFINITIONS = "ascend_operators.json"
REPORTS = "ascend_reports.json"


@dataclass(frozen=True)
class Report:
    """A public report of an operator on types: ``verdict`` is "refused", "ai_cpu", "host", "runs" or "apart"."""

    verdict: str
    ops: frozenset[str]
    types: frozenset[str]
    lines: frozenset[str]
    cann_before: str
    aclnn: str
    takes: tuple[str, ...]
    links: tuple[str, ...]
    way_out: str
    unless: str

    def is_about(self, op: str, type_name: str) -> bool:
        return op in self.ops and type_name in self.types


@dataclass(frozen=True)
class Entry:
    """One operator on one line; sets of types by argument, None where the definitions do not tell."""

    aclnn: tuple[str, ...]
    takes: dict[str, frozenset[str] | None]
    with_a_number: dict[str, frozenset[str] | None]
    ai_cpu: dict[str, frozenset[str]]
    is_missing: bool


def read_table(name: str) -> dict[str, Any]:
    """One of the JSON tables of the accelerator_tables package."""
    resource = importlib.resources.files("accelerator_tables").joinpath(name)
    table: dict[str, Any] = json.loads(resource.read_text("utf-8"))
    return table


class OperatorTable:
    """The definitions for a hardware line, and the reports that count for it.

    Args:
        line: a hardware line of the table, such as ``"atlas-a2"``.
        cann: version of CANN, such as ``"8.0"``; None for the newest.
    """

    def __init__(self, line: str, cann: str | None = None) -> None:
        table = read_table(DEFINITIONS)
        self._column = table["lines"].index(line)
        self._sets = [frozenset(types) for types in table["sets"]]
        self._masks = [_mask(types) for types in table["sets"]]
        self._operators: dict[str, dict[str, Any]] = table["operators"]
        self._line = line
        self.sources: dict[str, str] = table["sources"]
        self.reports = [report for report in _reports() if _counts(report, line, cann)]

    def names(self) -> Iterable[str]:
        """The operators that torch_npu has a kernel for."""
        return self._operators.keys()

    def entry(self, name: str) -> Entry | None:
        """What the table has of ``add.Tensor``; None if there is no kernel of that name."""
        raw = self._operators.get(name)
        if raw is None:
            return None
        return Entry(
            tuple(raw.get("aclnn", ())),
            self._by_argument(raw.get("takes", {})),
            self._by_argument(raw.get("with_a_number", {})),
            {name: types or frozenset() for name, types in self._by_argument(raw.get("ai_cpu", {})).items()},
            self._line in raw.get("missing", ()),
        )

    def report(self, op: str, type_name: str) -> Report | None:
        """The first report of an operator (without its overload) on a type."""
        return next((report for report in self.reports if report.is_about(op, type_name)), None)

    def watches(self) -> str:
        """The table as the backend reads it: a line an operator, with the types to ask about by argument."""
        every = _mask(NUMBERS)
        return "\n".join(self._watch(name, raw, every) for name, raw in self._with_reported().items())

    def _with_reported(self) -> dict[str, dict[str, Any]]:
        """The operators, and those that only reports know."""
        known = {name.partition(".")[0] for name in self._operators}
        reported = {op for report in self.reports for op in report.ops if report.verdict != "runs"} - known
        return self._operators | {op: {} for op in sorted(reported)}

    def _watch(self, name: str, raw: dict[str, Any], every: int) -> str:
        slow = {argument: self._mask_at(value) or 0 for argument, value in raw.get("ai_cpu", {}).items()}
        ask, runs = self._reported(name.partition(".")[0])
        words = [name, self._flags(name, raw) or "-"]
        words += self._words(raw.get("takes", {}), slow, every, ask, runs)
        if "with_a_number" in raw:
            words += ["|", *self._words(raw["takes"] | raw["with_a_number"], slow, every, ask, runs)]
        return " ".join(words)

    def _flags(self, name: str, raw: dict[str, Any]) -> str:
        flags = "w" if raw.get("takes") else ""
        flags += "m" if self._line in raw.get("missing", ()) else ""
        return flags + ("i" if self._line not in SHORT_INDICES.get(name, (self._line,)) else "")

    def _words(self, takes: dict[str, Any], slow: dict[str, int], every: int, ask: int, runs: int) -> Iterator[str]:
        # A report does not say which argument: those that the definitions know, or the usual first ones.
        for argument in takes or (_FIRST if ask else ()):
            taken = self._mask_at(takes.get(argument))
            refused = 0 if taken is None else every & ~taken
            mask = (refused | slow.get(argument, 0) | ask) & ~runs
            if mask:
                yield f"{argument}={mask:x}"

    def _reported(self, op: str) -> tuple[int, int]:
        ask = runs = 0
        for report in self.reports:
            if op in report.ops:
                if report.verdict == "runs":
                    runs |= _mask(report.types)
                else:
                    ask |= _mask(report.types)
        return ask, runs

    def _by_argument(self, values: dict[str, Any]) -> dict[str, frozenset[str] | None]:
        numbers = {name: self._number_at(value) for name, value in values.items()}
        return {name: None if number is None else self._sets[number] for name, number in numbers.items()}

    def _number_at(self, value: int | list[int | None] | None) -> int | None:
        return value[self._column] if isinstance(value, list) else value

    def _mask_at(self, value: int | list[int | None] | None) -> int | None:
        number = self._number_at(value)
        return None if number is None else self._masks[number]


_FIRST = ("self", "input", "elements")


def _mask(types: Iterable[str]) -> int:
    mask = 0
    for name in types:
        mask |= 1 << NUMBERS[name]
    return mask


def _reports() -> Iterator[Report]:
    for entry in read_table(REPORTS)["reports"]:
        yield Report(
            entry["verdict"],
            frozenset(entry["ops"]),
            frozenset(entry["types"]),
            frozenset(entry.get("lines", ())),
            entry.get("cann_before", ""),
            entry.get("aclnn", ""),
            tuple(entry.get("takes", ())),
            tuple(entry["links"]),
            entry["way_out"],
            entry.get("unless", ""),
        )


def _counts(report: Report, line: str, cann: str | None) -> bool:
    if report.lines and line not in report.lines:
        return False
    return not report.cann_before or (cann is not None and version(cann) < version(report.cann_before))


def version(text: str) -> tuple[int, ...]:
    """``8.0`` as (8, 0)."""
    return tuple(map(int, text.split(".")))
