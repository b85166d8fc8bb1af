"""A run as a page for people: what passed and what did not, and of each script what it made, where, and why it failed.

The page stands alone: frames are in it as PNGs, and it fetches nothing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from porter import __version__
from porter.reporting.html import Markup, element, page, table
from porter.verify.outcome import Outcome, Row
from porter.verify.saved_verdict import told
from porter.verify.table import bytes_told
from porter.verify.ways import Way

#: For each way by name, and for "difference", the frames to show as data URIs.
Pictures = Mapping[str, Sequence[str]]

#: Key in `Pictures` of where the ported form's frames differ from the reference's.
DIFFERENCE = "difference"

_CURVE_WIDTH, _CURVE_HEIGHT, _CURVE_MARGIN = 420, 130, 34
_SOURCE_LINES_AROUND = 2

#: In place of frames; of a way, and of the difference.
_NOTHING = (element("td", "no frames"), element("td", "none: equal to the bit"))

_INTRODUCTION = "Version {}. Each script is run small and on made-up weights, in several ways: {}."


def render(rows: Sequence[Row], machines: Mapping[str, Mapping[str, Any]], options: Sequence[str] = ()) -> str:
    """The page of a run. `options` are those of the command that have to be given again to repeat it."""
    counts = {verdict: sum(_verdict(row) == verdict for row in rows) for verdict in ("passed", "failed", "skipped")}
    order = sorted(range(len(rows)), key=lambda number: not rows[number].failed)
    return page(
        "diffsynth-port verify",
        element("h1", "diffsynth-port verify"),
        element("p", _INTRODUCTION.format(__version__, "; ".join(way.title for way in rows[0].ways)), class_="soft"),
        element("div", [_chip(name, f"{count} {name}") for name, count in counts.items() if count], class_="numbers"),
        element("h2", "Scripts"),
        table(("script", "", "ways", "equal", "peak memory", "seconds"), (_line(rows[n], n) for n in order)),
        element("h2", "What each did"),
        [_script(rows[number], number, options) for number in order],
        element("h2", "Where it ran"),
        table(("way", *_MACHINE), ([way.title, *_machine(machines[way.name])] for way in rows[0].ways)),
    )  # fmt: skip


def _verdict(row: Row) -> str:
    return "failed" if row.failed else "passed" if row.passed else "skipped"


def _chip(verdict: str, text: str = "") -> Markup:
    return element("span", text or verdict, class_=f"chip {verdict}")


def _line(row: Row, number: int) -> list[object]:
    last = row.outcomes.get(row.ways[-1].name)
    return [
        element("a", row.script.shown, href=f"#script-{number}"),
        _chip(_verdict(row)),
        f"{row.ran}/{len(row.ways)}" if row.outcomes else "-",
        {None: "-", True: "yes", False: "no" if row.problems else "close"}[row.equal],
        _size(last.peak_memory if last else None),
        f"{sum(outcome.seconds for outcome in row.outcomes.values()):.1f}" if row.outcomes else "-",
    ]


def _script(row: Row, number: int, options: Sequence[str]) -> Markup:
    told_again = f"diffsynth-port verify {shlex.join(options)}".strip()
    return element(
        "details",
        element("summary", _chip(_verdict(row)), row.script.shown),
        element(
            "div",
            _problems(row),
            _frames(row.ways, row.pictures),
            _curves(row),
            _networks(row),
            _operators(row),
            _notes(row),
            [_output(way, row.outcomes[way.name]) for way in row.ways if way.name in row.outcomes],
            element("h3", "To repeat it"),
            element("pre", row.script.repeat.replace("diffsynth-port verify", told_again, 1)),
            class_="inside",
        ),
        id=f"script-{number}",
        open=row.failed,
    )  # fmt: skip


def _problems(row: Row) -> Markup | None:
    if row.skipped is not None:
        return element("p", f"Skipped: {row.skipped}.")
    if not row.problems:
        return None
    excerpts = dict.fromkeys(_excerpt(row, way) for way in row.ways if way.name in row.outcomes)
    told_of = [element("li", problem) for problem in row.problems]
    return element("div", element("h3", "Why it failed"), element("ul", told_of, class_="problems"), list(excerpts))


def _excerpt(row: Row, way: Way) -> Markup | None:
    """The script's lines around the one at which a way ended."""
    line = row.outcomes[way.name].line
    if line is None:
        return None
    form = row.script.cuda if way.form == "cuda" else row.script.ported
    lines = form.decode("utf-8", "replace").splitlines()
    first = max(line - _SOURCE_LINES_AROUND, 1)
    shown = [
        f"{'>' if number == line else ' '} {number:4} {text}"
        for number, text in enumerate(lines[first - 1 : line + _SOURCE_LINES_AROUND], start=first)
    ]
    return element("pre", "\n".join(shown))


