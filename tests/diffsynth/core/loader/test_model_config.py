"""What a config resolves to from what is on this machine, and that it stays as the caller wrote it."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import torch

from diffsynth.core import ModelConfig
from diffsynth.core.loader import ModelNotFoundError, redirected
from diffsynth.families.wan import CONVERTED

MODEL = "Wan-AI/Some-Model"


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFSYNTH_SKIP_DOWNLOAD", "true")
    monkeypatch.delenv("DIFFSYNTH_MODEL_BASE_PATH", raising=False)
    monkeypatch.delenv("DIFFSYNTH_DOWNLOAD_SOURCE", raising=False)


def write(root: Path, *names: str, model: str = MODEL) -> Path:
    """Empty files below the model's folder."""
    for name in names:
        path = root / model / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root / model


def resolved(root: Path, pattern: str | list[str] | None) -> str | list[str]:
    path = ModelConfig(model_id=MODEL, origin_file_pattern=pattern, local_model_path=root).download_if_necessary().path
    return [os.path.relpath(one, root / MODEL) for one in ([path] if isinstance(path, str) else path)]


def test_patterns(tmp_path: Path) -> None:
    shards = [f"dit-0000{number}-of-00003.safetensors" for number in (3, 1, 2)]
    write(tmp_path, *shards, "high/dit.safetensors", "low/dit.safetensors", "vae.pth", "google/umt5-xxl/spiece.model")
    assert resolved(tmp_path, "dit*.safetensors") == sorted(shards)
    assert resolved(tmp_path, "vae.pth") == ["vae.pth"]
    assert resolved(tmp_path, "high/dit*.safetensors") == ["high/dit.safetensors"]
    assert resolved(tmp_path, ["vae.pth", "dit*.safetensors"]) == ["vae.pth", *sorted(shards)]
    assert resolved(tmp_path, ["vae*", "*.pth"]) == ["vae.pth"]
    assert resolved(tmp_path, "google/umt5-xxl/") == ["google/umt5-xxl"]
    for whole in (None, "", "./", ".//", []):
        assert resolved(tmp_path, whole) == ["."]


def test_the_folder_may_hold_glob_characters(tmp_path: Path) -> None:
    write(tmp_path / "[models]", "vae.pth")
    assert resolved(tmp_path / "[models]", "*.pth") == ["vae.pth"]


def test_the_config_is_not_edited(tmp_path: Path) -> None:
    write(tmp_path, "vae.pth")
    config = ModelConfig(model_id=MODEL, origin_file_pattern="vae.pth", local_model_path=str(tmp_path))
    before = copy.deepcopy(config)
    found = config.download_if_necessary()
    assert config == before
    assert found is not config
    assert found.path == str(tmp_path / MODEL / "vae.pth")
    listed = ModelConfig(path=[str(tmp_path / MODEL / "vae.pth")])
    assert listed.download_if_necessary().path == found.path
    assert isinstance(listed.path, list)


def test_an_explicit_root_beats_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "explicit", "vae.pth")
    write(tmp_path / "environment", "vae.pth")
    write(tmp_path / "working" / "models", "vae.pth")
    monkeypatch.chdir(tmp_path / "working")
    config = ModelConfig(model_id=MODEL, origin_file_pattern="vae.pth")
    assert os.path.realpath(config.download_if_necessary().path).startswith(str(tmp_path / "working"))
    monkeypatch.setenv("DIFFSYNTH_MODEL_BASE_PATH", str(tmp_path / "environment"))
    assert config.download_if_necessary().path.startswith(str(tmp_path / "environment"))
    config.local_model_path = tmp_path / "explicit"
    assert config.download_if_necessary().path.startswith(str(tmp_path / "explicit"))


def test_paths_are_used_as_they_are(tmp_path: Path) -> None:
    write(tmp_path, "b.safetensors", "a.safetensors")
    folder = tmp_path / MODEL
    paths = [folder / "b.safetensors", folder / "a.safetensors"]
    assert ModelConfig(path=paths).download_if_necessary().path == [str(path) for path in paths]
    assert ModelConfig(folder).download_if_necessary().path == str(folder)
    assert ModelConfig(path=folder, model_id="Other/Model").download_if_necessary().path == str(folder)


def test_weights_in_memory_need_no_file() -> None:
    state_dict = {"w": torch.zeros(1)}
    assert ModelConfig(state_dict=state_dict).download_if_necessary().state_dict is state_dict


def test_the_keys_of_memory_management() -> None:
    config = ModelConfig(path="x", offload_device="disk", offload_dtype="disk", computation_dtype=torch.bfloat16)
    assert config.vram_config() == {
        "offload_device": "disk",
        "offload_dtype": "disk",
        "onload_device": None,
        "onload_dtype": None,
        "preparing_device": None,
        "preparing_dtype": None,
        "computation_device": None,
        "computation_dtype": torch.bfloat16,
    }


# What is refused, and what the message says


def test_nothing_said() -> None:
    with pytest.raises(ValueError, match=r"ModelConfig\(\) names no model: give path=.*model_id=.*origin_file_pattern"):
        ModelConfig().download_if_necessary()


