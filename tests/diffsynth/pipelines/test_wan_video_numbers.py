"""The Wan pipeline's numbers: against diffusers on the same weights, and against itself in its other modes."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.diffsynth.pipelines import diffusers_oracle as oracle
from tests.diffsynth.pipelines.conftest import QUICK

PROMPT, NEGATIVE = "一只小狗 runs over &amp;amp; the  meadow", "static, blurry"
BOUND = 5e-5


@pytest.fixture
def clip():
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (9, 32, 48, 3), dtype=np.uint8)
    return [Image.fromarray(picture) for picture in pixels]


def final_latents(pipe, monkeypatch, **options):
    """What the VAE is given to decode, and the frames."""
    seen = []
    decode = pipe.decode_latents
    monkeypatch.setattr(
        pipe, "decode_latents", lambda latents, **tiles: seen.append(latents) or decode(latents, **tiles)
    )
    video = pipe(PROMPT, NEGATIVE, output_type="floatpoint", **{**QUICK, **options})
    monkeypatch.undo()
    return seen[0], video


def difference(one, other):
    return (one - other).abs().max().item()


def call_diffusers(theirs, latents, *, steps=4, scale=5.0):
    return theirs(
        PROMPT,
        NEGATIVE,
        height=32,
        width=48,
        num_frames=9,
        num_inference_steps=steps,
        guidance_scale=scale,
        latents=latents.clone(),
        output_type="latent",
    ).frames


@pytest.mark.parametrize("scale", [5.0, 1.0])
def test_text_to_video(wan21, monkeypatch, tokenizer_folder, scale):
    latents, _ = final_latents(wan21, monkeypatch, cfg_scale=scale)
    theirs = call_diffusers(
        oracle.pipeline(wan21, tokenizer_folder), wan21.draw_noise(0, "cpu", 32, 48, 9), scale=scale
    )
    assert latents.std() > 0.1
    assert difference(latents, theirs) < BOUND


def test_video_to_video(wan21, monkeypatch, tokenizer_folder, clip):
    latents, _ = final_latents(wan21, monkeypatch, input_video=clip, denoising_strength=0.6, tiled=False)
    theirs = oracle.pipeline(wan21, tokenizer_folder, strength=0.6)
    theirs.scheduler.set_timesteps(4)
    sigma = theirs.scheduler.sigmas[0]
    video = torch.stack([torch.from_numpy(np.array(frame)) for frame in clip]).permute(3, 0, 1, 2)[None] / 127.5 - 1
    with torch.no_grad():
        clean = oracle.normalised_latents(theirs.vae, video)
    noised = (1 - sigma) * clean + sigma * wan21.draw_noise(0, "cpu", 32, 48, 9)
    assert difference(latents, call_diffusers(theirs, noised)) < BOUND


def test_two_experts(wan22, monkeypatch, tokenizer_folder):
    used = []
    hooks = [
        dit.register_forward_hook(lambda *_, name=name: used.append(name))
        for name, dit in (("dit", wan22.dit), ("dit2", wan22.dit2))
    ]
    latents, _ = final_latents(wan22, monkeypatch)
    for hook in hooks:
        hook.remove()
    # sigmas of 4 steps at shift 5: 1, 0.94, 0.83, 0.63; two branches a step.
    assert used == ["dit"] * 4 + ["dit2"] * 4
    theirs = call_diffusers(
        oracle.pipeline(wan22, tokenizer_folder, boundary=0.875), wan22.draw_noise(0, "cpu", 32, 48, 9)
    )
    assert difference(latents, theirs) < BOUND


def test_the_decoded_frames(wan21, monkeypatch):
    latents, video = final_latents(wan21, monkeypatch, tiled=False)
    theirs = oracle.autoencoder(wan21.vae)
    mean, std = (torch.tensor(v).view(1, -1, 1, 1, 1) for v in (theirs.config.latents_mean, theirs.config.latents_std))
    with torch.no_grad():
        expected = theirs.decode(latents * std + mean).sample
    assert difference(video, expected) < 1e-5


def test_merged_guidance_is_equal_up_to_the_order_of_sums(wan21, monkeypatch):
    apart, _ = final_latents(wan21, monkeypatch)
    merged, _ = final_latents(wan21, monkeypatch, cfg_merge=True)
    assert difference(apart, merged) < 3e-5  # 0 to 1e-5, by the processor: it sums a batch of two in another order


def test_a_window_as_long_as_the_video_changes_nothing(wan21, monkeypatch):
    plain, _ = final_latents(wan21, monkeypatch)
    windowed, _ = final_latents(wan21, monkeypatch, sliding_window_size=3, sliding_window_stride=2)
    assert torch.equal(plain, windowed)


def test_shorter_windows_cover_every_frame(wan21, monkeypatch):
    windowed, video = final_latents(wan21, monkeypatch, sliding_window_size=2, sliding_window_stride=1)
    assert torch.isfinite(windowed).all()
    assert video.shape == (1, 3, 9, 32, 48)


def test_a_threshold_of_zero_never_skips(wan21, monkeypatch):
    plain, _ = final_latents(wan21, monkeypatch)
    cached, _ = final_latents(wan21, monkeypatch, tea_cache_l1_thresh=0.0, tea_cache_model_id="Wan2.1-T2V-1.3B")
    assert torch.equal(plain, cached)


def test_a_high_threshold_runs_the_blocks_at_both_ends_only(wan21, monkeypatch):
    ran = []
    hook = wan21.dit.blocks[0].register_forward_hook(lambda *_: ran.append(1))
    final_latents(wan21, monkeypatch, tea_cache_l1_thresh=1e9, tea_cache_model_id="Wan2.1-T2V-1.3B")
    hook.remove()
    assert len(ran) == 2 * 2  # first and last step, two branches


def test_the_seed_decides(wan21):
    frames = [wan21(PROMPT, **{**QUICK, "seed": seed})[0].tobytes() for seed in (1, 1, 2)]
    assert frames[0] == frames[1] != frames[2]


def test_bfloat16_keeps_latents_and_timesteps_in_float32(open_pipeline, monkeypatch):
    pipe = open_pipeline(torch_dtype=torch.bfloat16)
    seen = []
    pipe.dit.register_forward_pre_hook(lambda module, args: seen.append((args[0].dtype, args[1].dtype)))
    latents, video = final_latents(pipe, monkeypatch)
    assert set(seen) == {(torch.float32, torch.float32)}
    assert latents.dtype == video.dtype == torch.float32
    assert next(pipe.dit.parameters()).dtype == torch.bfloat16
