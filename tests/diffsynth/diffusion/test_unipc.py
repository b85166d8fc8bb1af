"""UniPC's steps, against diffusers' UniPCMultistepScheduler, in a walk and in whole pipelines."""

import re

import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler as Theirs

from diffsynth.diffusion.flow_match import DynamicShiftScheduler, FlowMatchEulerDiscreteScheduler, FlowMatchScheduler
from diffsynth.diffusion.unipc import UniPCMultistepScheduler

# Both compute in float32, and diffusers the factors too, which logarithms of the noise levels make less exact.
BOUND = 1e-5


def walk(step, count):
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, 3, 4, generator=generator)
    mixing = torch.randn(4, 4, generator=generator)
    for index in range(count):
        latents = step(torch.tanh(latents @ mixing) * (1 + 0.3 * np.sin(index)), index, latents)
    return latents


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("solver_type", ["bh1", "bh2"])
@pytest.mark.parametrize("uncorrected", [[], [0, 2]])
def test_a_walk_is_that_of_diffusers(order, solver_type, uncorrected):
    settings = {"solver_order": order, "solver_type": solver_type, "disable_corrector": uncorrected}
    for count, strength in ((1, 1.0), (2, 0.6), (3, 1.0), (10, 0.6), (30, 1.0)):
        ours = UniPCMultistepScheduler(**settings)
        ours.set_timesteps(count, denoising_strength=strength, shift=3.0)
        theirs = Theirs(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0, **settings)
        theirs.set_timesteps(sigmas=np.linspace(strength, 0, count + 1)[:-1])
        torch.testing.assert_close(ours.sigmas, theirs.sigmas[:-1], rtol=0, atol=1e-6)
        # The last step, to no noise at all, is NaN in diffusers 0.42.1 with bh1, which multiplies infinity by 0.
        known = count - 1 if solver_type == "bh1" else count
        expected = walk(lambda v, i, x, it=theirs: it.step(v, it.timesteps[i], x).prev_sample, known)
        torch.testing.assert_close(walk(ours.step, known), expected, rtol=0, atol=BOUND)


def test_few_steps_come_nearer_to_the_flow_than_eulers():
    """The flow of standard normal samples to a Gaussian of width 0.5, whose velocity and end are known."""
    noise = torch.randn(100, generator=torch.Generator().manual_seed(0))
    ends = []
    for scheduler in (UniPCMultistepScheduler(), FlowMatchScheduler()):
        scheduler.set_timesteps(8, shift=1.0)
        latents = noise
        for index in range(8):
            sigma = scheduler.sigmas[index].item()
            variance = (0.5 * (1 - sigma)) ** 2 + sigma**2
            latents = scheduler.step(latents * (sigma - 0.25 * (1 - sigma)) / variance, index, latents)
        ends.append((latents - 0.5 * noise).abs().max().item())
    assert ends[0] < 0.2 * ends[1]


@pytest.mark.parametrize("settings", [{"lower_order_final": False}, {"solver_type": "bh1"}], ids=str)
def test_the_last_step_ends_in_the_clean_sample_it_predicts(settings):
    scheduler = UniPCMultistepScheduler(**settings)
    scheduler.set_timesteps(5)
    assert torch.isfinite(walk(scheduler.step, 5)).all()


def test_noise_levels_go_from_one_kind_to_another():
    for own in (FlowMatchScheduler(), DynamicShiftScheduler()):
        swapped = UniPCMultistepScheduler.from_config(own.config, solver_order=3)
        assert swapped.solver_order == 3
        for scheduler in (own, swapped):
            scheduler.set_timesteps(5, denoising_strength=0.7)
        assert torch.equal(swapped.sigmas, own.sigmas)
        back = FlowMatchEulerDiscreteScheduler.from_config(swapped.config)
        assert back.config is own.config


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UniPCMultistepScheduler(solver_order=0), "solver_order=0: expected a whole number, at least 1"),
        (lambda: UniPCMultistepScheduler(solver_type="heun"), "solver_type='heun': expected 'bh1' or 'bh2'"),
        (
            lambda: UniPCMultistepScheduler.from_config(FlowMatchScheduler().config, flow_shift=3.0),
            "UniPCMultistepScheduler has no setting 'flow_shift': it has solver_order, solver_type, lower_order_final, "
            "disable_corrector; what shifts the noise levels is a keyword of the call",
        ),
    ],
)
def test_settings_that_there_are_not(make, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        make()
