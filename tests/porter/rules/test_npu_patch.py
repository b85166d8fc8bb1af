"""DP403: the Z-Image series, which has operators of its own for Ascend NPUs."""

from __future__ import annotations

import pytest

from tests.porter.shell.launching import EXPORTS, check_reported, check_silent, check_transformed

FLAG = "--enable_npu_patch"
LAUNCH = 'accelerate launch z_image/train.py --model_id_with_origin_paths "{0}"'
MODEL = "Tongyi-MAI/Z-Image-Turbo:transformer/*.safetensors"


@pytest.mark.parametrize(
    "model",
    [
        MODEL,
        "Tongyi-MAI/Z-Image:transformer/*.safetensors",
        "PAI/Z-Image-Turbo-Fun-Controlnet-Union:model.safetensors,Qwen/Qwen-Image:text_encoder/model.safetensors",
    ],
)
def test_the_models_that_have_a_patch(model: str) -> None:
    launch = EXPORTS + LAUNCH.format(model)
    check_transformed(launch + "\n", f"{launch} {FLAG}\n")


def test_on_a_line_of_its_own() -> None:
    launch = EXPORTS + LAUNCH.format(MODEL).replace(" --", " \\\n  --")
    check_transformed(launch + "\n", f"{launch} \\\n  {FLAG}\n")


def test_in_split_training_too() -> None:
    launch = EXPORTS + LAUNCH.format(MODEL) + " --task sft:train"
    check_transformed(launch + "\n", f"{launch} {FLAG}\n")


@pytest.mark.parametrize(
    "launch",
    [
        pytest.param(LAUNCH.format("Wan-AI/Wan2.1-T2V-1.3B:d*.safetensors"), id="another-model"),
        pytest.param(LAUNCH.format("org/Fizz-Image:d*.safetensors"), id="another-name"),
        pytest.param(LAUNCH.format("FLUX/FLUX.2:a,Tongyi-MAI/Z-Image:vae/a.safetensors"), id="its-vae-only"),
        pytest.param(LAUNCH.format(MODEL) + f" {FLAG}", id="there"),
        pytest.param("# " + LAUNCH.format(MODEL), id="commented-out"),
        pytest.param(LAUNCH.format(MODEL).replace("train", "infer"), id="inference"),
        pytest.param(LAUNCH.format(MODEL) + " # port: ignore[DP403]", id="ignored"),
        pytest.param("accelerate launch z_image/train.py", id="no-model"),
    ],
)
def test_left_alone(launch: str) -> None:
    check_silent(f"{EXPORTS}{launch}\n")


def test_a_script_that_does_not_know_it() -> None:
    script = LAUNCH.format(MODEL).replace("z_image/", "") + "\n"
    assert check_reported(script, "DP403", "note").message == f"{FLAG} was not added: train.py does not know it"


def test_a_model_that_only_a_run_can_tell() -> None:
    finding = check_reported(LAUNCH.format("$1:x") + "\n", "DP403", "note")
    assert finding.way_out == f"add {FLAG} if it is of the Z-Image series"


@pytest.mark.parametrize("target", ["xpu", "musa", "mps"])
def test_it_is_for_the_npu(target: str) -> None:
    check_silent(LAUNCH.format(MODEL) + "\n", target)
