#!/usr/bin/env bash
# diffsynth 2.1.12 (DiffSynth-Studio): `edit_rope_interpolation=True` of a Qwen-Image call places the tokens of a picture to
# edit as far out as those of the picture that is made. The network keeps these places by the picture's number and size
# alone, whichever way they were made and for whatever picture beside them. So a later call without the keyword, of the
# same sizes, still has them; and a call with the keyword has the plain ones, if a picture of the small one's size was made
# before. Nothing says so. A network that was called so only has them right.
#
# What it means: in a process that edits several pictures a result depends on the calls before it; the same script run for
# each picture alone gives others.
#
# A tiny network of the library's own parts with random weights, one forward on the CPU each, by its own `model_fn`. Prints
# how far a call is from the same call of a new network; exits 1 if they are not as said.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet 'torch==2.14.1' 'torchvision==0.29.1' 'diffsynth==2.1.12' 'transformers==5.23.0'
cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PY'
import sys

import torch
from diffsynth.models.general_modules import AdaLayerNorm, RMSNorm, TimestepEmbeddings
from diffsynth.models.qwen_image_dit import QwenImageDiT, QwenImageTransformerBlock
from diffsynth.pipelines.qwen_image import model_fn_qwen_image
from torch import nn

WIDTH, WORDS = 256, 5


def network():
    torch.manual_seed(0)
    dit = QwenImageDiT(0)
    dit.time_text_embed = TimestepEmbeddings(256, WIDTH, diffusers_compatible_format=True, scale=1000)
    dit.txt_norm, dit.txt_in = RMSNorm(64, eps=1e-6), nn.Linear(64, WIDTH)
    dit.img_in, dit.proj_out, dit.norm_out = nn.Linear(64, WIDTH), nn.Linear(WIDTH, 64), AdaLayerNorm(WIDTH, single=True)
    dit.transformer_blocks = nn.ModuleList([QwenImageTransformerBlock(WIDTH, WIDTH // 128, 128)])
    return dit.eval()


@torch.no_grad()
def called(dit, size=16, given=8, interpolated=False):
    """The prediction for a picture of size x size latents, beside one to edit of given x given."""
    drawn = torch.Generator().manual_seed(1)
    latents, edited = (torch.randn(1, 16, side, side, generator=drawn) for side in (size, given))
    return model_fn_qwen_image(
        dit, latents=latents, edit_latents=edited, timestep=torch.tensor([500.0]),
        prompt_emb=torch.randn(1, WORDS, 64, generator=drawn), prompt_emb_mask=torch.ones(1, WORDS, dtype=torch.long),
        height=8 * size, width=8 * size, edit_rope_interpolation=interpolated,
    )


def apart(before, interpolated):
    dit = network()
    called(dit, **before)
    return (called(dit, interpolated=interpolated) - called(network(), interpolated=interpolated)).abs().max().item()


plain = apart({}, False)
after = apart({"interpolated": True}, False)
small = apart({"size": 8}, True)
print(f"plain after plain: {plain:.1e}, plain after interpolated: {after:.1e}, interpolated after a small picture: {small:.1e}")
sys.exit(0 if plain < 1e-6 and min(after, small) > 1e-3 else 1)
PY
# Seen: plain after plain: 0.0e+00, plain after interpolated: 3.4e-03, interpolated after a small picture: 3.4e-03
