"""Compares the table of operators with what else is known of the hardware, and lists what remains doubtful.

    python tools/check_operators.py FACTS [--check]

FACTS is a folder with torch_npu_support.json, the vendor's support pages of torch's APIs with the types that they list.
Three sources are held against accelerator_tables/ascend_operators.json, on Atlas A2: those pages; the public reports of
accelerator_tables/ascend_reports.json; and pairs of operators that must agree, an operator with its in-place form, its
_foreach_ form, its backward, and its twin on Atlas A3, which shares the code. What the vendor's code was read for is
settled. The result is docs/operators-in-doubt.md.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from npu_emulator.operator_table import NUMBERS, Entry, OperatorTable, Report, read_table  # noqa: E402

PAGE = REPOSITORY / "docs" / "operators-in-doubt.md"
LINE, TWIN = "atlas-a2", "atlas-a3"
# The types that the pages speak of, in their words where these differ from torch's.
TYPES = frozenset("uint8 int8 int16 int32 int64 float16 float32 float64 complex64 complex128 bool bfloat16".split())
WRITTEN = {"fp16": "float16", "fp32": "float32", "fp64": "float64", "bf16": "bfloat16"}
FRACTIONS = frozenset("float16 float32 float64 bfloat16 complex64 complex128".split())
NAMESPACES = ("torch.", "torch.Tensor.", "torch.nn.functional.", "torch.linalg.", "torch.special.", "torch.fft.")
# The first argument of these is a flag, an index or a count, which the pages do not speak of.
NOT_FIRST = {"where"}
# Overloads of an operator, by those of its form for lists.
ONE_BY_ONE = {"List": "Tensor", "ScalarList": "Scalar"}

Types = frozenset[str]


@dataclass(frozen=True, order=True)
class Doubt:
    """Two sources that differ about an operator on some types; ``follows`` is what the emulator does."""

    kind: str
    operator: str
    types: tuple[str, ...]
    follows: str


class Table:
    """What the emulator takes for the first argument of an operator, with the reports and without."""

    def __init__(self, line: str = LINE) -> None:
        self._table = OperatorTable(line)
        self.reports: list[Report] = self._table.reports
        self.names = frozenset(self._table.names())
        self._read = frozenset(
            name for entry in read_table("ascend_reports.json")["agree"] for name in entry["functions"]
        )

    def entry(self, name: str) -> Entry | None:
        return self._table.entry(name)

    def defined(self, name: str) -> Types | None:
        """By the definitions alone; None where they do not tell."""
        entry = self.entry(name)
        first = (
            next((argument for argument in entry.takes if argument not in ("dtype", "out")), None) if entry else None
        )
        types = entry.takes[first] if entry and first else None
        return None if types is None else types & TYPES

    def taken(self, name: str) -> Types | None:
        """By the definitions and the reports over them; None where neither tells."""
        types = self.defined(name)
        if types is None:
            return None
        reports = {one: self._table.report(name.partition(".")[0], one) for one in TYPES}
        apart = self.taken(self.alone(name) or "") or frozenset() if name.startswith("_foreach_") else frozenset()
        refused = {one for one, report in reports.items() if report and report.verdict == "refused"}
        refused |= {one for one, report in reports.items() if report and report.verdict == "apart" and one not in apart}
        return (types | {one for one, report in reports.items() if report}) - refused

    def was_read(self, name: str) -> bool:
        """Whether the code of a function of the operator was read, or a report speaks of it."""
        entry = self.entry(name)
        base = name.partition(".")[0]
        reported = any(base in report.ops for report in self.reports)
        return reported or bool(entry and self._read & set(entry.aclnn))

    def out(self, name: str) -> Types | None:
        """The types that the operator's result may have."""
        base = name.partition(".")[0]
        for one in (name, f"{name}_out", f"{base}.out"):
            entry = self.entry(one)
            types = entry.takes.get("out") if entry else None
            if types:
                reported = {one for one in FRACTIONS if self._table.report(base, one)}
                return types | reported
        return None

    def alone(self, name: str) -> str | None:
        """The operator for one tensor of one for a list of them."""
        base, _, overload = name.removeprefix("_foreach_").partition(".")
        base = base.removesuffix("_")
        return self.first_of(f"{base}.{ONE_BY_ONE.get(overload, overload)}", base, f"{base}.out", f"{base}.Tensor")

    def first_of(self, *names: str) -> str | None:
        return next((name for name in names if name in self.names), None)