def _frames(ways: Sequence[Way], pictures: Pictures) -> Markup | None:
    if not any(pictures.values()):
        return None
    titles = {**{way.name: way.title for way in ways}, DIFFERENCE: f"difference, {ways[-1].title} from {ways[0].title}"}
    lines = [
        element(
            "tr",
            element("th", titles[name], scope="row"),
            _cells_of(titles[name], shown) or _NOTHING[name == DIFFERENCE],
        )
        for name, shown in pictures.items()
    ]
    return element(
        "div", element("h3", "What it made"), element("div", element("table", lines, class_="frames"), class_="scroll")
    )


def _cells_of(title: str, shown: Sequence[str]) -> list[Markup]:
    return [
        element("td", element("img", src=one, alt=f"{title}, frame {number} of those shown"))
        for number, one in enumerate(shown, start=1)
    ]


def _curves(row: Row) -> list[Markup]:
    """The losses of each launch, all ways in one plot: a wide line, a narrow one on it, and a dashed one on both."""
    launches = max((len(outcome.curves) for outcome in row.outcomes.values()), default=0)
    titles = (
        [f"Losses of launch {number}" for number in range(1, launches + 1)] if launches > 1 else ["Losses"] * launches
    )
    plots = [_curve(title, _losses(row, launch)) for launch, title in enumerate(titles)]
    if not any(any(outcome.curves) for outcome in row.outcomes.values()):
        plots = [_curve("Losses that it printed", _printed_losses(row))]
    keys = [[_key(number), " ", way.title, "\u2003"] for number, way in enumerate(row.ways)]
    return [plot for plot in plots if plot] + ([element("p", keys, class_="soft")] if any(plots) else [])


def _losses(row: Row, launch: int) -> list[list[float]]:
    """By way, the loss of each update."""
    curves = [row.outcomes[way.name].curves for way in row.ways if way.name in row.outcomes]
    return [[one["loss"] for one in curve[launch] if "loss" in one] if len(curve) > launch else [] for curve in curves]


def _printed_losses(row: Row) -> list[list[float]]:
    """By way, the figures that the first process printed as a loss, in lines that say the same else."""
    series: list[list[float]] = []
    for way in row.ways:
        by_words: dict[str, list[float]] = {}
        for line in next(iter(row.outcomes.get(way.name, Outcome()).figures), []):
            before, loss, after = line["says"].lower().partition("loss")
            at = before.count("#")
            if loss and "#" in after and at < len(line["figures"]):
                by_words.setdefault(re.sub(r"\d+", "", line["says"]), []).append(float(line["figures"][at]))
        series.append(max(by_words.values(), key=len, default=[]))
    return series


def _curve(title: str, losses: list[list[float]]) -> Markup | None:
    numbers = [value for values in losses for value in values if isfinite(value)]
    if not numbers:
        return None
    low, high, longest = min(numbers), max(numbers), max(map(len, losses))
    lines = [
        element("polyline", points=_points(values, low, high, longest), fill="none", class_=f"way-{way}")
        for way, values in enumerate(losses)
    ]
    bottom = _CURVE_HEIGHT - 8
    labels = [
        element("text", f"{high:.4g}", x=4, y=16),
        element("text", f"{low:.4g}", x=4, y=bottom),
        element("text", f"{longest} updates", x=_CURVE_WIDTH - 8, y=bottom, text_anchor="end"),
    ]
    box = f"0 0 {_CURVE_WIDTH} {_CURVE_HEIGHT}"
    size = {"width": _CURVE_WIDTH, "height": _CURVE_HEIGHT, "viewBox": box}
    plot = element("svg", lines, labels, class_="curve", role="img", aria_label=f"{title}, by way", **size)
    return element("div", element("h3", title), plot)


def _points(values: Sequence[float], low: float, high: float, longest: int) -> str:
    width, height = _CURVE_WIDTH - 2 * _CURVE_MARGIN - 20, _CURVE_HEIGHT - 2 * _CURVE_MARGIN
    across = [_CURVE_MARGIN + 20 + width * (at / (longest - 1) if longest > 1 else 0.5) for at in range(len(values))]
    down = [_CURVE_MARGIN + height * ((high - value) / (high - low) if high > low else 0.5) for value in values]
    if len(values) == 1:  # a line of one point would not be seen
        return f"{across[0] - 30:.1f},{down[0]:.1f} {across[0] + 30:.1f},{down[0]:.1f}"
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True) if isfinite(y))


