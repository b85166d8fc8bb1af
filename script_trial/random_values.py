"""Random weights that behave: each layer keeps the size of what goes through it, so that outputs are not degenerate."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import torch
from torch import Tensor


def random_weight(
    key: str, shape: tuple[int, ...], dtype: torch.dtype, seed: str, gains: Mapping[str, float]
) -> Tensor:
    """A tensor for the parameter `key`, a function of the arguments alone.

    Uniform rather than normal numbers: their bits are the same on every processor and with any number of threads.
    """
    mean, deviation = _mean_and_deviation(key, shape)
    deviation *= next((gain for ending, gain in gains.items() if key.endswith(ending)), 1.0)
    return uniform(key, shape, seed, mean, deviation).to(dtype)


def uniform(key: str, shape: tuple[int, ...], seed: str, mean: float, deviation: float) -> Tensor:
    """float32 values with this mean and standard deviation, a function of the arguments alone."""
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    reach = math.sqrt(3) * deviation
    return torch.rand(shape, generator=generator).mul_(2 * reach).add_(mean - reach)


def _mean_and_deviation(key: str, shape: tuple[int, ...]) -> tuple[float, float]:
    name = key.rpartition(".")[2]
    if name == "bias":
        return 0.0, 0.1
    if name == "modulation":  # shifts, scales and gates of a DiT block
        return 0.0, 0.5
    if key.endswith("embedding.weight") and len(shape) == 2 and not key.startswith(("text_", "time_")):
        return 0.0, 1.0  # a table of vectors
    if math.prod(shape) == max(shape):  # the scale of a norm
        return 1.0, 0.1
    return 0.0, math.prod(shape[1:]) ** -0.5
