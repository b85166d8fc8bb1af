"""Bad input to the Qwen-Image pipeline: each gets one sentence that names it."""

import inspect
import re

import pytest
from PIL import Image

from diffsynth.diffusion.request import fitting_size
from diffsynth.pipelines.qwen_image import ModelConfig, QwenImagePipeline
from diffsynth.utils.frames import of_area
from tests.diffsynth.pipelines.conftest import ONE_DIT, QUICK_PICTURE, QWEN_FILES

SMALL = Image.new("RGB", (48, 32), "red")


def says(error, text):
    return pytest.raises(error, match=re.escape(text))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_inference_step": 4}, "pipe() has no keyword 'num_inference_step': did you mean 'num_inference_steps'?"),
        ({"edit_images": []}, "pipe() has no keyword 'edit_images': did you mean 'edit_image'?"),
    ],
)
def test_a_misspelt_keyword_of_the_call(qwen, options, message):
    with says(TypeError, message):
        qwen("a cat", **options)


def test_a_misspelt_keyword_of_from_pretrained():
    with says(TypeError, "has no keyword 'processor': did you mean 'processor_config'?"):
        QwenImagePipeline.from_pretrained(processor=None)


@pytest.mark.parametrize(
    ("keyword", "value", "what"),
    [
        ("kv_cache", {}, "what a model of DiffSynth-Studio's templates computes"),
        ("negative_kv_cache", {}, "what a model of DiffSynth-Studio's templates computes"),
    ],
)
def test_what_this_version_does_not_do_is_said(qwen, keyword, value, what):
    with says(NotImplementedError, f"pipe({keyword}=...): {what} is not part of this version"):
        qwen("a cat", **{keyword: value})


def test_what_asks_for_nothing_is_taken(qwen):
    options = {"kv_cache": None, "inpaint_mask": None}
    assert qwen("a cat", **{**QUICK_PICTURE, "num_inference_steps": 1}, **options).size == (96, 64)


@pytest.mark.parametrize("device", ["gpuu", "cuda"])
def test_a_device_that_is_not_there(device):
    with pytest.raises(ValueError, match=re.escape(repr(device))):
        QwenImagePipeline.from_pretrained(device=device)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_configs": ["a.safetensors"]}, "model_configs: expected a list of ModelConfig"),
        ({"processor_config": "processor/"}, "processor_config='processor/': expected a ModelConfig"),
        ({"torch_dtype": "bfloat16"}, "torch_dtype='bfloat16': expected a floating type"),
    ],
)
def test_a_setting_of_another_kind(options, message):
    with says(TypeError, message):
        QwenImagePipeline.from_pretrained(**{"device": "cpu", **options})


@pytest.mark.parametrize("missing", list(QWEN_FILES))
def test_a_pipeline_without_one_of_its_networks(open_qwen, missing):
    pipe = open_qwen(files={name: file for name, file in QWEN_FILES.items() if name != missing})
    with says(
        RuntimeError, f"making a picture needs the {missing}, and none was loaded: add its file to the model_con"
    ):
        pipe("a cat")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 0}, "height=0: expected a whole number, at least 1"),
        ({"width": 48.5}, "width=48.5: expected a whole number, at least 1"),
        ({"num_inference_steps": 0}, "num_inference_steps=0: expected a whole number, at least 1"),
        ({"cfg_scale": None}, "cfg_scale=None: expected a number"),
        ({"exponential_shift_mu": "0.8"}, "exponential_shift_mu='0.8': expected a number"),
        ({"denoising_strength": 0.5}, "denoising_strength=0.5 keeps part of an input_image, and none was given"),
        ({"rand_device": "gpuu"}, "'gpuu'"),
        ({"prompt": ["a", 2]}, "prompt 1 of the list is a int: expected a string"),
        ({"negative_prompt": None}, "negative_prompt=None: expected a string, or a list of them"),
        ({"input_image": [SMALL]}, "input_image is a list: expected a PIL image"),
        ({"input_image": SMALL}, "input_image is 48x32, but the picture asked for is 96x64: PIL.ImageOps.fit"),
        ({"edit_image": "a.jpg"}, "edit_image is a str: expected a PIL image, or a list of them"),
        ({"edit_image": [SMALL, "a.jpg"]}, "picture 1 of edit_image is a str: expected a PIL image"),
        (
            {"edit_image": SMALL.resize((50, 32)), "edit_image_auto_resize": False},
            "picture 0 of edit_image is 50x32: expected multiples of 16; resize it, or leave edit_image_auto_resize on",
        ),
        ({"tiled": True, "tile_size": 4, "tile_stride": 6}, "tile_stride (6, 6) with tile_size (4, 4)"),
        ({"tiled": True, "tile_size": (4, 4)}, "tile_size=((4, 4), (4, 4)): expected (rows, columns)"),
        ({"seed": "zero"}, "seed='zero': expected a whole number"),
    ],
)
def test_a_value_that_does_not_fit(qwen, monkeypatch, options, message):
    monkeypatch.setattr(qwen, "denoise", lambda *_: pytest.fail("steps were computed first"))
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        qwen(**{"prompt": "a cat", **QUICK_PICTURE, **options})


