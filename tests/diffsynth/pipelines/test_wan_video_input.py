"""Bad input to the Wan pipeline: each gets one sentence that names it."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from diffsynth.diffusion.request import fitting_size
from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline
from tests.diffsynth.pipelines.conftest import QUICK


def says(error, text):
    return pytest.raises(error, match=re.escape(text))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_inference_step": 4}, "pipe() has no keyword 'num_inference_step': did you mean 'num_inference_steps'?"),
        ({"cfg": 4}, "pipe() has no keyword 'cfg': did you mean 'cfg_scale'?"),
    ],
)
def test_a_misspelt_keyword_of_the_call(wan21, options, message):
    with says(TypeError, message):
        wan21("a dog", **options)


def test_a_misspelt_keyword_of_from_pretrained():
    with says(TypeError, "has no keyword 'model_config': did you mean 'model_configs'?"):
        WanVideoPipeline.from_pretrained(model_config=[])


def test_a_misspelt_keyword_of_a_model_config():
    with says(TypeError, "ModelConfig() has no keyword 'offload_dtyp': did you mean 'offload_dtype'?"):
        ModelConfig(model_id="a/b", offload_dtyp=torch.float32)


@pytest.mark.parametrize("device", ["gpuu", "cudda", "cuda"])
def test_a_device_that_is_not_there(device):
    with pytest.raises(ValueError, match=re.escape(repr(device))) as raised:
        WanVideoPipeline.from_pretrained(device=device)
    assert "cpu" in str(raised.value)


def test_a_pipeline_without_networks():
    with says(RuntimeError, "making a video needs the dit, and none was loaded: add its file to the model_configs"):
        WanVideoPipeline.from_pretrained(device="cpu")("a dog")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 0}, "height=0: expected a whole number, at least 1"),
        ({"width": 48.5}, "width=48.5: expected a whole number, at least 1"),
        ({"num_frames": "9"}, "num_frames='9': expected a whole number, at least 1"),
        ({"num_inference_steps": 0}, "num_inference_steps=0: expected a whole number, at least 1"),
        ({"cfg_scale": "5"}, "cfg_scale='5': expected a number"),
        ({"switch_DiT_boundary": None}, "switch_DiT_boundary=None: expected a number"),
        ({"sigma_shift": None}, "sigma_shift=None: expected a number above 0"),
        ({"denoising_strength": None}, "denoising_strength=None: expected a number above 0 and at most 1"),
        ({"tea_cache_l1_thresh": "bold"}, "tea_cache_l1_thresh='bold': expected a number"),
        ({"sliding_window_size": "4", "sliding_window_stride": 2}, "sliding_window_size='4': expected a whole number"),
        ({"input_video": 3}, "input_video is a int: expected frames"),
        ({"progress_bar_cmd": "tqdm"}, "progress_bar_cmd='tqdm': expected what wraps a loop"),
        ({"output_type": "pil"}, "output_type='pil': expected 'quantized', 'floatpoint', 'latent'"),
        ({"denoising_strength": 0.5}, "denoising_strength=0.5 keeps part of an input_video, and none was given"),
        ({"tea_cache_l1_thresh": 0.1}, "tea_cache_model_id='': expected one of Wan2.1-T2V-1.3B"),
        ({"sliding_window_size": 4}, "sliding_window_stride is missing"),
        ({"rand_device": "gpuu"}, "'gpuu'"),
        ({"prompt": []}, "prompt=[]: expected a string, or a list of them"),
        ({"prompt": ["a", 1]}, "prompt 1 of the list is a int: expected a string"),
        ({"input_video": [Image.new("RGB", (48, 32))]}, "input_video has 1 frames, but num_frames is 9"),
        ({"input_video": [Image.new("RGB", (40, 32))] * 9}, "frame 0 of input_video is 40x32"),
        ({"input_video": [np.zeros((32, 48, 3), np.uint8)] * 9}, "frame 0 of input_video is a ndarray: expected a PIL"),
        ({"seed": "zero"}, "seed='zero': expected a whole number"),
        ({"seed": 2**64}, "seed=18446744073709551616: expected a whole number of at most 64 bits"),
    ],
)
def test_a_value_that_does_not_fit(wan21, options, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        wan21(**{"prompt": "a dog", **QUICK, **options})


def test_sizes_are_rounded_up_and_said():
    with pytest.warns(UserWarning, match="rounded up") as warned:
        assert fitting_size(470, 832, 80, 16) == (480, 832, 81)
    assert [str(warning.message) for warning in warned] == [
        "height=470 is not a multiple of 16: rounded up to 480",
        "num_frames=80 is not 4k + 1: rounded up to 81",
    ]
    assert fitting_size(480, 832, 81, 16) == (480, 832, 81)


def test_a_second_vae_is_one_too_many(wan21, models_folder):
    from tests.diffsynth.pipelines.conftest import VAE

    config = ModelConfig(path=str(models_folder / "Wan-AI/Wan2.1-T2V-1.3B" / VAE))
    with says(ValueError, "model_configs hold a wan_video_vae, one too many: a Wan pipeline has one text encoder"):
        WanVideoPipeline.from_pretrained(device="cpu", model_configs=[config, config], redirect_common_files=False)


def test_experts_of_two_models_are_refused(tmp_path):
    from diffsynth.models.wan_video_dit import WanModel

    configs = []
    for channels in (36, 16):
        dit = WanModel(dim=128, ffn_dim=128, num_heads=1, num_layers=1, in_dim=channels, text_dim=64)
        save_file(dit.state_dict(), tmp_path / f"{channels}.safetensors")
        configs.append(ModelConfig(path=str(tmp_path / f"{channels}.safetensors")))
    with says(ValueError, "the dit takes 36 channels and the dit2 16: both experts have to be of one model"):
        WanVideoPipeline.from_pretrained(device="cpu", model_configs=configs)


def test_what_this_version_does_not_do_is_said():
    with says(NotImplementedError, "audio_processor_config: speech-to-video is not part of this version"):
        WanVideoPipeline.from_pretrained(device="cpu", audio_processor_config=ModelConfig(model_id="a/b"))


def test_the_callers_configs_stay_as_they_were(open_pipeline, models_folder, monkeypatch):
    monkeypatch.setenv("DIFFSYNTH_MODEL_BASE_PATH", str(models_folder))
    monkeypatch.setenv("DIFFSYNTH_SKIP_DOWNLOAD", "1")
    config = ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="Wan2.1_VAE.pth")
    before = repr(config)
    WanVideoPipeline.from_pretrained(device="cpu", model_configs=[config], redirect_common_files=False)
    assert repr(config) == before


def test_names_of_networks_are_checked(wan21):
    for call in (wan21.load_models_to_device, lambda names: wan21.compile_pipeline(compile_models=names)):
        for names in (["dot"], "dot"):
            with says(ValueError, "WanVideoPipeline has no network 'dot': did you mean 'dit'?"):
                call(names)
    wan21.load_models_to_device("vae")


def test_the_default_tokenizer_follows_the_environment_each_time(models_folder, monkeypatch, tmp_path):
    from tests.diffsynth.pipelines.conftest import T5

    encoder = ModelConfig(path=str(models_folder / "Wan-AI/Wan2.1-T2V-1.3B" / T5))
    monkeypatch.setenv("DIFFSYNTH_SKIP_DOWNLOAD", "true")
    monkeypatch.setenv("DIFFSYNTH_MODEL_BASE_PATH", str(models_folder))
    assert WanVideoPipeline.from_pretrained(device="cpu", model_configs=[encoder]).tokenizer is not None
    monkeypatch.setenv("DIFFSYNTH_MODEL_BASE_PATH", str(tmp_path))
    with says(FileNotFoundError, str(tmp_path)):
        WanVideoPipeline.from_pretrained(device="cpu", model_configs=[encoder])