def in_place(table: Table) -> Iterator[Doubt]:
    """In-place forms that take other types than the operator, as far as its result may have them."""
    for name in table.names:
        base, _, overload = name.partition(".")
        if not base.endswith("_") or base.startswith("_foreach_"):
            continue
        plain = f"{base[:-1]}.{overload}".rstrip(".")
        twin = table.first_of(plain, base[:-1], f"{base[:-1]}.out", f"{plain}_out")
        ours, others = table.taken(name), table.taken(twin) if twin else None
        if ours is None or others is None or twin is None:
            continue
        # Whole numbers whose result is a fraction are refused by torch itself.
        expected = others & (table.out(twin) or TYPES)
        ours = (ours & FRACTIONS) | (ours & expected)
        yield from differing(
            "in-place form", name, ours, expected, settled=table.was_read(name) or table.was_read(twin)
        )


def backward(table: Table) -> Iterator[Doubt]:
    """Backward operators that take other fractions than the operator."""
    for name in table.names:
        base, _, overload = name.partition(".")
        if not base.endswith("_backward") or overload:
            continue
        plain = base.removesuffix("_backward").lstrip("_")
        twin = table.first_of(plain, f"_{plain}", f"{plain}.out")
        ours, others = table.taken(name), table.taken(twin) if twin else None
        if ours is not None and others is not None:
            settled = table.was_read(name)
            yield from differing("backward", name, ours & FRACTIONS, others & FRACTIONS, settled)


def lists(table: Table) -> Iterator[Doubt]:
    """Operators on lists that refuse what the operator for one tensor takes."""
    for name in table.names:
        twin = table.alone(name) if name.startswith("_foreach_") else None
        ours, others = table.taken(name), table.taken(twin) if twin else None
        if ours is not None and others is not None:
            yield from differing("form for lists", name, ours, others, settled=table.was_read(name))


def lines(table: Table, other: Table) -> Iterator[Doubt]:
    """Operators that differ between two lines whose code has one branch for both."""
    for name in table.names:
        ours, others = table.taken(name), other.taken(name)
        if ours is not None and others is not None and ours != others:
            more, less = (LINE, TWIN) if ours - others else (TWIN, LINE)
            yield Doubt(f"{more} takes what {less} refuses", name, ordered(ours ^ others), "the definition")


def differing(kind: str, name: str, ours: Types, others: Types, settled: bool) -> Iterator[Doubt]:
    follows = "the code, which was read" if settled else "the definition"
    if others - ours:
        yield Doubt(f"{kind} refuses what the operator takes", name, ordered(others - ours), follows)
    if ours - others:
        yield Doubt(f"{kind} takes what the operator refuses", name, ordered(ours - others), follows)


def pages(table: Table, support: dict[str, Any]) -> Iterator[Doubt]:
    """Types that the page of an API lists and the table refuses; and APIs that run on the host by their page."""
    overloads = defaultdict(list)
    for name in table.names:
        overloads[name.partition(".")[0]].append(name)
    for api, entry in support.items():
        namespace, _, base = api.rpartition(".")
        if f"{namespace}." not in NAMESPACES or base in NOT_FIRST:
            continue
        base = f"linalg_{base}" if namespace == "torch.linalg" else base
        limits = entry.get("lim") or {}
        listed = (limits.get("dtypes") or {}).get("self") or (limits.get("dtypes") or {}).get("input")
        taken = [types for types in map(table.taken, overloads[base]) if types is not None]
        if listed and taken:
            missing = frozenset(WRITTEN.get(one, one) for one in listed) & TYPES - frozenset().union(*taken)
            if missing:
                settled = any(map(table.was_read, overloads[base]))
                follows = "the code, which was read" if settled else "the definition"
                yield Doubt("the page lists what the definition does not", base, ordered(missing), follows)
        if limits.get("cpu_fallback") and overloads[base]:
            yield Doubt("the page says that it runs on the host", base, (), "the list of kernels")