def test_editing_needs_the_processor(open_qwen, processor_folder, monkeypatch):
    pipe = open_qwen(processor_config=None, tokenizer_config=ModelConfig(path=str(processor_folder)))
    monkeypatch.setattr(pipe, "encode_picture", lambda *_, **__: pytest.fail("a picture was encoded first"))
    with says(
        RuntimeError, "edit_image needs the processor, and none was loaded: give from_pretrained a processor_con"
    ):
        pipe("a cat", **QUICK_PICTURE, edit_image=SMALL, edit_image_auto_resize=False)


def test_a_call_asks_for_its_keywords_and_nothing_else(qwen, monkeypatch):
    monkeypatch.setattr(QwenImagePipeline, "_made", lambda self, asked, *args, **kwargs: asked)
    keywords = inspect.signature(QwenImagePipeline.__call__).parameters
    assert set(qwen("a cat", **QUICK_PICTURE)) == set(keywords)


def test_sizes_are_rounded_up_and_said():
    with pytest.warns(UserWarning, match="rounded up") as warned:
        assert fitting_size(470, 832) == (480, 832, 1)
    assert [str(warning.message) for warning in warned] == ["height=470 is not a multiple of 16: rounded up to 480"]


def test_the_warning_points_at_the_callers_line(qwen):
    with pytest.warns(UserWarning, match="width=90 is not a multiple of 16: rounded up to 96") as warned:
        picture = qwen("a cat", seed=0, height=64, width=90, num_inference_steps=1)
    assert picture.size == (96, 64)
    assert [warning.filename for warning in warned] == [__file__]


def test_pictures_to_edit_keep_their_proportions():
    assert of_area(Image.new("RGB", (1600, 900)), 1024**2).size == (1376, 768)
    assert of_area(Image.new("RGB", (900, 1600)), 384**2).size == (288, 512)
    assert of_area(Image.new("RGB", (10, 4000)), 1024**2).size[0] >= 32


def test_a_network_of_another_family(models_folder):
    config = ModelConfig(path=[str(file) for file in (models_folder / "Wan-AI/Wan2.1-T2V-1.3B").glob(ONE_DIT[0])])
    with says(ValueError, "model_configs hold a wan_video_dit, which has no use here: a Qwen-Image pipeline has one"):
        QwenImagePipeline.from_pretrained(device="cpu", model_configs=[config])


def test_a_second_vae_is_one_too_many(open_qwen):
    with says(ValueError, "model_configs hold a qwen_image_vae, one too many"):
        open_qwen(files={"vae": QWEN_FILES["vae"], "another": QWEN_FILES["vae"]})


def test_the_default_tokenizer_is_that_of_qwen_image(open_qwen, tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFSYNTH_SKIP_DOWNLOAD", "true")
    monkeypatch.setenv("DIFFSYNTH_MODEL_BASE_PATH", str(tmp_path))
    with says(FileNotFoundError, str(tmp_path / "Qwen/Qwen-Image")):
        open_qwen(processor_config=None)
