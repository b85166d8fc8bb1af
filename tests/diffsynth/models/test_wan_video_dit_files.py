"""The Wan DiT's names and shapes: those of the published files, and its sizes read back from them."""

from __future__ import annotations

import pytest
import torch

from diffsynth.core.loader.detection import model_hash
from diffsynth.families.wan import only_vace, without_model_prefix, without_vace
from diffsynth.models.wan_video_dit import WanModel
from diffsynth.models.wan_video_text_encoder import WanTextEncoder
from diffsynth.models.wan_video_vace import VaceWanModel
from diffsynth.models.wan_video_vae import WanVideoVAE

T2V_1_3B = {"dim": 1536, "ffn_dim": 8960, "num_heads": 12, "num_layers": 30}
T2V_14B = {"dim": 5120, "ffn_dim": 13824, "num_heads": 40, "num_layers": 40}
DEFAULTS = {
    "in_dim": 16, "out_dim": 16, "text_dim": 4096, "freq_dim": 256, "patch_size": (1, 2, 2),
    "picture_dim": 0, "picture_positions": 0, "reference_dim": 0, "camera_dim": 0,
}  # fmt: skip
TI2V_5B = {"dim": 3072, "ffn_dim": 14336, "num_heads": 24, "num_layers": 30, "in_dim": 48, "out_dim": 48}
PICTURE = {"picture_dim": 1280}


def on_meta(model_class, *sizes, **named):
    with torch.device("meta"):
        return model_class(*sizes, **named)


def shapes(model):
    return shapes_of(model.state_dict())


def shapes_of(state_dict):
    return {key: tuple(tensor.shape) for key, tensor in state_dict.items()}


PUBLISHED = {
    "Wan2.1-T2V-1.3B": (T2V_1_3B, "9269f8db9040a9d860eaca435be61814"),
    "Wan2.1-T2V-14B": (T2V_14B, "aafcfd9672c3a2456dc46e1cb6e52c70"),
    "Wan2.2-I2V-A14B": ({**T2V_14B, "in_dim": 36}, "5b013604280dd715f8457c6ed6d6a626"),
    "Wan2.2-TI2V-5B": (TI2V_5B, "1f5ab7703c6fc803fdded85ff040c316"),
    "Wan2.1-I2V-14B, Fun-14B-InP": ({**T2V_14B, **PICTURE, "in_dim": 36}, "6bfcfb3b342cb286ce886889d519a77e"),
    "Wan2.1-FLF2V-14B-720P": (
        {**T2V_14B, **PICTURE, "in_dim": 36, "picture_positions": 514},
        "3ef3b1f8e1dab83d5b71fd7b617f859f",
    ),
    "Wan2.1-Fun-1.3B-InP": ({**T2V_1_3B, **PICTURE, "in_dim": 36}, "6d6ccde6845b95ad9114ab993d917893"),
    "Wan2.1-Fun-1.3B-Control": ({**T2V_1_3B, **PICTURE, "in_dim": 48}, "349723183fc063b2bfc10bb2835cf677"),
    "Wan2.1-Fun-14B-Control": ({**T2V_14B, **PICTURE, "in_dim": 48}, "efa44cddf936c70abd0ea28b6cbe946c"),
    "Wan2.1-Fun-V1.1-1.3B-Control": (
        {**T2V_1_3B, **PICTURE, "in_dim": 48, "reference_dim": 16},
        "70ddad9d3a133785da5ea371aae09504",
    ),
    "Wan2.1-Fun-V1.1-14B-Control": (
        {**T2V_14B, **PICTURE, "in_dim": 48, "reference_dim": 16},
        "26bde73488a92e64cc20b0a7485b9e5b",
    ),
    "Wan2.1-Fun-V1.1-1.3B-Control-Camera": (
        {**T2V_1_3B, **PICTURE, "in_dim": 32, "camera_dim": 24},
        "ac6a5aa74f4a0aab6f64eb9a72f19901",
    ),
    "Wan2.1-Fun-V1.1-14B-Control-Camera": (
        {**T2V_14B, **PICTURE, "in_dim": 32, "camera_dim": 24},
        "b61c605c2adbd23124d152ed28e049ae",
    ),
    "Wan2.2-Fun-A14B-Control": (
        {**T2V_14B, "in_dim": 52, "reference_dim": 16},
        "2267d489f0ceb9f21836532952852ee5",
    ),
    "Wan2.2-Fun-A14B-Control-Camera": (
        {**T2V_14B, "in_dim": 36, "camera_dim": 24},
        "47dbeab5e560db3180adf51dc0232fb1",
    ),
}


@pytest.mark.parametrize(("sizes", "digest"), PUBLISHED.values(), ids=PUBLISHED)
def test_published_hashes(sizes, digest):
    state_dict = on_meta(WanModel, **sizes).state_dict()
    assert model_hash(state_dict) == digest
    assert WanModel.recognises(state_dict.keys())
    assert WanModel.kwargs_from_shapes(shapes_of(state_dict)) == {**DEFAULTS, **sizes}


def test_krea_realtime_is_the_14b_below_model():
    state_dict = on_meta(WanModel, **T2V_14B).state_dict()
    below = {f"model.{key}": tensor for key, tensor in state_dict.items()}
    assert model_hash(below) == "5ec04e02b42d2580483ad69f4e76346a"
    assert without_model_prefix(below).keys() == state_dict.keys()


@pytest.mark.parametrize(
    ("sizes", "hints", "digest"),
    [(T2V_1_3B, 15, "a61453409b67cd3246cf0c3bebad47ba"), (T2V_14B, 8, "7a513e1f257a861512b1afd387a8ecd9")],
    ids=["VACE-Wan2.1-1.3B-Preview", "Wan2.1-VACE-14B"],
)
def test_vace_stands_beside_the_dit_in_its_file(sizes, hints, digest):
    dit = on_meta(WanModel, **sizes).state_dict()
    vace = on_meta(VaceWanModel, **{**sizes, "num_layers": hints}).state_dict()
    together = {**dit, **vace}
    assert model_hash(together) == digest
    assert not WanModel.recognises(together.keys())
    assert without_vace(together).keys() == dit.keys()
    assert only_vace(together).keys() == vace.keys()
    assert VaceWanModel.recognises(vace.keys())
    assert not VaceWanModel.recognises(dit.keys())
    expected = {**sizes, "num_layers": hints, "in_dim": 96, "patch_size": (1, 2, 2)}
    assert VaceWanModel.kwargs_from_shapes(shapes_of(vace)) == expected


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
    "surplus", ["face_adapter.fuser_blocks.0.q_norm.weight", "blocks.0.attn1.k.weight", "vace_blocks.0.modulation"]
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
