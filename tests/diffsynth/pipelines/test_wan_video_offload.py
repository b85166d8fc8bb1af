"""Where the weights are makes no difference to the frames: every mode on the CPU and on an emulated NPU."""

import json
import weakref

import pytest
import torch

from diffsynth.core.device.npu_compatible_device import memory_info
from diffsynth.core.vram import State
from diffsynth.families.family import Sizes
from diffsynth.models.wan_video_dit import TextCache
from diffsynth.pipelines import wan_video
from script_trial.adapters.diffsynth_port.weights import make_weights
from tests.diffsynth.pipelines.conftest import QUICK

ON_CPU = {
    "cpu": ("cpu", "cpu"),
    "disk, then cpu": ("disk", "cpu"),
    "disk": ("disk", "disk"),
}


def keys(offload, onload, device, dtype):
    config = {}
    for situation, place in zip(
        ("offload", "onload", "preparing", "computation"), (offload, onload, device, device), strict=True
    ):
        config[f"{situation}_device"] = place
        config[f"{situation}_dtype"] = "disk" if place == "disk" else dtype
    return config


@pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.bfloat16, marks=pytest.mark.slow)], ids=["float32", "bfloat16"]
)
@pytest.mark.parametrize("model_id", ["Wan-AI/Wan2.1-T2V-1.3B", "Wan-AI/Wan2.2-T2V-A14B"])
def test_every_mode_gives_the_same_bits_on_the_cpu(open_pipeline, model_id, dtype):
    def video(vram_config, **options):
        pipe = open_pipeline(model_id, vram_config, torch_dtype=dtype, **options)
        return pipe("a dog", output_type="floatpoint", **{**QUICK, "num_inference_steps": 2})

    plain = video(None)
    for offload, onload in ON_CPU.values():
        for vram_limit in (None, 0):
            assert torch.equal(video(keys(offload, onload, "cpu", dtype), vram_limit=vram_limit), plain)


ON_NPU = """
import hashlib, json, os
import torch
from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline
from tests.diffsynth.pipelines.test_wan_video_offload import keys

root = os.environ["MODELS"]
MIB = 1024 ** 2
MODES = {
    "plain": (None, None),
    "cpu": (("cpu", "cpu"), None),
    "cpu, no room": (("cpu", "cpu"), 0),
    "disk, then cpu": (("disk", "cpu"), None),
    "disk": (("disk", "disk"), 0),
    "limited": (("disk", "cpu"), 40 / 1024),
}
report = {}
for name, (places, vram_limit) in MODES.items():
    config = {} if places is None else keys(*places, "npu", torch.bfloat16)
    torch.npu.reset_peak_memory_stats()
    base = torch.npu.memory_allocated()

    def model(pattern):
        return ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern=pattern, local_model_path=root,
                           skip_download=True, **config)

    pipe = WanVideoPipeline.from_pretrained(
        torch_dtype=torch.bfloat16, device="npu", vram_limit=vram_limit, redirect_common_files=False,
        model_configs=[model("diffusion_pytorch_model*.safetensors"), model("models_t5_umt5-xxl-enc-bf16.pth"),
                       model("Wan2.1_VAE.pth")],
        tokenizer_config=ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="google/umt5-xxl/",
                                     local_model_path=root, skip_download=True),
    )
    resident = torch.npu.memory_allocated() - base
    small = {"height": 32, "width": 48, "num_frames": 5, "num_inference_steps": 2}
    video = pipe("a dog", "", seed=0, output_type="floatpoint", **small)
    moved = {} if places is None else vars(pipe.networks["dit"].weights.bytes_moved)
    weights = sum(p.numel() * 2 for p in pipe.dit.parameters())
    report[name] = {
        "frames": hashlib.sha256(video.cpu().numpy().tobytes()).hexdigest(),
        "peak": torch.npu.max_memory_allocated() - base, "weights": weights, "resident": resident, **moved,
    }
    del pipe, video
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def larger_models(tmp_path_factory):
    """A 1.3B-like model whose DiT is some 60 MiB in bfloat16."""
    root = tmp_path_factory.mktemp("larger")
    make_weights("Wan-AI/Wan2.1-T2V-1.3B", root, sizes=Sizes(width=768, layers=4))
    return root


def test_every_mode_gives_the_same_bits_on_an_npu_and_moves_what_it_says(run_on, larger_models):
    report = json.loads(run_on("npu", ON_NPU, MODELS=str(larger_models)))
    assert len({mode["frames"] for mode in report.values()}) == 1
    weights = report["plain"]["weights"]
    steps_and_branches = 2 * 2
    assert report["cpu"]["host_to_device"] == weights  # once, then they stay
    assert report["disk, then cpu"]["host_to_device"] == weights
    assert report["disk, then cpu"]["from_disk"] == 2 * weights  # the file is float32
    ahead = weights / 4  # of a step that does not come: one block that was on its way when the last one ended
    for streamed in ("cpu, no room", "disk"):
        assert 0 <= report[streamed]["host_to_device"] - steps_and_branches * weights <= ahead
    assert 0 <= report["disk"]["from_disk"] - steps_and_branches * 2 * weights <= 2 * ahead
    assert weights < report["limited"]["host_to_device"] < steps_and_branches * weights

    activations = report["plain"]["peak"] - report["plain"]["resident"]
    assert report["plain"]["resident"] > weights
    assert report["limited"]["peak"] <= 40 * 1024**2 + activations
    for streamed in ("cpu, no room", "disk"):
        assert report[streamed]["peak"] <= 2 * ahead + activations


SMALL_DEVICE = """
import os
import torch
from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline
from tests.diffsynth.pipelines.test_wan_video_offload import keys

