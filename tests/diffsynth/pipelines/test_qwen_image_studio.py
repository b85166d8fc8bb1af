"""What conditions a Qwen-Image, beside DiffSynth-Studio on the same weights, which has what diffusers has not."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

from diffsynth.pipelines.qwen_image import ControlNetInput
from tests.diffsynth.pipelines.conftest import QUICK_PICTURE
from tests.diffsynth.pipelines.test_qwen_image_kinds import half_mask, with_transparency
from tests.diffsynth.pipelines.test_qwen_image_numbers import NEGATIVE, PROMPT, difference, picture

pytestmark = pytest.mark.slow
BOUND = 1e-4
SHOWN, OTHER, MASK = picture(96, 64), picture(96, 64, 1), half_mask()
ENTITIES = {"eligen_entity_prompts": ["red", "the boat in it"], "eligen_entity_masks": [MASK, MASK.rotate(180)]}
EDGES, ANEW = {"image": SHOWN}, {"controlnet_id": 1, "image": OTHER, "inpaint_mask": MASK}
UNDER = "blockwise_controlnet_inputs"
EDITED = {"edit_image_auto_resize": False}
CALLS = {
    "nothing": ("controlled", {}),
    "context": ("controlled", {"context_image": picture(200, 100)}),
    "context, no guidance": ("controlled", {"context_image": SHOWN, "cfg_scale": 1}),
    "entities": ("controlled", ENTITIES),
    "entities, negative too": ("controlled", {**ENTITIES, "eligen_enable_on_negative": True}),
    "entities and a context": ("controlled", {**ENTITIES, "context_image": SHOWN}),
    "edges": ("controlled", {UNDER: [EDGES]}),
    "inpainting": ("controlled", {UNDER: [ANEW]}),
    "inpainting and edges": ("controlled", {UNDER: [{**EDGES, "scale": 0.7, "end": 0.3}, ANEW]}),
    "all that inpaints, and edges": (
        "controlled",
        {UNDER: [EDGES, ANEW], "input_image": OTHER, "inpaint_mask": MASK, "denoising_strength": 0.8,
         "inpaint_blur_size": 2, "inpaint_blur_sigma": 1.0},
    ),
    "edited": ("controlled", {"edit_image": [picture(48, 80), picture(64, 16)], **EDITED}),
    "edited at timestep zero": ("controlled", {"edit_image": [picture(48, 80)], "zero_cond_t": True, **EDITED}),
    "a smaller one spread": ("controlled", {"edit_image": picture(48, 32), "edit_rope_interpolation": True, **EDITED}),
    "others spread": (
        "controlled",
        {"edit_image": [picture(112, 80), picture(64, 48, 1)], "edit_rope_interpolation": True, **EDITED},
    ),
    "layers": ("layered", {"layer_input_image": with_transparency(), "layer_num": 2}),
    "one layer, by a mask": (
        "layered",
        {"layer_input_image": with_transparency(), "layer_num": 0, "context_image": MASK},
    ),
}  # fmt: skip


def weights(pipe):
    """The networks' tensors, by the names that they are published under."""

    def published(network):
        file_key = getattr(network, "file_key", str)
        return {file_key(key): value for key, value in network.state_dict().items()}

    controlnets = [getattr(pipe, name) for name in ("blockwise_controlnet", "blockwise_controlnet1")]
    return {
        "dit": published(pipe.dit),
        "vae": published(pipe.vae),
        "controlnets": [published(one) for one in controlnets if one is not None],
    }


@pytest.fixture(scope="module")
def theirs(controlled, layered, tmp_path_factory):
    """The latents that DiffSynth-Studio ends each call with, in a process that does not find this `diffsynth`."""
    try:
        version = metadata.version("diffsynth")
    except metadata.PackageNotFoundError:
        version = None
    if version != "2.1.12":
        pytest.skip(f"needs DiffSynth-Studio (diffsynth 2.1.12), and there is {version}")
    folder = tmp_path_factory.mktemp("studio")
    with torch.no_grad():
        texts = controlled.encode_prompts(
            {text: text for text in (PROMPT, NEGATIVE, *ENTITIES["eligen_entity_prompts"])}
        )
    calls = {
        name: (model, {"prompt": PROMPT, "negative_prompt": NEGATIVE, **QUICK_PICTURE, **call})
        for name, (model, call) in CALLS.items()
    }
    models = {"controlled": weights(controlled), "layered": weights(layered)}
    torch.save({"texts": texts, "models": models, "calls": calls}, folder / "cases.pt")
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("studio_pictures.py"), "cases.pt", "found.pt"], cwd=folder,
        env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return texts, torch.load(folder / "found.pt")


@pytest.mark.parametrize("name", CALLS)
def test_the_latents_after_four_steps(theirs, controlled, layered, name):
    texts, found = theirs
    model, call = CALLS[name]
    pipe = {"controlled": controlled, "layered": layered}[model]
    if UNDER in call:
        call = {**call, UNDER: [ControlNetInput(**given) for given in call[UNDER]]}
    given = {"prompt_embeds": texts[PROMPT], "negative_prompt_embeds": texts[NEGATIVE]}
    ours = pipe(None, **QUICK_PICTURE, **given, output_type="latent", **call)
    expected = found[name]
    if model == "layered":
        expected = expected.transpose(0, 1).unsqueeze(0)
    print(f"\n{name}: {difference(ours, expected):.1e} of {expected.abs().max():.1f}")
    assert difference(ours, expected) < BOUND
    assert expected.std() > 0.1


def test_each_call_makes_something_else(theirs):
    _, found = theirs
    assert len({round(latents.double().sum().item(), 3) for latents in found.values()}) == len(CALLS)
