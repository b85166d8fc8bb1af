"""Which pipeline an id names, and what it is made of."""

from __future__ import annotations

import pytest

from script_trial.adapters.diffusers.published import of_class, published


@pytest.mark.parametrize(
    ("model_id", "pipeline"),
    [
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", "StableDiffusionPipeline"),
        ("stabilityai/stable-diffusion-xl-base-1.0", "StableDiffusionXLPipeline"),
        ("stabilityai/stable-diffusion-3.5-large", "StableDiffusion3Pipeline"),
        ("black-forest-labs/FLUX.1-dev", "FluxPipeline"),
        ("black-forest-labs/FLUX.2-klein-4B", "Flux2KleinPipeline"),
        ("Wan-AI/Wan2.1-I2V-14B-720P-Diffusers", "WanImageToVideoPipeline"),
        ("Wan-AI/Wan2.2-T2V-A14B-Diffusers", "WanPipeline"),
        ("Qwen/Qwen-Image-Edit-2509", "QwenImageEditPlusPipeline"),
        ("Qwen/Qwen-Image", "QwenImagePipeline"),
        ("Tongyi-MAI/Z-Image-Turbo", "ZImagePipeline"),
    ],
)
def test_the_pipeline_of_an_id(model_id: str, pipeline: str) -> None:
    known = published(model_id)
    assert known is not None
    assert known.pipeline == pipeline


def test_an_id_that_names_none() -> None:
    assert published("google-bert/bert-base-uncased") is None


def test_a_variant_of_a_class_is_made_of_what_the_class_is() -> None:
    assert of_class("FluxImg2ImgPipeline").parts["vae"]["latent_channels"] == 16


def test_an_id_says_more_than_its_class() -> None:
    known = of_class("WanPipeline", published("Wan-AI/Wan2.2-T2V-A14B-Diffusers"))
    assert known.also == ("transformer", "transformer_2")
    assert known.settings == {"boundary_ratio": 0.875}
    assert known.parts["scheduler"]["flow_shift"] == 3.0


def test_an_id_may_lack_what_others_of_its_class_have() -> None:
    known = of_class("WanImageToVideoPipeline", published("Wan-AI/Wan2.2-I2V-A14B-Diffusers"))
    assert "image_encoder" in known.without
    assert "image_encoder" not in known.also
    assert known.parts["transformer"]["image_dim"] is None
