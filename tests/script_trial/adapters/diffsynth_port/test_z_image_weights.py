"""Made-up weights of the Z-Image family: the published layout, and what the networks leave out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from diffsynth.core.loader import Checkpoint, build_on_meta, detect, fill
from diffsynth.families import MODEL_CONFIGS
from script_trial.adapters.diffsynth_port.catalogue import MODELS
from script_trial.adapters.diffsynth_port.weights import make_weights

BASE, TURBO = "Tongyi-MAI/Z-Image", "Tongyi-MAI/Z-Image-Turbo"
FILES = {
    "transformer/*.safetensors": "z_image_dit",
    "text_encoder/*.safetensors": "z_image_text_encoder",
    "vae/diffusion_pytorch_model.safetensors": "flux_vae",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for model_id in (BASE, TURBO):
        make_weights(model_id, folder)
    return folder


@pytest.mark.parametrize(("model_id", "dit_shards"), [(BASE, 2), (TURBO, 3)])
def test_files_are_named_as_published(tree, model_id, dit_shards):
    shards = {
        pattern: len(list((tree / model_id).glob(pattern)))
        for pattern in (*FILES, "tokenizer/vocab.json", "*/*.index.json")
    }
    assert list(shards.values()) == [dit_shards, 3, 1, 1, 2]


def test_every_model_of_the_family_is_tested_here():
    assert {model_id for model_id in MODELS if model_id.startswith("Tongyi-MAI/")} == {BASE, TURBO}


@pytest.mark.parametrize(("pattern", "expected"), FILES.items())
def test_the_loader_reads_every_checkpoint(tree, pattern, expected):
    source = Checkpoint(sorted((tree / TURBO).glob(pattern)))
    (entry,) = detect(source, MODEL_CONFIGS)
    assert entry.model_name == expected
    model = build_on_meta(entry)
    fill(model, source, entry.key_map, dtype=torch.float32, device="cpu")
    assert not any(tensor.is_meta for tensor in model.state_dict().values())


def test_the_text_encoders_file_holds_the_layer_that_is_not_run(tree):
    source = Checkpoint(sorted((tree / BASE).glob("text_encoder/*.safetensors")))
    (entry,) = detect(source, MODEL_CONFIGS)
    left_out = set(source.headers) - set(entry.key_map.values())
    assert len(left_out) == 12
    assert all(name.startswith(("model.layers.2.", "model.norm.")) for name in left_out)


def test_a_dit_as_comfyui_keeps_it_is_known():
    from diffsynth.core.loader.detection import model_hash
    from diffsynth.models.z_image_dit import ZImageDiT

    with torch.device("meta"):
        published = ZImageDiT().state_dict()
    renamed = {f"model.diffusion_model.{key}": value for key, value in published.items()}
    (row,) = [row for row in MODEL_CONFIGS if row["model_hash"] == model_hash(renamed)]
    assert row["state_dict_converter"](renamed).keys() == published.keys()
