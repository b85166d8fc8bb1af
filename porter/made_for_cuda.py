"""What is made for CUDA beside torch - packages, command-line tools, images - and what stands in its place.

What is known of packages is in the table cuda_packages.json.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from porter.tables import read_table
from porter.targets import Accelerator


@dataclass(frozen=True)
class Package:
    """One package. `exists_on` are targets that have a build of it under its own name.

    `aarch64` is "wheel", "any" (one wheel for every machine), "none", or empty where nobody looked.
    `only_aarch64` says that it needs no CUDA, and only lacks that wheel.
    """

    distributions: tuple[str, ...]
    instead: str
    instead_on: dict[str, str] = field(default_factory=dict)
    exists_on: dict[str, str] = field(default_factory=dict)
    aarch64: str = ""
    only_aarch64: bool = False

    def way_out(self, target: str) -> str:
        return self.exists_on.get(target) or self.instead_on.get(target) or self.instead


@cache
def packages() -> dict[str, Package]:
    """By the name that is imported."""
    return {name: _package(row) for name, row in read_table("cuda_packages.json")["packages"].items()}


def package_of(dotted: str) -> str | None:
    """The longest start of a dotted name that is a package of the table."""
    while dotted and dotted not in packages():
        dotted = dotted.rpartition(".")[0]
    return dotted or None


@cache
def distribution(name: str) -> Package | None:
    """What an index calls by this name, however it is spelled; None for one that is not made for CUDA."""
    normal = normalized(name)
    return distributions().get(normal)


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def distributions() -> dict[str, Package]:
    """By the names that an index knows them by."""
    rows = read_table("cuda_packages.json")["distributions"]
    found = {normalized(name): _package({"distributions": [name], **row}) for name, row in rows.items()}
    return found | {normalized(name): one for one in packages().values() for name in one.distributions}


def _package(row: dict[str, Any]) -> Package:
    return Package(**{**row, "distributions": tuple(row["distributions"])})


TOOLS = frozenset(
    "nvidia-smi nvcc nsys ncu nvprof dcgmi compute-sanitizer cuda-gdb cuda-memcheck nvitop gpustat nvtop".split()
)

_PROFILERS = frozenset({"nsys", "ncu", "nvprof"})
_MONITORS = frozenset({"nvidia-smi", "dcgmi", "nvitop", "gpustat", "nvtop"})

_OF_NVIDIA = re.compile(r"(?:docker\.io/)?nvidia/\S+|nvcr\.io/\S+")
_WITH_CUDA = re.compile(r"\S*(?:cuda|cudnn|[-_.:]cu\d{2,3})\S*", re.IGNORECASE)


def instead_of(tool: str, new: Accelerator) -> str:
    """What to do without the tool on a target."""
    if tool in _MONITORS:
        return new.tools.get("monitor", "ask torch.accelerator")
    if tool in _PROFILERS:
        return new.tools.get("profiler", "torch.profiler")
    return "take out what it compiles" if tool == "nvcc" else "leave it out"


def judged_image(image: str, new: Accelerator) -> str | None:
    """What to build on instead of an image made for CUDA; None for any other image."""
    if not (_OF_NVIDIA.fullmatch(image) or _WITH_CUDA.fullmatch(image)):
        return None
    return new.tools.get("image", f"an image with the drivers of {new.title}")
