"""The Wan DiT's names and shapes: those of the published files, and its sizes read back from them."""

from __future__ import annotations

import pytest
import torch

from diffsynth.core.loader.detection import model_hash
from diffsynth.families.wan import DIT, only_vace, without_model_prefix, without_vace
from diffsynth.models.wan_video_dit import WanModel
from diffsynth.models.wan_video_text_encoder import WanTextEncoder
from diffsynth.models.wan_video_vace import VaceWanModel
from diffsynth.models.wan_video_vae import WanVideoVAE

T2V_1_3B, T2V_14B = (dict(DIT.published_as(f"Wan-AI/Wan2.1-T2V-{size}").sizes) for size in ("1.3B", "14B"))
DEFAULTS = {
    "in_dim": 16, "out_dim": 16, "text_dim": 4096, "freq_dim": 256, "patch_size": (1, 2, 2),
    "picture_dim": 0, "picture_positions": 0, "reference_dim": 0, "camera_dim": 0,
}  # fmt: skip


def on_meta(model_class, *sizes, **named):
    with torch.device("meta"):
        return model_class(*sizes, **named)


def shapes(model):
    return shapes_of(model.state_dict())


def shapes_of(state_dict):
    return {key: tuple(tensor.shape) for key, tensor in state_dict.items()}


@pytest.mark.parametrize("form", [form for form in DIT.published if form.names is None], ids=lambda form: form.where)
def test_no_other_sizes_are_read_from_the_shapes_of_a_published_file(form):
    assert WanModel.kwargs_from_shapes(shapes(on_meta(WanModel, **form.sizes))) == {**DEFAULTS, **form.sizes}


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
