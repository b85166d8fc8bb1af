"""The Wan DiT's names and shapes: those of the published files, and its sizes read back from them."""

from __future__ import annotations

import pytest
import torch

from diffsynth.core.loader.model_hash import model_hash
from diffsynth.models.wan_video_dit import WanModel
from diffsynth.models.wan_video_text_encoder import WanTextEncoder
from diffsynth.models.wan_video_vae import WanVideoVAE

T2V_1_3B = {"dim": 1536, "ffn_dim": 8960, "num_heads": 12, "num_layers": 30}
T2V_14B = {"dim": 5120, "ffn_dim": 13824, "num_heads": 40, "num_layers": 40}
DEFAULTS = {"in_dim": 16, "out_dim": 16, "text_dim": 4096, "freq_dim": 256, "patch_size": (1, 2, 2)}


def on_meta(model_class, *sizes, **named):
    with torch.device("meta"):
        return model_class(*sizes, **named)


def shapes(model):
    return {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}


@pytest.mark.parametrize(
    ("sizes", "digest", "tensors"),
    [
        (T2V_1_3B, "9269f8db9040a9d860eaca435be61814", 825),
        (T2V_14B, "aafcfd9672c3a2456dc46e1cb6e52c70", 1095),
        ({**T2V_14B, "in_dim": 36}, "5b013604280dd715f8457c6ed6d6a626", 1095),
    ],
    ids=["Wan2.1-T2V-1.3B", "Wan2.1-T2V-14B", "Wan2.2-I2V-A14B"],
)
def test_published_hashes(sizes, digest, tensors):
    state_dict = on_meta(WanModel, **sizes).state_dict()
    assert len(state_dict) == tensors
    assert model_hash(state_dict) == digest


def test_parameter_count_of_the_published_1_3b():
    assert sum(parameter.numel() for parameter in on_meta(WanModel, **T2V_1_3B).parameters()) == 1_418_996_800


@pytest.mark.parametrize(
    "sizes",
    [
        {**T2V_1_3B, **DEFAULTS},
        {**T2V_14B, **DEFAULTS, "in_dim": 36},
        {"dim": 128, "ffn_dim": 70, "num_heads": 1, "num_layers": 1, **DEFAULTS, "text_dim": 16},
        {"dim": 384, "ffn_dim": 512, "num_heads": 3, "num_layers": 11, **DEFAULTS, "out_dim": 20, "freq_dim": 64},
        {"dim": 256, "ffn_dim": 64, "num_heads": 2, "num_layers": 2, **DEFAULTS, "patch_size": (2, 4, 4)},
    ],
    ids=lambda sizes: f"{sizes['dim']} wide, {sizes['num_layers']} deep",
)
def test_sizes_are_read_from_the_shapes(sizes):
    found = shapes(on_meta(WanModel, **sizes))
    assert WanModel.recognises(found.keys())
    assert WanModel.kwargs_from_shapes(found) == sizes


def test_a_width_without_whole_heads_is_an_error():
    with pytest.raises(ValueError, match=r"patch_embedding\.weight has width 96, expected a multiple of 128"):
        WanModel.kwargs_from_shapes(shapes(on_meta(WanModel, 96, 64, 1, 1)))


def test_other_networks_are_not_recognised():
    encoder = on_meta(WanTextEncoder, vocab_size=32, dim=16, dim_attn=16, dim_ffn=16, num_heads=2, num_layers=1)
    assert not WanModel.recognises({WanTextEncoder.file_key(key) for key in encoder.state_dict()})
    assert not WanModel.recognises(on_meta(WanVideoVAE, 8).state_dict().keys())
    assert not WanModel.recognises(set())


@pytest.mark.parametrize(
    "surplus", ["img_emb.proj.0.weight", "blocks.0.cross_attn.k_img.weight", "vace_blocks.0.modulation"]
)
def test_relatives_with_further_parts_are_not_recognised(surplus):
    keys = set(shapes(on_meta(WanModel, 128, 64, 1, 1)))
    assert WanModel.recognises(keys)
    assert not WanModel.recognises(keys | {surplus})
    assert not WanModel.recognises(keys - {"head.modulation"})


def test_on_meta_nothing_is_left_to_fill_but_the_weights():
    model = on_meta(WanModel, 128, 64, 1, 1)
    assert not list(model.buffers())
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}
