"""The Qwen-Image VAE: diffusers' numbers on the same weights, and the names and shapes of the published file."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKLQwenImage

from diffsynth.core.loader.detection import model_hash
from diffsynth.models.qwen_image_vae import QwenImageVAE
from diffsynth.models.wan_video_vae import WanVideoVAE


@pytest.fixture(scope="module", params=[3, 4], ids=["RGB", "RGBA"])
def ours(request):
    torch.manual_seed(0)
    vae = QwenImageVAE(8, image_channels=request.param).eval().requires_grad_(False)
    for parameter in vae.parameters():
        if parameter.ndim != 5:
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return vae


@pytest.fixture(scope="module")
def theirs(ours):
    vae = AutoencoderKLQwenImage(base_dim=8, input_channels=ours.image_channels).eval().requires_grad_(False)
    vae.load_state_dict({ours.file_key(key): value for key, value in ours.state_dict().items()})
    return vae


def statistics(vae):
    return (torch.tensor(values).view(1, -1, 1, 1, 1) for values in (vae.config.latents_mean, vae.config.latents_std))


def test_encoding_is_that_of_diffusers(ours, theirs):
    picture = torch.rand(1, ours.image_channels, 1, 48, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    mean, deviation = statistics(theirs)
    expected = (theirs.encode(picture).latent_dist.mode() - mean) / deviation
    torch.testing.assert_close(ours.encode(picture), expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.05


def test_decoding_is_that_of_diffusers(ours, theirs):
    latents = torch.randn(1, 16, 1, 6, 8, generator=torch.Generator().manual_seed(1))
    mean, deviation = statistics(theirs)
    expected = theirs.decode(latents * deviation + mean).sample
    found = ours.decode(latents)
    assert found.shape == (1, ours.image_channels, 1, 48, 64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.05


def test_tiles_stay_close_to_the_whole(ours):
    picture = torch.rand(1, ours.image_channels, 1, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    latents = ours.encode(picture)
    tiled = ours.encode(picture, tiled=True, tile_size=(6, 6), tile_stride=(4, 4))
    assert tiled.shape == latents.shape
    assert not torch.equal(tiled, latents)
    assert torch.equal(ours.encode(picture, tiled=True, tile_size=(8, 8), tile_stride=(4, 4)), latents)


@pytest.mark.parametrize(
    ("image_channels", "published_hash"),
    [(3, "ed4ea5824d55ec3107b09815e318123a"), (4, "44b39ddc499e027cfb24f7878d7416b9")],
    ids=["Qwen-Image", "Qwen-Image-Layered"],
)
def test_published_hash(image_channels, published_hash):
    with torch.device("meta"):
        state = QwenImageVAE(image_channels=image_channels).state_dict()
    published = {QwenImageVAE.file_key(key): value for key, value in state.items()}
    assert len(published) == 194
    assert model_hash(published) == published_hash
    shapes = {key: tuple(value.shape) for key, value in published.items()}
    assert QwenImageVAE.recognises(shapes.keys())
    assert QwenImageVAE.kwargs_from_shapes(shapes) == {"dim": 96, "z_dim": 16, "image_channels": image_channels}


def test_a_picture_of_other_channels():
    with pytest.raises(ValueError, match=r"expected \(batch, 4, frames, height, width\)"):
        QwenImageVAE(8, image_channels=4).encode(torch.zeros(1, 3, 1, 16, 16))


def test_wans_file_is_another():
    with torch.device("meta"):
        wan, qwen = WanVideoVAE(8).state_dict().keys(), QwenImageVAE(8).state_dict().keys()
    assert wan == qwen  # the same network
    assert not QwenImageVAE.recognises(wan)
    assert not WanVideoVAE.recognises({QwenImageVAE.file_key(key) for key in qwen})


def test_a_key_of_another_network():
    with pytest.raises(KeyError):
        QwenImageVAE.file_key("blocks.0.weight")
