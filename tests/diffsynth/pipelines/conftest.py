"""Small pipelines in float32, on made-up weights in the real layout."""

import pytest
import torch

from diffsynth.pipelines.qwen_image import QwenImagePipeline
from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline
from script_trial.adapters.diffsynth_port.weights import make_weights

T5, VAE = "models_t5_umt5-xxl-enc-bf16.pth", "Wan2.1_VAE.pth"
ONE_DIT = ["diffusion_pytorch_model*.safetensors"]
TWO_DITS = [f"{noise}_noise_model/diffusion_pytorch_model*.safetensors" for noise in ("high", "low")]
MODELS = {"Wan-AI/Wan2.1-T2V-1.3B": ONE_DIT, "Wan-AI/Wan2.2-T2V-A14B": TWO_DITS}
QWEN_FILES = {
    "dit": "transformer/diffusion_pytorch_model*.safetensors",
    "text_encoder": "text_encoder/model*.safetensors",
    "vae": "vae/diffusion_pytorch_model.safetensors",
}
QWEN_EDIT, LAYERED = "Qwen/Qwen-Image-Edit", "Qwen/Qwen-Image-Layered"
CANNY, INPAINT = (f"DiffSynth-Studio/Qwen-Image-Blockwise-ControlNet-{kind}" for kind in ("Canny", "Inpaint"))
QUICK_PICTURE = {"height": 64, "width": 96, "num_inference_steps": 4, "seed": 0}
QUICK = {"height": 32, "width": 48, "num_frames": 9, "num_inference_steps": 4, "seed": 0}


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory):
    """A folder as DIFFSYNTH_MODEL_BASE_PATH names it, with both kinds of Wan model."""
    root = tmp_path_factory.mktemp("models")
    for model_id in MODELS:
        make_weights(model_id, root)
    return root


@pytest.fixture(scope="session")
def open_pipeline(models_folder):
    """Makes a pipeline: open_pipeline(model_id, vram_config={}, **options of from_pretrained)."""

    def open_it(model_id="Wan-AI/Wan2.1-T2V-1.3B", vram_config=None, **options):
        def config(pattern, **keys):
            return ModelConfig(
                model_id=model_id,
                origin_file_pattern=pattern,
                local_model_path=str(models_folder),
                skip_download=True,
                **keys,
            )

        settings = {"torch_dtype": torch.float32, "device": "cpu", "redirect_common_files": False, **options}
        return WanVideoPipeline.from_pretrained(
            model_configs=[config(pattern, **(vram_config or {})) for pattern in (*MODELS[model_id], T5, VAE)],
            tokenizer_config=config("google/umt5-xxl/"),
            **settings,
        )

    return open_it


@pytest.fixture(scope="session")
def wan21(open_pipeline):
    """A 1.3B-like pipeline; tests leave it as they found it."""
    return open_pipeline()


@pytest.fixture(scope="session")
def wan22(open_pipeline):
    """An A14B-like pipeline; tests leave it as they found it."""
    return open_pipeline("Wan-AI/Wan2.2-T2V-A14B")


@pytest.fixture(scope="session")
def tokenizer_folder(models_folder):
    return models_folder / "Wan-AI/Wan2.1-T2V-1.3B/google/umt5-xxl"


@pytest.fixture(scope="session")
def qwen_folder(tmp_path_factory):
    """A folder as DIFFSYNTH_MODEL_BASE_PATH names it, with Qwen-Image-Edit: the others are of the same shapes."""
    root = tmp_path_factory.mktemp("qwen")
    make_weights("Qwen/Qwen-Image-Edit", root)
    return root


@pytest.fixture(scope="session")
def open_qwen(qwen_folder):
    """Makes a Qwen-Image pipeline: open_qwen(vram_config={}, files=..., **options of from_pretrained)."""

    def open_it(vram_config=None, files=QWEN_FILES, **options):
        def config(pattern, **keys):
            return ModelConfig(
                model_id="Qwen/Qwen-Image-Edit",
                origin_file_pattern=pattern,
                local_model_path=str(qwen_folder),
                skip_download=True,
                **keys,
            )

        settings = {"torch_dtype": torch.float32, "device": "cpu", "processor_config": config("processor/"), **options}
        return QwenImagePipeline.from_pretrained(
            model_configs=[config(pattern, **(vram_config or {})) for pattern in files.values()], **settings
        )

    return open_it


@pytest.fixture(scope="session")
def qwen(open_qwen):
    """A Qwen-Image pipeline; tests leave it as they found it."""
    return open_qwen()


@pytest.fixture(scope="session")
def processor_folder(qwen_folder):
    return qwen_folder / "Qwen/Qwen-Image-Edit/processor"


@pytest.fixture(scope="session")
def kinds_folder(qwen_folder):
    """The same folder, with ControlNets and Qwen-Image-Layered in it."""
    for model_id in (LAYERED, CANNY, INPAINT):
        make_weights(model_id, qwen_folder)
    return qwen_folder


def open_kind(folder, model_id, *controlnets, vram_config=None, **options):
    """A Qwen-Image pipeline of that model, with those ControlNets beside it."""

    def config(model, pattern, **keys):
        return ModelConfig(
            model_id=model, origin_file_pattern=pattern, local_model_path=str(folder), skip_download=True, **keys
        )

    files = [(model_id, pattern) for pattern in QWEN_FILES.values()]
    files += [(controlnet, "model.safetensors") for controlnet in controlnets]
    return QwenImagePipeline.from_pretrained(
        model_configs=[config(*file, **(vram_config or {})) for file in files],
        processor_config=config(model_id, "processor/"),
        **{"torch_dtype": torch.float32, "device": "cpu", **options},
    )


@pytest.fixture(scope="session")
def controlled(kinds_folder):
    """Qwen-Image with a ControlNet of edges and one of inpainting; tests leave it as they found it."""
    return open_kind(kinds_folder, QWEN_EDIT, CANNY, INPAINT)


@pytest.fixture(scope="session")
def layered(kinds_folder):
    """Qwen-Image-Layered; tests leave it as they found it."""
    return open_kind(kinds_folder, LAYERED)
