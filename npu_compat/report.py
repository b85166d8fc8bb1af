"""What the redirect did, for people and for machines."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Report:
    """State of the redirect.

    Attributes:
        active: whether it is on.
        kind: what was found: ``accelerator``, ``cuda``, ``cpu``, ``none``.
        accelerator: device type CUDA calls act on, or None.
        reason: why this one.
        rejected: accelerators that were looked for, with why not.
        redirected: what was replaced, by its name in torch.
        missing: what raises UnsupportedOnAccelerator, with the nearest equivalent.
        quiet: what does nothing.
        environment: what was done to environment variables.
        build: the torch_npu that is installed; None on another accelerator, and on an emulated NPU.
        lacking_in_build: names of torch.cuda, and parameters of theirs, that this build lacks and another has, with
            the builds that have them.
        unknown: names of a torch newer than the tables, by which nothing is known: they stay as they are, and those of
            torch.cuda raise UnsupportedOnAccelerator.
        left_out: replacements in modules imported later that failed, with the reason.
        replaced_by_others: replacements that the program has replaced or removed itself since; they stay as it left
            them.
        not_put_back: what the last deactivate could not put back, with the reason.
    """

    active: bool
    kind: str
    accelerator: str | None
    reason: str
    rejected: dict[str, str] = field(default_factory=dict)
    redirected: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    quiet: list[str] = field(default_factory=list)
    environment: list[str] = field(default_factory=list)
    build: str | None = None
    lacking_in_build: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    replaced_by_others: list[str] = field(default_factory=list)
    not_put_back: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        state = "active" if self.active else "not active"
        lines = [f"npu_compat: {state}; {self.reason}"]
        if self.accelerator is not None:
            lines.append(f"  torch.cuda and cuda devices act on: {self.accelerator}")
        lines += [f"  not {name}: {reason}" for name, reason in self.rejected.items()]
        lines.append(f"  redirected: {len(self.redirected)} names")
        lines.append(f"  does nothing: {', '.join(self.quiet) or 'none'}")
        lines.append(f"  raises UnsupportedOnAccelerator: {', '.join(self.missing) or 'none'}")
        lines += [f"  not in torch_npu {self.build}: {name}: {found}" for name, found in self.lacking_in_build.items()]
        if self.unknown:
            lines.append(f"  newer than the tables, so nothing is done for them: {', '.join(self.unknown)}")
        lines += [f"  left out: {name}: {reason}" for name, reason in self.left_out.items()]
        if self.replaced_by_others:
            lines.append(f"  replaced by the program itself since: {', '.join(self.replaced_by_others)}")
        lines += [f"  could not be put back: {name}: {reason}" for name, reason in self.not_put_back.items()]
        lines += [f"  {note}" for note in self.environment]
        return "\n".join(lines)
