"""A picture shared by several processes is that of one, on every rank; and it takes less of each device."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.parallel_scale import ACTIVATIONS
from diffsynth.core.parallel.mesh import DegreeError
from diffsynth.families.family import Sizes
from diffsynth.pipelines.qwen_image import QwenImagePipeline
from script_trial.adapters.diffsynth_port.weights import make_weights
from tests.diffsynth.pipelines.parallel_checks import (
    OF_A_RING,
    check_near_the_exact,
    check_offload,
    degrees,
    layouts_of,
    shared,
)
from tests.diffsynth.pipelines.shared_generation import CANNY, LAYERED, QWEN, generate_by, pipeline
from tests.diffsynth.ranks import ROOT, run_ranks

CALLS = {
    "picture to picture": {"from_picture": True, "denoising_strength": 0.8, "num_inference_steps": 4},
    "a larger picture edited": {"edited": (128, 96)},
    "a smaller picture edited": {"edited": (32, 16)},
    "pictures at timestep zero": {"edited": (32, 16), "zero_cond_t": True},
    "a smaller picture spread": {"edited": (32, 16), "edit_rope_interpolation": True},
    "no guidance, no tiles": {"cfg_scale": 1, "tiled": False},
    "one token": {"height": 16, "width": 16},
    "in context": {"context": True},
    "under a ControlNet": {"controlled": True, "edited": (32, 16)},
    "entities": {"entities": True, "eligen_enable_on_negative": True, "edited": (112, 80)},
    "layers": {"layer_num": 2},
    "several, one of a longer prompt": {"prompt": ["a dog", "a cat runs over there"], "num_images_per_prompt": 2},
}


@pytest.fixture(scope="session")
def three_heads(tmp_path_factory):
    root = tmp_path_factory.mktemp("three_heads_of_qwen")
    make_weights(QWEN, root, sizes=Sizes(width=384))
    return root


@pytest.mark.slow
@pytest.mark.parametrize(("machine", "count"), [("cpu", 2), ("npu", 2), ("cpu", 4), ("npu", 4)])
def test_layouts_and_heads_that_do_not_divide(machine, count, qwen_folder, three_heads, tmp_path):
    folders = {"2 heads": qwen_folder, "3 heads": three_heads}
    shared(machine, count, layouts_of(count, {"model": QWEN}, folders), tmp_path)


@pytest.mark.slow
def test_a_ring_is_as_near_to_the_exact_result_as_one_process(three_heads, tmp_path):
    check_near_the_exact({"model": QWEN, "folder": str(three_heads)}, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("machine", "count"), [("cpu", 2), ("npu", 4)])
def test_everything_a_call_can_ask_for(machine, count, qwen_folder, tmp_path):
    for model_id in (LAYERED, CANNY):
        make_weights(model_id, qwen_folder)
    ring = (1, None, 1)
    with_a_ring = {ring, (None, None, 1)} if count > 2 else {ring}  # there are two heads to share
    cases = {
        f"{call}, layout {layout}": {
            "model": LAYERED if call == "layers" else QWEN,
            "folder": str(qwen_folder),
            "degrees": degrees(*layout),
            "call": keywords,
            "controlnet": call == "under a ControlNet",
        }
        for call, keywords in CALLS.items()
        for layout in ((None, None, 1), (None, None, 2), ring)
        if not (call == "entities" and layout in with_a_ring)  # there are no masks in a ring
    }
    shared(machine, count, cases, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["cpu", "npu"])
def test_offload_changes_no_bit_and_compiling_little(machine, qwen_folder, tmp_path):
    check_offload(machine, {"model": QWEN, "folder": str(qwen_folder), "call": {"edited": (48, 32)}}, tmp_path)


LORA = """
import os
import torch
from tests.diffsynth.pipelines.shared_generation import pipeline
from tests.diffsynth.pipelines.test_qwen_image_parallel import with_lora, without_text_encoder

