"""Classifier-free guidance: two predictions, with and without the prompt, drawn apart."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from diffsynth.core.parallel.group import Group

Predict = Callable[[Tensor, str], Tensor]
"""(latents, name of the text branch) -> velocity, both of the same shape."""

POSITIVE, NEGATIVE, BOTH = "positive", "negative", "both"


def branch_prompts(prompt: str, negative_prompt: str, cfg_scale: float) -> dict[str, str]:
    """The prompts to encode for one result, by branch; without guidance there is no negative one.

    Raises:
        ValueError: one of them is no string.
    """
    prompts = {POSITIVE: prompt} if cfg_scale == 1 else {POSITIVE: prompt, NEGATIVE: negative_prompt}
    for name, text in prompts.items():
        if not isinstance(text, str):
            raise ValueError(f"the {name} prompt is a {type(text).__name__}: expected one string")
    return prompts


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
        positive, negative = (predict(latents, branch).float() for branch in (POSITIVE, NEGATIVE))
    return negative + cfg_scale * (positive - negative)


def guided_apart(predict: Predict, latents: Tensor, *, cfg_scale: float, group: Group) -> Tensor:
    """The same, each branch on devices of its own: the first of the group runs the positive one, the second the other.

    At a `cfg_scale` of 1 both run the positive one.
    """
    if cfg_scale == 1:
        return predict(latents, POSITIVE).float()
    positive, negative = group.gather(predict(latents, (POSITIVE, NEGATIVE)[group.index]).float())
    return negative + cfg_scale * (positive - negative)
