"""What every format may want to know about the run besides its reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from porter.analysis.custom.rule_settings import CustomRule
    from porter.analysis.packages.survey import Row
    from porter.rules.rule import Rule


@dataclass(frozen=True)
class RunContext:
    """`mode` is "rewrite", "check" or "diff"; `quiet` leaves errors and failures only; `version` is the tool's.

    `npu_scripts` says that the files stay as they are, and get NPU forms beside them; `adds_ignores` that nothing is
    ported, and ignore comments are written. `explains` asks why
    lines that name CUDA were passed over; `not_looked_at` are files that name it, of kinds that are not ported.
    `packages` are the imported ones; None where nobody asked for them. `own` are the project's own rules,
    `paths` what was given to the run, `output` the folder of the ported copy.
    """

    target: str
    mode: str
    version: str
    hardware: str | None = None
    torch_npu: str | None = None
    statistics: bool = False
    quiet: bool = False
    color: bool = False
    npu_scripts: bool = False
    adds_ignores: bool = False
    explains: bool = False
    not_looked_at: tuple[str, ...] = ()
    packages: tuple[Row, ...] | None = None
    own: tuple[CustomRule, ...] = ()
    paths: tuple[str, ...] = ()
    output: str | None = None

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Every rule that a finding may be of, in the order of their codes."""
        from porter.settings import every_rule

        return every_rule(self.own)

    @property
    def build(self) -> str | None:
        """The build of torch_npu that was ported to; None for other targets."""
        if self.target != "npu":
            return None
        from porter.torch_npu_builds import newest_build

        return self.torch_npu or newest_build()

    @property
    def rewrites(self) -> bool:
        """Whether the fixes have been made, and are no longer to be listed one by one."""
        return self.mode == "rewrite"
