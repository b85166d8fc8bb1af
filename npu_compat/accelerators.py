"""What is known about each accelerator: one table a device type, read from accelerator_tables."""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import dataclass, field
from typing import Any

TARGETS = tuple(
    sorted(
        (path.name[:-5] for path in importlib.resources.files("accelerator_tables").joinpath("targets").iterdir()),
        key=lambda name: (name != "npu", name),
    )
)
"""Every accelerator there is a table of, in the order in which they are looked for."""


@dataclass(frozen=True)
class Accelerator:
    """One device type and how CUDA's names map to it.

    Attributes:
        name: device type, as in ``torch.device(name)``.
        title: name for people.
        module: attribute of ``torch`` that holds its functions.
        flag: tensor attribute that tells its tensors, such as ``is_npu``; None: there is none.
        backend: its torch.distributed backend; None: there is none.
        profiler_activity: member of torch.profiler.ProfilerActivity; None: there is none.
        indexed: whether there can be several devices.
        packages: what has to be installed beside torch.
        registered_by: the package that makes torch know the device type; None: torch itself knows it.
        wheels: build tag of the torch that is built for it, as in ``2.9.0+xpu``; None: there is no such build.
        verified: whether its table was checked against the installed package.
        default_hardware: hardware line assumed where the device does not tell; None: there is one line.
        environment: CUDA's environment variables and its own names for them.
        alloc_conf_keys: keys its allocator takes; None: unknown, so nothing is filtered.
        names: names below ``torch.cuda`` and their paths below ``torch``.
        lacking: names below ``torch.cuda`` that it lacks, with the nearest equivalent.
        unchanged: names below ``torch.cuda`` that are right as they are.
        unsupported: names it has, but not on the hardware lines listed.
        drops_device_argument: names whose counterpart takes no device.
        elsewhere: names below ``torch``, outside ``torch.cuda``, that differ.
    """

    name: str
    title: str
    module: str
    flag: str | None
    backend: str | None
    profiler_activity: str | None
    indexed: bool = True
    packages: tuple[str, ...] = ()
    registered_by: str | None = None
    wheels: str | None = None
    verified: bool = True
    default_hardware: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    alloc_conf_keys: tuple[str, ...] | None = None
    names: dict[str, str] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)
    unchanged: tuple[str, ...] = ()
    unsupported: dict[str, list[str]] = field(default_factory=dict)
    drops_device_argument: tuple[str, ...] = ()
    elsewhere: dict[str, str] = field(default_factory=dict)


def read_table(path: str) -> Any:
    """One of the JSON tables of the accelerator_tables package."""
    return json.loads(importlib.resources.files("accelerator_tables").joinpath(path).read_text("utf-8"))


def load(name: str) -> Accelerator:
    """The table of an accelerator, by device type: one of TARGETS."""
    table = read_table(f"targets/{name}.json")
    known = {key: table[key] for key in Accelerator.__dataclass_fields__ if key in table}
    for key in ("packages", "unchanged", "drops_device_argument", "alloc_conf_keys"):
        known[key] = None if known[key] is None else tuple(known[key])
    return Accelerator(**known)


def host(names: dict[str, str]) -> Accelerator:
    """The CPU in the accelerator's place, for NPU_COMPAT_FALLBACK=cpu; ``names`` are those it can answer."""
    return Accelerator("cpu", "CPU", "cpu", None, "gloo", "CPU", indexed=False, names=names)
