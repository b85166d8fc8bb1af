"""The schedule and its Euler step, against diffusers' FlowMatchEulerDiscreteScheduler and the published figures."""

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from diffsynth.diffusion.flow_match import FlowMatchScheduler, shifted_sigmas


def test_two_steps_are_the_published_sigmas():
    assert shifted_sigmas(2, shift=5.0).tolist() == pytest.approx([1.0, 0.83333], abs=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 7, 50])
@pytest.mark.parametrize("strength", [1.0, 0.7])
def test_grid_equals_diffusers(steps, strength):
    ours = FlowMatchScheduler()
    ours.set_timesteps(steps, denoising_strength=strength, shift=5.0)
    theirs = FlowMatchEulerDiscreteScheduler(shift=5.0)
    theirs.set_timesteps(sigmas=np.linspace(strength, 0, steps + 1)[:-1])
    torch.testing.assert_close(ours.sigmas, theirs.sigmas[:-1], rtol=0, atol=1e-6)
    torch.testing.assert_close(ours.timesteps, theirs.timesteps, rtol=0, atol=1e-3)


def test_a_whole_walk_equals_diffusers():
    ours, theirs = FlowMatchScheduler(), FlowMatchEulerDiscreteScheduler(shift=3.0)
    ours.set_timesteps(6, shift=3.0)
    theirs.set_timesteps(sigmas=np.linspace(1, 0, 7)[:-1])
    mine = yours = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    for index in range(6):
        velocity = mine * 0.3 + index
        mine = ours.step(velocity, index, mine)
        yours = theirs.step(velocity, theirs.timesteps[index], yours).prev_sample
    torch.testing.assert_close(mine, yours, rtol=0, atol=1e-5)


def test_a_perfect_velocity_leads_to_the_clean_sample():
    scheduler = FlowMatchScheduler()
    scheduler.set_timesteps(4, denoising_strength=0.6)
    clean, noise = torch.randn(2, 8).unbind()
    latents = scheduler.add_noise(clean, noise, 0)
    for index in range(4):
        latents = scheduler.step(noise - clean, index, latents)
    torch.testing.assert_close(latents, clean, rtol=0, atol=1e-5)


def test_everything_stays_float32():
    scheduler = FlowMatchScheduler()
    scheduler.set_timesteps(100)
    assert scheduler.timesteps.dtype == torch.float32
    assert len(scheduler.timesteps.unique()) == 100
    latents = scheduler.step(torch.ones(3, dtype=torch.bfloat16), 0, torch.zeros(3))
    assert latents.dtype == torch.float32


def test_training_weights_are_a_bell_of_mean_one():
    scheduler = FlowMatchScheduler()
    scheduler.set_training_timesteps()
    weights = scheduler.training_weights()
    assert weights.mean().item() == pytest.approx(1, abs=1e-5)
    assert weights.min().item() == 0
    assert scheduler.timesteps[weights.argmax()].item() == pytest.approx(500, abs=2)


def test_the_boundary_of_the_two_experts_is_where_it_was_published():
    scheduler = FlowMatchScheduler()
    scheduler.set_training_timesteps()
    assert scheduler.sigmas[417].item() == pytest.approx(0.875, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_inference_steps": 0}, "num_inference_steps=0: expected a whole number, at least 1"),
        ({"num_inference_steps": 2.5}, "num_inference_steps=2.5: expected a whole number"),
        ({"num_inference_steps": 2, "denoising_strength": 1.2}, "denoising_strength=1.2: expected a number above 0"),
        ({"num_inference_steps": 2, "denoising_strength": 0}, "denoising_strength=0: expected a number above 0"),
        ({"num_inference_steps": 2, "shift": 0}, "sigma_shift=0: expected a number above 0"),
    ],
)
def test_values_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        FlowMatchScheduler().set_timesteps(**options)
