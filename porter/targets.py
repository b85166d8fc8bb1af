"""The accelerators: how each one is called in a program, and the translation from one to another.

The knowledge is in the tables `targets/*.json`, one for each target; this file only reads it. Undoing a port is the
same translation turned round, so the rules never ask in which direction they work.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

from porter.tables import read_table, target_names

TARGETS = target_names()
TARGETS_AND_CUDA = (*TARGETS, "cuda")


@dataclass(frozen=True)
class Accelerator:
    """The words by which programs name one kind of device: every rule that looks for one asks here.

    `frameworks` are the words of other libraries by the library's name ("accelerate": "MULTI_NPU"), `tools` what stands
    in place of NVIDIA's by what it is for ("monitor": "npu-smi info"), `handles` what the number of a stream or event
    is called. `registered_by` is the package that makes torch know the device (None: torch itself does), `wheels` the
    end of the address where torch is built for it (None: that for CPUs).
    """

    name: str
    title: str
    method: str | None
    flag: str | None
    backend: str | None
    profiler_activity: str | None
    indexed: bool = True
    verified: bool = True
    packages: tuple[str, ...] = ()
    frameworks: dict[str, str] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    handles: dict[str, str] = field(default_factory=dict)
    registered_by: str | None = None
    wheels: str | None = None

    @property
    def words(self) -> frozenset[str]:
        """Every word of its own, other than names below torch and environment variables."""
        upper = (self.backend or "").upper()
        said = (self.name, self.method, self.flag, self.backend, upper, self.profiler_activity, *self.packages)
        return frozenset(filter(None, (*said, *self.frameworks.values())))


CUDA = Accelerator(
    "cuda",
    "CUDA",
    "cuda",
    "is_cuda",
    "nccl",
    "CUDA",
    frameworks={"accelerate": "MULTI_GPU", "onnxruntime": "CUDAExecutionProvider"},
    tools={"monitor": "nvidia-smi", "profiler": "nsys", "kernels": "CUDA C++"},
    handles={"cuda_event": "cuda_event", "cuda_stream": "cuda_stream"},
)


@dataclass(frozen=True, eq=False)
class Translation:
    """From the accelerator a file is written for (`old`) to the one it shall run on (`new`).

    `names` maps dotted names below `torch` that the new accelerator has, `lacking` those it does not to the way
    out, `environment` variables to their documented pair, `keywords` the functions whose arguments are called otherwise
    to those arguments. `hardware` is the product line asked for, or None;
    `torch_npu` the known build of the package asked for, None for the newest or where the target has no such package.
    `rewrites_comparisons` renames comparisons even in a file that names the new accelerator. `keeps_cuda` says that the
    new one is whichever there is.
    """

    old: Accelerator
    new: Accelerator
    names: dict[str, str]
    lacking: dict[str, str]
    environment: dict[str, str]
    refused: dict[str, list[str]] = field(default_factory=dict)
    takes_no_device: frozenset[str] = frozenset()
    keywords: dict[str, dict[str, str]] = field(default_factory=dict)
    allocator_keys: frozenset[str] = frozenset()
    hardware: str | None = None
    torch_npu: str | None = None
    rewrites_comparisons: bool = False
    keeps_cuda: bool = False

    @property
    def undoes(self) -> bool:
        return self.new is CUDA

    @property
    def accelerator(self) -> Accelerator:
        """The accelerator that is not CUDA: the one whose limits the reports are about."""
        return self.old if self.undoes else self.new

    def names_new(self, data: bytes) -> bool:
        """Whether a file names the new accelerator, by a word of its own or part of a name: `is_npu`, not `input`."""
        if not any(map(data.__contains__, self._within_all_of_new)):  # nearly every file is done with here
            return False
        return any(word in data and pattern.search(data) for word, pattern in self._patterns_of_new)

    @cached_property
    def _within_all_of_new(self) -> list[bytes]:
        """The shortest of its words: each of the others holds one of them."""
        words = [word for word, _ in self._patterns_of_new]
        return [word for word in words if not any(other in word for other in words if other != word)]

    @cached_property
    def _patterns_of_new(self) -> list[tuple[bytes, re.Pattern[bytes]]]:
        words = sorted({*self.new.words, *self.environment.values()})
        # a pattern that begins with the word itself is searched for many times as fast
        return [(word.encode(), re.compile(rf"{word}(?<![A-Za-z]{word})(?![a-z])".encode())) for word in words]

    @cached_property
    def modules(self) -> frozenset[str]:
        """The names below torch that hold others, so that an unknown name below one is an unknown API."""
        names = set(self.names) | set(self.lacking)
        return frozenset(name.rsplit(".", depth)[0] for name in names for depth in range(1, name.count(".") + 1))

    def known_part(self, name: str) -> str | None:
        """The leading part of a dotted name below torch that has a new name: all of it, or up to a class or function.

        None where the new accelerator lacks the API, or the table does not know it.
        """
        known = name
        while known and known not in self.names:
            if known in self.lacking:
                return None
            known = known.rpartition(".")[0]
        return known if known and (known == name or known not in self.modules) else None

    def old_name(self, name: str) -> str | None:
        """What the old accelerator calls a dotted name below torch, in whichever accelerator's words it is given.

        None where it is neither's. A name that the table does not know keeps its last parts: npu.x is cuda.x.
        """
        if name == self.old.name or name.startswith(f"{self.old.name}."):
            return name
        known = name
        while known and known not in self._old_names:
            known = known.rpartition(".")[0]
        return self._old_names[known] + name[len(known) :] if known else None

    @cached_property
    def _old_names(self) -> dict[str, str]:
        return self.reversed().names

    def reversed(self) -> Translation:
        """The same pair the other way round. Where two names became one, the shortest gets it back."""
        names: dict[str, str] = {}
        for old, new in sorted(self.names.items(), key=lambda pair: (pair[0].count("."), pair[0])):
            namesake = old.rpartition(".")[2] == new.rpartition(".")[2]
            if new not in names or (namesake and names[new].rpartition(".")[2] != new.rpartition(".")[2]):
                names[new] = old
        environment = {new: old for old, new in self.environment.items()}
        keywords = {self.names[name]: {new: old for old, new in pairs.items()} for name, pairs in self.keywords.items()}
        return Translation(self.new, self.old, names, {}, environment, keywords=keywords, hardware=self.hardware)


@cache
def table(target: str) -> dict[str, Any]:
    """The committed table of one target."""
    content: dict[str, Any] = read_table(f"targets/{target}.json")
    return content


def hardware_lines(target: str) -> list[str]:
    """The product lines that the target's table tells apart; empty where it tells none."""
    return [] if target == "cuda" else list(table(target)["hardware"])


