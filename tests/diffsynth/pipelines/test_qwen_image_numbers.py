"""The Qwen-Image pipeline's numbers: against diffusers on the same weights, and against itself in its other modes."""

import numpy as np
import pytest
import torch
from diffusers import QwenImageEditPipeline, QwenImageEditPlusPipeline
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit, pipeline_qwenimage_edit_plus
from PIL import Image

from diffsynth.families.qwen_image import conditions
from tests.diffsynth.pipelines import qwen_oracle as oracle
from tests.diffsynth.pipelines.conftest import QUICK_PICTURE

PROMPT, NEGATIVE = "一只小猫 in a boat", "blurry, static"
BOUND = 1e-4
SMALL_AREA, SMALL_CONDITION = 96**2, 64**2


def picture(width, height, seed=0):
    """Smooth random colours: resizing them is no matter of chance."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def final_latents(pipe, monkeypatch, **options):
    """What the VAE is given to decode, and the picture."""
    seen = []
    decode = pipe.decode_latents
    monkeypatch.setattr(
        pipe, "decode_latents", lambda latents, *a, **k: seen.append(latents) or decode(latents, *a, **k)
    )
    result = pipe(PROMPT, NEGATIVE, **{**QUICK_PICTURE, **options})
    monkeypatch.setattr(pipe, "decode_latents", decode)
    return seen[0], result


def difference(one, other):
    return (one - other).abs().max().item()


@pytest.fixture
def noise(qwen):
    return qwen.draw_noise(0, "cpu", 64, 96)


@pytest.fixture
def small_pictures(monkeypatch):
    """Pictures to edit of fewer pixels than both sides would have them."""
    monkeypatch.setattr(conditions, "EDIT_AREA", SMALL_AREA)
    monkeypatch.setattr(conditions, "CONDITION_AREA", SMALL_CONDITION)
    size_of = pipeline_qwenimage_edit.calculate_dimensions
    monkeypatch.setattr(pipeline_qwenimage_edit, "calculate_dimensions", lambda area, ratio: size_of(SMALL_AREA, ratio))
    monkeypatch.setattr(pipeline_qwenimage_edit_plus, "VAE_IMAGE_SIZE", SMALL_AREA)
    monkeypatch.setattr(pipeline_qwenimage_edit_plus, "CONDITION_IMAGE_SIZE", SMALL_CONDITION)


@pytest.mark.parametrize("scale", [4.0, 1.0])
def test_text_to_image(qwen, monkeypatch, processor_folder, noise, scale):
    latents, _ = final_latents(qwen, monkeypatch, cfg_scale=scale)
    theirs = oracle.pipeline(qwen, processor_folder)
    assert difference(latents, oracle.final_latents(theirs, noise, PROMPT, NEGATIVE, scale=scale)) < BOUND
    assert latents.std() > 0.1


def test_image_to_image(qwen, monkeypatch, processor_folder, noise):
    given = picture(96, 64)
    latents, _ = final_latents(qwen, monkeypatch, input_image=given, denoising_strength=0.6)
    theirs = oracle.pipeline(qwen, processor_folder)
    pixels = torch.from_numpy(np.array(given)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        clean = oracle.normalised_latents(theirs.vae, pixels)
    theirs.scheduler.set_timesteps(sigmas=np.linspace(0.6, 0, 5)[:-1], mu=0.5 + 0.4 * (24 - 256) / (8192 - 256))
    noised = torch.lerp(clean, noise, theirs.scheduler.sigmas[0].item())
    expected = oracle.final_latents(theirs, noised, PROMPT, NEGATIVE, start=0.6)
    assert difference(latents, expected) < BOUND


def test_editing_one_picture(qwen, monkeypatch, processor_folder, noise, small_pictures):
    given = picture(120, 70)
    latents, _ = final_latents(qwen, monkeypatch, edit_image=given)
    theirs = oracle.pipeline(qwen, processor_folder, QwenImageEditPipeline)
    width, height, _ = pipeline_qwenimage_edit.calculate_dimensions(None, 120 / 70)
    condition = theirs.image_processor.resize(given, height, width)
    expected = oracle.final_latents(theirs, noise, PROMPT, NEGATIVE, condition=condition, image=given)
    assert difference(latents, expected) < BOUND
    without, _ = final_latents(qwen, monkeypatch)
    assert difference(latents, without) > 0.1


@pytest.mark.parametrize("sizes", [[(90, 60)], [(120, 70), (64, 64), (40, 90)]], ids=len)
def test_editing_a_list_of_pictures(qwen, monkeypatch, processor_folder, noise, small_pictures, sizes):
    given = [picture(*size, seed) for seed, size in enumerate(sizes)]
    latents, _ = final_latents(qwen, monkeypatch, edit_image=given)
    theirs = oracle.pipeline(qwen, processor_folder, QwenImageEditPlusPipeline)
    condition = []
    for one in given:
        width, height = pipeline_qwenimage_edit_plus.calculate_dimensions(SMALL_CONDITION, one.width / one.height)
        condition.append(theirs.image_processor.resize(one, height, width))
    expected = oracle.final_latents(theirs, noise, PROMPT, NEGATIVE, condition=condition, image=given)
    assert difference(latents, expected) < BOUND


def test_the_text_embeddings(qwen, processor_folder):
    theirs = oracle.pipeline(qwen, processor_folder)
    with torch.no_grad():
        expected, mask = theirs.encode_prompt(PROMPT)
        found = qwen.encode_prompts({"positive": PROMPT})["positive"]
    assert mask is None
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.1


def test_the_decoded_picture(qwen, monkeypatch):
    latents, found = final_latents(qwen, monkeypatch)
    vae = oracle.autoencoder(qwen.vae)
    mean, std = (torch.tensor(v).view(1, -1, 1, 1, 1) for v in (vae.config.latents_mean, vae.config.latents_std))
    with torch.no_grad():
        expected = vae.decode(latents.unsqueeze(2) * std + mean).sample[0, :, 0]
    pixels = ((expected + 1) * 127.5).clamp(0, 255).permute(1, 2, 0).numpy()
    assert found.size == (96, 64)
    assert np.abs(np.array(found) - np.floor(pixels)).max() <= 1  # 1e-5 may cross a whole number
    assert (np.array(found) != np.floor(pixels)).mean() < 1e-3


def test_pictures_as_they_are(qwen, monkeypatch):
    seen = []
    hook = qwen.dit.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append([tuple(one.shape) for one in kwargs["edit_latents"]]), with_kwargs=True
    )
    final_latents(
        qwen, monkeypatch, edit_image=[picture(48, 80), picture(64, 16)], edit_image_auto_resize=False, cfg_scale=1
    )
    hook.remove()
    assert seen == [[(1, 16, 10, 6), (1, 16, 2, 8)]] * 4


def test_tiles_change_little(qwen, monkeypatch):
    latents, whole = final_latents(qwen, monkeypatch)
    tiled_latents, tiled = final_latents(qwen, monkeypatch, tiled=True, tile_size=8, tile_stride=4)
    _, one_tile = final_latents(qwen, monkeypatch, tiled=True)
    assert torch.equal(latents, tiled_latents)
    assert one_tile.tobytes() == whole.tobytes() != tiled.tobytes()


def test_the_shift_is_the_users_to_set(qwen, monkeypatch):
    own, _ = final_latents(qwen, monkeypatch, exponential_shift_mu=0.5 + 0.4 * (24 - 256) / (8192 - 256))
    plain, _ = final_latents(qwen, monkeypatch)
    other, _ = final_latents(qwen, monkeypatch, exponential_shift_mu=2.0)
    assert torch.equal(own, plain)
    assert not torch.equal(other, plain)


def test_one_step_from_pure_noise_is_finite(qwen, monkeypatch):
    latents, _ = final_latents(qwen, monkeypatch, num_inference_steps=1)
    assert latents.isfinite().all()


def test_the_seed_decides(qwen):
    frames = [qwen(PROMPT, **{**QUICK_PICTURE, "seed": seed}).tobytes() for seed in (1, 1, 2)]
    assert frames[0] == frames[1] != frames[2]


def test_bfloat16_draws_its_noise_so_and_keeps_latents_and_timesteps_in_float32(open_qwen, monkeypatch):
    pipe = open_qwen(torch_dtype=torch.bfloat16)
    noise = pipe.draw_noise(3, "cpu", 32, 32)
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(noise, torch.randn(1, 16, 4, 4, generator=generator, dtype=torch.bfloat16).float())
    seen = []
    pipe.dit.register_forward_pre_hook(lambda module, args: seen.append((args[0].dtype, args[1].dtype, args[2].dtype)))
    latents, _ = final_latents(pipe, monkeypatch)
    assert set(seen) == {(torch.float32, torch.float32, torch.bfloat16)}
    assert latents.dtype == torch.float32
