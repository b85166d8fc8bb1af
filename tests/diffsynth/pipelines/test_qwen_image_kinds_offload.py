"""Where the weights are changes no bit of what a Qwen-Image makes that is controlled, in layers or distilled."""

import json

import pytest
import torch
from PIL import Image

from diffsynth.pipelines.qwen_image import ControlNetInput, ModelConfig
from script_trial.adapters.diffsynth_port.weights import make_weights
from tests.diffsynth.pipelines.conftest import CANNY, INPAINT, LAYERED, QUICK_PICTURE, QWEN_EDIT, open_kind
from tests.diffsynth.pipelines.test_qwen_image_offload import MODES, keys

LORAS = {
    "in-context control": "DiffSynth-Studio/Qwen-Image-In-Context-Control-Union",
    "EliGen": "DiffSynth-Studio/Qwen-Image-EliGen",
    "Distill": "DiffSynth-Studio/Qwen-Image-Distill-LoRA",
}
GIVEN = Image.linear_gradient("L").resize((96, 64)).convert("RGB")
OTHER = GIVEN.rotate(180)
QUICK = {**QUICK_PICTURE, "num_inference_steps": 2}
LAYERS = "layers"
CALLS = {
    "in-context control": {"context_image": GIVEN},
    "EliGen": {"eligen_entity_prompts": ["red", "a boat"], "eligen_entity_masks": [GIVEN, OTHER]},
    "ControlNets": {
        "blockwise_controlnet_inputs": [
            ControlNetInput(image=GIVEN),
            ControlNetInput(controlnet_id=1, image=OTHER, inpaint_mask=GIVEN),
        ],
        "input_image": OTHER,
        "inpaint_mask": GIVEN,
    },
    "Distill": {"cfg_scale": 1, "exponential_shift_mu": 0.8},
}


@pytest.fixture(scope="module")
def loras_folder(kinds_folder):
    """The folder of the kinds, with the LoRA of some in it."""
    for model_id in LORAS.values():
        make_weights(model_id, kinds_folder)
    return kinds_folder


def pictures(folder, config, kinds=(*CALLS, LAYERS), steps=2, **options):
    """The bytes of what each kind makes, with its LoRA, if it is one, added as the layers run: so it is where weights
    move."""
    pipe = open_kind(folder, QWEN_EDIT, CANNY, INPAINT, vram_config=config, **options)
    found = {}
    call_of = {kind: CALLS[kind] for kind in kinds if kind != LAYERS}
    for kind, call in call_of.items():
        if kind in LORAS:
            file = ModelConfig(
                model_id=LORAS[kind],
                origin_file_pattern="model.safetensors",
                local_model_path=str(folder),
                skip_download=True,
            )
            pipe.load_lora(pipe.dit, file, hotload=True)
        found[kind] = pipe("a cat", **{**QUICK, "num_inference_steps": steps, **call}).tobytes()
        pipe.clear_lora()
    if LAYERS in kinds:
        layered = open_kind(folder, LAYERED, vram_config=config, **options)
        layers = layered("a cat", **QUICK, layer_input_image=GIVEN, layer_num=1)
        found[LAYERS] = b"".join(layer.tobytes() for layer in layers)
    assert len(set(found.values())) == len(found)
    return found


def test_from_disk_without_room_on_the_cpu(loras_folder):
    quick = {"kinds": ("in-context control", "EliGen", "ControlNets"), "steps": 1}
    plain = pictures(loras_folder, {}, **quick)
    assert pictures(loras_folder, keys("disk", "disk", "cpu", torch.float32), vram_limit=0, **quick) == plain


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_every_mode_gives_the_same_bits_on_the_cpu(loras_folder, dtype):
    plain = pictures(loras_folder, {}, torch_dtype=dtype)
    for offload, onload in MODES.values():
        for vram_limit in (None, 0):
            config = keys(offload, onload, "cpu", dtype)
            assert pictures(loras_folder, config, torch_dtype=dtype, vram_limit=vram_limit) == plain


ON_DEVICE = """
import hashlib, json, os
import torch
from tests.diffsynth.pipelines.test_qwen_image_kinds_offload import keys, pictures

device, dtype = os.environ["DEVICE"], getattr(torch, os.environ["DTYPE"])
MODES = {
    "plain": ({}, None),
    "cpu": (keys("cpu", "cpu", device, dtype), None),
    "disk, then cpu, no room": (keys("disk", "cpu", device, dtype), 0),
    "disk": (keys("disk", "disk", device, dtype), None),
}
report = {}
for name in json.loads(os.environ["NAMES"]):
    config, vram_limit = MODES[name]
    found = pictures(os.environ["MODELS"], config, torch_dtype=dtype, device=device, vram_limit=vram_limit)
    report[name] = {kind: hashlib.sha256(made).hexdigest() for kind, made in found.items()}
print(json.dumps(report))
"""


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_emulated_npu_gives_what_the_cpu_gives_in_every_mode(run_on, loras_folder, dtype):
    def report(device, *names):
        environment = {"MODELS": str(loras_folder), "DEVICE": device, "DTYPE": dtype, "NAMES": json.dumps(names)}
        return json.loads(run_on(device, ON_DEVICE, **environment).splitlines()[-1])

    modes = ("plain", "cpu", "disk, then cpu, no room", "disk")
    assert report("npu", *modes) == dict.fromkeys(modes, report("cpu", "plain")["plain"])
