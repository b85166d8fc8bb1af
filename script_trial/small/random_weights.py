"""Networks of other libraries built aside from their script, and filled with random weights that behave."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from script_trial.random_values import uniform


@contextmanager
def making_up() -> Iterator[None]:
    """Within it networks are built on the host in float32, and the script's own random numbers stay as they were."""
    python, dtype = random.getstate(), torch.get_default_dtype()
    # Which process writes a file is chance: what it draws must not be missing from its script's numbers.
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.no_grad(), torch.device("cpu"):
        torch.manual_seed(0)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            random.setstate(python)


def fill(network: nn.Module, seed: str) -> None:
    """Gives every parameter values that are a function of the seed, its name and its shape. Buffers stay."""
    tables = {id(one.weight) for one in network.modules() if isinstance(one, nn.Embedding)}
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.numel() > 1:
                parameter.copy_(random_weight(name, tuple(parameter.shape), seed, table=id(parameter) in tables))


def random_weight(name: str, shape: tuple[int, ...], seed: str, table: bool = False) -> Tensor:
    """float32 values for a parameter, a function of the arguments alone. `table`: it holds vectors to look up."""
    mean, deviation = (0.0, 1.0) if table else _mean_and_deviation(name, shape)
    return uniform(name, shape, seed, mean, deviation)


def _mean_and_deviation(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    if name.endswith("_embeds_weights"):  # thresholds of Stable Diffusion's safety checker, which none reaches
        return 1.0, 0.0
    if name.endswith("bias"):
        return 0.0, 0.1
    if name.endswith(("modulation", "scale_shift_table")):  # shifts, scales and gates of a DiT block
        return 0.0, 0.5
    if math.prod(shape) == max(shape):  # the scale of a norm
        return 1.0, 0.1
    return 0.0, math.prod(shape[1:]) ** -0.5
