"""The VAE of Wan 2.2 against diffusers' AutoencoderKLWan, on the same small random weights."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKLWan

from diffsynth.core.loader import model_hash
from diffsynth.models.wan_video_vae import WanVideoVAE
from diffsynth.models.wan_video_vae38 import DEVIATION, MEAN, WanVideoVAE38

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
    peer = AutoencoderKLWan(
        base_dim=8,
        decoder_base_dim=12,
        z_dim=48,
        latents_mean=list(MEAN),
        latents_std=list(DEVIATION),
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
    )
    peer.load_state_dict({theirs(key): tensor for key, tensor in vae.state_dict().items()})
    return peer.eval().requires_grad_(False)


_TOP = {"conv1": "quant_conv", "conv2": "post_quant_conv"}
_ENDS = {"conv1": "conv_in", "head.0": "norm_out", "head.2": "conv_out"}
_MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
_LAYERS = {
    "residual.0": "norm1", "residual.2": "conv1", "residual.3": "norm2", "residual.6": "conv2",
    "shortcut": "conv_shortcut",
}  # fmt: skip


def theirs(key: str) -> str:
    """What diffusers calls a parameter."""
    name, _, parameter = key.rpartition(".")
    if name in _TOP:
        return f"{_TOP[name]}.{parameter}"
    side, _, rest = name.partition(".")
    if rest in _ENDS:
        return f"{side}.{_ENDS[rest]}.{parameter}"
    part, place, rest = rest.split(".", 2)
    if part == "middle":
        return f"{side}.mid_block.{_MIDDLE[place]}.{_LAYERS.get(rest, rest)}.{parameter}"
    down = part == "downsamples"
    _, number, rest = rest.split(".", 2)
    if rest.startswith(("resample", "time_conv")):
        return f"{side}.{'down' if down else 'up'}_blocks.{place}.{'down' if down else 'up'}sampler.{rest}.{parameter}"
    block = f"{side}.{'down' if down else 'up'}_blocks.{place}.resnets.{number}"
    return f"{block}.{_LAYERS[rest]}.{parameter}"


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
