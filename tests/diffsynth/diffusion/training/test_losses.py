"""The losses against formulas written out, and against diffusers' transformer on the same tensors."""

import math

import pytest
import torch

from diffsynth.diffusion.flow_match import FlowMatchScheduler
from diffsynth.diffusion.training.errors import TrainingError
from diffsynth.diffusion.training.tasks import FlowMatchLoss, rollout_loss
from diffsynth.models.wan_video_dit import WanModel
from tests.diffsynth.pipelines import diffusers_oracle as oracle


@pytest.fixture(scope="module")
def dit():
    torch.manual_seed(0)
    return WanModel(dim=256, ffn_dim=256, num_heads=2, num_layers=2, text_dim=16).eval()


@pytest.fixture
def clean():
    return torch.randn(2, 16, 2, 4, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def context():
    return torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(2))


def schedule_of(steps=1000):
    schedule = FlowMatchScheduler()
    schedule.set_timesteps(steps)
    return schedule


def sigma_of(level, shift=5.0):
    even = 1 - level / 1000
    return shift * even / (1 + (shift - 1) * even)


def weight_of(level):
    bells = [math.exp(-2 * ((1000 * sigma_of(one) - 500) / 1000) ** 2) for one in range(1000)]
    lifted = [bell - min(bells) for bell in bells]
    return lifted[level] / (sum(lifted) / 1000)


def test_of_one_batch_is_the_formula_with_the_transformer_of_diffusers(dit, clean, context):
    theirs = oracle.transformer(dit)
    draws = torch.Generator().manual_seed(7)
    levels = torch.randint(0, 1000, (2,), generator=draws).tolist()
    noise = torch.randn(clean.shape, generator=draws)
    expected = 0.0
    with torch.no_grad():
        for one, level in enumerate(levels):
            sigma = sigma_of(level)
            noisy = (1 - sigma) * clean[one : one + 1] + sigma * noise[one : one + 1]
            timestep = torch.tensor([1000 * sigma])
            velocity = theirs(noisy, timestep, context[one : one + 1], return_dict=False)[0]
            error = (velocity - (noise - clean)[one : one + 1]).double().square().mean().item()
            expected += weight_of(level) * error / 2
        found = FlowMatchLoss(schedule_of())(
            lambda latents, timestep: dit(latents, timestep, context), clean, torch.Generator().manual_seed(7)
        )
    assert found.item() == pytest.approx(expected, rel=2e-5)


def test_its_gradients_are_those_of_diffusers(dit, clean, context):
    theirs = oracle.transformer(dit)

    def gradient(network, name, call):
        loss = FlowMatchLoss(schedule_of())(call, clean, torch.Generator().manual_seed(7))
        network.zero_grad()
        loss.backward()
        return dict(network.named_parameters())[name].grad

    ours = gradient(dit, "blocks.0.self_attn.q.weight", lambda latents, time: dit(latents, time, context))
    other = gradient(
        theirs,
        "blocks.0.attn1.to_q.weight",
        lambda latents, time: theirs(latents, time, context, return_dict=False)[0],
    )
    dit.zero_grad()
    torch.testing.assert_close(ours, other, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("boundaries", "levels"), [((0, 0.417), range(417)), ((0.417, 1), range(417, 1000))])
def test_an_expert_learns_its_own_side(clean, boundaries, levels):
    seen = []
    loss = FlowMatchLoss(schedule_of(), *boundaries)
    for seed in range(200):
        loss(lambda latents, time: seen.append(time) or latents, clean[:1], torch.Generator().manual_seed(seed))
    highest, lowest = 1000 * sigma_of(levels[0]), 1000 * sigma_of(levels[-1])
    times = torch.cat(seen)
    assert lowest - 1e-3 <= times.min() < lowest + 0.1 * (highest - lowest)
    assert highest - 0.1 * (highest - lowest) < times.max() <= highest + 1e-3
    assert 1000 * sigma_of(417) == pytest.approx(875, abs=0.3)


def test_a_perfect_network_has_no_loss(clean):
    def velocity(latents, timestep):
        sigma = (timestep / 1000).view(-1, 1, 1, 1, 1)
        return (latents - clean) / sigma

    assert FlowMatchLoss(schedule_of(), 0, 0.9)(velocity, clean, torch.Generator().manual_seed(0)) < 1e-8


def test_a_rollout_that_walks_straight_ends_at_the_clean_latents(clean):
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(3))
    steps = []

    def velocity(latents, timestep):
        steps.append(timestep.tolist())
        return noise - clean

    assert rollout_loss(velocity, clean, noise, schedule_of(2)) < 1e-10
    assert steps == [[1000.0] * 2, [pytest.approx(833.3333)] * 2]
    stays = rollout_loss(lambda latents, timestep: torch.zeros_like(latents), clean, noise, schedule_of(2))
    assert stays.item() == pytest.approx((noise - clean).square().mean().item())


def test_gradients_go_through_every_step_of_a_rollout(clean):
    gain = torch.ones(3, requires_grad=True)
    calls = iter(range(3))
    rollout_loss(lambda latents, time: latents * gain[next(calls)], clean, 2 * clean, schedule_of(3)).backward()
    assert (gain.grad != 0).all()


@pytest.mark.parametrize("boundaries", [(0.5, 0.5), (-0.1, 1), (0, 1.1), (0.9, 0.2)])
def test_boundaries_that_leave_nothing(boundaries):
    with pytest.raises(
        TrainingError, match=r"--min_timestep_boundary .* and --max_timestep_boundary .*: expected two num"
    ):
        FlowMatchLoss(schedule_of(), *boundaries)