case = without_text_encoder(os.environ["FOLDER"])
pipe = pipeline({**case, "degrees": {"ulysses_degree": 1}}, "cpu", shared=True)
torch.save(with_lora(pipe, case), f"with_lora{os.environ['RANK']}.pt")
"""


def without_text_encoder(folder):
    return {"model": QWEN, "folder": str(folder), "made_up_texts": True}


def with_lora(pipe, case):
    """The latents that the pipeline ends with under a LoRA of every layer, added as it runs."""
    generator, lora = torch.Generator().manual_seed(0), {}
    for name, layer in pipe.dit.named_modules():
        if isinstance(layer, torch.nn.Linear):
            lora[f"{name}.lora_A.weight"] = 0.1 * torch.randn(2, layer.in_features, generator=generator)
            lora[f"{name}.lora_B.weight"] = 0.1 * torch.randn(layer.out_features, 2, generator=generator)
    pipe.load_lora(pipe.dit, state_dict=lora, hotload=True)
    return generate_by(pipe, case)[0]


@pytest.mark.slow
def test_a_hot_lora_of_every_layer(qwen_folder, tmp_path):
    case = without_text_encoder(qwen_folder)
    pipe = pipeline(case, "cpu", shared=False)
    plain = generate_by(pipe, case)[0]
    alone = with_lora(pipe, case)
    assert (alone - plain).abs().max() > 0.1
    run_ranks("cpu", LORA, 2, tmp_path, FOLDER=str(qwen_folder))
    for rank in range(2):
        found = torch.load(tmp_path / f"with_lora{rank}.pt")
        torch.testing.assert_close(found, alone, rtol=0, atol=OF_A_RING * alone.abs().max().item())


MEMORY = """
import torch
from diffsynth.core.parallel.mesh import Degrees
from diffsynth.core.parallel.mesh import Mesh
from diffsynth.core.parallel.sequence import SequenceParallel
from diffsynth.core.parallel.world import join
from diffsynth.models.qwen_image_dit import QwenImageDiT
from diffsynth.models.qwen_image_parallel import cut

world = join("npu")
torch.manual_seed(0)
dit = QwenImageDiT(1, 2, 128, text_dim=16).eval().requires_grad_(False).to("npu", torch.bfloat16)
if world is not None:
    cut(dit, SequenceParallel(Mesh(world, Degrees(ulysses=world.launch.size))))
latents, context = torch.randn(1, 16, 120, 128).to("npu"), torch.randn(1, 256, 16).to("npu", torch.bfloat16)
timestep = torch.tensor([500.0]).to("npu")
with torch.no_grad():
    dit(latents, timestep, context)
    torch.npu.reset_peak_memory_stats()
    base = torch.npu.memory_allocated()
    dit(latents, timestep, context)
print(torch.npu.max_memory_allocated() - base)
"""


@pytest.mark.slow
def test_two_devices_need_half_the_memory_for_activations(tmp_path):
    (alone,), halves = ([int(said) for said in run_ranks("npu", MEMORY, count, tmp_path)] for count in (1, 2))
    assert alone / max(halves) >= 1.8
    assert alone == pytest.approx(
        ACTIVATIONS * 4096 * 256 * 2, rel=0.05
    )  # 3,840 tokens and 256 of the prompt, 256 wide


SCRIPT = """
import torch
from diffsynth.core.parallel.main_rank import is_main_rank
from diffsynth.pipelines.qwen_image import ModelConfig, QwenImagePipeline

def model(pattern):
    return ModelConfig(model_id="Qwen/Qwen-Image-Edit", origin_file_pattern=pattern)

pipe = QwenImagePipeline.from_pretrained(
    torch_dtype=torch.bfloat16, device="cpu", use_usp=True,
    model_configs=[model("transformer/diffusion_pytorch_model*.safetensors"), model("text_encoder/model*.safetensors"),
                   model("vae/diffusion_pytorch_model.safetensors")],
    tokenizer_config=model("tokenizer/"),
)
image = pipe("a dog", height=32, width=48, num_inference_steps=1)
if is_main_rank():
    image.save("image.png")
"""


@pytest.mark.slow
def test_a_script_under_torchrun(qwen_folder, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "DIFFSYNTH_MODEL_BASE_PATH": str(qwen_folder),
            "DIFFSYNTH_SKIP_DOWNLOAD": "1",
        },
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(tmp_path, "image.png").stat().st_size > 0


def test_degrees_that_cannot_be_are_refused_before_anything_is_loaded(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(DegreeError, match="ring_degree and cfg_degree go with use_usp=True, which is not set"):
        QwenImagePipeline.from_pretrained(device="cpu", cfg_degree=2)
    with pytest.raises(DegreeError, match="ulysses_degree=2 makes 2, and there is 1 process: the degrees have to"):
        QwenImagePipeline.from_pretrained(device="cpu", use_usp=True, ulysses_degree=2)
