"""A list of packages as pip reads it, and what a requirement, pip's or conda's, has to do with CUDA."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from porter.made_for_cuda import distribution, distributions, normalized
from porter.tables import read_table
from porter.targets import table
from porter.text_unit import Lines, Span

_LINE = re.compile(r"[ \t]*(?P<text>[^\s#](?:[^#\r\n]|(?<!\s)#)*)")


@dataclass(frozen=True)
class Requirement:
    """One line; `is_option` for `--index-url ...` and the like."""

    text: str
    span: Span
    is_option: bool


class RequirementsFile(Lines):
    """One file."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.requirements = [one for start in self.line_starts if (one := self._requirement(start)) is not None]

    def _requirement(self, start: int) -> Requirement | None:
        line = self.line_text(self.line_of(start))
        found = _LINE.match(line)
        if found is None:
            return None
        text = found["text"].rstrip()
        at = start + len(line[: found.start("text")].encode())
        return Requirement(text, (at, at + len(text.encode())), text.startswith("-"))


#: A requirement's name, its extras, and the rest: `torch[extra]==2.3.0+cu121 ; python_version < "3.12"`.
_REQUIREMENT = re.compile(r"\s*(?P<name>[A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*(?P<rest>.*)", re.DOTALL)
_INDEX = re.compile(r"\S*/whl/(?:nightly/)?cu\d+\S*|\S*pypi\.nvidia\.com\S*|\S*[/+]cu\d{2,3}\b\S*")
_LOCAL_BUILD = re.compile(r"\+cu\d+|[-_.]cu(?:da)?\d{2,}")
_EXACT = re.compile(r"==\s*v?(\d+(?:\.\d+){1,2})(?P<any>\.\*)?")

#: Packages of conda that hold CUDA.
_OF_CONDA = frozenset(
    "pytorch-cuda cudatoolkit cuda-toolkit cuda cuda-nvcc cuda-runtime cuda-libraries cuda-version cudnn nccl".split()
)

#: A word that every requirement with something to say of holds: the last part of its name, or what an index is called.
WORDS = frozenset(
    form for name in (*distributions(), *_OF_CONDA) for form in (re.split(r"[-.]", name)[-1], name.replace("-", "_"))
) | frozenset("torch torchvision torchaudio nvidia whl url cuda".split())


class Judgement(NamedTuple):
    severity: str
    message: str
    way_out: str


def judged_index(text: str, target: str) -> Judgement | None:
    """An index or a wheel's address: `--index-url https://download.pytorch.org/whl/cu121`."""
    if _INDEX.search(text) is None:
        return None
    way_out = f"https://download.pytorch.org/whl/{table(target)['wheels'] or 'cpu'}"
    return Judgement("error", "this index holds builds for CUDA", way_out)


def judged(requirement: str, target: str) -> Judgement | None:
    """One requirement; None for one that is not about CUDA."""
    if "://" in requirement and (found := judged_index(requirement, target)):
        return found
    parts = _REQUIREMENT.fullmatch(requirement)
    if parts is None:
        return None
    name, rest = normalized(parts["name"]), parts["rest"]
    if name in ("torch", "torchvision", "torchaudio", "pytorch"):
        return _torch(name, rest, target)
    if name in _OF_CONDA:
        return Judgement("error", f"{name} brings CUDA's own libraries", "leave it out")
    if name.startswith("nvidia-") and distribution(name) is None:
        return Judgement("error", f"{name} holds CUDA's own libraries", "leave it out")
    return _package(name, rest, target)


def is_torch_npu(requirement: str) -> bool:
    parts = _REQUIREMENT.fullmatch(requirement)
    return parts is not None and normalized(parts["name"]) == "torch-npu"


def _torch(name: str, rest: str, target: str) -> Judgement | None:
    exact = _EXACT.search(rest)
    if _LOCAL_BUILD.search(rest) or re.search(r"=\S*cu(?:da)?\d", rest):
        return Judgement(
            "error", f"{name} {rest.strip()} is a build for CUDA", _pair(_in_full(exact[1]) if exact else "", target)
        )
    if name == "torch" and target == "npu":
        release = _in_full(exact[1]) if exact is not None else ""
        if exact is None:
            newest = next(iter(_builds()))
            return Judgement("note", "torch_npu is built for one torch each", _pair(newest, target))
        fits = [one for one in _builds() if exact["any"] and f"{one}.".startswith(f"{exact[1]}.")]
        if fits:
            return Judgement("note", f"torch {exact[1]}.* goes with a torch_npu of its own", _pair(fits[0], target))
        if release not in _builds():
            message = f"there is no torch_npu for torch {exact[1]}"
            return Judgement("error", message, f"one of {', '.join(list(_builds())[:6])}")
        return Judgement("note", f"torch {exact[1]} goes with a torch_npu of its own", _pair(release, target))
    return None


def _in_full(version: str) -> str:
    """`2.9` and `2.9.0` are the same release."""
    return version if version.count(".") > 1 else f"{version}.0"


def _pair(torch: str, target: str) -> str:
    if target != "npu":
        return "the build for any device, or for this one"
    if torch not in _builds():
        torch = next(iter(_builds()))
    return f"torch=={torch} with torch-npu=={_builds()[torch]}"


def _package(name: str, rest: str, target: str) -> Judgement | None:
    found = distribution(name)
    if found is None or (found.only_aarch64 and target != "npu"):
        return None
    wheel = {"none": "; no wheel for aarch64 either", "wheel": "", "any": ""}.get(found.aarch64, "")
    if found.only_aarch64:
        return Judgement("warning", f"{name} has no wheel for aarch64", found.way_out(target))
    if target in found.exists_on:
        return Judgement("warning", f"{name} as installed for CUDA does not run there{wheel}", found.way_out(target))
    return Judgement("error", f"{name} is made for NVIDIA devices{wheel}", found.way_out(target))


@cache
def _builds() -> dict[str, str]:
    """By the release of torch, newest first, the newest build of torch_npu for it."""
    rows = read_table("torch_npu_builds.json")["builds"]
    found: dict[str, str] = {}
    for build in rows:
        found[build.partition(".post")[0]] = build
    return dict(sorted(found.items(), key=lambda pair: [int(part) for part in pair[0].split(".")], reverse=True))
