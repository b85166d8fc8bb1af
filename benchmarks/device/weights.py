"""Makes up the files of Wan2.1-T2V-1.3B, in the published sizes and types or small, and a tokenizer of a few words."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from benchmarks.record import made
from diffsynth.families.family import Sizes
from diffsynth.families.wan import DIT, TEXT_ENCODER, VAE

SPECIAL = ("<pad>", "</s>", "<unk>")


def main() -> None:
    """Writes `dit`, `text_encoder` and `vae.safetensors`, and the folder `tokenizer`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    with torch.device("meta"):
        of_model = {
            "dit": (DIT, DIT.published_as("Wan-AI/Wan2.1-T2V-1.3B")),
            "text_encoder": (TEXT_ENCODER, TEXT_ENCODER.published_as("models_t5")),
            "vae": (VAE, VAE.published_as("Wan2.1_VAE")),
        }
        networks = {
            name: made(network, form.sizes if options.full else network.small(Sizes()))
            for name, (network, form) in of_model.items()
        }
    for name, network in networks.items():
        dtype = torch.bfloat16 if options.full and name == "text_encoder" else torch.float32
        save_file(_random(network, torch.device(options.device), dtype), options.folder / f"{name}.safetensors")
    _write_tokenizer(options.folder / "tokenizer")


def _random(network: nn.Module, device: torch.device, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Values that keep activations in range, by the published names."""
    name_of = getattr(network, "file_key", lambda key: key)
    generator = torch.Generator(device).manual_seed(0)
    tensors = {}
    for key, shape in {key: tensor.shape for key, tensor in network.state_dict().items()}.items():
        values = torch.randn(shape, generator=generator, device=device, dtype=dtype)
        if len(shape) > 1 and shape[0] > 1:
            values *= shape[1:].numel() ** -0.5
        else:
            values = 1 + 0.02 * values if "norm" in key or "gamma" in key else 0.02 * values
        tensors[name_of(key)] = values.cpu()
    return tensors


def _write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = {word: place for place, word in enumerate((*SPECIAL, "a", "dog", "over", "the", "green", "in", "sun"))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "padding_side": "right", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


if __name__ == "__main__":
    main()
