"""Classifier-free guidance: two predictions, with and without the prompt, drawn apart."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Predict = Callable[[Tensor, str], Tensor]
"""(latents, name of the text branch) -> velocity, both of the same shape."""

POSITIVE, NEGATIVE, BOTH = "positive", "negative", "both"


def guided(predict: Predict, latents: Tensor, *, cfg_scale: float, merge: bool) -> Tensor:
    """The velocity ``negative + cfg_scale * (positive - negative)``, float32.

    Args:
        predict: the network; `BOTH` asks for the two branches as one batch, positive first.
        latents: (B, C, T, H, W).
        cfg_scale: 1 leaves the negative pass out.
        merge: run the two branches as one batch: quicker on a device with room to spare, and equal up to the order
            in which its kernels add.
    """
    if cfg_scale == 1:
        return predict(latents, POSITIVE).float()
    if merge:
        positive, negative = predict(torch.cat([latents, latents]), BOTH).float().chunk(2)
    else:
        positive = predict(latents, POSITIVE).float()
        negative = predict(latents, NEGATIVE).float()
    return negative + cfg_scale * (positive - negative)
