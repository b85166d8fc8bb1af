"""Bad files, settings and keywords, as a script meets them: through `from_pretrained` and the call."""

import re

import pytest
import torch

from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline
from tests.diffsynth.pipelines.conftest import QUICK, VAE


def says(error, text):
    return pytest.raises(error, match=re.escape(text))


@pytest.fixture
def vae_path(models_folder):
    return models_folder / "Wan-AI/Wan2.1-T2V-1.3B" / VAE


@pytest.fixture
def open_vae(vae_path):
    """Makes a pipeline with a VAE alone, under the given keys of a ModelConfig."""

    def open_it(**keys):
        config = ModelConfig(path=str(vae_path), **keys)
        return WanVideoPipeline.from_pretrained(torch_dtype=torch.float32, device="cpu", model_configs=[config])

    return open_it


def test_a_pattern_that_matches_no_file(tmp_path):
    config = ModelConfig(
        model_id="Wan-AI/Wan2.1-T2V-1.3B",
        origin_file_pattern="diffusion*.safetensors",
        local_model_path=str(tmp_path),
        skip_download=True,
    )
    with says(FileNotFoundError, "'diffusion*.safetensors' matches nothing in") as raised:
        WanVideoPipeline.from_pretrained(device="cpu", model_configs=[config])
    assert str(tmp_path / "Wan-AI/Wan2.1-T2V-1.3B") in str(raised.value)


def test_a_file_that_was_cut_short(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "dit.safetensors"
    save_file({"patch_embedding.weight": torch.zeros(64, 64)}, path)
    path.write_bytes(path.read_bytes()[:-100])
    with says(ValueError, f"{path} is no whole safetensors file"):
        WanVideoPipeline.from_pretrained(device="cpu", model_configs=[ModelConfig(path=str(path))])


def test_a_tokenizer_that_is_not_there(models_folder, tmp_path):
    from tests.diffsynth.pipelines.conftest import T5

    encoder = ModelConfig(path=str(models_folder / "Wan-AI/Wan2.1-T2V-1.3B" / T5))
    for folder, error in ((tmp_path / "missing", "which does not exist"), (tmp_path, "no tokenizer in")):
        with pytest.raises(FileNotFoundError, match=re.escape(str(folder))) as raised:
            WanVideoPipeline.from_pretrained(
                device="cpu", model_configs=[encoder], tokenizer_config=ModelConfig(path=str(folder))
            )
        assert error in str(raised.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"offload_device": "disk", "offload_dtype": "disk"}, "offload_device is given without computation_device"),
        ({"offload_device": "cpu"}, "offload_device is given without offload_dtype"),
        ({"offload_device": "cudda", "offload_dtype": torch.float32}, "offload_device: device 'cudda' is not known"),
        ({"offload_device": "disk", "offload_dtype": torch.float32}, "offload_device='disk' contradicts offload_dtype"),
    ],
)
def test_an_incomplete_or_contradictory_vram_config(open_vae, keys, message):
    with says(ValueError, f"vram_config of wan_video_vae: {message}"):
        open_vae(**keys)


def test_a_switch_in_the_place_of_a_picture(wan21):
    with says(ValueError, "control_video: this model follows none"):
        wan21(**QUICK, control_video=False)


def test_a_network_that_was_not_loaded(open_pipeline, wan21):
    pipe = WanVideoPipeline(device="cpu", torch_dtype=torch.float32)
    pipe.tokenizer = wan21.tokenizer
    for name in ("text_encoder", "dit"):
        pipe.adopt(name, wan21.networks[name])
    with says(RuntimeError, "making a video needs the vae, and none was loaded"):
        pipe("a dog", **QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile_size": (30, 52), "tile_stride": (31, 26)}, "tile_stride (31, 26) with tile_size (30, 52)"),
        ({"tile_size": 30}, "tile_size=30: expected (rows, columns) in latent cells"),
        ({"tile_stride": (15, 26, 1)}, "tile_stride=(15, 26, 1): expected (rows, columns)"),
    ],
)
def test_tiles_are_checked_before_anything_is_computed(wan21, monkeypatch, options, message):
    monkeypatch.setattr(wan21, "denoise", lambda *_: pytest.fail("steps were computed first"))
    with says(ValueError, message):
        wan21("a dog", **{**QUICK, **options})


