"""A generation shared by several processes is that of one, on every rank; and it takes less of each device."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks.parallel_scale import ACTIVATIONS
from diffsynth.core.parallel.mesh import DegreeError
from diffsynth.families.family import Sizes
from diffsynth.pipelines.wan_video import WanVideoPipeline
from script_trial.adapters.diffsynth_port.weights import make_weights
from tests.diffsynth.pipelines.parallel_checks import check_near_the_exact, check_offload, degrees, layouts_of, shared
from tests.diffsynth.pipelines.shared_generation import WAN21, WAN22, generate
from tests.diffsynth.ranks import ROOT, ended, run_ranks, start_ranks

CALLS = {
    "video to video, two experts": {"from_video": True, "denoising_strength": 0.8, "num_inference_steps": 4},
    "tea cache": {"tea_cache_l1_thresh": 0.3, "tea_cache_model_id": "Wan2.1-T2V-1.3B", "num_inference_steps": 5},
    "sliding window": {"sliding_window_size": 2, "sliding_window_stride": 1},
    "merged branches": {"cfg_merge": True},
    "no guidance, no tiles": {"cfg_scale": 1.0, "tiled": False},
    "one token": {"height": 16, "width": 16, "num_frames": 1},
    "several, of two experts": {
        "prompt": ["a dog", "a cat"],
        "num_videos_per_prompt": 2,
        "guidance_scale_2": 3.0,
        "num_inference_steps": 3,
    },
}


@pytest.fixture(scope="session")
def three_heads(tmp_path_factory):
    root = tmp_path_factory.mktemp("three_heads")
    make_weights(WAN21, root, sizes=Sizes(width=384))
    return root


@pytest.mark.slow
@pytest.mark.parametrize(("machine", "count"), [("cpu", 2), ("npu", 2), ("cpu", 4), ("npu", 4)])
def test_layouts_and_heads_that_do_not_divide(machine, count, models_folder, three_heads, tmp_path):
    folders = {"2 heads": models_folder, "3 heads": three_heads}
    shared(machine, count, layouts_of(count, {"model": WAN21}, folders), tmp_path)


@pytest.mark.slow
def test_a_ring_is_as_near_to_the_exact_result_as_one_process(three_heads, tmp_path):
    check_near_the_exact({"model": WAN21, "folder": str(three_heads)}, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("machine", "count"), [("cpu", 2), ("npu", 4)])
def test_everything_a_call_can_ask_for(machine, count, models_folder, tmp_path):
    cases = {
        f"{call}, cfg {cfg}": {
            "model": WAN22 if "experts" in call else WAN21,
            "folder": str(models_folder),
            "degrees": degrees(cfg=cfg),
            "call": keywords,
        }
        for call, keywords in CALLS.items()
        for cfg in (1, 2)
    }
    shared(machine, count, cases, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["cpu", "npu"])
def test_offload_changes_no_bit_and_compiling_little(machine, models_folder, tmp_path):
    check_offload(machine, {"model": WAN21, "folder": str(models_folder)}, tmp_path)


NO_SEED = """
import hashlib, os
from tests.diffsynth.pipelines.shared_generation import generate
case = {"model": "Wan-AI/Wan2.1-T2V-1.3B", "folder": os.environ["FOLDER"], "call": {"seed": None}}
latents, video = generate(case, "cpu", shared=True)
print(hashlib.sha256(video.numpy().tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_without_a_seed_all_make_the_same_video(models_folder, tmp_path):
    assert len(set(run_ranks("cpu", NO_SEED, 2, tmp_path, FOLDER=str(models_folder)))) == 1


INTERRUPTED = """
import hashlib, os
import torch
from tests.diffsynth.pipelines.shared_generation import pipeline, WAN21

pipe = pipeline({"model": WAN21, "folder": os.environ["FOLDER"], "degrees": {}}, "cpu", shared=True)
rank, seen = int(os.environ["RANK"]), []

def callback(pipe, index, timestep, tensors):
    seen.append(index)
    pipe.interrupt = rank == 1 and index == 1
    return {"latents": tensors["latents"] + rank}

latents = pipe("a dog", height=32, width=48, num_frames=1, num_inference_steps=4, seed=0, output_type="latent",
               callback_on_step_end=callback)
assert seen == [0, 1], seen
print(hashlib.sha256(latents.numpy().tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_what_one_rank_interrupts_ends_on_all_and_all_go_on_with_the_firsts_latents(models_folder, tmp_path):
    assert len(set(run_ranks("cpu", INTERRUPTED, 2, tmp_path, FOLDER=str(models_folder)))) == 1


MEMORY = """
import os
import torch
from diffsynth.core.parallel.mesh import Mesh
from diffsynth.core.parallel.mesh import Degrees
from diffsynth.core.parallel.sequence import SequenceParallel
from diffsynth.core.parallel.world import join
from diffsynth.models.wan_video_dit import TextCache, WanModel
from diffsynth.models.wan_video_parallel import cut

dtype = getattr(torch, os.environ["DTYPE"])
world = join("npu")
torch.manual_seed(0)
dit = WanModel(256, 704, 2, 1, text_dim=16).eval().requires_grad_(False).to("npu", dtype)
if world is not None:
    cut(dit, SequenceParallel(Mesh(world, Degrees(ulysses=world.launch.size))))
latents, context = torch.randn(1, 16, 4, 64, 64).to("npu"), torch.randn(1, 8, 16).to("npu", dtype)
timestep = torch.tensor([500.0]).to("npu")
with torch.no_grad():
    dit(latents, timestep, context)
    torch.npu.reset_peak_memory_stats()
    base = torch.npu.memory_allocated()
    dit(latents, timestep, context)
print(torch.npu.max_memory_allocated() - base)
"""


def peaks(count, dtype, folder):
    return [int(said) for said in run_ranks("npu", MEMORY, count, folder, DTYPE=dtype)]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_two_devices_need_half_the_memory_for_activations(dtype, tmp_path):
    (alone,) = peaks(1, dtype, tmp_path)
    halves = peaks(2, dtype, tmp_path)
    assert alone / max(halves) >= 1.8
    if dtype == "bfloat16":  # of 4,096 tokens, 256 wide
        assert alone == pytest.approx(ACTIVATIONS * 4096 * 256 * 2, rel=0.05)


KILLED = """
import os
from diffsynth.pipelines.wan_video import WanVideoPipeline
from tests.diffsynth.pipelines.shared_generation import generate

def watched(steps):
    for step in steps:
        open(f"running{os.environ['RANK']}", "w").close()
        yield step

case = {"model": "Wan-AI/Wan2.1-T2V-1.3B", "folder": os.environ["FOLDER"], "call": {}}
case["call"] = {"num_inference_steps": 100000, "progress_bar_cmd": watched}
generate(case, os.environ["MACHINE"], shared=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["cpu", "npu"])
def test_a_rank_killed_while_it_denoises(machine, models_folder, tmp_path):
    processes = start_ranks(machine, KILLED, 2, tmp_path, FOLDER=str(models_folder), MACHINE=machine)
    deadline = time.monotonic() + 200
    while not (tmp_path / "running0").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    processes[1].kill()
    started = time.monotonic()
    ranks = ended(processes, timeout=60)
    assert time.monotonic() - started < 30
    assert ranks[0].returncode == 1
    assert "rank 1 of 2 was killed, or its machine was lost" in ranks[0].stderr.splitlines()[-1]


SCRIPT = """
import torch
from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline
from diffsynth.utils.data import save_video

def model(pattern):
    return ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern=pattern)

pipe = WanVideoPipeline.from_pretrained(
    torch_dtype=torch.bfloat16, device="cpu", use_usp=True, redirect_common_files=False,
    model_configs=[model("diffusion_pytorch_model*.safetensors"), model("models_t5_umt5-xxl-enc-bf16.pth"),
                   model("Wan2.1_VAE.pth")],
    tokenizer_config=model("google/umt5-xxl/"),
)
save_video(pipe("a dog", height=32, width=48, num_frames=5, num_inference_steps=1, seed=0), "video.mp4", fps=5)
"""


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [False, True])
def test_a_script_under_torchrun(wrong, models_folder, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("use_usp=True", "use_usp=True, ulysses_degree=3") if wrong else SCRIPT)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "DIFFSYNTH_MODEL_BASE_PATH": str(models_folder),
            "DIFFSYNTH_SKIP_DOWNLOAD": "1",
        },
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    if wrong:
        assert done.returncode != 0
        assert "ulysses_degree=3 makes 3, and there are 2 processes: the degrees have to multiply" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert Path(tmp_path, "video.mp4").stat().st_size > 0


def test_one_process_alone_says_so(models_folder, monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    case = {"model": WAN21, "folder": str(models_folder), "call": {"num_frames": 1, "num_inference_steps": 1}}
    with pytest.warns(UserWarning, match=re.escape("one process computes alone; for several devices, start the")):
        alone = generate(case, "cpu", shared=True)
    assert torch.equal(alone[1], generate(case, "cpu", shared=False)[1])


def test_degrees_that_cannot_be_are_refused_before_anything_is_loaded(monkeypatch):
    with pytest.raises(DegreeError, match="ring_degree and cfg_degree go with use_usp=True, which is not set"):
        WanVideoPipeline.from_pretrained(device="cpu", ring_degree=2)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(DegreeError, match="cfg_degree=2 makes 2, and there is 1 process: the degrees have to"):
        WanVideoPipeline.from_pretrained(device="cpu", use_usp=True, cfg_degree=2)
