"""Made-up weights of the Qwen-Image family: the published layout, and networks that do something with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from diffsynth.core.loader import Checkpoint, build_on_meta, detect, fill
from diffsynth.families import MODEL_CONFIGS
from diffsynth.families.family import Sizes
from diffsynth.families.qwen_image import FAMILY as QWEN_FAMILY
from diffsynth.models.qwen_image_text_encoder import QwenImageTokenizer
from diffsynth.pipelines.qwen_image import ModelConfig, QwenImagePipeline
from script_trial.adapters.diffsynth_port.weights import make_weights

BASE, EDIT, EDIT_2509 = "Qwen/Qwen-Image", "Qwen/Qwen-Image-Edit", "Qwen/Qwen-Image-Edit-2509"
NEWER, EDIT_2511 = "Qwen/Qwen-Image-2512", "Qwen/Qwen-Image-Edit-2511"
FILES = {
    "transformer/diffusion_pytorch_model*.safetensors": "qwen_image_dit",
    "text_encoder/model*.safetensors": "qwen_image_text_encoder",
    "vae/diffusion_pytorch_model.safetensors": "qwen_image_vae",
}
TOKENIZER = ["added_tokens.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """All models at the default sizes."""
    folder = tmp_path_factory.mktemp("models")
    for model_id in (BASE, NEWER, EDIT, EDIT_2509, EDIT_2511):
        make_weights(model_id, folder)
    return folder


def shards(folder: str, stem: str, count: int) -> list[str]:
    numbered = [f"{folder}/{stem}-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)]
    return [*numbered, f"{folder}/{stem}.safetensors.index.json"]


@pytest.mark.parametrize(("model_id", "dit_shards"), [(BASE, 9), (NEWER, 9), (EDIT, 9), (EDIT_2509, 5), (EDIT_2511, 5)])
def test_files_are_named_as_published(tree, model_id, dit_shards):
    names = sorted(path.relative_to(tree / model_id).as_posix() for path in (tree / model_id).rglob("*.*"))
    processor = [] if model_id in (BASE, NEWER) else [*TOKENIZER, "preprocessor_config.json"]
    assert names == sorted(
        [
            *shards("transformer", "diffusion_pytorch_model", dit_shards),
            *shards("text_encoder", "model", 4),
            "vae/diffusion_pytorch_model.safetensors",
            *(f"tokenizer/{name}" for name in TOKENIZER),
            *(f"processor/{name}" for name in processor),
        ]
    )


OTHERS = {
    "Qwen/Qwen-Image-Layered": "qwen_image_dit",
    "DiffSynth-Studio/Qwen-Image-Layered-Control": "qwen_image_dit",
    "DiffSynth-Studio/Qwen-Image-Distill-Full": "qwen_image_dit",
    **{
        f"DiffSynth-Studio/Qwen-Image-Blockwise-ControlNet-{kind}": "qwen_image_blockwise_controlnet"
        for kind in ("Canny", "Depth", "Inpaint")
    },
}
LORAS = {
    "MusePublic/Qwen-Image-Distill",
    *(
        f"DiffSynth-Studio/Qwen-Image-{name}"
        for name in (
            *("Distill-LoRA", "In-Context-Control-Union", "EliGen", "EliGen-V2", "EliGen-Poster"),
            *("Layered-Control-V2", "Edit-Lowres-Fix"),
        )
    ),
}


def test_every_model_of_the_family_is_tested_here():
    assert set(QWEN_FAMILY.models) == {BASE, NEWER, EDIT, EDIT_2509, EDIT_2511, *OTHERS, *LORAS}


@pytest.mark.parametrize(("model_id", "expected"), OTHERS.items())
def test_the_first_checkpoint_of_the_others_is_read(tmp_path, model_id, expected):
    files = make_weights(model_id, tmp_path)
    first = files[0].parent
    source = Checkpoint(sorted(first.glob("*.safetensors")))
    (entry,) = detect(source, MODEL_CONFIGS)
    assert entry.model_name == expected
    model = build_on_meta(entry)
    fill(model, source, entry.key_map(model), dtype=torch.float32, device="cpu")


def test_a_made_up_lora_changes_the_layers_that_training_does(tmp_path):
    for model_id in sorted(LORAS):
        (file,) = make_weights(model_id, tmp_path)
        content = load_file(file)
        layers = {name.rpartition(".lora_")[0] for name in content}
        assert len(layers) == 2 * len(QWEN_FAMILY.lora_targets)
        assert all(name.endswith(QWEN_FAMILY.lora_targets) for name in layers)
        assert all(name.startswith("transformer_blocks.") for name in layers)
    again = load_file(make_weights(model_id, tmp_path / "again")[0])
    assert all(torch.equal(again[name], tensor) for name, tensor in content.items())


@pytest.mark.parametrize(("pattern", "expected"), FILES.items())
def test_the_loader_reads_every_checkpoint(tree, pattern, expected):
    source = Checkpoint(sorted((tree / EDIT_2509).glob(pattern)))
    (entry,) = detect(source, MODEL_CONFIGS)
    assert entry.model_name == expected
    model = build_on_meta(entry)
    fill(model, source, entry.key_map(model), dtype=torch.float32, device="cpu")
    assert not any(tensor.is_meta for tensor in model.state_dict().values())
    assert not [name for name, buffer in model.named_buffers() if buffer.is_meta]


def test_the_files_hold_what_the_networks_leave_out(tree):
    source = Checkpoint(sorted((tree / BASE).glob("text_encoder/*.safetensors")))
    (entry,) = detect(source, MODEL_CONFIGS)
    assert set(source.headers) - set(entry.names.values()) == {"lm_head.weight"}


def test_models_share_all_but_the_dit(tree):
    for pattern in FILES:
        first, second = (
            {key: value for file in sorted((tree / one).glob(pattern)) for key, value in load_file(file).items()}
            for one in (BASE, EDIT_2509)
        )
        assert first.keys() == second.keys()
        equal = [torch.equal(first[key], second[key]) for key in first]
        assert not any(equal) if pattern.startswith("transformer") else all(equal)


def test_the_tokenizers_spell_everything(tree):
    for folder in (tree / BASE / "tokenizer", tree / EDIT / "processor"):
        tokenizer = QwenImageTokenizer(folder)
        ids = tokenizer("the cat 旧书店 \U0001f6a2<|im_end|>")
        assert ids.max() < Sizes().vocab_size
        assert tokenizer._tokenizer.decode(ids[0]) == "the cat 旧书店 \U0001f6a2<|im_end|>"
        assert len(tokenizer("the cat")[0]) == 2


def test_a_picture_is_not_degenerate(tree):
    def config(pattern: str) -> ModelConfig:
        return ModelConfig(model_id=EDIT, origin_file_pattern=pattern, local_model_path=str(tree), skip_download=True)

    pipe = QwenImagePipeline.from_pretrained(
        torch.float32, "cpu", [config(pattern) for pattern in FILES], processor_config=config("processor/")
    )
    small = {"height": 64, "width": 64, "num_inference_steps": 2, "seed": 0}
    pictures = [np.array(pipe(prompt, **small)).astype(int) for prompt in ("a red boat", "夜晚的老城小巷")]
    assert np.abs(pictures[0] - pictures[1]).mean() > 1
    assert pictures[0].std() > 10
    assert np.isin(pictures[0], (0, 255)).mean() < 0.5
