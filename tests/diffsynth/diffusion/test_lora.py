"""LoRA files of every spelling, fused and hot, and those that do not fit."""

import json
import weakref

import pytest
import torch
from torch import nn

from diffsynth.diffusion import lora_file
from diffsynth.diffusion.lora import HotLora, fuse
from diffsynth.diffusion.lora_file import LowRank, linear_layers, linear_names, named_as_in, read_lora


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.ModuleDict({"blocks": nn.ModuleList([nn.ModuleDict({"q": nn.Linear(6, 4), "norm": nn.LayerNorm(4)})])})


def pair(down="lora_A", up="lora_B", middle="", prefix="", rank=2):
    generator = torch.Generator().manual_seed(1)
    return {
        f"{prefix}blocks.0.q.{down}{middle}.weight": torch.randn(rank, 6, generator=generator),
        f"{prefix}blocks.0.q.{up}{middle}.weight": torch.randn(4, rank, generator=generator),
    }


SPELLINGS = [
    {},
    {"middle": ".default"},
    {"prefix": "diffusion_model."},
    {"prefix": "pipe.dit."},
    {"down": "lora_down", "up": "lora_up"},
    {"middle": ".my_adapter"},
]


@pytest.mark.parametrize("spelling", SPELLINGS, ids=str)
def test_fused_and_hot_do_the_same_in_every_spelling(model, spelling):
    state_dict = pair(**spelling)
    down, up = state_dict.values()
    pairs = read_lora(state_dict, alpha=0.5, source="x.safetensors")
    layers = linear_layers(model, pairs, source="x.safetensors")
    layer, tokens = model["blocks"][0]["q"], torch.randn(3, 6)
    plain, before = layer(tokens), layer.weight.clone()
    expected = plain + 0.5 * tokens @ down.T @ up.T

    hot = HotLora()
    hot.add(layers, pairs)
    torch.testing.assert_close(layer(tokens), expected)
    assert torch.equal(layer.weight, before)
    hot.remove()
    assert torch.equal(layer(tokens), plain)

    for name, layer in layers.items():
        fuse(layer, pairs[name])
    torch.testing.assert_close(layer(tokens), expected)


def renamed(state_dict, name):
    return {key.replace("blocks.0.q", name): tensor for key, tensor in state_dict.items()}


@pytest.mark.parametrize(
    "name", ["lora_unet_blocks_0_q", "transformer.blocks.0.attn.to_q", "lora_transformer_blocks_0_attn_to_q"]
)
def test_layers_are_found_by_the_names_of_kohya_and_diffusers(model, name):
    model.diffusers_names = {"q": "attn.to_q"}
    pairs = read_lora(renamed(pair("lora_down", "lora_up"), name), alpha=1, source="x")
    assert list(named_as_in(model, linear_names(model), pairs)) == ["blocks.0.q"]


@pytest.mark.parametrize("name", ["lora_te_blocks_0_q", "lora_unet_blocks_0_qq", "blocks.0.attn.to_k"])
def test_layers_of_other_models_keep_their_names(model, name):
    model.diffusers_names = {"q": "attn.to_q"}
    pairs = read_lora(renamed(pair(), name), alpha=1, source="x")
    assert list(named_as_in(model, linear_names(model), pairs)) == [name]


def test_two_adapters_in_one_file_are_named():
    with pytest.raises(ValueError, match=r"x holds 2 adapters \(one, two\)"):
        read_lora({**pair(middle=".one"), **pair(middle=".two", prefix="blocks.1.")}, alpha=1, source="x")


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({"transformer.r": 2, "transformer.lora_alpha": 8}, 4.0),
        ({"r": 2, "lora_alpha": 8, "alpha_pattern": {"0.q": 2}}, 1.0),
        ({"r": 2, "lora_alpha": 8, "alpha_pattern": {"1.q": 2}}, 4.0),
        ({}, 1.0),
    ],
)
def test_alpha_counts_as_diffusers_notes_it(settings, scale):
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(settings)}
    assert read_lora(pair(), alpha=1, source="x", metadata=metadata)["blocks.0.q"].scale == scale


def test_the_files_own_alpha_counts_by_rank():
    state_dict = {**pair("lora_down", "lora_up"), "blocks.0.q.alpha": torch.tensor(4.0)}
    assert read_lora(state_dict, alpha=0.5, source="x")["blocks.0.q"].scale == 0.5 * 4 / 2


