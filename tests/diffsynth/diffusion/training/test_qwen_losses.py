"""What Qwen-Image minimises, against formulas written out, and diffusers' transformer on the same tensors."""

import itertools
import math

import pytest
import torch

from diffsynth.diffusion.training.run_task import family_parser
from diffsynth.diffusion.training.tasks import Distillation, SupervisedFineTuning
from diffsynth.families.qwen_image import FAMILY
from diffsynth.families.qwen_image.training import QwenImageTraining
from diffsynth.models.layers import patches
from diffsynth.models.qwen_image_dit import QwenImageDiT
from diffsynth.pipelines.qwen_image import QwenImagePipeline
from tests.diffsynth.pipelines import qwen_oracle as oracle


@pytest.fixture(scope="module")
def dit():
    torch.manual_seed(0)
    return QwenImageDiT(num_layers=2, num_heads=2, text_dim=16).eval()


@pytest.fixture(scope="module")
def task_of():
    """task_of(kind, *flags): a task of the training script, on a pipeline without networks."""

    def make(kind, *flags):
        args = family_parser(FAMILY, "").parse_args(["--dataset_base_path", ".", *flags])
        return kind(QwenImageTraining(QwenImagePipeline("cpu", torch.float32), args), args)

    return make


@pytest.fixture
def inputs():
    """Two samples: latents, prompts, and two pictures to edit for each, of sizes of their own."""
    draws = torch.Generator().manual_seed(1)
    sizes = {"latents": (8, 12), "edit_latents_00": (4, 6), "edit_latents_01": (10, 4), "noise": (8, 12)}
    pictures = {name: torch.randn(2, 16, *size, generator=draws) for name, size in sizes.items()}
    texts = {name: torch.randn(2, 9, 16, generator=draws) for name in ("positive", "negative")}
    return {**pictures, **texts}


def theirs_of(network, latents, timestep, inputs, branch="positive"):
    """diffusers' velocity, (B, C, H, W)."""
    given = [latents, inputs["edit_latents_00"], inputs["edit_latents_01"]]
    grids = [(1, one.shape[2] // 2, one.shape[3] // 2) for one in given]
    velocity = network(
        torch.cat([patches(one) for one in given], dim=1),
        inputs[branch],
        timestep=timestep / 1000,
        img_shapes=[grids] * len(latents),
        return_dict=False,
    )[0]
    _, rows, columns = grids[0]
    cells = velocity[:, : rows * columns].view(len(latents), rows, columns, 16, 2, 2)
    return cells.permute(0, 3, 1, 4, 2, 5).reshape(latents.shape)


def sigmas_of(steps, mu):
    """Evenly spaced, shifted by e^mu, and stretched away from 1 so that the last is 0.02."""
    shifted = [math.exp(mu) / (math.exp(mu) + steps / (steps - one) - 1) for one in range(steps)]
    stretch = (1 - 0.02) / (1 - shifted[-1])
    return [1 - (1 - sigma) * stretch for sigma in shifted]


def weight_of(level, sigmas):
    bells = [math.exp(-2 * ((1000 * sigma - 500) / 1000) ** 2) for sigma in sigmas]
    lifted = [bell - min(bells) for bell in bells]
    return lifted[level] / (sum(lifted) / len(lifted))


@torch.no_grad()
def test_of_one_batch_is_the_formula_with_the_transformer_of_diffusers(dit, task_of, inputs):
    theirs, sigmas = oracle.transformer(dit), sigmas_of(1000, mu=0.8)
    draws, clean = torch.Generator().manual_seed(7), inputs["latents"]
    levels = torch.randint(0, 1000, (2,), generator=draws).tolist()
    noise = torch.randn(clean.shape, generator=draws)
    sigma = torch.tensor([sigmas[level] for level in levels])
    noisy = (1 - sigma.view(2, 1, 1, 1)) * clean + sigma.view(2, 1, 1, 1) * noise
    velocity = theirs_of(theirs, noisy, 1000 * sigma, inputs)
    errors = (velocity - (noise - clean)).double().square().mean((1, 2, 3)).tolist()
    expected = sum(weight_of(level, sigmas) * error / 2 for level, error in zip(levels, errors, strict=True))
    found = task_of(SupervisedFineTuning).loss(dit, inputs, torch.Generator().manual_seed(7))
    assert found.item() == pytest.approx(expected, rel=2e-5)


@torch.no_grad()
def test_a_rollout_walks_the_noise_levels_of_a_generation_of_that_size(dit, task_of, inputs):
    """24 tokens: mu lies on the line through 0.5 at 256 and 0.9 at 8192."""
    theirs, sigmas = oracle.transformer(dit), [*sigmas_of(3, mu=0.5 + 0.4 * (24 - 256) / (8192 - 256)), 0.0]
    latents = inputs["noise"]
    for sigma, following in itertools.pairwise(sigmas):
        timestep = torch.tensor([1000 * sigma] * 2)
        positive, negative = (theirs_of(theirs, latents, timestep, inputs, one) for one in ("positive", "negative"))
        latents = latents + (following - sigma) * (negative + 1.5 * (positive - negative))
    expected = (latents - inputs["latents"]).square().mean().item()
    called = {"num_inference_steps": torch.tensor([3, 3]), "cfg_scale": torch.tensor([1.5, 1.5])}
    found = task_of(Distillation, "--task", "direct_distill").loss(dit, {**inputs, **called}, torch.Generator())
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_checkpointing_changes_no_gradient(dit, task_of, inputs):
    def gradients(*flags):
        dit.zero_grad()
        task_of(SupervisedFineTuning, *flags).loss(dit, inputs, torch.Generator().manual_seed(7)).backward()
        return {name: parameter.grad for name, parameter in dit.named_parameters() if parameter.grad is not None}

    plain = gradients()
    assert plain["time_text_embed.timestep_embedder.linear_1.weight"].abs().max() > 0
    for flag in ("--use_gradient_checkpointing", "--use_gradient_checkpointing_offload"):
        found = gradients(flag)
        assert found.keys() == plain.keys()
        assert all(torch.equal(found[name], gradient) for name, gradient in plain.items())
