"""Noise that a script draws itself at full size is cut to what its call is cut to."""

from __future__ import annotations

import pytest
import torch

from script_trial.adapters.diffsynth_port.smaller import smaller_call


@pytest.mark.parametrize(
    ("size", "shape", "small"),
    [
        ((480, 832), (1, 16, 21, 60, 104), (1, 16, 2, 4, 6)),  # Wan
        ((1328, 1328), (1, 16, 166, 166), (1, 16, 4, 6)),  # Qwen-Image
    ],
)
def test_a_corner_is_taken(size: tuple[int, int], shape: tuple[int, ...], small: tuple[int, ...]) -> None:
    def call(
        pipe: object, height: int = 0, width: int = 0, num_frames: int = 0, num_inference_steps: int = 50,
        latents: torch.Tensor | None = None,
    ) -> torch.Tensor | None:  # fmt: skip
        return latents

    smaller = smaller_call(call, lambda _: None)
    given = torch.randn(shape)
    latents = smaller(None, height=size[0], width=size[1], latents=given)
    assert latents.shape == small
    assert torch.equal(latents.flatten(), given[tuple(slice(end) for end in small)].flatten())
    assert smaller(None, height=size[0], width=size[1]) is None
