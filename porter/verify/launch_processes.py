"""How many processes a launch asks for on all machines, as far as its text says."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from porter.shell.command import Word
from porter.shell.launch import Launch, named

#: Where it asks for all devices of the machine: more than one, which is what counts.
ALL = 2

#: By launcher, the option that says how many processes it starts on a machine.
_PROCESSES = {
    "accelerate": ("num_processes", "num-processes"),
    "torchrun": ("nproc_per_node", "nproc-per-node"),
    "deepspeed": ("num_gpus", "num_accelerators"),
}
_EVERY_DEVICE = ("gpu", "auto", "cpu", "xpu")
_SHORT = {"-i": "include", "-e": "exclude"}


def processes_of(launch: Launch) -> int:
    options = dict(_options(launch.options))
    asked = [options[name] for name in _PROCESSES[launch.launcher] if name in options]
    if launch.launcher == "deepspeed":
        return _by_deepspeed(options, asked)
    return max((ALL if value in _EVERY_DEVICE else _number(value) for value in asked), default=1)


def _by_deepspeed(options: dict[str, str], asked: list[str]) -> int:
    """Its launcher takes every device that it is not told to leave out."""
    if options.get("include"):  # "worker-0@worker-1:0,2"
        nodes = [one.partition(":")[2] for one in options["include"].split("@")]
        return sum(len(slots.split(",")) if slots else ALL for slots in nodes)
    nodes_asked = max(_number(options.get("num_nodes", "1")), 1)
    return nodes_asked * (max(map(_number, asked)) if asked else ALL)


def _options(words: Sequence[Word]) -> Iterator[tuple[str, str]]:
    yield from named(words)
    yield from ((_SHORT[one.text], two.text) for one, two in itertools.pairwise(words) if one.text in _SHORT)


def _number(value: str) -> int:
    return int(value) if value.isdecimal() else 1