def test_two_hot_changes_add_up(model):
    pairs = read_lora(pair(), alpha=1, source="x")
    layers = linear_layers(model, pairs, source="x")
    layer, tokens = model["blocks"][0]["q"], torch.randn(3, 6)
    plain = layer(tokens)
    hot = HotLora()
    hot.add(layers, pairs)
    once = layer(tokens) - plain
    hot.add(layers, pairs)
    torch.testing.assert_close(layer(tokens) - plain, 2 * once)


def test_a_hot_change_follows_its_input(model):
    pairs = read_lora(pair(), alpha=1, source="x")
    layers = linear_layers(model.bfloat16(), pairs, source="x")
    HotLora().add(layers, pairs)
    assert model["blocks"][0]["q"](torch.randn(3, 6, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_a_hot_change_leaves_the_device_and_comes_again(model, monkeypatch):
    pairs = read_lora(pair(), alpha=1, source="x")
    layers = linear_layers(model.bfloat16(), pairs, source="x")
    layer, tokens = model["blocks"][0]["q"], torch.randn(3, 6, dtype=torch.bfloat16)
    sent = []

    def sending(*halves_and_scale):
        copy = LowRank(*halves_and_scale)
        sent.append(weakref.ref(copy))
        return copy

    monkeypatch.setattr(lora_file, "LowRank", sending)
    hot = HotLora()
    hot.add(layers, pairs)
    changed = layer(tokens)
    assert [copy() is None for copy in sent] == [False]
    hot.leave_device()
    assert [copy() is None for copy in sent] == [True]
    assert torch.equal(layer(tokens), changed)
    assert [copy() is None for copy in sent] == [True, False]


@pytest.mark.parametrize(
    ("state_dict", "message"),
    [
        ({"blocks.0.q.weight": torch.ones(2)}, "x.safetensors holds no LoRA: expected keys such as"),
        (dict(list(pair().items())[:1]), "x.safetensors: blocks.0.q has only its down projection"),
        (dict(list(pair().items())[1:]), "x.safetensors: blocks.0.q has only its up projection"),
    ],
)
def test_a_file_that_is_no_lora_is_named(state_dict, message):
    with pytest.raises(ValueError, match=message):
        read_lora(state_dict, alpha=1, source="x.safetensors")


def test_a_lora_of_another_model_is_named(model):
    pairs = read_lora(pair(prefix="other."), alpha=1, source="x")
    with pytest.raises(ValueError, match=r"x changes other\.blocks\.0\.q, which is no linear layer of ModuleDict"):
        linear_layers(model, pairs, source="x")


def test_a_lora_of_another_size_is_named(model):
    wide = {key: torch.ones(value.shape[0], 9) if "lora_A" in key else value for key, value in pair().items()}
    with pytest.raises(ValueError, match=r"is \(4, 2\) times \(2, 9\), but the layer is \(4, 6\)"):
        linear_layers(model, read_lora(wide, alpha=1, source="x"), source="x")


def test_a_pair_that_is_no_matrix_is_named(model):
    flat = {key: value.flatten() for key, value in pair().items()}
    with pytest.raises(ValueError, match=r"x: blocks\.0\.q is \(8,\) times \(12,\), but the layer is \(4, 6\)"):
        linear_layers(model, read_lora(flat, alpha=1, source="x"), source="x")


@pytest.mark.parametrize("alpha", ["1", None, float("nan")])
def test_a_strength_that_is_no_number(alpha):
    with pytest.raises(ValueError, match=f"alpha={alpha!r}: expected a number"):
        read_lora(pair(), alpha=alpha, source="x")


def test_what_no_lora_has_is_left_out_and_said(recwarn):
    alpha = {"blocks.0.q.alpha": torch.tensor(2.0)}
    read_lora({**pair(), **alpha}, alpha=1, source="x")
    assert not recwarn
    others = {"blocks.0.q.dora_scale": torch.ones(4), "blocks.0.norm.diff_b": torch.ones(4)}
    with pytest.warns(UserWarning, match=r"x: 2 of its tensors are no part .*q\.dora_scale, blocks\.0\.norm\.diff_b"):
        pairs = read_lora({**pair(), **alpha, **others}, alpha=1, source="x")
    assert list(pairs) == ["blocks.0.q"]
