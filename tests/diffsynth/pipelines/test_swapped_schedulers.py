"""A pipeline with another scheduler: as diffusers' pipelines with theirs, and refused where it does not fit."""

import re

import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler as Theirs

from diffsynth.diffusion.flow_match import DynamicShiftScheduler, FlowMatchEulerDiscreteScheduler, FlowMatchScheduler
from diffsynth.diffusion.unipc import UniPCMultistepScheduler
from tests.diffsynth.pipelines import diffusers_oracle, qwen_oracle
from tests.diffsynth.pipelines.conftest import QUICK, QUICK_PICTURE

BOUND = 5e-5
PROMPT, NEGATIVE = "a dog runs", "static, blurry"


class Exact(Theirs):
    """diffusers' UniPC on the grid of these pipelines, with timesteps that are not cut to whole numbers."""

    def set_timesteps(self, num_inference_steps=None, device=None, sigmas=None, **more):
        even = np.linspace(1, 0, num_inference_steps + 1)[:-1] if sigmas is None else np.array(sigmas)
        super().set_timesteps(sigmas=even, device=device, **more)
        self.timesteps = self.sigmas[:-1] * 1000


@pytest.fixture
def with_unipc():
    """Puts UniPC into a pipeline, for the time of a test."""
    before = []

    def put(pipe):
        before.append((pipe, pipe.scheduler))
        pipe.scheduler = UniPCMultistepScheduler.from_config(pipe.scheduler.config)
        return pipe

    yield put
    for pipe, scheduler in before:
        pipe.scheduler = scheduler


def test_videos_by_unipc_are_those_of_diffusers(wan22, tokenizer_folder, with_unipc):
    euler = wan22(PROMPT, NEGATIVE, output_type="latent", **QUICK)
    latents = with_unipc(wan22)(PROMPT, NEGATIVE, output_type="latent", guidance_scale_2=3.0, **QUICK)
    theirs = diffusers_oracle.pipeline(wan22, tokenizer_folder, boundary=0.875)
    theirs.scheduler = Exact(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=5.0)
    expected = theirs(
        PROMPT, NEGATIVE, height=32, width=48, num_frames=9, num_inference_steps=4, guidance_scale=5.0,
        guidance_scale_2=3.0, latents=wan22.draw_noise(0, "cpu", 32, 48, 9), output_type="latent",
    ).frames  # fmt: skip
    assert (latents - euler).abs().max() > 0.01
    torch.testing.assert_close(latents, expected, rtol=0, atol=BOUND)


def test_pictures_by_unipc_are_those_of_diffusers(qwen, processor_folder, with_unipc):
    latents = with_unipc(qwen)(PROMPT, cfg_scale=1.0, output_type="latent", **QUICK_PICTURE)
    theirs = qwen_oracle.pipeline(qwen, processor_folder)
    config = dict(theirs.scheduler.config)
    theirs.scheduler = Exact(
        use_flow_sigmas=True, prediction_type="flow_prediction", use_dynamic_shifting=True, shift_terminal=0.02
    )
    theirs.scheduler.register_to_config(**{key: config[key] for key in config if key.startswith(("base_", "max_"))})
    expected = qwen_oracle.final_latents(theirs, qwen.draw_noise(0, "cpu", 64, 96), PROMPT, "", scale=1)
    torch.testing.assert_close(latents, expected, rtol=0, atol=BOUND)


def test_a_scheduler_belongs_to_the_call(wan21, with_unipc):
    pipe = with_unipc(wan21)
    quick = {**QUICK, "num_frames": 1, "output_type": "latent"}
    assert torch.equal(pipe(PROMPT, **quick), pipe(PROMPT, **quick))
    assert pipe.scheduler._last is None


def test_euler_by_name_changes_no_bit(wan21):
    quick = {**QUICK, "num_frames": 1, "output_type": "latent"}
    before, own = wan21(PROMPT, **quick), wan21.scheduler
    wan21.scheduler = FlowMatchEulerDiscreteScheduler.from_config(wan21.scheduler.config)
    assert torch.equal(wan21(PROMPT, **quick), before)
    wan21.scheduler = own


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (
            Theirs(),
            "scheduler: a UniPCMultistepScheduler is none of diffsynth's; it has FlowMatchEuler",
        ),
        (None, "scheduler: a NoneType is none of diffsynth's"),
        (
            DynamicShiftScheduler(),
            "scheduler: the noise levels of this DynamicShiftScheduler are not those of Wan",
        ),
        (
            UniPCMultistepScheduler(DynamicShiftScheduler().config),
            "make it by UniPCMultistepScheduler.from_config(",
        ),
    ],
    ids=["diffusers'", "none", "of pictures", "of pictures, UniPC"],
)
def test_a_scheduler_that_does_not_fit(wan21, scheduler, message):
    before = wan21.scheduler
    with pytest.raises(TypeError, match=re.escape(message)):
        wan21.scheduler = scheduler
    assert wan21.scheduler is before
    assert isinstance(before, FlowMatchScheduler)
