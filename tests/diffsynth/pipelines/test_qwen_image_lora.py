"""LoRA on the Qwen-Image pipeline: fused, hot, under offload, and taken off again without a trace."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.diffsynth.pipelines.conftest import QUICK_PICTURE

DISK = {
    f"{situation}_{part}": "disk" if situation == "offload" else "cpu" if part == "device" else torch.float32
    for situation in ("offload", "onload", "preparing", "computation")
    for part in ("device", "dtype")
}
LAYERS = {
    "attn.to_q": (256, 256),
    "attn.add_v_proj": (256, 256),
    "attn.to_out.0": (256, 256),
    "img_mlp.net.2": (1024, 256),
}


@pytest.fixture(scope="module", params=["lora_A.default", "lora_down"])
def lora(tmp_path_factory, request):
    generator = torch.Generator().manual_seed(3)
    down, up = ("lora_A.default", "lora_B.default") if "A" in request.param else ("lora_down", "lora_up")
    tensors = {}
    for block in range(2):
        for layer, (wide, out) in LAYERS.items():
            name = f"transformer.transformer_blocks.{block}.{layer}"
            tensors[f"{name}.{down}.weight"] = torch.randn(4, wide, generator=generator) * 0.1
            tensors[f"{name}.{up}.weight"] = torch.randn(out, 4, generator=generator) * 0.1
    path = tmp_path_factory.mktemp("lora") / "lora.safetensors"
    save_file(tensors, path)
    return path


def latents(pipe):
    """What the VAE is given to decode."""
    seen = []
    hook = pipe.vae.decoder.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
    pipe("a cat", **QUICK_PICTURE)
    hook.remove()
    return seen[0]


def test_fused_hot_and_offloaded_agree_and_leave_no_trace(open_qwen, lora):
    pipe, offloaded = open_qwen(), open_qwen(vram_config=DISK)
    plain = latents(pipe)
    weights = {key: value.clone() for key, value in pipe.dit.state_dict().items()}

    pipe.load_lora(pipe.dit, lora)
    fused = latents(pipe)
    assert (fused - plain).abs().max() > 1e-3
    pipe.clear_lora()
    assert all(torch.equal(value, weights[key]) for key, value in pipe.dit.state_dict().items())
    assert torch.equal(latents(pipe), plain)

    pipe.load_lora(pipe.dit, lora, hotload=True)
    torch.testing.assert_close(latents(pipe), fused, rtol=0, atol=1e-4)
    pipe.clear_lora(pipe.dit)

    offloaded.load_lora(offloaded.dit, lora)
    torch.testing.assert_close(latents(offloaded), fused, rtol=0, atol=1e-4)
    offloaded.clear_lora()
    assert torch.equal(latents(offloaded), plain)


def test_compiled_blocks_give_the_same_picture(open_qwen):
    pipe = open_qwen()
    plain = np.array(pipe("a cat", **QUICK_PICTURE)).astype(int)
    pipe.compile_pipeline(backend="aot_eager", dynamic=False)
    assert np.abs(np.array(pipe("a cat", **QUICK_PICTURE)) - plain).max() <= 1
