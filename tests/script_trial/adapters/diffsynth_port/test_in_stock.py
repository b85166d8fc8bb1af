"""Networks and files that are ready before a script is forked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from script_trial.adapters.diffsynth_port import in_stock
from script_trial.adapters.diffsynth_port.made_up_models import SIZES
from script_trial.adapters.diffsynth_port.weights import make_for_patterns

FLOAT = torch.get_default_dtype()


class Computing(nn.Module):
    """Fills a table when it is built, as the rotary tables of some text encoders do."""

    def __init__(self) -> None:
        super().__init__()
        self.table = 1 / torch.arange(4, device="cpu")


def test_a_network_that_is_ready_is_on_the_meta_device_and_not_for_training() -> None:
    network = in_stock._built_before(("torch.nn.Linear", {"in_features": 2, "out_features": 3}, (), FLOAT))
    assert all(parameter.is_meta and not parameter.requires_grad for parameter in network.parameters())
    assert not network.training


def test_a_network_has_the_default_type_of_the_script() -> None:
    network = in_stock._built_before(("torch.nn.Linear", {"in_features": 2, "out_features": 3}, (), torch.bfloat16))
    assert network.weight.dtype is torch.bfloat16
    assert torch.get_default_dtype() is FLOAT


def test_a_network_that_computes_when_it_is_built_is_left_to_the_script() -> None:
    with pytest.raises(in_stock._ComputesError):
        in_stock._built_before((f"{__name__}.Computing", {}, (), FLOAT))


@pytest.mark.parametrize("pattern", ["Wan2.1_VAE.pth", "diffusion_pytorch_model*.safetensors"])
def test_places_of_tensors_are_those_that_the_loader_finds(pattern: str, tmp_path: Path) -> None:
    from diffsynth.core.loader.checkpoint import _open
    from diffsynth.core.loader.file_source import FileSource

    path = make_for_patterns("Wan-AI/Wan2.1-T2V-1.3B", pattern, tmp_path, sizes=SIZES)[0]
    about = path.stat()
    source = _open(str(path))
    assert isinstance(source, FileSource)
    assert in_stock._places((str(path), about.st_size, about.st_mtime_ns)) == source.spans


TEXT_ENCODER = {"vocab_size": 32, "dim": 256, "dim_ffn": 64, "num_layers": 1, "num_kv_heads": 1}
VISION = {"vision_dim": 160, "vision_dim_ffn": 32, "vision_layers": 1, "patch_size": 14}


@pytest.mark.parametrize(
    ("model_class", "kwargs"),
    [
        ("qwen_image_text_encoder.QwenImageTextEncoder", {**TEXT_ENCODER, **VISION}),
        ("z_image_text_encoder.ZImageTextEncoder", {**TEXT_ENCODER, "num_heads": 2}),
    ],
)
def test_text_encoders_compute_nothing_while_they_are_built(model_class: str, kwargs: dict[str, int]) -> None:
    network = in_stock._built_before((f"diffsynth.models.{model_class}", kwargs, (), FLOAT))
    assert all(one.is_meta for one in (*network.parameters(), *network.buffers()))
