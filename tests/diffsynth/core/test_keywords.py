"""A misspelt keyword names the one that was meant."""

import pytest
import torch

from diffsynth.core.caller import known_keywords_only


@known_keywords_only("pipe")
def call(prompt, num_inference_steps=50, tiled=True):
    return prompt, num_inference_steps


def test_what_exists_goes_through():
    assert call("a", num_inference_steps=3) == ("a", 3)


def test_the_nearest_is_suggested():
    with pytest.raises(
        TypeError, match=r"^pipe\(\) has no keyword 'num_inference_step': did you mean 'num_inference_s"
    ):
        call("a", num_inference_step=3)


def test_without_a_near_one_all_are_listed():
    with pytest.raises(TypeError, match=r"'zzz': it takes prompt, num_inference_steps, tiled"):
        call("a", zzz=3)


@known_keywords_only("pipe", later={"input_image": "image-to-video"})
def call_of_now(prompt):
    return prompt


def test_what_comes_later_is_told_apart_and_asking_for_nothing_is_taken():
    assert call_of_now("a", input_image=None) == call_of_now("a", input_image=False) == "a"
    for asked in ("a.png", torch.ones(2, 2)):
        with pytest.raises(NotImplementedError, match=r"^pipe\(input_image=\.\.\.\): image-to-video is not part of"):
            call_of_now("a", input_image=asked)


DEFAULTS = {"scale": 1.0, "origin": (0, 0.5), "rate": 16000}


@known_keywords_only("pipe", later=dict.fromkeys(DEFAULTS, "VACE"), later_defaults=DEFAULTS)
def call_with_defaults(prompt):
    return prompt


@pytest.mark.parametrize("given", [{"scale": 1.0}, {"scale": 1}, {"origin": (0, 0.5)}, {"origin": [0, 0.5]}])
def test_a_public_default_asks_for_nothing(given):
    assert call_with_defaults("a", **given) == "a"


@pytest.mark.parametrize("given", [{"scale": 0.5}, {"origin": (0, 1)}, {"rate": "16000"}, {"scale": torch.ones(2)}])
def test_another_value_asks_for_something(given):
    with pytest.raises(NotImplementedError, match="VACE is not part of this version"):
        call_with_defaults("a", **given)
