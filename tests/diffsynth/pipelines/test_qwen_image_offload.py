"""Where the weights are makes no difference to the picture: every mode on the CPU and on an emulated NPU."""

import json

import pytest
import torch
from PIL import Image

from tests.diffsynth.pipelines.conftest import QUICK_PICTURE

MODES = {"cpu": ("cpu", "cpu"), "disk, then cpu": ("disk", "cpu"), "disk": ("disk", "disk")}
QUICK = {**QUICK_PICTURE, "num_inference_steps": 2, "edit_image_auto_resize": False}


def keys(offload, onload, device, dtype, stored=None):
    """A vram_config; `stored` is the type that weights are held in, `dtype` the one they compute in."""
    config = {}
    places = zip(("offload", "onload", "preparing", "computation"), (offload, onload, device, device), strict=True)
    for situation, place in places:
        config[f"{situation}_device"] = place
        held = dtype if situation == "computation" else stored or dtype
        config[f"{situation}_dtype"] = "disk" if place == "disk" else held
    return config


def picture(pipe):
    given = [Image.linear_gradient("L").resize((48, 32)), Image.radial_gradient("L").resize((32, 32))]
    return pipe("a cat", edit_image=given, **QUICK).tobytes()


@pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.bfloat16, marks=pytest.mark.slow)], ids=["float32", "bfloat16"]
)
def test_every_mode_gives_the_same_bits_on_the_cpu(open_qwen, dtype):
    plain = picture(open_qwen(torch_dtype=dtype))
    for offload, onload in MODES.values():
        for vram_limit in (None, 0):
            pipe = open_qwen(keys(offload, onload, "cpu", dtype), torch_dtype=dtype, vram_limit=vram_limit)
            assert picture(pipe) == plain


@pytest.mark.parametrize("vram_limit", [pytest.param(None, marks=pytest.mark.slow), 0])
def test_storage_in_float8_computes_with_the_rounded_weights(open_qwen, vram_limit):
    stored = torch.float8_e4m3fn
    pipe = open_qwen(
        keys("disk", "cpu", "cpu", torch.bfloat16, stored), torch_dtype=torch.bfloat16, vram_limit=vram_limit
    )
    found = picture(pipe)
    pipe.load_models_to_device(["dit", "text_encoder"])
    held = {
        parameter.dtype for name in ("dit", "text_encoder") for parameter in pipe.networks[name].module.parameters()
    }
    assert held == {stored}
    rounded = open_qwen(torch_dtype=torch.bfloat16)
    for network in rounded.networks.values():
        for parameter in network.module.parameters():
            parameter.copy_(parameter.to(stored).to(torch.bfloat16))
    assert found == picture(rounded)
    assert found != picture(open_qwen(torch_dtype=torch.bfloat16))


ON_NPU = """
import hashlib, json, os
import torch
from PIL import Image
from diffsynth.pipelines.qwen_image import ModelConfig, QwenImagePipeline
from tests.diffsynth.pipelines.conftest import QWEN_FILES
from tests.diffsynth.pipelines.test_qwen_image_offload import keys, picture

device, dtype = os.environ["DEVICE"], getattr(torch, os.environ["DTYPE"])
MODES = {
    "plain": {},
    "cpu": keys("cpu", "cpu", device, dtype),
    "disk, then cpu, no room": keys("disk", "cpu", device, dtype),
    "float8": keys("disk", "cpu", device, dtype, torch.float8_e4m3fn),
}
report = {}
for name, config in MODES.items():
    def model(pattern, **more):
        return ModelConfig(model_id="Qwen/Qwen-Image-Edit", origin_file_pattern=pattern, skip_download=True,
                           local_model_path=os.environ["MODELS"], **more)

    pipe = QwenImagePipeline.from_pretrained(
        torch_dtype=dtype, device=device, vram_limit=0 if "no room" in name else None,
        model_configs=[model(pattern, **config) for pattern in QWEN_FILES.values()],
        processor_config=model("processor/"),
    )
    report[name] = hashlib.sha256(picture(pipe)).hexdigest()
print(json.dumps(report))
"""


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_emulated_npu_gives_the_picture_of_the_cpu_in_every_mode(run_on, qwen_folder, dtype):
    on_cpu, on_npu = (
        json.loads(run_on(device, ON_NPU, MODELS=str(qwen_folder), DEVICE=device, DTYPE=dtype))
        for device in ("cpu", "npu")
    )
    assert on_cpu == on_npu
    assert len(set(on_cpu.values())) == 2
    assert on_cpu["float8"] != on_cpu["plain"]