root = os.environ["MODELS"]
total = torch.npu.mem_get_info("npu")[1]
def model(pattern, **config):
    return ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern=pattern, local_model_path=root,
                       skip_download=True, **config)
offloaded = keys("disk", "cpu", "npu", torch.bfloat16)
limit = total - 24 * 1024 ** 2
pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16, device="npu", vram_limit=limit / 1024 ** 3, redirect_common_files=False,
    model_configs=[model(pattern, **offloaded) for pattern in
                   ("diffusion_pytorch_model*.safetensors", "models_t5_umt5-xxl-enc-bf16.pth", "Wan2.1_VAE.pth")],
    tokenizer_config=model("google/umt5-xxl/"),
)
weights = sum(p.numel() * 2 for p in pipe.dit.parameters())
assert weights > total, (weights, total)
frames = pipe("a dog", "", seed=0, height=32, width=48, num_frames=5, num_inference_steps=2)
assert len(frames) == 5
print(torch.npu.max_memory_allocated() / total)
"""


def test_a_model_larger_than_the_device_runs(run_on, larger_models):
    assert 0.5 < float(run_on("npu", SMALL_DEVICE, MODELS=str(larger_models), NPU_EMULATOR_MEMORY="52MiB")) <= 1


FIFTY_STEPS = """
import os
import torch
from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline
from tests.diffsynth.pipelines.test_wan_video_offload import keys

root = os.environ["MODELS"]
def resident():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
def model(pattern, **config):
    return ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern=pattern, local_model_path=root,
                       skip_download=True, **config)
streamed = keys("disk", "disk", "cpu", torch.bfloat16)
pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16, device="cpu", vram_limit=0, redirect_common_files=False,
    model_configs=[model(pattern, **streamed) for pattern in
                   ("diffusion_pytorch_model*.safetensors", "models_t5_umt5-xxl-enc-bf16.pth", "Wan2.1_VAE.pth")],
    tokenizer_config=model("google/umt5-xxl/"),
)
seen = []
def watched(loop):
    for item in loop:
        yield item
        seen.append(resident())
small = {"height": 32, "width": 48, "num_frames": 5, "tiled": False}
pipe("a dog", "", seed=0, num_inference_steps=50, progress_bar_cmd=watched, **small)
steps = seen[:50]
print(max(steps[10:]) / steps[10])
"""


@pytest.mark.slow
def test_host_memory_is_flat_over_fifty_steps(run_on, larger_models):
    assert float(run_on("cpu", FIFTY_STEPS, MODELS=str(larger_models))) < 1.02


def test_a_pipeline_tells_of_its_memory(open_pipeline, wan21):
    offloaded = open_pipeline(vram_config=keys("disk", "cpu", "cpu", torch.float32))
    assert [pipe.vram_management_enabled for pipe in (wan21, offloaded)] == [False, True]
    assert wan21.get_vram() == memory_info("cpu")[1] / 1024**3


def test_the_first_expert_has_gone_before_the_second_comes(open_pipeline, monkeypatch):
    pipe = open_pipeline("Wan-AI/Wan2.2-T2V-A14B", keys("disk", "cpu", "cpu", torch.float32))
    caches = weakref.WeakSet()
    monkeypatch.setattr(wan_video, "TextCache", lambda: caches.add(cache := TextCache()) or cache)
    first, second = (pipe.networks[name].weights for name in ("dit", "dit2"))
    onload, left_behind = second.onload, []

    def watched():
        left_behind.append((first.state, len(caches)))
        onload()

    monkeypatch.setattr(second, "onload", watched)
    pipe("a dog", **QUICK)
    assert left_behind == [(State.OFFLOAD, 0)]
