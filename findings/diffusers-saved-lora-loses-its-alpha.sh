#!/usr/bin/env bash
# diffusers 0.42.1 with peft 0.21.2: a LoRA whose alpha is not its rank, saved by `save_lora_weights` with the two
# arguments that its documentation's example has and loaded again by `load_lora_weights`, changes the network by another
# amount, without a word: alpha goes into the file only where `transformer_lora_adapter_metadata` is given too, and a file
# without it is loaded with alpha = rank. Here rank 2 and alpha 8 come back as 2 and 2, a quarter of the strength.
#
# What it means for a reader of such files: where the metadata has no alpha, the strength that was trained is unknown.
#
# Prints the alpha and the largest change of the output, before and after; exits 1 if the change survives.
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
from peft import LoraConfig, get_peft_model_state_dict


class Pipeline(DiffusionPipeline, WanLoraLoaderMixin):
    def __init__(self, transformer):
        super().__init__()
        self.register_modules(transformer=transformer)


def network():
    torch.manual_seed(0)
    return WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=24, in_channels=16, out_channels=16, text_dim=32, freq_dim=32,
        ffn_dim=64, num_layers=1,
    ).eval()


def change(model):
    with torch.no_grad():
        return (model(**inputs).sample - plain).abs().max().item()


torch.manual_seed(2)
inputs = {"hidden_states": torch.randn(1, 16, 1, 4, 4), "timestep": torch.tensor([500]),
          "encoder_hidden_states": torch.randn(1, 5, 32)}
with torch.no_grad():
    plain = network()(**inputs).sample

trained = network()
torch.manual_seed(1)
trained.add_adapter(LoraConfig(r=2, lora_alpha=8, target_modules=["to_q", "to_k", "to_v"], init_lora_weights=False))
Pipeline.save_lora_weights("saved", transformer_lora_layers=get_peft_model_state_dict(trained))
loaded = network()
Pipeline(loaded).load_lora_weights("saved")

alphas = [next(iter(model.peft_config.values())).lora_alpha for model in (trained, loaded)]
changes = [change(model) for model in (trained, loaded)]
print(f"alpha {alphas[0]} -> {alphas[1]}, largest change of the output {changes[0]:.3f} -> {changes[1]:.3f}")
sys.exit(0 if alphas == [8, 2] and changes[1] < 0.6 * changes[0] else 1)
PY
# Seen: alpha 8 -> 2, largest change of the output 0.529 -> 0.124
