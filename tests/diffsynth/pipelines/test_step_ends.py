"""After each step: what a callback sees and changes, and how a call is ended early."""

import re
import threading

import pytest
import torch

from tests.diffsynth.pipelines.conftest import QUICK, QUICK_PICTURE
from tests.diffsynth.pipelines.test_wan_video_lora import DISK

VIDEO = {**QUICK, "num_frames": 1, "output_type": "latent"}
PICTURE = {**QUICK_PICTURE, "height": 32, "width": 48, "output_type": "latent"}
EMBEDS = ["latents", "prompt_embeds", "negative_prompt_embeds"]


@pytest.fixture(params=["wan21", "qwen"])
def family(request):
    """A pipeline and the keywords of a quick call."""
    return request.getfixturevalue(request.param), VIDEO if request.param == "wan21" else PICTURE


def test_a_callback_that_only_looks_changes_no_bit(family):
    pipe, options = family
    plain, seen = pipe(["a dog", "a cat runs"], "blurry", **options), []

    def look(of, index, timestep, tensors):
        assert of is pipe
        seen.append((index, round(timestep.item()), {name: tuple(tensor.shape) for name, tensor in tensors.items()}))
        return tensors

    given = {"callback_on_step_end": look, "callback_on_step_end_tensor_inputs": EMBEDS}
    assert torch.equal(pipe(["a dog", "a cat runs"], "blurry", **given, **options), plain)
    assert [index for index, *_ in seen] == [0, 1, 2, 3]
    assert [timestep for _, timestep, _ in seen] == sorted((timestep for _, timestep, _ in seen), reverse=True)
    shapes = seen[0][2]
    assert list(shapes) == EMBEDS
    assert shapes["latents"] == tuple(plain.shape)
    assert shapes["prompt_embeds"][0] == shapes["negative_prompt_embeds"][0] == 2
    pipe("a dog", cfg_scale=1.0, **given, **options)
    assert list(seen[-1][2]) == EMBEDS[:2]


def test_what_a_callback_returns_is_gone_on_with(family):
    pipe, options = family
    other = pipe("a cat runs", **options)

    def instead(pipe, index, timestep, tensors):
        return {"latents": torch.full_like(tensors["latents"], 0.5, dtype=torch.float64)} if index == 3 else None

    assert torch.equal(pipe("a dog", callback_on_step_end=instead, **options), torch.full_like(other, 0.5))
    pair = pipe.encode_prompt("a cat runs")
    embeds, steps = pair[0], []

    def of_another_prompt(pipe, index, timestep, tensors):
        steps.append(index)
        return {"prompt_embeds": embeds, "negative_prompt_embeds": tensors["negative_prompt_embeds"]}

    given = {"callback_on_step_end": of_another_prompt, "callback_on_step_end_tensor_inputs": EMBEDS}
    changed = pipe("a dog", **given, **options)
    assert steps == [0, 1, 2, 3]
    first = {}
    pipe("a dog", callback_on_step_end=lambda pipe, index, timestep, tensors: first.setdefault(index, tensors) and None,
         **options)  # fmt: skip
    expected = pipe("a cat runs", callback_on_step_end=lambda pipe, index, timestep, tensors: (
        {"latents": first[0]["latents"]} if index == 0 else None), **options)  # fmt: skip
    assert torch.equal(changed, expected)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({"latent": 1}, "callback_on_step_end returned ['latent']: expected a dict of latents, prompt_embeds"),
        (
            3,
            "callback_on_step_end returned a int: expected a dict of latents, prompt_embeds, negative_prompt_embeds",
        ),
        ({"latents": torch.zeros(2)}, "callback_on_step_end returned latents of shape (2,): expected (1, 16, 1, 4, 6)"),
        ({"prompt_embeds": torch.zeros(2)}, "prompt_embeds is of shape (2,): expected a tensor (prompts, tokens, "),
    ],
)
def test_what_a_callback_returns_has_to_fit(wan21, returned, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        wan21("a dog", callback_on_step_end=lambda *_: returned, **VIDEO)


def test_a_preview_within_a_callback_changes_no_bit(open_pipeline):
    pipe = open_pipeline(vram_config=DISK)
    tea_cache = {"tea_cache_l1_thresh": 0.3, "tea_cache_model_id": "Wan2.1-T2V-1.3B", "num_inference_steps": 5}
    plain, previews = pipe("a dog", **{**VIDEO, **tea_cache}), []

    def preview(pipe, index, timestep, tensors):
        previews.append(pipe.decode_latents(tensors["latents"]))

    assert torch.equal(pipe("a dog", callback_on_step_end=preview, **{**VIDEO, **tea_cache}), plain)
    assert [tuple(one.shape) for one in previews] == [(1, 3, 1, 32, 48)] * 5


@pytest.mark.parametrize("name", ["interrupt", "_interrupt"])
def test_a_call_is_ended_after_its_step(family, name):
    pipe, options = family
    plain, seen = pipe("a dog", **options), []

    def stop(pipe, index, timestep, tensors):
        seen.append(tensors["latents"].clone())
        if index == 1:
            setattr(pipe, name, True)
            assert pipe.interrupt

    latents = pipe("a dog", callback_on_step_end=stop, **options)
    assert len(seen) == 2
    assert torch.equal(latents, seen[1])
    assert not pipe.interrupt
    assert torch.equal(pipe("a dog", **options), plain)


def test_a_callback_ends_its_own_call_and_others_go_on(wan21):
    started, stopped = threading.Event(), threading.Event()
    plain, results, steps = wan21("a dog", **VIDEO), {}, []

    def others(pipe, index, timestep, tensors):
        started.set()
        assert stopped.wait(60)

    def stop(pipe, index, timestep, tensors):
        steps.append(index)
        pipe.interrupt = True

    def other_call():
        results["other"] = wan21("a dog", callback_on_step_end=others, **VIDEO)

    thread = threading.Thread(target=other_call)
    thread.start()
    assert started.wait(60)
    wan21("a cat", callback_on_step_end=stop, **VIDEO)
    stopped.set()
    thread.join()
    assert steps == [0]
    # Two calls at once share the processors, and sums may be split otherwise.
    torch.testing.assert_close(results["other"], plain, rtol=0, atol=1e-4)


def test_from_outside_every_call_that_runs_is_ended(wan21):
    started, ended, steps = threading.Event(), threading.Event(), []

    def wait(pipe, index, timestep, tensors):
        steps.append(index)
        started.set()
        assert ended.wait(60)

    thread = threading.Thread(target=lambda: wan21("a dog", callback_on_step_end=wait, **VIDEO))
    thread.start()
    assert started.wait(60)
    assert not wan21.interrupt
    wan21.interrupt = True
    assert wan21.interrupt
    ended.set()
    thread.join()
    assert steps == [0]