def test_a_misspelt_keyword() -> None:
    with pytest.raises(
        TypeError, match=r"ModelConfig\(\) has no keyword 'offload_devise': did you mean 'offload_device'"
    ):
        ModelConfig(path="x", offload_devise="cpu")


@pytest.mark.parametrize("path", ["", [], 3])
def test_a_path_that_is_none(path: object) -> None:
    with pytest.raises(ValueError, match=r"ModelConfig\(path=.*\) names no file"):
        ModelConfig(path=path).check_input()


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=f"names {tmp_path / 'absent.pth'}, which does not exist"):
        ModelConfig(path=tmp_path / "absent.pth").download_if_necessary()


def test_a_pattern_that_matches_nothing(tmp_path: Path) -> None:
    write(tmp_path, "vae.pth")
    config = ModelConfig(model_id=MODEL, origin_file_pattern="dit*.safetensors", local_model_path=tmp_path)
    with pytest.raises(ModelNotFoundError) as caught:
        config.download_if_necessary()
    for part in (MODEL, "'dit*.safetensors' matches nothing", str(tmp_path / MODEL), "skip_download",
                 "DIFFSYNTH_SKIP_DOWNLOAD", "local_model_path", "DIFFSYNTH_MODEL_BASE_PATH"):  # fmt: skip
        assert part in str(caught.value)


def test_one_of_several_patterns_matches_nothing(tmp_path: Path) -> None:
    write(tmp_path, "vae.pth")
    config = ModelConfig(model_id=MODEL, origin_file_pattern=["vae.pth", "t5.pth"], local_model_path=tmp_path)
    with pytest.raises(ModelNotFoundError, match=r"'t5\.pth' matches nothing"):
        config.download_if_necessary()


def test_an_empty_folder_is_as_none(tmp_path: Path) -> None:
    (tmp_path / MODEL / "google" / "umt5-xxl").mkdir(parents=True)
    config = ModelConfig(model_id=MODEL, origin_file_pattern="google/umt5-xxl/", local_model_path=tmp_path)
    with pytest.raises(ModelNotFoundError, match="'google/umt5-xxl/' matches nothing"):
        config.download_if_necessary()


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write(tmp_path, "dit-00001-of-00003.safetensors", "dit-00003-of-00003.safetensors")
    config = ModelConfig(model_id=MODEL, origin_file_pattern="dit*.safetensors", local_model_path=tmp_path)
    with pytest.raises(
        ModelNotFoundError, match=r"only some shards .* are in .*: dit-00002-of-00003\.safetensors missing"
    ):
        config.download_if_necessary()


@pytest.mark.parametrize("pattern", ["/etc/*", "../other/*.pth"])
def test_a_pattern_that_leads_elsewhere(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(ValueError, match=r"origin_file_pattern '.*' leads out of the folder of .*give path="):
        resolved(tmp_path, pattern)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("skip_download", "perhaps", "skip_download is 'perhaps'"),
        ("download_source", "gitee", "download_source is 'gitee': expected modelscope or huggingface"),
        ("quantize", object(), r"ModelConfig\(quantize=.*\): quantized weights are not supported"),
    ],
)
def test_values_without_a_meaning(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelConfig(model_id=MODEL, **{field: value}).check_input()


# Files that several models share


def common_file(root: Path, **more: object) -> ModelConfig:
    return ModelConfig(model_id=MODEL, origin_file_pattern="Wan2.1_VAE.pth", local_model_path=root, **more)


def as_converted(config: ModelConfig) -> ModelConfig:
    return redirected(config, CONVERTED.model_id, CONVERTED.files)


def test_the_converted_file_is_taken_for_one_that_is_not_here(tmp_path: Path) -> None:
    config = common_file(tmp_path, skip_download=False, offload_device="cpu")
    before = copy.deepcopy(config)
    found = as_converted(config)
    assert config == before
    assert (found.model_id, found.origin_file_pattern) == (CONVERTED.model_id, "Wan2.1_VAE.safetensors")
    assert found.offload_device == "cpu"


def test_the_converted_file_without_downloads(tmp_path: Path) -> None:
    assert as_converted(common_file(tmp_path)).model_id == MODEL
    write(tmp_path, "Wan2.1_VAE.safetensors", model=CONVERTED.model_id)
    assert as_converted(common_file(tmp_path)).model_id == CONVERTED.model_id


def test_an_original_that_is_here_is_kept(tmp_path: Path) -> None:
    write(tmp_path, "Wan2.1_VAE.pth")
    config = common_file(tmp_path, skip_download=False)
    assert as_converted(config) is config


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(path="Wan2.1_VAE.pth"),
        ModelConfig(model_id=MODEL, origin_file_pattern="dit*.safetensors", skip_download=False),
        ModelConfig(model_id=MODEL, origin_file_pattern=["Wan2.1_VAE.pth", "x.pth"], skip_download=False),
    ],
)
def test_other_files_stay(config: ModelConfig) -> None:
    assert as_converted(config) is config
