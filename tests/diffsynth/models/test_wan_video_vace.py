"""VACE against diffusers on the same weights, in the DiT that it guides."""

from __future__ import annotations

import pytest
import torch
from diffusers import WanVACETransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

from diffsynth.models.wan_video_dit import TextCache, WanModel
from diffsynth.models.wan_video_vace import Vace, VaceWanModel

SIZES = {"dim": 256, "ffn_dim": 320, "num_heads": 2}
DIT = {**SIZES, "num_layers": 5, "text_dim": 48}


def random(model, seed):
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
        elif "modulation" in name:
            parameter.data.copy_(torch.randn_like(parameter) * 0.3)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def dit():
    torch.manual_seed(0)
    return random(WanModel(**DIT), 1)


@pytest.fixture(scope="module")
def vace():
    torch.manual_seed(2)
    return random(VaceWanModel(**SIZES, num_layers=2), 3)


@pytest.fixture(scope="module")
def peer(dit, vace):
    theirs = WanVACETransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=128,
        text_dim=48,
        ffn_dim=320,
        num_layers=5,
        vace_layers=[0, 2],
        vace_in_channels=96,
    )
    together = {key: value.clone() for model in (dit, vace) for key, value in model.state_dict().items()}
    theirs.load_state_dict(convert_wan_transformer_to_diffusers(together))
    return theirs.eval().requires_grad_(False)


@pytest.fixture
def given():
    torch.manual_seed(4)
    return torch.randn(2, 16, 3, 6, 8), torch.tensor([833.3, 41.7]), torch.randn(2, 11, 48)


@pytest.mark.parametrize("with_cache", [False, True], ids=["plain", "text cache"])
@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_equal_to_diffusers(dit, vace, peer, given, scale, with_cache):
    context = torch.randn(1, 96, 3, 6, 8)
    guide = Vace({dit: vace}, context, scale)
    cache = TextCache() if with_cache else None
    if cache:
        dit(given[0] * 2, given[1] - 7, given[2], guide=guide, text_cache=cache)
    found = dit(*given, guide=guide, text_cache=cache)
    expected = peer(
        *given,
        control_hidden_states=context.expand(2, -1, -1, -1, -1),
        control_hidden_states_scale=torch.full((2,), scale),
        return_dict=False,
    )[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-5)
    assert (found - dit(*given)).abs().max() > 0.01


def test_gradients_through_checkpoints_are_the_same(dit, vace, given):
    found = []
    for checkpointing in (False, True):
        context = torch.randn(1, 96, 3, 6, 8, generator=torch.Generator().manual_seed(5)).requires_grad_()
        guide = Vace({dit: vace}, context)
        dit(*given, guide=guide, use_gradient_checkpointing=checkpointing).square().mean().backward()
        found.append(context.grad)
    assert found[0].abs().max() > 0
    assert torch.equal(*found)


def test_a_context_that_does_not_fit(dit, vace, given):
    with pytest.raises(ValueError, match="VACE's context has 32 channels, expected 96"):
        dit(*given, guide=Vace({dit: vace}, torch.randn(1, 32, 3, 6, 8)))
    with pytest.raises(ValueError, match="VACE's context makes 48 tokens, and the video has 36"):
        dit(*given, guide=Vace({dit: vace}, torch.randn(1, 96, 4, 6, 8)))
