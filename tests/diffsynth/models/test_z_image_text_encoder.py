"""The text encoder against transformers' own model, on the same small random weights; its file."""

from __future__ import annotations

import pytest
import torch
from transformers import Qwen3Config, Qwen3Model

from diffsynth.core.loader.detection import model_hash
from diffsynth.families.z_image import without_last_layer
from diffsynth.models.z_image_text_encoder import HEAD_DIM, ZImageTextEncoder

SIZES = {"vocab_size": 97, "dim": 64, "dim_ffn": 96, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2}
PUBLISHED = {
    "vocab_size": 151936,
    "dim": 2560,
    "dim_ffn": 9728,
    "num_layers": 35,
    "num_heads": 32,
    "num_kv_heads": 8,
}


@pytest.fixture(scope="module")
def theirs():
    """transformers' whole model, of a layer more."""
    torch.manual_seed(0)
    model = Qwen3Model(
        Qwen3Config(
            vocab_size=SIZES["vocab_size"],
            hidden_size=SIZES["dim"],
            intermediate_size=SIZES["dim_ffn"],
            num_hidden_layers=SIZES["num_layers"] + 1,
            num_attention_heads=SIZES["num_heads"],
            num_key_value_heads=SIZES["num_kv_heads"],
            head_dim=HEAD_DIM,
            rope_theta=1_000_000.0,
            rms_norm_eps=1e-6,
        )
    )
    model.eval().requires_grad_(False)
    for parameter in model.parameters():  # not transformers' start, near zero, where an error would not show
        if parameter.ndim == 1:
            parameter.add_(torch.randn_like(parameter) * 0.1)
        else:
            parameter.normal_(std=parameter[0].numel() ** -0.5)
    model.embed_tokens.weight.normal_()
    return model


@pytest.fixture(scope="module")
def encoder(theirs):
    encoder = on_meta(**SIZES)
    published = {f"model.{key}": value for key, value in theirs.state_dict().items()}
    encoder.load_state_dict({key: published[key] for key in without_last_layer(published)}, assign=True)
    return encoder


def on_meta(**sizes):
    with torch.device("meta"):
        return ZImageTextEncoder(**sizes).eval().requires_grad_(False)


def test_it_agrees_with_transformers(encoder, theirs):
    ids = torch.randint(0, 97, (1, 23), generator=torch.Generator().manual_seed(1))
    expected = theirs(ids, output_hidden_states=True).hidden_states[-2]
    found = encoder(ids)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert found.std() > 0.5
    # As the published pipeline calls it: filled up on the right, and masked.
    mask = torch.ones_like(torch.nn.functional.pad(ids, (0, 9)))
    mask[:, 23:] = 0
    filled = theirs(torch.nn.functional.pad(ids, (0, 9)), attention_mask=mask, output_hidden_states=True)
    torch.testing.assert_close(found, filled.hidden_states[-2][:, :23], rtol=0, atol=1e-5)


def test_bfloat16_weights_give_bfloat16_features(encoder):
    half = on_meta(**SIZES)
    half.load_state_dict({key: value.bfloat16() for key, value in encoder.state_dict().items()}, assign=True)
    ids = torch.arange(9).unsqueeze(0)
    found = half(ids)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), encoder(ids), rtol=0, atol=0.3)


def test_names_and_shapes_of_the_published_file():
    whole = on_meta(num_layers=36).state_dict()
    whole["model.norm.weight"] = torch.empty(2560, device="meta")
    assert len(whole) == 398
    assert model_hash(whole) == "0f050f62a88876fea6eae0a18dac5a2e"
    run = without_last_layer(whole)
    assert run.keys() == on_meta().state_dict().keys()
    assert ZImageTextEncoder.recognises(run.keys())
    assert ZImageTextEncoder.kwargs_from_shapes({key: tuple(whole[key].shape) for key in run}) == PUBLISHED


def test_what_is_not_run_is_left_out():
    keys = ["model.embed_tokens.weight", "model.layers.9.mlp.x", "model.layers.10.mlp.x", "model.norm.weight"]
    names = without_last_layer([*keys, *(f"model.layers.{number}.mlp.x" for number in range(9)), "lm_head.weight"])
    assert "model.layers.9.mlp.x" in names
    assert not {"model.layers.10.mlp.x", "model.norm.weight", "lm_head.weight"} & names.keys()


def test_nothing_is_left_on_meta_once_the_parameters_are_there(encoder):
    assert not dict(on_meta(**SIZES).named_buffers())
    assert not any(parameter.is_meta for parameter in encoder.parameters())


def test_other_text_encoders_are_not_recognised():
    keys = on_meta(**SIZES).state_dict().keys()
    assert not ZImageTextEncoder.recognises(keys | {"visual.patch_embed.proj.weight"})
    assert not ZImageTextEncoder.recognises({key for key in keys if "q_norm" not in key})
