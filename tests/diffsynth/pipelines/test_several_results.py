"""Several prompts and several results of each in one call: each is what a call of its own makes, and in its place.

A batch adds in another order than one sample does, and guidance multiplies what follows: the bound is relative to the
largest latent, which is about 6.
"""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from diffsynth.pipelines.wan_video import WanVideoPipeline
from tests.diffsynth.pipelines.conftest import QUICK, QUICK_PICTURE
from tests.diffsynth.pipelines.test_wan_video_lora import DISK

BOUND = 5e-6
PROMPTS, NEGATIVES = ["a dog", "a cat runs over there"], ["blurry", "blurry, out of focus, grey"]
VIDEO = {**QUICK, "num_frames": 5, "num_inference_steps": 3, "output_type": "latent"}
PICTURE = {**QUICK_PICTURE, "height": 32, "width": 48, "num_inference_steps": 2, "output_type": "latent"}
ASKED = [(PROMPTS[0], NEGATIVES[0], 3), (PROMPTS[0], NEGATIVES[0], 4), (PROMPTS[1], NEGATIVES[1], 5),
         (PROMPTS[1], NEGATIVES[1], 6)]  # fmt: skip


def one_by_one(pipe, options):
    return torch.cat([pipe(prompt, negative, **{**options, "seed": seed}) for prompt, negative, seed in ASKED])


def assert_near(found, expected):
    assert found.shape == expected.shape
    assert (expected[0] - expected[1]).abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=BOUND * expected.abs().max().item())


@pytest.mark.parametrize(
    "more",
    [
        {"guidance_scale_2": 3.0},
        {"cfg_merge": True, "cfg_scale": 1.0, "guidance_scale_2": 3.0},
        pytest.param({"sliding_window_size": 1, "sliding_window_stride": 1}, marks=pytest.mark.slow),
        {"tea_cache_l1_thresh": 0.3, "tea_cache_model_id": "Wan2.1-T2V-1.3B", "num_inference_steps": 6},
    ],
    ids=["two scales", "merged in the second expert", "windows", "tea cache"],
)
def test_each_video_is_that_of_a_call_of_its_own(wan22, more):
    options = {**VIDEO, **more}
    together = wan22(PROMPTS, NEGATIVES, num_videos_per_prompt=2, **{**options, "seed": 3})
    assert_near(together, one_by_one(wan22, options))


def test_each_picture_is_that_of_a_call_of_its_own(qwen):
    together = qwen(PROMPTS, NEGATIVES, num_images_per_prompt=2, **{**PICTURE, "seed": [3, 4, 5, 6]})
    assert_near(together, one_by_one(qwen, PICTURE))


def test_weights_that_come_and_go_change_no_bit(open_pipeline, open_qwen, wan22, qwen):
    low_memory = open_pipeline("Wan-AI/Wan2.2-T2V-A14B", vram_config=DISK)
    assert torch.equal(*(pipe(PROMPTS, num_videos_per_prompt=2, **VIDEO) for pipe in (low_memory, wan22)))
    assert torch.equal(*(pipe(PROMPTS, NEGATIVES, **PICTURE) for pipe in (open_qwen(vram_config=DISK), qwen)))


@pytest.mark.slow
def test_pictures_to_edit_are_for_all(qwen):
    edited = {"edit_image": Image.linear_gradient("L").convert("RGB").resize((48, 32)), "edit_image_auto_resize": False}
    assert_near(qwen(PROMPTS, NEGATIVES, num_images_per_prompt=2, **{**PICTURE, **edited, "seed": 3}),
                one_by_one(qwen, {**PICTURE, **edited}))  # fmt: skip


