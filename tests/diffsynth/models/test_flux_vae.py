"""FLUX's autoencoder: diffusers' numbers on the same weights, and the names and shapes of the published file."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL

from diffsynth.core.loader.detection import model_hash
from diffsynth.models.flux_vae import SCALE, SHIFT, FluxVAE


@pytest.fixture(scope="module")
def ours():
    torch.manual_seed(0)
    made = FluxVAE(dim=32).eval().requires_grad_(False)
    for parameter in made.parameters():
        if parameter.ndim == 1:
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made


@pytest.fixture(scope="module")
def theirs(ours):
    kinds = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
    model = AutoencoderKL(
        **kinds,
        block_out_channels=[32, 64, 128, 128],
        layers_per_block=2,
        latent_channels=16,
        norm_num_groups=32,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=SCALE,
        shift_factor=SHIFT,
    ).eval()
    model.load_state_dict(ours.state_dict())
    return model


@pytest.mark.parametrize("size", [(8, 8), (40, 24)])
@torch.no_grad()
def test_equal_to_diffusers(ours, theirs, size):
    generator = torch.Generator().manual_seed(1)
    picture = torch.rand(2, 3, *size, generator=generator) * 2 - 1
    expected = (theirs.encode(picture).latent_dist.mean - SHIFT) * SCALE
    found = ours.encode(picture)
    assert expected.std() > 0.05
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    latents = torch.randn(found.shape, generator=generator)
    decoded = theirs.decode(latents / SCALE + SHIFT).sample
    assert decoded.std() > 0.1
    torch.testing.assert_close(ours.decode(latents), decoded, rtol=0, atol=1e-5)


def shapes(**sizes):
    with torch.device("meta"):
        return {key: tensor.shape for key, tensor in FluxVAE(**sizes).state_dict().items()}


def test_published_hash():
    with torch.device("meta"):
        published = FluxVAE().state_dict()
    assert len(published) == 244
    assert model_hash(published) == "1aafa3cc91716fb6b300cc1cd51b85a3"


def test_sizes_are_read_from_the_shapes():
    found = shapes(dim=8)
    assert FluxVAE.recognises(found.keys())
    assert FluxVAE.kwargs_from_shapes(found) == {"dim": 8, "z_dim": 16}
    assert not FluxVAE.recognises(found.keys() | {"quant_conv.weight"})  # Stable Diffusion's
    assert not FluxVAE.recognises({key for key in found if not key.startswith("encoder.")})
