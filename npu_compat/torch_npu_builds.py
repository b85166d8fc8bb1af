"""The builds of torch_npu that are known, and what one of them lacks that another has.

The API follows the day a build was made, not torch's version: torch_npu 2.7.1.post11 has more than 2.8.0.post5. A build
that is not known is taken as the newest known one that is older and for the same torch.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from npu_compat.accelerators import Accelerator, read_table


@dataclass(frozen=True)
class Build:
    """A build of torch_npu.

    Attributes:
        version: as its package tells, such as ``2.7.1.post6``.
        stands_for: the known build whose facts hold for it.
        older_than_known: whether every known build for its torch is newer, so that it may have less than that one.
    """

    version: str
    stands_for: str
    older_than_known: bool = False

    def has(self, row: str) -> bool:
        """Whether it has what ``row`` tells of: a 1 for every known build that has it, in their order."""
        return row[known_builds().index(self.stands_for)] == "1"

    def alloc_conf_keys(self) -> tuple[str, ...]:
        """The keys its allocator takes; it refuses every other."""
        everywhere = "1" * len(known_builds())
        rows = _table()["allocator_keys"].items()
        return tuple(sorted(key for row, keys in rows for key in keys if row == everywhere or self._surely_has(row)))

    def reads(self, variable: str) -> bool:
        """Whether it reads an environment variable of those that not every build does."""
        row = _row_of("environment", variable)
        return row is None or self.has(row)

    def lacking(self, accelerator: Accelerator) -> dict[str, str]:
        """What of ``torch.cuda`` it lacks and another build has, with the builds that have it.

        Parameters are written with their function: ``torch.cuda.is_bf16_supported(including_emulation)``.
        """
        cuda: dict[str, list[str]] = {}
        for name, path in accelerator.names.items():
            cuda.setdefault(path, []).append(f"torch.cuda.{name}")
        return {
            f"{spelling}({parameters}" if parameters else spelling: where(row)
            for kind in ("names", "parameters")
            for row, entries in _table()[kind].items()
            if not self.has(row)
            for path, _, parameters in (entry.partition("(") for entry in entries)
            for spelling in cuda.get(path, ())
        }

    def _surely_has(self, row: str) -> bool:
        return not self.older_than_known and self.has(row)


def installed() -> Build | None:
    """The torch_npu that is installed; None without one."""
    try:
        return build_of(metadata.version("torch_npu"))
    except metadata.PackageNotFoundError:
        return None


def newest() -> Build:
    """The newest known build, which an emulated NPU stands for."""
    return build_of(known_builds()[-1])


def build_of(version: str) -> Build:
    """The facts for a version of torch_npu, known or not."""
    asked = ordered(version)
    older = [build for build in known_builds() if line(build) == line(version) and ordered(build) <= asked]
    if older:
        return Build(version, older[-1])
    later = [build for build in known_builds() if ordered(build) > asked]
    return Build(version, later[0], older_than_known=True) if later else Build(version, known_builds()[-1])


@functools.cache
def known_builds() -> tuple[str, ...]:
    """By the release of torch they are for, then in their order."""
    return tuple(sorted(_table()["builds"], key=ordered))


def line(version: str) -> str:
    """The release of torch a build is for: ``2.7.1`` of ``2.7.1.post4+git1234``."""
    return re.sub(r"(\.?post\d+)?(\+.*)?$", "", version)


def ordered(version: str) -> tuple[int, ...]:
    """What builds are sorted by: ``(2, 7, 1, 4)`` of ``2.7.1.post4``."""
    post = re.search(r"post(\d+)", version)
    numbers = [int(part) for part in re.findall(r"\d+", line(version))[:3]]
    return (*numbers, *[0] * (3 - len(numbers)), int(post[1]) if post else 0)


def where(row: str) -> str:
    """``from 2.7.1.post11, 2.9.0.post9, 2.10.0.post7 on`` or ``up to 2.12.0.post3``."""
    builds = known_builds()
    if row.endswith("0"):
        return f"up to {builds[row.rindex('1')]}"
    return f"from {', '.join(_beginnings(dict(zip(builds, row, strict=True))))} on"


def way_to(path: str) -> str:
    """Where a name of torch_npu is that this one lacks, such as ``npu.ExternalStream``; empty: nobody knows."""
    row = _row_of("names", path)
    return "" if row is None else f"another build of torch_npu: it is there {where(row)}"


def where_read(variable: str) -> str:
    """Which builds read an environment variable; empty where every known one does."""
    row = _row_of("environment", variable)
    return "" if row is None else where(row)


def _beginnings(there: dict[str, str]) -> Iterator[str]:
    """The first build with it for each torch whose last build has it; once all builds have it, no more of them."""
    builds = list(there)
    for index, build in enumerate(builds):
        same = [other for other in builds if line(other) == line(build)]
        since = same[same.index(build) :]
        before = same[: same.index(build)]
        if all(there[other] == "1" for other in since) and not (before and there[before[-1]] == "1"):
            yield build
            if not before and all(there[other] == "1" for other in builds[index:]):
                return


def _row_of(kind: str, name: str) -> str | None:
    return next((row for row, names in _table()[kind].items() if name in names), None)


@functools.cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = read_table("torch_npu_builds.json")
    order = list(table["builds"])
    places = [order.index(build) for build in sorted(order, key=ordered)]
    for kind in ("names", "parameters", "allocator_keys", "environment"):
        table[kind] = {"".join(row[place] for place in places): names for row, names in table[kind].items()}
    return table