def test_a_list_is_returned_where_several_can_be_asked_for(wan21, qwen):
    quick = {**VIDEO, "num_inference_steps": 1, "output_type": "quantized"}
    alone = wan21("a dog", **{**quick, "seed": 1})
    assert [len(alone), alone[0].size] == [5, (48, 32)]
    both = wan21("a dog", num_videos_per_prompt=2, **quick)
    assert [len(both), len(both[1])] == [2, 5]
    assert max(np.abs(np.subtract(*map(np.int16, pair))).max() for pair in zip(both[1], alone, strict=True)) <= 1
    (listed,) = wan21(["a dog"], **{**quick, "seed": 1})
    assert [frame.tobytes() for frame in listed] == [frame.tobytes() for frame in alone]
    assert wan21("a dog", num_videos_per_prompt=2, **{**quick, "output_type": "floatpoint"}).shape == (2, 3, 5, 32, 48)
    pictures = qwen(PROMPTS, **{**PICTURE, "num_inference_steps": 1, "output_type": "quantized"})
    assert [picture.size for picture in pictures] == [(48, 32)] * 2


def test_results_of_one_prompt_share_what_the_network_keeps_of_it(open_pipeline):
    wan21, seen = open_pipeline(), []
    wan21.dit.text_embedding.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    wan21("a dog", num_videos_per_prompt=3, **{**VIDEO, "num_inference_steps": 1})
    wan21(PROMPTS, **{**VIDEO, "num_inference_steps": 1})
    assert seen == [1, 1, 2, 1]


def test_embeddings_are_what_prompts_become(wan21, qwen):
    for pipe, options in ((wan21, VIDEO), (qwen, PICTURE)):
        expected = pipe(PROMPTS, NEGATIVES, **options)
        if pipe is wan21:
            embeds = dict(zip(("prompt_embeds", "negative_prompt_embeds"), pipe.encode_prompt(PROMPTS, NEGATIVES),
                              strict=True))  # fmt: skip
        else:
            positive, negative = pipe.encode_prompt(PROMPTS), pipe.encode_prompt(NEGATIVES)
            assert positive[1].tolist()[0].count(0) == positive[1].shape[1] - positive[1][0].sum() > 0
            embeds = {"prompt_embeds": positive[0], "prompt_embeds_mask": positive[1],
                      "negative_prompt_embeds": negative[0], "negative_prompt_embeds_mask": negative[1]}  # fmt: skip
        assert torch.equal(pipe(**embeds, **options), expected)


def test_embeddings_need_no_text_encoder(open_qwen, qwen):
    from tests.diffsynth.pipelines.conftest import QWEN_FILES

    pipe = open_qwen(files={"dit": QWEN_FILES["dit"]})
    embeds, mask = qwen.encode_prompt("a dog")
    assert mask is None
    given = {"prompt": None, "prompt_embeds": embeds, "cfg_scale": 1.0}
    assert torch.equal(pipe(**given, **PICTURE), qwen("a dog", cfg_scale=1.0, **PICTURE))
    with pytest.raises(RuntimeError, match="making a picture needs the vae, and none was loaded"):
        pipe(**given, **{**PICTURE, "output_type": "quantized"})


