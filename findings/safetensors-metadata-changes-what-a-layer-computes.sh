#!/usr/bin/env bash
# safetensors 0.8.0 and torch 2.13.0, on a CPU: the same weights, of the same bytes, give other last digits when the
# metadata of their file is 8 characters longer. `load_file` maps the file, so a tensor lies where the header ends: at a
# multiple of 8 bytes, no more, while torch puts its own tensors at multiples of 64. For a single row, a linear layer in
# float32 sums in another order where its weight does not lie at a multiple of 16.
#
# What it means: who compares two runs to the bit, or a model loaded from a file with the one that was saved, finds
# differences that no value explains, in a language model at batch size 1 above all; `.clone()` of each weight ends them.
#
# Which order is taken hangs on the processor too; seen on an AMD EPYC with AVX-512, on one thread.
#
# Prints by the length of the metadata where the weight lies and how far the layer's result is from that of the weights
# that were saved; exits 1 unless all loaded weights are equal, those at a multiple of 16 give the same, and others do not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet 'torch==2.13.0' 'safetensors==0.8.0' 'numpy==2.4.6'
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sys

import torch
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)
torch.manual_seed(0)
weight, row = torch.randn(256, 256), torch.randn(1, 256)
expected = torch.nn.functional.linear(row, weight)
as_expected = True
for length in range(0, 64, 8):
    save_file({"weight": weight}, "weights.safetensors", metadata={"made by": "x" * length})
    loaded = load_file("weights.safetensors")["weight"]
    apart = (torch.nn.functional.linear(row, loaded) - expected).abs().max().item()
    copied = torch.equal(torch.nn.functional.linear(row, loaded.clone()), expected)
    place = loaded.data_ptr() % 64
    print(f"{length:2} characters of metadata: at {place:2} mod 64, {apart:.1e} apart")
    as_expected &= torch.equal(loaded, weight) and copied and (apart == 0) == (place % 16 == 0)
sys.exit(0 if as_expected else 1)
PY
# Seen:
#  0 characters of metadata: at 48 mod 64, 0.0e+00 apart
#  8 characters of metadata: at 56 mod 64, 6.2e-06 apart
# 16 characters of metadata: at  0 mod 64, 0.0e+00 apart
# 24 characters of metadata: at  8 mod 64, 6.2e-06 apart
# 32 characters of metadata: at 16 mod 64, 0.0e+00 apart
# 40 characters of metadata: at 24 mod 64, 6.2e-06 apart
# 48 characters of metadata: at 32 mod 64, 0.0e+00 apart
# 56 characters of metadata: at 40 mod 64, 6.2e-06 apart
