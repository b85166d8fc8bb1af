"""The VAE of Wan 2.2 against diffusers' AutoencoderKLWan, on the same small random weights."""

from __future__ import annotations

import pytest
import torch

from diffsynth.core.loader import model_hash
from diffsynth.models.wan_video_vae import WanVideoVAE
from diffsynth.models.wan_video_vae38 import DEVIATION, MEAN, WanVideoVAE38
from tests.diffsynth.models.vae38_oracle import peer_of

STATISTICS = torch.tensor([MEAN, DEVIATION]).view(2, 1, -1, 1, 1, 1)
SIZES = [(1, 32, 48), (5, 48, 32), (13, 32, 64)]


@pytest.fixture(scope="module")
def vae() -> WanVideoVAE38:
    torch.manual_seed(0)
    vae = WanVideoVAE38(8, 12).eval().requires_grad_(False)
    for name, parameter in vae.named_parameters():
        if name.endswith("gamma"):
            parameter.normal_(1, 0.2)  # all ones would hide a gamma left out
    return vae


@pytest.fixture(scope="module")
def peer(vae):
    return peer_of(vae)


def random_video(frames, height, width):
    return torch.rand(1, 3, frames, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def random_latents(frames, height, width):
    return torch.randn(1, 48, frames, height, width, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("size", SIZES)
def test_encode_agrees_with_diffusers(vae, peer, size):
    mean, deviation = STATISTICS
    video = random_video(*size)
    found = vae.encode(video)
    assert found.shape == (1, 48, (size[0] - 1) // 4 + 1, size[1] // 16, size[2] // 16)
    expected = (peer.encode(video).latent_dist.mode() - mean) / deviation
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert found.std() > 0.05  # else the bound says nothing


@pytest.mark.parametrize("size", SIZES)
def test_decode_agrees_with_diffusers(vae, peer, size):
    mean, deviation = STATISTICS
    latents = random_latents((size[0] - 1) // 4 + 1, size[1] // 16, size[2] // 16)
    found = vae.decode(latents)
    assert found.shape == (1, 3, *size)
    torch.testing.assert_close(found, peer.decode(latents * deviation + mean).sample, rtol=0, atol=1e-5)
    assert found.std() > 0.05


def test_frames_on_their_own(vae):
    video = random_video(3, 32, 32)
    frames = torch.cat([vae.encode(frame) for frame in video.split(1, dim=2)], dim=2)
    torch.testing.assert_close(vae.encode(video, framewise=True), frames, rtol=0, atol=1e-5)
    pictures = torch.cat([vae.decode(latent) for latent in frames.split(1, dim=2)], dim=2)
    torch.testing.assert_close(vae.decode(frames, framewise=True), pictures, rtol=0, atol=1e-5)


def test_tiles_cover_the_picture(vae):
    latents = random_latents(2, 4, 6)
    tiled = vae.decode(latents, tiled=True, tile_size=(3, 4), tile_stride=(2, 2))
    assert tiled.shape == (1, 3, 5, 64, 96)
    first = vae.decode(latents[..., :3, :4])  # alone in its outer two rows and columns
    torch.testing.assert_close(tiled[..., :32, :32], first[..., :32, :32], rtol=0, atol=1e-5)
    one_tile = vae.decode(latents, tiled=True, tile_size=(4, 6), tile_stride=(2, 2))
    assert torch.equal(one_tile, vae.decode(latents))


def test_a_size_that_does_not_fit(vae):
    with pytest.raises(ValueError, match="multiples of 16"):
        vae.encode(random_video(5, 24, 32))


def test_the_published_file():
    with torch.device("meta"):
        state_dict = WanVideoVAE38().state_dict()
        older = WanVideoVAE(8).state_dict()
    assert model_hash(state_dict) == "e1de6c02cdac79f8b739f4d3698cd216"
    shapes = {key: tuple(tensor.shape) for key, tensor in state_dict.items()}
    assert WanVideoVAE38.kwargs_from_shapes(shapes) == {
        "dim": 160, "decoder_dim": 256, "z_dim": 48, "num_res_blocks": 2,
    }  # fmt: skip
    assert WanVideoVAE38.recognises(state_dict.keys())
    assert not WanVideoVAE38.recognises(older.keys())
    assert not WanVideoVAE.recognises(state_dict.keys())
