"""How many processes a launch asks for on all machines, as far as its text says."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

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
_SHORT = {"-i": "include", "-e": "exclude", "-H": "hostfile"}


def processes_of(launch: Launch, find: Callable[[str], str | None] = lambda path: None) -> int:
    """`find` tells where a file lies that the launch names, None for nowhere."""
    options = dict(_options(launch.options))
    asked = [options[name] for name in _PROCESSES[launch.launcher] if name in options]
    if launch.launcher == "deepspeed":
        hostfile = find(options["hostfile"]) if "hostfile" in options else None
        return _by_deepspeed(options, asked, _slots(hostfile) if hostfile else {})
    return max((ALL if value in _EVERY_DEVICE else _number(value) for value in asked), default=1)


def _by_deepspeed(options: dict[str, str], asked: list[str], slots: dict[str, int]) -> int:
    """Its launcher takes every device of every host (`slots`, where a file tells) that it is not told to leave out."""
    if options.get("include"):
        return sum(count or slots.get(host, ALL) for host, count in _chosen(options["include"]))
    if not slots:
        return max(_number(options.get("num_nodes", "1")), 1) * (max(map(_number, asked)) if asked else ALL)
    left = dict(slots)
    for host, count in _chosen(options.get("exclude", "")):
        left[host] = max(left.get(host, 0) - count, 0) if count else 0
    nodes = [count for count in left.values() if count]
    if "num_nodes" in options:
        nodes = nodes[: max(_number(options["num_nodes"]), 1)]
    return max(sum(min([count, *map(_number, asked)]) for count in nodes), 1)


def _chosen(text: str) -> Iterator[tuple[str, int]]:
    """The hosts of "worker-0@worker-1:0,2", with how many of their devices; 0 for all."""
    for one in filter(None, text.split("@")):
        host, _, devices = one.partition(":")
        yield host, len(devices.split(",")) if devices else 0


def _slots(hostfile: str) -> dict[str, int]:
    """Of lines "worker-0 slots=8", each host's number."""
    with open(hostfile, encoding="utf-8", errors="replace") as file:
        lines = [line.partition("#")[0].split() for line in file]
    settings = {words[0]: dict(word.partition("=")[::2] for word in words[1:]) for words in lines if words}
    return {host: _number(told.get("slots", "1")) for host, told in settings.items()}


def _options(words: Sequence[Word]) -> Iterator[tuple[str, str]]:
    yield from named(words)
    yield from ((_SHORT[one.text], two.text) for one, two in itertools.pairwise(words) if one.text in _SHORT)


def _number(value: str) -> int:
    return int(value) if value.isdecimal() else 1
