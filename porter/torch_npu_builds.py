"""The builds of torch_npu that are known: which of them have a name or a parameter, and which one is meant.

The API follows the day a build was made, not torch's version: torch_npu 2.7.1.post11 has more than 2.8.0.post5.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import groupby
from typing import Any, NamedTuple

from porter.tables import read_table
from porter.targets import Translation


class UnknownBuild(Exception):
    """No known build of torch_npu can stand for the one asked for; the message lists those that are known."""


class Lacking(NamedTuple):
    """What a build of torch_npu lacks and another one has.

    `names` are below torch ("npu.ExternalStream") or below the package ("torch_npu.npu_ffn"); `parameters` are those of
    functions that the build has. Each comes with its row: a "1" for every build that has it, in the order of KNOWN.
    `by_position` holds how many arguments a function takes by position, where another build takes more.
    """

    names: dict[str, str]
    parameters: dict[str, dict[str, str]]
    by_position: dict[str, int]


@cache
def _table() -> dict[str, Any]:
    content: dict[str, Any] = read_table("torch_npu_builds.json")
    return content


@cache
def known_builds() -> tuple[str, ...]:
    """By the version of torch that they are for, then in their order."""
    return tuple(_table()["builds"])


def newest_build() -> str:
    return known_builds()[-1]


def build_of(wanted: Translation) -> str:
    """The build that a port to the NPU is for."""
    return wanted.torch_npu or newest_build()


def build_for(asked: str) -> str:
    """The known build that stands for `asked`: itself, or else the newest of the same line that is older.

    A line is what goes with one release of torch: 2.7.1, 2.7.1.post4, 2.7.1.post11. Raises UnknownBuild.
    """
    line, post = _line_and_post(asked)
    older = [build for build in known_builds() if _line(build) == line and _line_and_post(build)[1] <= post]
    if older:
        return older[-1]
    raise UnknownBuild(
        f"unknown torch_npu {asked!r}; known: {', '.join(known_builds())}. "
        "A later post release of one of these is taken as that one"
    )


def is_known(asked: str) -> bool:
    """Whether `asked` is one of the builds itself, however it is written."""
    return _line_and_post(asked) in map(_line_and_post, known_builds())


def torch_minor(build: str) -> str:
    """The minor release of torch that a build goes with: "2.7"."""
    return ".".join(build.split(".")[:2])


@cache
def lacking_in(build: str) -> Lacking:
    at = known_builds().index(build)
    table = _table()
    parameters: dict[str, dict[str, str]] = {}
    for row, calls in table["parameters"].items():
        if row[at] == "0":
            for call in calls:
                function, _, listed = call.removesuffix(")").partition("(")
                parameters.setdefault(function, {}).update(dict.fromkeys(listed.split(), row))
    names = {name: row for row, listed in table["names"].items() if row[at] == "0" for name in listed}
    counts = {name: _count_in(build, changes) for name, changes in table["by_position"].items()}
    return Lacking(
        names,
        {function: rows for function, rows in parameters.items() if function not in names},
        {name: count for name, count in counts.items() if count < max(most for _, most in table["by_position"][name])},
    )


@cache
def allocator_keys() -> dict[str, str]:
    """Every key of the allocator's settings that some build knows, each with its row."""
    return {key: row for row, keys in _table()["allocator_keys"].items() for key in keys}


@cache
def variables() -> dict[str, str]:
    """The environment variables that not every build reads, each with its row."""
    return {name: row for row, names in _table()["environment"].items() for name in names}


def has(row: str, build: str) -> bool:
    return row[known_builds().index(build)] == "1"


@cache
def where_it_is(row: str) -> str:
    """`from 2.7.1.post11, 2.9.0.post9, 2.10.0.post7 on`, `up to 2.12.0.post3`, `in 2.6.0.post5 only`."""
    builds = known_builds()
    if "01" not in row and row.endswith("0"):
        return f"up to {builds[row.index('0') - 1]}"
    if row.endswith("0"):
        return f"in {', '.join(build for build, there in zip(builds, row, strict=True) if there == '1')} only"
    return f"from {', '.join(_beginnings(row))} on"


def way_to_it(row: str, build: str) -> str:
    """Which other build to take, one for the same torch if there is one."""
    builds, at = known_builds(), known_builds().index(build)
    for later, there in zip(builds[at:], row[at:], strict=True):
        if there == "1" and _line(later) == _line(build):
            return f"take torch_npu {later}, which is for the same torch"
    if "1" in row[at:]:
        return f"take torch_npu {builds[row.index('1', at)]}, or do without it"
    return "do without it"


def _beginnings(row: str) -> list[str]:
    """In each line that ends with it, the build that it begins with; once every build of a torch has it, no more."""
    pairs = list(zip(known_builds(), row, strict=True))
    minors = [list(group) for _, group in groupby(pairs, key=lambda pair: torch_minor(pair[0]))]
    lasting = len(minors)
    while lasting and all(there == "1" for _, there in minors[lasting - 1]):
        lasting -= 1
    found = []
    for _, group in groupby((pair for minor in minors[:lasting] for pair in minor), key=lambda pair: _line(pair[0])):
        line = list(group)
        if line[-1][1] == "1":
            missing = [at for at, (_, there) in enumerate(line) if there == "0"]
            found.append(line[missing[-1] + 1 if missing else 0][0])
    return [*found, minors[lasting][0][0]] if lasting < len(minors) else found


def _count_in(build: str, changes: list[tuple[str, int]]) -> int:
    """How many arguments a function takes by position in a build, by the last change up to it."""
    builds = known_builds()
    counts = [count for since, count in changes if builds.index(since) <= builds.index(build)]
    return counts[-1] if counts else changes[0][1]


def _line_and_post(version: str) -> tuple[str, int]:
    """`2.7.1.post4` is ("2.7.1", 4). What the build was made from (`+git...`) does not matter."""
    parts = re.fullmatch(r"v?(\d+\.\d+\.\d+)(?:\.?post(\d+))?(?:\+\S*)?", version.strip())
    return (parts[1], int(parts[2] or 0)) if parts else ("", 0)


def _line(build: str) -> str:
    return _line_and_post(build)[0]
