"""
# DP403 npu-patch: the Z-Image series, which has operators of its own for Ascend NPUs

## What it does

Adds `--enable_npu_patch` to each launch of a training of the Z-Image series, told from the model ids and paths on the
command line. The launched script has to know the option, so its parser is read, with the helpers that it imports;
where the script or a helper is not found, that is reported and nothing is added.

## Why

The option puts fused operators for normalisation and rotary embedding in the place of the model's own.

## Before

    accelerate launch z_image/train.py \\
      --model_id_with_origin_paths "Tongyi-MAI/Z-Image-Turbo:transformer/*.safetensors"

## After

    export PYTORCH_NPU_ALLOC_CONF=expandable_segments:True
    export CPU_AFFINITY_CONF=1

    accelerate launch z_image/train.py \\
      --model_id_with_origin_paths "Tongyi-MAI/Z-Image-Turbo:transformer/*.safetensors" \\
      --enable_npu_patch
"""

from __future__ import annotations

from porter.shell.flag import Flag

RULE = Flag("enable_npu_patch").rule("DP403", "npu-patch", __doc__)
