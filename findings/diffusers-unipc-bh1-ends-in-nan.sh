#!/usr/bin/env bash
# diffusers 0.42.1: `UniPCMultistepScheduler(solver_type="bh1")`, which its documentation recommends for unconditional
# sampling in fewer than 10 steps, ends in NaN whatever it is given, with all other settings at their defaults and with
# flow sigmas alike: the last step goes to sigma 0, where the factor B(h) of bh1 is infinite, and is multiplied with the
# 0 that a first-order step has for its correction. With the default, bh2, the same walk is finite.
#
# What it means: pictures by bh1 are black; set `final_sigmas_type="sigma_min"` (without flow sigmas), or take bh2.
#
# Prints whether the last sample is finite; exits 1 unless it is with bh2 and is not with bh1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet 'torch==2.13.0' 'diffusers==0.42.1'
cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PY'
import sys

import torch
from diffusers import UniPCMultistepScheduler


def is_finite(solver_type, **settings):
    scheduler = UniPCMultistepScheduler(solver_type=solver_type, **settings)
    scheduler.set_timesteps(8)
    sample = torch.ones(1, 1, 2, 2)
    for timestep in scheduler.timesteps:
        before, sample = sample, scheduler.step(0.1 * sample, timestep, sample).prev_sample
    assert before.isfinite().all()
    return bool(sample.isfinite().all())


flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
found = [[is_finite(solver_type, **settings) for settings in ({}, flow)] for solver_type in ("bh1", "bh2")]
print(f"finite at the end: bh1 {found[0]}, bh2 {found[1]} (defaults, flow sigmas)")
sys.exit(0 if found == [[False, False], [True, True]] else 1)
PY
# Seen: finite at the end: bh1 [False, False], bh2 [True, True] (defaults, flow sigmas)