def _key(way: int) -> Markup:
    line = element("line", x1=0, y1=5, x2=26, y2=5, class_=f"way-{way}")
    return element("svg", line, class_="key", width=26, height=10, aria_hidden="true")


def _networks(row: Row) -> Markup | None:
    """Of each network, what it computed where: the reference, and the ported form."""
    shown = [way for way in (row.ways[0], row.ways[-1]) if row.outcomes.get(way.name, Outcome()).networks]
    lines = [
        [name, way.title, network["calls"], *_computed(network), _size(network.get("peak_memory"))]
        for way in shown
        for name, network in row.outcomes[way.name].networks.items()
        if network["calls"]
    ]
    if not lines:
        return None
    header = ("network", "way", "calls", "operators on npu", "on its data on the host", "copied", "peak memory")
    return element("div", element("h3", "Networks"), table(header, lines))


def _computed(network: Mapping[str, Any]) -> Iterator[str]:
    on_npu = network["computed"].get("npu")
    yield f"{on_npu['operations']:,} ({bytes_told(on_npu['bytes'])})" if on_npu else "0"
    host = network["host_data"]
    named = ", ".join(list(host)[:3]) + (", ..." if len(host) > 3 else "")
    yield f"{sum(host.values()):,}" + (f" ({named})" if host else "")
    yield "; ".join(f"{way} {bytes_told(tally['bytes'])}" for way, tally in network["moved"].items()) or "-"


def _operators(row: Row) -> Markup | None:
    """Operators by the device that ran them, what the device refused, and what it or the library left to others."""
    counted = [
        [way.title, *(f"{sum(row.outcomes[way.name].operators_on(device).values()):,}" for device in ("npu", "cpu"))]
        for way in row.ways
        if row.outcomes.get(way.name, Outcome()).operators
    ]
    lists = {
        "Refused by the device": _by_way(
            row, lambda one: [_refusal(each) for each in one.refusals if not each["runs"]]
        ),
        "Run on the AI CPU, or on the host for want of a kernel": _by_way(row, lambda one: one.on_host),
        "Left to the host by the library's design": _by_way(
            row, lambda one: list(map(_host_work, one.host_work.items()))
        ),
    }
    told_of = [
        [element("h3", title), element("ul", [element("li", f"{name} ({', '.join(ways)})") for name, ways in found])]
        for title, found in lists.items()
        if found
    ]
    if not counted and not told_of:
        return None
    header = ("way", "on npu", "on the host")
    return element("div", [element("h3", "All operators"), table(header, counted)] if counted else None, told_of)


def _refusal(refusal: Mapping[str, Any]) -> str:
    return f"{refusal['operator']}, line {refusal['line']}" if refusal["line"] else str(refusal["operator"])


def _host_work(work: tuple[str, Mapping[str, int]]) -> str:
    why, operators = work
    return f"{why}: {sum(operators.values()):,} operators"


def _by_way(row: Row, told: Callable[[Outcome], Iterable[str]]) -> list[tuple[str, list[str]]]:
    """What is told of each outcome, with the titles of the ways that it is told of."""
    found: dict[str, list[str]] = {}
    for way in row.ways:
        for one in dict.fromkeys(told(row.outcomes[way.name])) if way.name in row.outcomes else ():
            found.setdefault(one, []).append(way.title)
    return sorted(found.items())


def _notes(row: Row) -> Markup | None:
    notes = list(dict.fromkeys([*row.notes, *(note for one in row.outcomes.values() for note in one.notes)]))
    titles = {way.name: way.title for way in row.ways}
    notes += [f"{titles[name]}: {told(apart)}" for name, apart in row.differences.items() if apart]
    if not notes:
        return None
    return element("div", element("h3", "Notes"), element("ul", [element("li", note) for note in notes]))


def _output(way: Way, outcome: Outcome) -> Markup | None:
    if not outcome.output:
        return None
    return element("div", element("h3", f"The end of what it printed, {way.title}"), element("pre", outcome.output))


_MACHINE = {"npu": "npu", "torch": "torch", "torch_npu": "torch_npu", "python": "Python", "platform": "platform"}


def _machine(machine: Mapping[str, Any]) -> Iterable[object]:
    return [machine.get(name) or "-" for name in _MACHINE]


def _size(amount: int | None) -> str:
    return "-" if amount is None else bytes_told(amount)
