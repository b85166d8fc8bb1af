"""DP407: options that ask for what only CUDA has."""

from __future__ import annotations

import pytest

from tests.porter.shell.launching import EXPORTS, check_reported, check_silent

CODE = "DP407"


@pytest.mark.parametrize(
    ("launch", "severity"),
    [
        ("torchrun --nproc_per_node=gpu generate.py", "error"),
        ("torchrun --nproc-per-node gpu generate.py", "error"),
        ("accelerate launch --enable_cpu_affinity train.py", "warning"),
        ("accelerate launch --mixed_precision fp8 train.py", "warning"),
        ("accelerate launch --mixed_precision=fp8 train.py", "warning"),
        ("accelerate launch --fp8_backend te train.py", "warning"),
        ("accelerate launch --dynamo_backend cudagraphs train.py", "warning"),
        ("python generate.py --use_flash_attn", "warning"),
        ("python generate.py --use-flash-attention-2", "warning"),
        ("python generate.py --attn_implementation flash_attention_2", "warning"),
        ("python train.py --enable_xformers_memory_efficient_attention", "warning"),
        ("python train.py --xformers", "warning"),
        ("python train.py --use_8bit_adam", "warning"),
        ("python train.py --optim paged_adamw_8bit", "warning"),
        ("python train.py --fp8_models Qwen/Qwen-Image:text_encoder/model.safetensors", "warning"),
        ("python train.py --use_cuda_graph true", "warning"),
        ("python train.py --allow_tf32", "note"),
        ("python train.py --tf32 True", "note"),
    ],
)
def test_reported(launch: str, severity: str) -> None:
    check_reported(EXPORTS + launch + "\n", CODE, severity)


@pytest.mark.parametrize(
    "launch",
    [
        "torchrun --nproc_per_node=8 generate.py",
        "torchrun --nproc_per_node auto generate.py",
        "torchrun generate.py --x gpu",
        "accelerate launch --mixed_precision bf16 train.py",
        "accelerate launch --multi_gpu --gpu_ids 0,1 train.py",
        "accelerate launch --dynamo_backend inductor train.py",
        "python generate.py --attn_implementation sdpa",
        "python train.py --optim adamw_torch",
        "python train.py --tf32 False",
        "python train.py --tf32=false",
        "python train.py --use_flash_attention_of_mine",
        "python train.py --prompt xformers",
        "python train.py -xformers",
        "echo --use_8bit_adam",
        "# python train.py --use_8bit_adam",
        "python train.py --use_8bit_adam # port: ignore",
    ],
)
def test_left_alone(launch: str) -> None:
    check_silent(EXPORTS + launch + "\n")


def test_what_it_says() -> None:
    finding = check_reported("torchrun --nproc-per-node gpu x.py\n", CODE, "error")
    assert finding.message == "--nproc-per-node gpu counts CUDA devices and raises where there are none"
    assert finding.way_out == "the number"
    finding = check_reported("python x.py --use_8bit_adam --y 1\n", CODE, "warning")
    assert finding.message == "--use_8bit_adam is bitsandbytes, made of CUDA kernels"
