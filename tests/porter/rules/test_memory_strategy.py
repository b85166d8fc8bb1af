"""DP419: trainings that need another way to fit into an NPU's memory."""

from __future__ import annotations

import pytest

from tests.porter.shell.launching import EXPORTS, check_reported, check_silent, ported

CODE = "DP419"
LORA = (
    'accelerate launch train.py --dataset_base_path data --model_id_with_origin_paths "{0}" --output_path out'
    " --learning_rate 1 --lora_base_model dit"
)
QWEN = "Qwen/Qwen-Image:transformer/d*.safetensors,Qwen/Qwen-Image:vae/d.safetensors"


@pytest.mark.parametrize(
    "launch",
    [
        pytest.param(LORA.format(QWEN) + " --task sft:train", id="a-stage"),
        pytest.param(LORA.format(QWEN.replace("Qwen-Image:", "Qwen-Imagery:")), id="another-model"),
        pytest.param(LORA.format("Wan-AI/Wan2.1-T2V-1.3B:d*,Wan-AI/Wan2.1-T2V-1.3B:Wan2.1_VAE.pth"), id="wan"),
    ],
)
def test_left_alone(launch: str) -> None:
    check_silent(f"{EXPORTS}{launch}\n")


def test_a_training_without_encoders_is_not_split() -> None:
    finding = check_reported(LORA.format(QWEN.partition(",")[0]) + "\n", CODE, "note")
    assert "the training was not split in two" in finding.message


def test_a_configuration_that_is_not_there() -> None:
    launch = (
        'accelerate launch train.py --model_id_with_origin_paths "a/FLUX.1-dev:f.safetensors" --trainable_models dit'
    )
    finding = check_reported(launch + "\n", CODE, "note")
    assert finding.message == "accelerate_config_zero2offload.yaml was not found, so the launch goes by another"


def test_exports_come_once() -> None:
    done = ported(LORA.format(QWEN) + "\n").data
    assert done.count(b"PYTORCH_NPU_ALLOC_CONF") == 1
