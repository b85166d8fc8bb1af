"""
# DP402 initialize-on-cpu: the large models, which are built in host memory

## What it does

Adds `--initialize_model_on_cpu` to each launch of a training of the Wan 14B series or of the Qwen-Image series, and
of a LoRA of FLUX.2-dev, told from the model ids and paths on the command line. The launched script has to know the
option, so its parser is read,
with the helpers that it imports; where the script or a helper is not found, that is reported and nothing is added. A
launch of split training (`--task "sft:data_process"`, `"sft:train"`) stays as it is, but for FLUX.2-dev. Which series
need it is in `accelerator_tables/families/`.

## Why

Otherwise each process reads the whole model into device memory before it is sharded, which does not fit. The guide to
training on Ascend NPUs turns the option on for the first two series, and the NPU script published for FLUX.2-dev has
it.

## Before

    accelerate launch examples/wanvideo/model_training/train.py \\
      --model_id_with_origin_paths "Wan-AI/Wan2.1-T2V-14B:diffusion_pytorch_model*.safetensors" \\
      --learning_rate 1e-5

## After

    export PYTORCH_NPU_ALLOC_CONF=expandable_segments:True
    export CPU_AFFINITY_CONF=1

    accelerate launch examples/wanvideo/model_training/train.py \\
      --model_id_with_origin_paths "Wan-AI/Wan2.1-T2V-14B:diffusion_pytorch_model*.safetensors" \\
      --learning_rate 1e-5 \\
      --initialize_model_on_cpu
"""

from __future__ import annotations

from porter.shell.flag import Flag

RULE = Flag("initialize_model_on_cpu").rule("DP402", "initialize-on-cpu", __doc__)
