"""The table of a run, for people: a row for each script, under it why it did not pass, and a legend."""

from __future__ import annotations

from collections.abc import Iterable

import click

from porter.verify.outcome import Row
from porter.verify.saved_verdict import told
from porter.verify.training_verdict import TOLERATED

COLUMNS = ("script", "ran", "equal", "peak memory", "ops on npu", "ops on cpu", "refused", "seconds", "")

LEGEND = """\
ran          of the ways that were tried: {ways}
equal        all of them saved the same arrays and printed the same figures{close};
             of weights and losses: the same within {tolerance:g} is close
peak memory  most that tensors held on the device at once, the ported form
ops          operators inside the networks' calls, the ported form: on the npu with the bytes they took and gave; on the
             cpu only those that worked on the network's own data (tables prepared on the host are not counted)
refused      operators that the device refuses, any way
seconds      all ways together"""


def render(rows: list[Row], exact: bool, color: bool) -> str:
    cells = [_cells(row) for row in rows]
    widths = [max(len(line[column]) for line in [COLUMNS, *cells]) for column in range(len(COLUMNS))]
    lines = [_line(COLUMNS, widths)]
    for row, line in zip(rows, cells, strict=True):
        shown = _line(line, widths)
        lines.append(click.style(shown, fg="red") if color and row.failed else shown)
        lines += [f"    {remark}" for remark in _remarks(row, exact)]
    legend = LEGEND.format(
        ways="; ".join(way.title for way in rows[0].ways),
        close="" if exact else ", or arrays that differ by rounding alone",
        tolerance=TOLERATED[exact].losses,
    )
    return "\n".join([*lines, "", legend, "", _summary(rows)])


def _line(cells: Iterable[str], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    verdict = "FAILED" if row.failed else "passed" if row.passed else "skipped"
    if not row.outcomes:
        return (row.script.shown, *["-"] * (len(COLUMNS) - 2), verdict)
    last = row.outcomes[row.ways[-1].name]
    operations, size = last.operations_on("npu")
    refused = {operator for outcome in row.outcomes.values() for operator in outcome.refused}
    return (
        row.script.shown,
        f"{row.ran}/{len(row.ways)}",
        {None: "-", True: "yes", False: "no" if row.problems else "close"}[row.equal],
        "-" if last.peak_memory is None else bytes_told(last.peak_memory),
        f"{operations:,} ({bytes_told(size)})" if operations else "0",
        f"{last.operations_on_host_data():,}",
        str(len(refused)),
        f"{sum(outcome.seconds for outcome in row.outcomes.values()):.1f}",
        verdict,
    )


def _remarks(row: Row, exact: bool) -> list[str]:
    remarks = [*row.problems, *_failed_line(row), *([row.skipped] if row.skipped is not None else [])]
    on_host = sorted({operator for outcome in row.outcomes.values() for operator in outcome.on_host})
    if on_host:
        remarks.append(f"note: the device leaves {', '.join(on_host)} to the host's processor")
    remarks += [f"note: {note}" for note in row.notes]
    remarks += dict.fromkeys(f"note: {note}" for outcome in row.outcomes.values() for note in outcome.notes)
    if row.passed:
        titles = {way.name: way.title for way in row.ways}
        remarks += [f"note: {titles[name]}: {told(apart)}" for name, apart in row.differences.items() if apart]
    return remarks


def _failed_line(row: Row) -> list[str]:
    """The first line of the script's own code that failed, as it stands there."""
    for way in row.ways:
        outcome = row.outcomes.get(way.name)
        if outcome is not None and outcome.line and row.script.processes is None:
            data = row.script.ported if way.form == "ported" else row.script.cuda
            lines = data.decode("utf-8", "replace").splitlines()
            if outcome.line <= len(lines):
                return [f"    {outcome.line} | {lines[outcome.line - 1].strip()}"]
    return []


def _summary(rows: list[Row]) -> str:
    passed, failed, skipped = (
        sum(map(bool, kind)) for kind in zip(*((row.passed, row.failed, row.skipped) for row in rows), strict=True)
    )
    scripts = "script" if passed == 1 else "scripts"
    others = {"failed": failed, "skipped": skipped}
    return f"{passed} {scripts} passed" + "".join(f", {count} {what}" for what, count in others.items() if count)


def bytes_told(amount: int) -> str:
    """An amount of memory with its unit: 12.3 MiB."""
    size = float(amount)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
