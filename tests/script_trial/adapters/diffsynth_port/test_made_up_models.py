"""Published models are made up: those files that a script names, as deep as the script needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from diffsynth.core.loader.model_config import ModelConfig
from script_trial.adapter import CannotMakeUp
from script_trial.adapters.diffsynth_port.made_up_models import Models
from script_trial.trial import Trial

WAN, QWEN, EDIT = "Wan-AI/Wan2.1-T2V-1.3B", "Qwen/Qwen-Image", "Qwen/Qwen-Image-Edit"
LORA = "DiffSynth-Studio/Qwen-Image-EliGen"
DIT = "diffusion_pytorch_model*.safetensors"


@pytest.fixture
def models(trial: Trial) -> Models:
    return Models(trial)


def config(model_id: str = WAN, pattern: str = DIT, **settings: object) -> ModelConfig:
    return ModelConfig(model_id=model_id, origin_file_pattern=pattern, **settings)


def blocks(models: Models, model_id: str = WAN, pattern: str = DIT) -> int:
    """Of the DiT that a script finds."""
    found = models.for_download(ModelConfig.download_if_necessary)(config(model_id, pattern))
    numbers = set()
    for file in found.files():
        with safe_open(file, "pt") as tensors:
            numbers |= {int(name[1]) for key in tensors.keys() if (name := re.search(r"blocks\.(\d+)\.", key))}  # noqa: SIM118
    return len(numbers)


def test_weights_are_written_once(models: Models) -> None:
    model = "DiffSynth-Studio/Wan-Series-Converted-Safetensors"
    written = sorted((models.root(model) / model).iterdir())
    assert written
    times = [file.stat().st_mtime_ns for file in written]
    models.root(model)
    assert [file.stat().st_mtime_ns for file in written] == times
    with pytest.raises(CannotMakeUp, match="the weights of Someone/Else, which cannot be made up; those of Qwen/"):
        models.root("Someone/Else")


def test_what_is_not_asked_for_is_not_written(models: Models) -> None:
    root = models.root(WAN, ["Wan2.1_VAE.pth", "google/umt5-xxl/"])
    assert sorted(file.name for file in (root / WAN).iterdir()) == ["Wan2.1_VAE.pth", "google"]


def test_a_pattern_that_matches_nothing_is_left_to_the_library(models: Models) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        models.for_download(ModelConfig.download_if_necessary)(config(pattern="nothing*.pth"))


def test_a_pipeline_that_stays_where_it_is_has_one_block(models: Models) -> None:
    assert blocks(models) == 2  # until it is known what for
    models.suit_pipeline([config(), config(pattern="Wan2.1_VAE.pth")], shared=False)
    assert blocks(models) == 1


def test_ways_of_running_a_script_have_the_same_depth(trial: Trial) -> None:
    reference, forgetting = Models(trial), Models(trial)
    reference.suit_pipeline([config(offload_device="cpu")], shared=False)
    forgetting.suit_pipeline([config()], shared=False)
    assert blocks(forgetting) == blocks(reference) == 2
    forgetting.suit_pipeline([config()], shared=False)  # another pipeline of the same script
    assert blocks(forgetting) == 1


def test_two_blocks_where_the_script_reaches_for_them(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "shorter.py"
    script.write_text("pipe.dit.blocks = pipe.dit.blocks[:1]\n")
    monkeypatch.setattr("sys.argv", [str(script)])
    models = Models(trial)
    models.suit_pipeline([config()], shared=False)
    assert blocks(models) == 2


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        (config(), True),
        (config(offload_device="cpu"), False),
        (config(onload_dtype="disk"), False),
        (config("Wan-AI/Wan2.1-VACE-1.3B"), False),
        (config("DiffSynth-Studio/Qwen-Image-Blockwise-ControlNet-Canny", "model.safetensors"), False),
        (ModelConfig(path="models/train/Qwen-Image-Blockwise-ControlNet-Canny_full/epoch-1.safetensors"), False),
    ],
)
def test_two_blocks_where_something_happens_between_them(models: Models, other: ModelConfig, shared: bool) -> None:
    models.suit_pipeline([config()], shared=False)
    models.suit_pipeline([config(pattern="Wan2.1_VAE.pth"), other], shared=shared)
    assert blocks(models) == 2


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        ({}, {}, 1),
        ({"fp8_models": f"{QWEN}:text_encoder/model*.safetensors"}, {}, 2),
        ({"offload_models": f"{QWEN}:text_encoder/model*.safetensors"}, {}, 2),
        ({"model_paths": '["models/train/blockwise_controlnet.safetensors"]'}, {}, 2),
        ({}, {"ACCELERATE_USE_DEEPSPEED": "true"}, 2),
        ({}, {"ACCELERATE_USE_FSDP": "true"}, 2),
        ({}, {"ACCELERATE_USE_FSDP": "false"}, 1),
    ],
)
def test_blocks_of_a_training(
    models: Models,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, str],
    environment: dict[str, str],
    expected: int,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    models.suit_training({"model_id_with_origin_paths": f"{QWEN}:transformer/{DIT}", **given})
    assert blocks(models, QWEN, f"transformer/{DIT}") == expected


def test_files_without_blocks_are_the_same_for_both(models: Models) -> None:
    vae = [QWEN, ["vae/diffusion_pytorch_model.safetensors"]]
    deep = models.root(*vae)
    models.suit_pipeline([config()], shared=False)
    assert models.root(*vae) == deep


def test_a_published_lora_fits_the_network_that_it_is_loaded_into(models: Models) -> None:
    for count in (2, 1):
        network = nn.ModuleDict({"blocks": nn.ModuleList([nn.Identity()] * count)})
        models.suit_network(network)
        assert blocks(models, LORA, "model.safetensors") == count
        models.suit_pipeline([config(QWEN, f"transformer/{DIT}")], shared=count == 1)


def test_what_a_training_has_written_is_a_network_of_its_model(models: Models) -> None:
    download = models.for_download(ModelConfig.download_if_necessary)
    written = "models/train/Qwen-Image-Blockwise-ControlNet-Inpaint_full/epoch-1.safetensors"
    found = download(ModelConfig(path=written))
    shapes = {name: tuple(tensor.shape) for name, tensor in load_file(str(found.path)).items()}
    assert shapes["img_in.weight"] == (128, 68)
    with pytest.raises(FileNotFoundError, match=r"mine_full/epoch-1\.safetensors, which does not exist"):
        download(ModelConfig(path="models/train/mine_full/epoch-1.safetensors"))


def test_two_scripts_read_the_same_file(models: Models, trial: Trial) -> None:
    name = "models/DiffSynth-Studio/Qwen-Image-EliGen/model.safetensors"
    assert Path(models.published_file(name)).samefile(Models(trial).published_file(name))
