#!/usr/bin/env bash
# diffsynth 2.1.12 (DiffSynth-Studio): Wan2.1-FLF2V-14B makes a video between a first and a last picture. Each is 257
# tokens, and its blocks attend to all 514 by layers of their own (`k_img`, `v_img`), as the model's authors and diffusers
# compute it. diffsynth always cuts after 257: the last picture goes through the layers for the prompt's words instead,
# in all blocks. With one picture (I2V) both libraries agree to rounding; with two, on the same weights, they do not.
#
# What it means: end frames of FLF2V look otherwise than those of the published model, and a LoRA trained there learns on
# another network.
#
# Tiny random weights, one forward on the CPU by each library for one and for two pictures. Prints the largest difference
# of either, over the largest value; exits 1 if they are not as said.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet 'torch==2.14.1' 'torchvision==0.29.1' 'diffsynth==2.1.12' 'diffusers==0.42.1' 'transformers==5.23.0'
cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PY'
import sys

import torch
from diffsynth.models.wan_video_dit import WanModel
from diffsynth.pipelines.wan_video import model_fn_wan_video
from diffusers import WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

WIDTH, FEATURES, TOKENS, WORDS = 64, 1280, 257, 512


@torch.no_grad()
def apart(pictures):
    torch.manual_seed(0)
    two = pictures == 2
    one = WanModel(
        dim=WIDTH, in_dim=36, ffn_dim=128, out_dim=16, text_dim=32, freq_dim=256, eps=1e-6, patch_size=(1, 2, 2),
        num_heads=2, num_layers=2, has_image_input=True, has_image_pos_emb=two,
    ).eval()
    for parameter in one.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    other = WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=WIDTH // 2, in_channels=36, out_channels=16, text_dim=32, ffn_dim=128,
        num_layers=2, image_dim=FEATURES, added_kv_proj_dim=WIDTH, pos_embed_seq_len=2 * TOKENS if two else None,
    ).eval()
    weights = convert_wan_transformer_to_diffusers(dict(one.state_dict()))
    if two:
        weights["condition_embedder.image_embedder.pos_embed"] = weights.pop("img_emb.emb_pos")
    other.load_state_dict(weights)
    noise, masked = torch.randn(1, 16, 2, 4, 4), torch.randn(1, 20, 2, 4, 4)
    words, seen = torch.randn(1, WORDS, 32), torch.randn(pictures, TOKENS, FEATURES)
    time = torch.tensor([500.0])
    first = model_fn_wan_video(
        one, latents=noise, timestep=time, context=words, clip_feature=seen.reshape(1, -1, FEATURES), y=masked
    )
    second = other(torch.cat([noise, masked], dim=1), time, words, seen, return_dict=False)[0]
    return ((first - second).abs().max() / second.abs().max()).item()


i2v, flf2v = apart(1), apart(2)
print(f"one picture: {i2v:.1e}, a first and a last one: {flf2v:.1e}")
sys.exit(0 if i2v < 1e-4 and flf2v > 1e-2 else 1)
PY
# Seen: one picture: 3.2e-06, a first and a last one: 4.0e-02