def test_keywords_of_models_that_are_not_here_are_told_apart_from_misspelt_ones(wan21):
    with says(NotImplementedError, "pipe(input_audio=...): speech-to-video is not part of this version"):
        wan21("a dog", input_audio=object(), **QUICK)
    with says(NotImplementedError, "pipe(animate_pose_video=...): Wan-Animate is not part of this version"):
        wan21("a dog", animate_pose_video=[], **QUICK)
    assert len(wan21("a dog", input_audio=None, **{**QUICK, "num_inference_steps": 1})) == 9


def test_whole_numbers_of_numpy_are_whole_numbers(wan21):
    import numpy as np

    small = {"height": np.int64(32), "width": np.int32(48), "num_frames": np.uint8(5), "num_inference_steps": 1}
    plain = {"height": 32, "width": 48, "num_frames": 5, "num_inference_steps": 1}
    options = {"prompt": "a dog", "output_type": "floatpoint"}
    assert torch.equal(wan21(seed=np.int64(3), **small, **options), wan21(seed=3, **plain, **options))


def test_cleared_parameters_take_no_memory_and_cannot_compute(open_vae):
    pipe = open_vae(clear_parameters=True)
    assert all(parameter.is_meta for parameter in pipe.vae.parameters())
    with says(RuntimeError, "decoding a video needs the weights of the vae, and its ModelConfig has clear_parameters"):
        pipe.decode_latents(torch.zeros(1, 16, 1, 4, 6))


def test_cleared_parameters_under_an_offload(open_vae):
    computation = {"computation_device": "cpu", "computation_dtype": torch.float32}
    disk = {"offload_device": "disk", "offload_dtype": "disk", **computation}
    latents = torch.ones(1, 16, 1, 4, 6)
    with torch.no_grad():
        expected = open_vae().decode_latents(latents)
        assert torch.equal(open_vae(clear_parameters=True, **disk).decode_latents(latents), expected)
    with says(ValueError, "offload_device='cpu' contradicts clear_parameters=True"):
        open_vae(clear_parameters=True, offload_device="cpu", offload_dtype=torch.float32, **computation)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_configs": ModelConfig(path="a.safetensors")}, "model_configs: expected a list of ModelConfig"),
        ({"model_configs": ["a.safetensors"]}, "model_configs: expected a list of ModelConfig"),
        ({"tokenizer_config": "umt5/"}, "tokenizer_config='umt5/': expected a ModelConfig"),
        ({"torch_dtype": "bfloat16"}, "torch_dtype='bfloat16': expected a floating type such as torch.bfloat16"),
        ({"torch_dtype": torch.float8_e4m3fn}, "torch_dtype=torch.float8_e4m3fn is a type for storage"),
        ({"vram_limit": "8"}, "vram_limit='8': expected a number of GiB"),
        ({"vram_limit": True}, "vram_limit=True: expected a number of GiB"),
        ({"vram_limit": float("nan")}, "vram_limit=nan: expected a number of GiB"),
    ],
)
def test_a_setting_of_another_kind(options, message):
    with says(TypeError, message):
        WanVideoPipeline.from_pretrained(device="cpu", **options)


def test_a_path_in_place_of_frames(wan21):
    with says(ValueError, "input_video='a.mp4' is a path: expected frames, which VideoData('a.mp4') reads"):
        wan21("a dog", input_video="a.mp4", **QUICK)


def test_taking_a_lora_off_a_module_that_is_not_here(wan21):
    with says(ValueError, "Linear is no network of this pipeline"):
        wan21.clear_lora(torch.nn.Linear(1, 1))