def ordered(types: Types) -> tuple[str, ...]:
    return tuple(sorted(types, key=list(NUMBERS).index))


def reports(table: Table) -> tuple[int, list[str]]:
    """How many reports say what the definitions say; and a line for each that does not."""
    agree, lines = 0, []
    for report in table.reports:
        contrary = []
        for op in sorted(report.ops):
            types = next((types for types in map(table.defined, overloads_of(table, op)) if types is not None), None)
            if types is None:
                continue
            named = report.types & TYPES
            wrong = named & types if report.verdict == "refused" else named - types
            if wrong and report.verdict not in ("host", "apart"):
                contrary.append(f"`{op}` {', '.join(ordered(wrong))}")
        agree += not contrary
        if contrary:
            says = "refuses" if report.verdict == "refused" else "runs"
            lines.append(f"| {says} | {'; '.join(contrary)} | {', '.join(map(linked, report.links))} |")
    return agree, lines


def overloads_of(table: Table, op: str) -> list[str]:
    return sorted(name for name in table.names if name.partition(".")[0] == op)


def linked(link: str) -> str:
    return f"[{link.rsplit('/', 1)[-1].removesuffix('.cpp')}]({link})"


def text_of(table: Table, support: dict[str, Any]) -> str:
    """The page."""
    pairs = (*in_place(table), *backward(table), *lists(table), *lines(table, Table(TWIN)))
    found = sorted({*pairs, *pages(table, support)})
    settled = [doubt for doubt in found if doubt.follows.startswith("the code")]
    agree, contrary = reports(table)
    read = {entry["link"] for entry in read_table("ascend_reports.json")["agree"]}
    counts = Counter(doubt.kind for doubt in found if doubt not in settled)
    return "\n".join(
        [
            "# Operators in doubt",
            "",
            "Written by `tools/check_operators.py`, which holds the table of operators, on Atlas A2, against",
            "three sources that it was not made from. Where they differ and nothing decides, the definitions count.",
            "",
            "| what differs | operators |",
            "|---|---|",
            *(f"| {kind} | {number} |" for kind, number in sorted(counts.items())),
            f"| reports, and code that was read: these win | {len(contrary)} of {agree + len(contrary)} |",
            "",
            f"The code of {len(read)} families of functions was read and takes what their pages list; what others",
            "take beyond their pages is among the reports below.",
            "",
            "## Reports that say other than the definitions",
            "",
            "| hardware | operators and types | source |",
            "|---|---|---|",
            *contrary,
            "",
            "## Settled by the code",
            "",
            *table_of(settled),
            "",
            "## In doubt",
            "",
            *table_of([doubt for doubt in found if doubt not in settled]),
            "",
        ]
    )


def table_of(doubts: list[Doubt]) -> list[str]:
    """One row for operators that differ in the same way on the same types."""
    grouped = defaultdict(list)
    for doubt in doubts:
        grouped[doubt.kind, doubt.types, doubt.follows].append(doubt.operator)
    rows = [
        f"| {kind} | {', '.join(types) or 'all'} | {', '.join(f'`{one}`' for one in sorted(set(names)))} | {follows} |"
        for (kind, types, follows), names in sorted(grouped.items())
    ]
    return ["| what differs | types | operators | the emulator follows |", "|---|---|---|---|", *rows]


@click.command()
@click.argument("facts", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the page differs.")
def main(facts: Path, check: bool) -> None:
    """Compare the table of operators with the support pages in the folder FACTS, the reports and their pairs."""
    source = facts / "torch_npu_support.json"
    try:
        versions = json.loads(source.read_text(encoding="utf-8"))["versions"]
        support = versions[max(versions, key=lambda version: tuple(map(int, version.split("."))))]
        text = text_of(Table(), support)
    except FileNotFoundError:
        raise click.UsageError(f"{source}: no such file") from None
    except (ValueError, KeyError, AttributeError) as error:
        raise click.UsageError(f"{source}: not the vendor's support pages: {error!r}") from None
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return
    click.echo(f"{PAGE.name}: {'differs from its sources' if check else 'written'}")
    if not check:
        PAGE.write_text(text, encoding="utf-8", newline="\n")
    sys.exit(1 if check else 0)


if __name__ == "__main__":
    main()
