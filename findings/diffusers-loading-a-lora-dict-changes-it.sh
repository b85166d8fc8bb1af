#!/usr/bin/env bash
# diffusers 0.42.1: `WanPipeline.load_lora_weights(state_dict)`, given the content of a file in the form of the original
# model with alphas, multiplies alpha / rank into the caller's own tensors of the cross-attention and the feed-forward
# network (those of the self-attention are copied). The same dict loaded again, such as into the second expert of
# Wan2.2, is weaker each time, without a word. Its code copies the dict "instead of modifying it inplace", not the tensors.
#
# What it means: give `load_lora_weights` a file, or clones of the tensors.
#
# Prints the first number of three layers' down projections after each of two conversions; exits 1 unless two of them
# shrink.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet 'torch==2.13.0' 'diffusers==0.42.1' 'peft==0.21.2' 'transformers==5.23.0'
cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PY'
import sys

import torch
from diffusers import DiffusionPipeline, WanTransformer3DModel
from diffusers.loaders import WanLoraLoaderMixin


class Pipeline(DiffusionPipeline, WanLoraLoaderMixin):
    def __init__(self, transformer):
        super().__init__()
        self.register_modules(transformer=transformer)


pipeline = Pipeline(
    WanTransformer3DModel(num_attention_heads=2, attention_head_dim=24, text_dim=32, freq_dim=32, ffn_dim=64, num_layers=1)
)
layers = {"self_attn.q": (48, 48), "cross_attn.q": (48, 48), "ffn.0": (64, 48)}
content = {}
for layer, (wide, narrow) in layers.items():
    content[f"diffusion_model.blocks.0.{layer}.lora_down.weight"] = torch.ones(2, narrow)
    content[f"diffusion_model.blocks.0.{layer}.lora_up.weight"] = torch.ones(wide, 2)
    content[f"diffusion_model.blocks.0.{layer}.alpha"] = torch.tensor(1.0)
found = []
for name in ("first", "second"):
    pipeline.load_lora_weights(content, adapter_name=name)
    found.append([content[f"diffusion_model.blocks.0.{layer}.lora_down.weight"][0, 0].item() for layer in layers])
print(f"down projections of {', '.join(layers)}: 1.0 each, then {found[0]}, then {found[1]}")
sys.exit(0 if found == [[1.0, 0.5, 0.5], [1.0, 0.25, 0.25]] else 1)
PY
# Seen: down projections of self_attn.q, cross_attn.q, ffn.0: 1.0 each, then [1.0, 0.5, 0.5], then [1.0, 0.25, 0.25]
