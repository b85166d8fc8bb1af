"""Qwen-Image's schedule, against diffusers' FlowMatchEulerDiscreteScheduler in its published configuration."""

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from diffsynth.diffusion.flow_match import DynamicShiftScheduler, exponentially_shifted_sigmas, shift_of


def theirs(steps, mu, strength=1.0):
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, shift_terminal=0.02, time_shift_type="exponential"
    )
    scheduler.set_timesteps(sigmas=np.linspace(strength, 0, steps + 1)[:-1], mu=mu)
    return scheduler


@pytest.mark.parametrize("steps", [2, 7, 40])
@pytest.mark.parametrize("strength", [1.0, 0.7])
@pytest.mark.parametrize("tokens", [256, 4096, 6889])
def test_grid_equals_diffusers(steps, strength, tokens):
    ours = DynamicShiftScheduler()
    ours.set_timesteps(steps, denoising_strength=strength, dynamic_shift_len=tokens)
    expected = theirs(steps, shift_of(tokens), strength)
    torch.testing.assert_close(ours.sigmas, expected.sigmas[:-1], rtol=0, atol=1e-6)
    torch.testing.assert_close(ours.timesteps, expected.timesteps, rtol=0, atol=1e-3)


def test_the_shift_follows_the_size():
    assert shift_of(256) == pytest.approx(0.5)
    assert shift_of(8192) == pytest.approx(0.9)
    assert shift_of(83 * 83) == pytest.approx(0.5 + 0.4 * (6889 - 256) / (8192 - 256))


def test_the_last_level_is_fixed_and_a_single_one_stays():
    assert exponentially_shifted_sigmas(30, mu=0.7)[[0, -1]].tolist() == pytest.approx([1.0, 0.02])
    assert exponentially_shifted_sigmas(1, mu=0.7).tolist() == [1.0]
    assert exponentially_shifted_sigmas(1, mu=0.7, start=0.5).tolist() == pytest.approx([0.02])


def test_without_a_size_it_is_the_shift_of_training():
    ours = DynamicShiftScheduler()
    ours.set_training_timesteps()
    assert len(ours.sigmas) == 1000
    torch.testing.assert_close(ours.sigmas, exponentially_shifted_sigmas(1000, mu=0.8))
    assert ours.training_weights().mean() == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_inference_steps": 0}, "num_inference_steps=0: expected a whole number, at least 1"),
        ({"num_inference_steps": 4, "denoising_strength": 0}, "denoising_strength=0: expected a number above 0"),
        ({"num_inference_steps": 4, "exponential_shift_mu": float("nan")}, "exponential_shift_mu=nan: expected"),
    ],
)
def test_values_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        DynamicShiftScheduler().set_timesteps(**options)
