"""TeaCache: skip the transformer blocks at steps where the timestep says that little would change.

Liu et al., "Timestep Embedding Tells: It's Time to Cache for Video Diffusion Model" (2024). The relative change of the
timestep modulation, mapped by a polynomial fitted for each model, estimates how far the output moves; while the sum
stays below a threshold, the blocks' last effect is added again instead of running them. As published, an estimate may
be negative, and then makes up for others.
"""

from __future__ import annotations

import difflib

from torch import Tensor

# Highest power first. Published with the method, for the modulation after the time projection.
COEFFICIENTS = {
    "Wan2.1-T2V-1.3B": (-5.21862437e04, 9.23041404e03, -5.28275948e02, 1.36987616e01, -4.99875664e-02),
    "Wan2.1-T2V-14B": (-3.03318725e05, 4.90537029e04, -2.65530556e03, 5.87365115e01, -3.15583525e-01),
    "Wan2.1-I2V-14B-480P": (2.57151496e05, -3.54229917e04, 1.40286849e03, -1.35890334e01, 1.32517977e-01),
    "Wan2.1-I2V-14B-720P": (8.10705460e03, 2.13393892e03, -3.72934672e02, 1.66203073e01, -4.17769401e-02),
}


class TeaCache:
    """The state of one text branch over one generation. The first and the last step always run.

    Args:
        num_inference_steps: steps of the generation.
        rel_l1_thresh: the estimated change, summed over skipped steps, above which the blocks run again; 0.05 to 0.3
            are usual. Higher skips more, 0 nothing.
        model_id: which polynomial, one of `COEFFICIENTS`.

    Raises:
        ValueError: `model_id` has no polynomial.
    """

    def __init__(self, num_inference_steps: int, rel_l1_thresh: float, model_id: str) -> None:
        self.coefficients = coefficients_of(model_id)
        self.last_step = num_inference_steps - 1
        self.rel_l1_thresh = rel_l1_thresh
        self.step = 0
        self.skipped = 0
        self._estimate = 0.0
        self._modulation: Tensor | None = None
        self._residual: Tensor | None = None

    def skip(self, modulation: Tensor, tokens: Tensor) -> Tensor | None:
        """The tokens as they would leave the blocks, or None where the blocks have to run.

        Args:
            modulation: the projected time embedding of this step, of one sample or of several at the same timestep.
            tokens: (B, S, dim), as they would enter the blocks.
        """
        modulation = modulation[:1]  # so that a batch decides as each of its samples alone would
        must_run = self.step in (0, self.last_step) or self.rel_l1_thresh <= 0
        if self._modulation is not None:
            self._estimate += self._change(self._modulation, modulation)
        self._modulation = modulation
        self.step += 1
        if self._residual is None or must_run or self._estimate >= self.rel_l1_thresh:
            self._estimate = 0.0
            return None
        self.skipped += 1
        return tokens + self._residual

    def store(self, before: Tensor, after: Tensor) -> None:
        """Keeps what the blocks did, when they ran."""
        self._residual = after - before

    def _change(self, before: Tensor, modulation: Tensor) -> float:
        before = before.float()
        relative = ((modulation.float() - before).abs().mean() / before.abs().mean()).item()
        estimate = 0.0
        for coefficient in self.coefficients:
            estimate = estimate * relative + coefficient
        return estimate


def coefficients_of(model_id: str) -> tuple[float, ...]:
    """The polynomial of a model; raises ValueError with the ids that have one."""
    if model_id in COEFFICIENTS:
        return COEFFICIENTS[model_id]
    near = difflib.get_close_matches(str(model_id), COEFFICIENTS, n=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"tea_cache_model_id={model_id!r}: expected one of {', '.join(COEFFICIENTS)}.{guess}")