def test_latents_go_in_and_come_out(wan21, qwen):
    noise = torch.cat([wan21.draw_noise(seed, "cpu", 32, 48, 5) for seed in (3, 4)])
    before = noise.clone()
    latents = wan21("a dog", num_videos_per_prompt=2, latents=noise, **{**VIDEO, "seed": None})
    assert torch.equal(latents, wan21("a dog", num_videos_per_prompt=2, **{**VIDEO, "seed": 3}))
    assert torch.equal(noise, before)
    decoded = wan21("a dog", num_videos_per_prompt=2, **{**VIDEO, "seed": 3, "output_type": "floatpoint"})
    with torch.no_grad():
        again = wan21.decode_latents(latents[1:], tiled=True, tile_size=(30, 52), tile_stride=(15, 26))
    assert torch.equal(again, decoded[1:])
    noise = qwen.draw_noise(3, "cpu", 32, 48)
    assert torch.equal(qwen("a dog", latents=noise.double(), **PICTURE), qwen("a dog", **{**PICTURE, "seed": 3}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_videos_per_prompt": 0}, "num_videos_per_prompt=0: expected a whole number, at least 1"),
        (
            {"num_images_per_prompt": 2},
            "pipe() has no keyword 'num_images_per_prompt': here it is 'num_videos_p",
        ),
        ({"guidance_scale": 5.0}, "pipe() has no keyword 'guidance_scale': here it is 'cfg_scale'"),
        ({"guidance_scale_2": 3.0}, "guidance_scale_2=3.0 is for the second DiT of Wan2.2-A14B, and this pipeline has"),
        ({"negative_prompt": ["a", "b"]}, "there are 2 negative prompts, and 1 prompts: expected one for all, or one"),
        ({"prompt": ["a", "b"], "seed": [1]}, "seed has 1 numbers, and there are 2 results: expected one for each"),
        ({"prompt": ["a", "b"], "seed": "1"}, "seed='1': expected a whole number"),
        ({"prompt_embeds": torch.zeros(1, 4, 64)}, "prompt and prompt_embeds are both given: leave one of them out"),
        (
            {"prompt": "", "prompt_embeds": torch.zeros(1, 4, 9)},
            "prompt_embeds is of shape (1, 4, 9): expected a t",
        ),
        ({"prompt": "", "prompt_embeds": [1]}, "prompt_embeds is a list: expected a tensor (prompts, tokens, "),
        ({"latents": torch.zeros(1, 16, 3, 4, 5)}, "latents is of shape (1, 16, 3, 4, 5): expected (1, 16, 2, 4, 6)"),
        ({"latents": [1]}, "latents is a list: expected a tensor of shape (1, 16, 2, 4, 6)"),
        ({"callback_on_step_end": 3}, "callback_on_step_end=3: expected a function (pipe, step, timestep, tensors)"),
        ({"callback_on_step_end_tensor_inputs": ["x"]}, "callback_on_step_end_tensor_inputs=['x']: expected a list of"),
    ],
)
def test_what_does_not_fit_is_named(wan21, monkeypatch, options, message):
    monkeypatch.setattr(wan21, "denoise", lambda *_: pytest.fail("steps were computed first"))
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        wan21(**{"prompt": "a dog", **VIDEO, **options})


def test_masks_that_do_not_fit_are_named(qwen):
    embeds = torch.zeros(1, 4, qwen.dit.txt_in.in_features)
    for given, message in (
        ({"prompt_embeds_mask": torch.ones(1, 4)}, "prompt_embeds_mask goes with prompt_embeds, and none were given"),
        (
            {"prompt_embeds": embeds, "prompt_embeds_mask": torch.ones(1, 3)},
            "prompt_embeds_mask is (1, 3): expected",
        ),
        ({"prompt_embeds": embeds, "prompt_embeds_mask": torch.zeros(1, 4)}, "prompt_embeds_mask leaves nothing of a"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            qwen(**given, **PICTURE)


def test_merged_branches_of_different_length_are_refused(wan21):
    dim = wan21.dit.text_embedding[0].in_features
    with pytest.raises(ValueError, match=r"cfg_merge=True runs both prompts as one batch, .* have 4 and 512 tokens"):
        wan21(prompt_embeds=torch.zeros(1, 4, dim), cfg_merge=True, **VIDEO)


def test_the_signature_has_the_names_of_diffusers():
    import inspect

    from diffusers import QwenImagePipeline as Pictures
    from diffusers import WanPipeline as Videos

    from diffsynth.pipelines.qwen_image import QwenImagePipeline

    # Not taken: a generator (a seed is), a class around the result, arguments of attention and tokenizer.
    others = {"generator", "return_dict", "attention_kwargs", "max_sequence_length", "guidance_scale", "sigmas",
              "true_cfg_scale"}  # fmt: skip
    for ours, theirs in ((WanVideoPipeline, Videos), (QwenImagePipeline, Pictures)):
        known, asked = (set(inspect.signature(pipe.__call__).parameters) for pipe in (ours, theirs))
        assert asked - known == others & asked
