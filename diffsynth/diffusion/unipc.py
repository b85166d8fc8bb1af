"""UniPC: steps that look back at the clean samples of earlier ones, and correct the last step by what came of it.

Zhao et al., "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models" (2023), as data
prediction for flows: at noise level sigma a sample is ``alpha * clean + sigma * noise`` with ``alpha = 1 - sigma``. The
factors that follow from the noise levels are Python's numbers, so that nothing waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diffsynth.core.caller import check_whole
from diffsynth.diffusion.flow_match import FlowMatchScheduler, NoiseLevels, wan_levels

# Pure noise has no logarithm of its signal to noise ratio: the first level stays this far below 1, as in diffusers.
BELOW_NOISE = 1e-6


class _Past(NamedTuple):
    """A network evaluation: the step it was made at, and the clean sample that it predicted."""

    level: int
    clean: Tensor


class UniPCMultistepScheduler(FlowMatchScheduler):
    """The schedule of one run, walked by UniPC: as good as Euler's in fewer steps.

    Put it into a pipeline by ``pipe.scheduler = UniPCMultistepScheduler.from_config(pipe.scheduler.config)``.

    Args:
        config: the noise levels; by default Wan's.
        solver_order: evaluations that a step looks back on, itself included; 2 for guided generations, 3 without.
        solver_type: "bh1" or "bh2", which suits more than ten steps better.
        lower_order_final: look back less towards the end, which steadies runs of few steps.
        disable_corrector: steps, counted from 0, that are not corrected by the next one.

    Raises:
        ValueError: a setting is not one of these.
    """

    def __init__(
        self,
        config: NoiseLevels = wan_levels,
        *,
        solver_order: int = 2,
        solver_type: str = "bh2",
        lower_order_final: bool = True,
        disable_corrector: Collection[int] = (),
    ) -> None:
        super().__init__(config)
        check_whole("solver_order", solver_order)
        if solver_type not in ("bh1", "bh2"):
            raise ValueError(f"solver_type={solver_type!r}: expected 'bh1' or 'bh2'")
        self.solver_order, self.solver_type = solver_order, solver_type
        self.lower_order_final, self.disable_corrector = lower_order_final, frozenset(disable_corrector)
        self._start()

    def _start(self) -> None:
        self._past: list[_Past] = []
        self._last: tuple[Tensor, int] | None = None  # where the last step began, and how many it looked back on

    def _lay_out(self, sigmas: Tensor) -> None:
        if sigmas[0] > 1 - BELOW_NOISE:
            sigmas = sigmas.clone()
            sigmas[0] = 1 - BELOW_NOISE
        super()._lay_out(sigmas)
        self._start()

    def step(self, velocity: Tensor, index: int, latents: Tensor) -> Tensor:
        """Moves `latents` from noise level `index` to the next one (0 after the last); float32 in, float32 out.

        Steps are made one after another. From the second on, the move to `index` is first made again with what is known
        now, so that of `latents` only the clean sample counts that `velocity` predicts from it.
        """
        latents = latents.float()
        clean = latents - self.sigmas[index].item() * velocity.float()
        if self._last is not None and index - 1 not in self.disable_corrector:
            start, order = self._last
            latents = self._moved(start, self._past[-order:], index, corrected_by=clean)
        self._past = [*self._past, _Past(index, clean)][-self.solver_order :]
        left = len(self.sigmas) - index
        # Nothing bounds what the last step, to the clean sample, would make of earlier ones.
        order = min(len(self._past), left if self.lower_order_final or left == 1 else self.solver_order)
        self._last = latents, order
        return self._moved(latents, self._past[-order:], index + 1)

    def _moved(self, start: Tensor, past: Sequence[_Past], to: int, corrected_by: Tensor | None = None) -> Tensor:
        """The sample at level `to` that follows from `start` at the level of the newest of `past`.

        Args:
            corrected_by: the clean sample predicted at `to`, where that is known already.
        """
        here = past[-1]
        sigma = self._sigma(to)
        span = self._log_ratio(to) - self._log_ratio(here.level)
        growth = math.expm1(-span)
        moved = start * (sigma / self._sigma(here.level)) - here.clean * ((1 - sigma) * growth)
        ratios = [(self._log_ratio(one.level) - self._log_ratio(here.level)) / span for one in reversed(past[:-1])]
        changes = [(one.clean - here.clean) / ratio for one, ratio in zip(reversed(past[:-1]), ratios, strict=True)]
        if corrected_by is not None:
            ratios, changes = [*ratios, 1.0], [*changes, corrected_by - here.clean]
        if not changes:
            return moved
        scale = (1 - sigma) * (-span if self.solver_type == "bh1" else growth)
        for weight, change in zip(self._weights(ratios, span), changes, strict=True):
            moved = moved - change * (scale * weight)
        return moved

    def _weights(self, ratios: Sequence[float], span: float) -> list[float]:
        """How much each change counts, so that the step is exact for polynomials; of a single one, half by custom."""
        if len(ratios) == 1:
            return [0.5]
        base = -span if self.solver_type == "bh1" else math.expm1(-span)
        phi, factorial = math.expm1(-span) / -span - 1, 1
        wanted = []
        for power in range(1, len(ratios) + 1):
            wanted.append(phi * factorial / base)
            factorial *= power + 1
            phi = phi / -span - 1 / factorial
        powers = torch.tensor([[ratio**power for ratio in ratios] for power in range(len(ratios))], dtype=torch.float64)
        weights: list[float] = torch.linalg.solve(powers, torch.tensor(wanted, dtype=torch.float64)).tolist()
        return weights

    def _sigma(self, index: int) -> float:
        return self.sigmas[index].item() if index < len(self.sigmas) else 0.0

    def _log_ratio(self, index: int) -> float:
        """The logarithm of signal to noise at a level; infinite for the clean sample."""
        sigma = self._sigma(index)
        return math.log(1 - sigma) - math.log(sigma) if sigma else math.inf
