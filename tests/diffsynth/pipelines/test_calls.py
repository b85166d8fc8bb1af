"""What a call owes its caller beyond numbers: to be apart from calls beside it, and to say when it has gone wrong."""

import threading

import pytest
import torch

from diffsynth.diffusion.request import NotFiniteWarning
from script_trial.adapters.diffsynth_port.install import fail_on_what_is_no_number
from script_trial.watched_run import watched_run
from tests.diffsynth.pipelines.conftest import QUICK, QUICK_PICTURE
from tests.diffsynth.pipelines.test_wan_video_lora import DISK


def in_threads(*calls):
    results, errors = [None] * len(calls), []

    def run(index, call):
        try:
            results[index] = call()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    return results


@pytest.mark.parametrize("vram_config", [None, DISK], ids=["resident", "offloaded"])
def test_two_threads_with_different_schedules_get_their_own_frames(open_pipeline, vram_config):
    pipe = open_pipeline(vram_config=vram_config)

    def video(steps, seed):
        return pipe("a dog", **{**QUICK, "num_inference_steps": steps, "seed": seed}, output_type="floatpoint")

    asked = [(2, 0), (5, 1)]
    alone = [video(*one) for one in asked]
    together = in_threads(*(lambda one=one: video(*one) for one in asked))
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_a_call_leaves_the_pipelines_schedule_alone(wan21, qwen):
    for pipe, options in ((wan21, QUICK), (qwen, QUICK_PICTURE)):
        before = pipe.scheduler.timesteps
        pipe("a dog", **options)
        assert pipe.scheduler.timesteps is before


def broken(pipe):
    with torch.no_grad():
        pipe.dit.proj_out.bias.fill_(float("nan")) if hasattr(pipe.dit, "proj_out") else pipe.dit.head.head.bias.fill_(
            float("inf")
        )
    return pipe


def as_in_a_trial(pipe, options):
    fail_on_what_is_no_number()
    pipe("a dog", **options)


def test_latents_that_are_no_numbers_are_said_and_fail_a_trial(open_pipeline, open_qwen):
    for pipe, options in ((open_pipeline(), QUICK), (open_qwen(), QUICK_PICTURE)):
        broken(pipe)
        with pytest.warns(NotFiniteWarning, match=r"latents are NaN or infinite, and what is decoded .*no picture"):
            pipe("a dog", **options)
        ending = watched_run(lambda pipe=pipe, options=options: as_in_a_trial(pipe, options), __file__)
        assert ending.error["message"].startswith("NotFiniteWarning: ")


def test_the_public_defaults_of_what_is_not_here_are_taken(wan21):
    one = {**QUICK, "num_inference_steps": 1, "num_frames": 1}
    assert wan21("a dog", vace_scale=1.0, audio_sample_rate=16000, camera_control_speed=1 / 54, **one)
    with pytest.raises(NotImplementedError, match="speech-to-video is not part of this version"):
        wan21("a dog", audio_sample_rate=8000, **one)
