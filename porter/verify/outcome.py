"""What came of running a script one way, and of all ways together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from porter.verify.scripts import Script
from porter.verify.ways import Way
from script_trial.printed import figures


@dataclass(frozen=True)
class Outcome:
    """One script, run one way.

    Attributes:
        error: why it did not come to its end, or None; `line` is the line of the script where that was.
        seconds: from the first line of the script to the last.
        saved: for each result it saved ``name``, ``digest`` and the file ``array``; of frames ``shape`` and ``dtype``,
            of weights ``bytes``.
        printed: for each process the lines that it printed, without what differs between devices, folders and times.
        curves: for each launch of a launch script the numbers of every update: ``update``, ``loss`` and more.
        networks: by name ``calls``, ``devices``, ``computed``, ``moved`` (operations and bytes) and ``host_data``.
        outside, backward: the same of what no network called for, and of the way back.
        host_work: what the library leaves to the host by design: by why, the operators by name.
        operators: by type of device, how often each ran.
        adapters: of the libraries that the script imported.
        mixed_precision: whether it computed by autocast.
        refused, on_host: operators that the device refuses, and those it leaves to the host's processor.
        refusals: the same, each with ``line`` of the script, ``message`` and whether it ``runs`` on the host instead.
        threads: why threads ended early, ``message`` and ``line`` each, though the script went on; of a process that it
            started, with ``of`` "process".
        peak_memory: bytes that tensors held on the device at once; None without a device.
        notes: what was done otherwise than a launch script says.
        output: the end of what it printed, where it failed.
        is_training: whether this is of a launch script.
    """

    error: str | None = None
    line: int | None = None
    seconds: float = 0.0
    saved: list[dict[str, Any]] = field(default_factory=list)
    printed: list[list[str]] = field(default_factory=list)
    curves: list[list[dict[str, float]]] = field(default_factory=list)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    outside: dict[str, Any] = field(default_factory=dict)
    backward: dict[str, Any] = field(default_factory=dict)
    host_work: dict[str, dict[str, int]] = field(default_factory=dict)
    operators: dict[str, dict[str, int]] = field(default_factory=dict)
    adapters: list[str] = field(default_factory=list)
    mixed_precision: bool = False
    refused: list[str] = field(default_factory=list)
    on_host: list[str] = field(default_factory=list)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    threads: list[dict[str, Any]] = field(default_factory=list)
    peak_memory: int | None = None
    notes: list[str] = field(default_factory=list)
    output: str = ""
    is_training: bool = False

    @property
    def ran(self) -> bool:
        return self.error is None

    @property
    def ended_threads(self) -> list[str]:
        """Each thread that an error ended, in words."""
        where = [f"line {one['line']}: " if one["line"] else "" for one in self.threads]
        told = (
            f"{one.get('of', 'thread')}, and the script went on: {at}{one['message']}"
            for at, one in zip(where, self.threads, strict=True)
        )
        return [f"an error ended a {one}" for one in dict.fromkeys(told)]

    @property
    def arrays(self) -> list[str]:
        return [result["array"] for result in self.saved]

    @property
    def figures(self) -> list[list[dict[str, Any]]]:
        """For each process, the figures that it printed, see `script_trial.printed`."""
        return [figures(lines) for lines in self.printed]

    @property
    def has_results(self) -> bool:
        """Whether there is something to compare besides what it printed in words."""
        return bool(self.saved or any(self.curves) or any(self.figures))

    @property
    def saved_names(self) -> list[tuple[str, str]]:
        """Kind and name of each result, in their order."""
        return [(one["kind"], one["name"]) for one in self.saved]

    def saved_the_same(self, other: Outcome) -> bool:
        """Bit for bit."""
        return [one["digest"] for one in self.saved] == [one["digest"] for one in other.saved]

    def same_results(self, other: Outcome) -> bool:
        """Whether both saved and printed the same, and trained along the same curves, bit for bit."""
        printed = any(self.curves) or (
            self.figures == other.figures if self.has_results else self.printed == other.printed
        )
        return self.saved_the_same(other) and self.curves == other.curves and bool(printed)

    def operators_on(self, device: str) -> dict[str, int]:
        """How often each operator ran on a type of device, whoever called for it."""
        return self.operators.get(device, {})

    def operations_on(self, device: str) -> tuple[int, int]:
        """How many operators the networks computed on a type of device, and the bytes they took and gave."""
        tallies = [network["computed"].get(device) for network in self.networks.values()]
        there = [tally for tally in tallies if tally]
        return sum(tally["operations"] for tally in there), sum(tally["bytes"] for tally in there)

    def operations_on_host_data(self) -> int:
        """How many operators worked on the networks' own data on the host."""
        return sum(sum(network["host_data"].values()) for network in self.networks.values())


@dataclass(frozen=True)
class Row:
    """One script, run all ways.

    `differences` are those between the reference and each other way that saved something else, `problems` is why it
    did not pass, and `notes` what there is to know besides. `pictures` are a few frames of each way, by name, and of
    "difference", as URIs that hold them, where they were asked for.
    """

    script: Script
    ways: list[Way]
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    differences: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.problems and self.skipped is None

    @property
    def failed(self) -> bool:
        return bool(self.problems)

    @property
    def skipped(self) -> str | None:
        """Why it was not run on this machine."""
        return None if self.problems else self.script.skipped

    @property
    def ran(self) -> int:
        return sum(outcome.ran for outcome in self.outcomes.values())

    @property
    def equal(self) -> bool | None:
        """Whether all ways made the same, bit for bit; None where not all ran, or nothing was saved."""
        outcomes = list(self.outcomes.values())
        if not outcomes or not all(outcome.ran and (outcome.saved or any(outcome.printed)) for outcome in outcomes):
            return None
        return all(outcomes[0].same_results(outcome) for outcome in outcomes[1:])
