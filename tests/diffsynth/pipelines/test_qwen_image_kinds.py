"""What can condition a Qwen-Image generation besides pictures to edit: control, entities, context, masks, layers."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from diffusers import QwenImageLayeredPipeline
from diffusers.pipelines.qwenimage import pipeline_qwenimage_layered
from PIL import Image

from diffsynth.families.qwen_image.conditions import areas_of, blurred
from diffsynth.models.layers import patches
from diffsynth.pipelines.qwen_image import ControlNetInput, ModelConfig, QwenImagePipeline
from tests.diffsynth.pipelines import qwen_oracle as oracle
from tests.diffsynth.pipelines.conftest import LAYERED, QUICK_PICTURE
from tests.diffsynth.pipelines.test_qwen_image_numbers import (
    BOUND,
    NEGATIVE,
    PROMPT,
    difference,
    final_latents,
    picture,
)


def says(error, text):
    return pytest.raises(error, match=re.escape(text))


def half_mask(width=96, height=64):
    """White on the left."""
    mask = Image.new("RGB", (width, height))
    mask.paste((255, 255, 255), (0, 0, width // 2, height))
    return mask


def with_transparency(seed=0):
    """96x64, and less opaque from left to right."""
    whole = picture(96, 64, seed).convert("RGBA")
    whole.putalpha(Image.fromarray(np.tile(np.linspace(255, 0, 96).astype(np.uint8), (64, 1))))
    return whole


def of_controls(pipe, monkeypatch, *inputs, **options):
    given = {"num_inference_steps": 2, "cfg_scale": 1, **options}
    return final_latents(pipe, monkeypatch, blockwise_controlnet_inputs=list(inputs), **given)[0]


def test_controls_count_by_their_scale_and_while_they_last(controlled, monkeypatch):
    edges = picture(96, 64)
    plain = of_controls(controlled, monkeypatch)
    without = of_controls(controlled, monkeypatch, ControlNetInput(image=edges, scale=0))
    whole = of_controls(controlled, monkeypatch, ControlNetInput(image=edges))
    begins = of_controls(controlled, monkeypatch, ControlNetInput(image=edges, end=0.9))
    never = of_controls(controlled, monkeypatch, ControlNetInput(image=edges, start=0.5, end=0.4))
    assert torch.equal(without, plain)
    assert torch.equal(never, plain)  # neither the first step, at 1, nor the last, at 0
    assert len({one.sum().item() for one in (plain, whole, begins)}) == 3


def test_the_picture_to_inpaint_is_black_where_it_is_made_anew(controlled, monkeypatch):
    seen = []
    hook = controlled.blockwise_controlnet1.img_in.register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    shown = picture(96, 64)
    given = ControlNetInput(controlnet_id=1, image=shown, inpaint_mask=half_mask())
    of_controls(controlled, monkeypatch, given, num_inference_steps=1)
    hook.remove()
    black = shown.copy()
    black.paste((0, 0, 0), (0, 0, 48, 64))
    mask = torch.ones(1, 1, 8, 12)
    mask[..., :6] = 0
    with torch.no_grad():
        expected = patches(torch.cat([controlled.encode_picture(black), mask], dim=1))
    torch.testing.assert_close(seen[0], expected)


@pytest.mark.parametrize("keyword", ["context_image", "edit_image", "blockwise_controlnet_inputs"])
def test_false_is_no_picture(qwen, keyword):
    with says(ValueError, f"{keyword} is a bool: expected a"):
        qwen("", **QUICK_PICTURE, **{keyword: False})


def test_outside_an_inpaint_mask_the_picture_stays(qwen, monkeypatch):
    shown = picture(96, 64)
    quick = {"num_inference_steps": 2, "cfg_scale": 1}
    latents, _ = final_latents(qwen, monkeypatch, input_image=shown, inpaint_mask=half_mask(), **quick)
    with torch.no_grad():
        clean = qwen.encode_picture(shown)
    torch.testing.assert_close(latents[..., 7:], clean[..., 7:], rtol=0, atol=1e-5)
    assert difference(latents[..., :6], clean[..., :6]) > 0.1
    soft = {"inpaint_mask": half_mask(), "inpaint_blur_size": 2, "inpaint_blur_sigma": 1.0}
    softened, _ = final_latents(qwen, monkeypatch, input_image=shown, **soft, **quick)
    assert difference(softened[..., 10:], clean[..., 10:]) < 1e-5 < difference(softened[..., 7:9], clean[..., 7:9])


def test_a_blurred_mask_is_that_of_a_gaussian():
    dot = torch.zeros(1, 1, 9, 12)
    dot[0, 0, 4, 5] = 1
    weights = torch.exp(-0.5 * (torch.arange(-2.0, 3) / 1.3) ** 2)
    weights /= weights.sum()
    expected = torch.zeros(1, 1, 9, 12)
    expected[0, 0, 2:7, 3:8] = torch.outer(weights, weights)
    torch.testing.assert_close(blurred(dot, 2, 1.3), expected)
    ramp = torch.arange(6.0).expand(1, 1, 4, 6)
    at_the_edge = (weights * torch.tensor([2.0, 1, 0, 1, 2])).sum()  # reflected
    torch.testing.assert_close(blurred(ramp, 2, 1.3)[..., 0], at_the_edge.expand(1, 1, 4))


def test_a_context_is_a_picture_beside_the_made_one(qwen, monkeypatch):
    """As a picture to edit of that size would be, but that the prompt does not speak of it."""
    shown = picture(200, 100)
    latents, _ = final_latents(qwen, monkeypatch, context_image=shown, num_inference_steps=1)
    with torch.no_grad():
        context = qwen.encode_picture(shown.resize((96, 64)))
    seen = []
    hook = qwen.dit.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["edit_latents"]), with_kwargs=True
    )
    beside = {"edit_image": picture(32, 32), "edit_image_auto_resize": False, "num_inference_steps": 1}
    final_latents(qwen, monkeypatch, context_image=shown, **beside)
    hook.remove()
    assert torch.equal(seen[0][0], context)
    assert [tuple(one.shape) for one in seen[0]] == [(1, 16, 8, 12), (1, 16, 4, 4)]
    assert difference(latents, final_latents(qwen, monkeypatch, num_inference_steps=1)[0]) > 0.1


def test_entities_count_where_their_mask_is(qwen, monkeypatch):
    whole = Image.new("L", (96, 64), 255)
    entities = {"eligen_entity_prompts": ["red", "the boat"], "eligen_entity_masks": [half_mask(), whole]}

    def made(**options):
        return final_latents(qwen, monkeypatch, num_inference_steps=1, **options)[0]

    plain, found, negative_too = made(), made(**entities), made(**entities, eligen_enable_on_negative=True)
    swapped = made(**entities | {"eligen_entity_prompts": ["the boat", "red"]})
    assert len({one.sum().item() for one in (plain, found, negative_too, swapped)}) == 4
    nowhere = Image.new("L", (96, 64), 0)
    unseen = made(eligen_entity_prompts=["red"], eligen_entity_masks=[nowhere])
    torch.testing.assert_close(unseen, plain, rtol=0, atol=1e-5)


def test_masks_are_looked_at_in_the_middle_of_a_latent():
    areas = areas_of([half_mask(48, 32), Image.new("L", (5, 5), 127), Image.new("L", (5, 5), 128)], 32, 48)
    assert areas.shape == (1, 3, 4, 6)
    assert areas[0, 0].int().tolist() == [[1, 1, 1, 0, 0, 0]] * 4
    assert not areas[0, 1].any()
    assert areas[0, 2].all()


@pytest.mark.parametrize("scale", [4.0, 1.0])
@torch.no_grad()
def test_layers_are_those_of_diffusers(layered, monkeypatch, kinds_folder, scale):
    """Whose noise levels follow from the size of the picture otherwise."""
    given, mu = with_transparency(), (24 / 256) ** 0.5
    options = {"layer_input_image": given, "layer_num": 2, "exponential_shift_mu": mu, "cfg_scale": scale}
    latents, images = final_latents(layered, monkeypatch, **options)
    monkeypatch.setattr(pipeline_qwenimage_layered, "calculate_dimensions", lambda area, ratio: (96, 64))
    theirs = oracle.pipeline(layered, kinds_folder / LAYERED / "processor", QwenImageLayeredPipeline)
    noise = layered.draw_noise(0, "cpu", 64, 96, layers=3)
    ends = []  # asked for latents, that pipeline fails
    theirs(
        given,
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        true_cfg_scale=scale,
        layers=2,
        num_inference_steps=4,
        latents=torch.cat([patches(one) for one in noise.unbind(2)], dim=1),
        callback_on_step_end=lambda pipe, step, timestep, given: ends.append(given["latents"]) or {},
    )
    expected = theirs._unpack_latents(ends[-1], 64, 96, 2, 8)
    assert latents.shape == expected.shape == (1, 16, 3, 8, 12)
    assert difference(latents, expected) < BOUND
    assert [(image.mode, image.size) for image in images] == [("RGBA", (96, 64))] * 3
    assert len({image.tobytes() for image in images}) == 3


def test_layers_of_several_prompts(layered):
    given = {"layer_input_image": with_transparency(), "layer_num": 1, "num_inference_steps": 1}
    found = layered(["a dog", "a cat"], **{**QUICK_PICTURE, **given})
    alone = layered("a dog", **{**QUICK_PICTURE, **given})
    assert [len(layers) for layers in found] == [2, 2]
    apart = [
        np.abs(np.asarray(one, int) - np.asarray(other, int)).max() for one, other in zip(found[0], alone, strict=True)
    ]
    assert max(apart) <= 1
    one_layer = layered("a dog", **{**QUICK_PICTURE, **given, "layer_num": 0, "context_image": with_transparency(1)})
    assert [image.mode for image in one_layer] == ["RGBA"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer_num": 2}, "layer_num: the dit makes no layers; load that of Qwen/Qwen-Image-Layered"),
        ({"inpaint_mask": half_mask()}, "inpaint_mask says what of input_image is changed, and none was given"),
        ({"context_image": "a.png"}, "context_image='a.png' is a path: expected a picture"),
        ({"eligen_entity_prompts": ["a"], "eligen_entity_masks": []}, "1 eligen_entity_prompts and 0 eligen_entity_m"),
        ({"eligen_entity_prompts": ["a"]}, "eligen_entity_masks is a NoneType: expected a list, one for each entity"),
        ({"blockwise_controlnet_inputs": [3]}, "input 0 is a int: expected a ControlNetInput"),
        (
            {"blockwise_controlnet_inputs": [ControlNetInput(controlnet_id=2, image=picture(96, 64))]},
            "input 0: controlnet_id=2, and 2 ControlNets were loaded, counted from 0",
        ),
        (
            {"blockwise_controlnet_inputs": [ControlNetInput(controlnet_id=0.0, image=picture(96, 64))]},
            "input 0: controlnet_id=0.0: expected a whole number, at least 0",
        ),
        (
            {"blockwise_controlnet_inputs": [ControlNetInput(start=0, end=1, image=picture(96, 64))]},
            "input 0: start=0 and end=1 leave no step: 1 is the first, 0 the last",
        ),
        (
            {"blockwise_controlnet_inputs": [ControlNetInput(image=picture(96, 96))]},
            "input 0: image is 96x96, but the picture asked for is 96x64",
        ),
        (
            {"blockwise_controlnet_inputs": [ControlNetInput(controlnet_id=1, image=picture(96, 64))]},
            "input 0: its ControlNet, of inpainting, takes an inpaint_mask; none was given",
        ),
        (
            {"blockwise_controlnet_inputs": [ControlNetInput(image=picture(96, 64), inpaint_mask=half_mask())]},
            "input 0: its ControlNet takes no inpaint_mask; leave it out",
        ),
        (
            {"input_image": picture(96, 64), "inpaint_mask": half_mask(), "inpaint_blur_size": 8},
            "inpaint_blur_size and inpaint_blur_sigma go together",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit(controlled, monkeypatch, options, message):
    monkeypatch.setattr(controlled, "denoise", lambda *_: pytest.fail("steps were computed first"))
    with says(ValueError, message):
        controlled("a cat", **{**QUICK_PICTURE, **options})


def test_control_without_a_controlnet(qwen):
    with says(RuntimeError, "needs the blockwise_controlnet, and none was loaded: add its file to the model_configs"):
        qwen("a cat", **QUICK_PICTURE, blockwise_controlnet_inputs=[ControlNetInput(image=picture(96, 64))])


def test_layers_have_to_be_asked_for(layered):
    with says(ValueError, "the dit takes a picture apart into layers: give layer_input_image and layer_num"):
        layered("a cat", **QUICK_PICTURE)
    with says(ValueError, "layer_input_image and layer_num go together"):
        layered("a cat", **QUICK_PICTURE, layer_num=2)


def test_layers_with_the_vae_of_another(kinds_folder):
    files = [
        (LAYERED, "transformer/diffusion_pytorch_model*.safetensors"),
        ("Qwen/Qwen-Image-Edit", "vae/diffusion_pytorch_model.safetensors"),
    ]
    configs = [
        ModelConfig(model_id=model, origin_file_pattern=file, local_model_path=str(kinds_folder), skip_download=True)
        for model, file in files
    ]
    with says(ValueError, "a DiT of Qwen-Image-Layered with a VAE of pictures without transparency"):
        QwenImagePipeline.from_pretrained(torch.float32, "cpu", configs)