def default_hardware(target: str) -> str | None:
    """The product line that is meant where none is named."""
    return None if target == "cuda" else table(target)["default_hardware"]


@cache
def translation(target: str, hardware: str | None = None, torch_npu: str | None = None) -> Translation:
    """From CUDA to `target`, one of TARGETS; for "npu" perhaps to a build of torch_npu, one of the known ones."""
    content = table(target)
    accelerator = Accelerator(
        name=content["name"],
        title=content["title"],
        method=content["method"],
        flag=content["flag"],
        backend=content["backend"],
        profiler_activity=content["profiler_activity"],
        indexed=content["indexed"],
        verified=content["verified"],
        packages=tuple(content["packages"]),
        frameworks=content["frameworks"],
        tools=content["tools"],
        handles=content["handles"],
        registered_by=content["registered_by"],
        wheels=content["wheels"],
    )
    names = {"cuda": content["module"]}
    former = content["former"]  # names that torch.cuda had in earlier releases of torch
    names |= {f"cuda.{old}": new for old, new in (content["names"] | former["names"]).items()} | content["elsewhere"]
    unchanged = {f"cuda.{name}": f"cuda.{name}" for name in content["unchanged"]}
    return Translation(
        old=CUDA,
        new=accelerator,
        names=names | unchanged,
        lacking={f"cuda.{name}": way_out for name, way_out in (content["lacking"] | former["lacking"]).items()},
        environment=content["environment"],
        refused={f"cuda.{name}": lines for name, lines in content.get("unsupported", {}).items()},
        keywords={f"cuda.{name}": pairs for name, pairs in content["keywords"].items()},
        takes_no_device=frozenset(f"cuda.{name}" for name in content.get("drops_device_argument", ())),
        allocator_keys=frozenset(content.get("alloc_conf_keys") or ()),
        hardware=hardware or content["default_hardware"],
        torch_npu=torch_npu,
    )


@cache
def undoing(target: str) -> Translation:
    """From `target` back to CUDA; that the file does not name CUDA otherwise is for the caller to make sure of."""
    return replace(translation(target).reversed(), rewrites_comparisons=True)


@cache
def rewriting_all(target: str) -> Translation:
    """From CUDA to `target`, comparisons in every file: what tells whether a file still names CUDA."""
    return replace(translation(target), rewrites_comparisons=True)
