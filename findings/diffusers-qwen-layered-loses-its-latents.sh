#!/usr/bin/env bash
# diffusers 0.42.1: `QwenImageLayeredPipeline(..., output_type="latent")` walks through all of its steps and then raises
# UnboundLocalError. Its last lines have a branch for "latent", which puts what it made under another name than the one it
# returns. `QwenImagePipeline` returns latents when it is asked so, and the layered one returns "pt" and "pil".
#
# What it means: latents of layers are to be taken by `callback_on_step_end`, which has them after the last step (packed),
# as it is done here.
#
# Prints what comes of "pt" and of "latent"; exits 1 unless "latent" fails after all steps and "pt" does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet 'torch==2.13.0' 'diffusers==0.42.1' 'transformers==5.23.0'
cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PY'
import sys

import torch
from diffusers import (
    AutoencoderKLQwenImage, FlowMatchEulerDiscreteScheduler, QwenImageLayeredPipeline, QwenImageTransformer2DModel,
)
from PIL import Image
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

torch.manual_seed(0)
text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "vocab_size": 32}
vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
pipe = QwenImageLayeredPipeline(
    scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    vae=AutoencoderKLQwenImage(base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, input_channels=4),
    text_encoder=Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision)),
    tokenizer=None,
    processor=None,
    transformer=QwenImageTransformer2DModel(
        in_channels=64, out_channels=16, num_layers=1, attention_head_dim=16, num_attention_heads=1,
        joint_attention_dim=16, axes_dims_rope=(8, 4, 4), use_additional_t_cond=True, use_layer3d_rope=True,
    ),
)
pipe.set_progress_bar_config(disable=True)


def what_comes_of(output_type):
    """In words, the steps that were walked, and the shape of the latents after the last one."""
    seen = []

    def after_step(pipeline, step, timestep, tensors):
        seen.append(tuple(tensors["latents"].shape))
        return {}

    try:
        made = pipe(
            Image.new("RGBA", (64, 64), "red"), prompt="a cat", prompt_embeds=torch.randn(1, 4, 16),
            layers=1, num_inference_steps=2, output_type=output_type, callback_on_step_end=after_step,
        ).images
        told = f"{len(made)} result of {tuple(made[0].shape)}"
    except Exception as error:
        told = type(error).__name__
    return told, len(seen), seen[-1]


found = {output_type: what_comes_of(output_type) for output_type in ("pt", "latent")}
for output_type, (told, steps, shape) in found.items():
    print(f"{output_type}: {told}, after {steps} steps and latents of {shape}")
sys.exit(0 if found["latent"][:2] == ("UnboundLocalError", 2) and found["pt"][0].startswith("1 result") else 1)
PY
# Seen: pt: 1 result of (1, 4, 640, 640), after 2 steps and latents of (1, 3200, 64)
#       latent: UnboundLocalError, after 2 steps and latents of (1, 3200, 64)
