"""CLIP's picture half: against transformers on the same weights, and the published file's names."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from transformers import CLIPVisionConfig, CLIPVisionModel

from diffsynth.core.loader.detection import model_hash
from diffsynth.families.wan import picture_half
from diffsynth.models.wan_video_image_encoder import DEVIATION, MEAN, WanImageEncoder

PUBLISHED = {
    "dim": 1280, "ffn_dim": 5120, "num_heads": 16, "num_layers": 31, "image_size": 224, "patch_size": 14,
}  # fmt: skip
SMALL = {"dim": 160, "ffn_dim": 200, "num_heads": 2, "num_layers": 3, "image_size": 32, "patch_size": 8}
_LAYERS = {
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "attn.proj": "self_attn.out_proj",
    "mlp.0": "mlp.fc1",
    "mlp.2": "mlp.fc2",
}


def network():
    torch.manual_seed(0)
    model = WanImageEncoder(**SMALL).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def oracle(model):
    """transformers' network with the same weights, and one more layer, which is never looked behind."""
    theirs = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=SMALL["dim"],
            intermediate_size=SMALL["ffn_dim"],
            num_attention_heads=SMALL["num_heads"],
            num_hidden_layers=SMALL["num_layers"] + 1,
            image_size=SMALL["image_size"],
            patch_size=SMALL["patch_size"],
            hidden_act="gelu",
        )
    ).eval()
    own = theirs.state_dict()
    prefix = next(key for key in own if key.endswith("class_embedding")).removesuffix("embeddings.class_embedding")
    named = {
        "embeddings.class_embedding": model.cls_embedding.flatten(),
        "embeddings.position_embedding.weight": model.pos_embedding[0],
        "embeddings.patch_embedding.weight": model.patch_embedding.weight,
        "pre_layrnorm.weight": model.pre_norm.weight,
        "pre_layrnorm.bias": model.pre_norm.bias,
    }
    for number, block in enumerate(model.transformer):
        layer = f"encoder.layers.{number}."
        for key, tensor in block.state_dict().items():
            name, _, kind = key.rpartition(".")
            if name == "attn.to_qkv":
                for part, rows in zip("qkv", tensor.chunk(3), strict=True):
                    named[f"{layer}self_attn.{part}_proj.{kind}"] = rows
            else:
                named[f"{layer}{_LAYERS[name]}.{kind}"] = tensor
    given = {prefix + key: tensor for key, tensor in named.items()}
    assert given.keys() <= own.keys()
    theirs.load_state_dict({**own, **given})
    return theirs


@torch.no_grad()
def test_equal_to_transformers():
    model = network()
    pictures = torch.rand(2, 3, 48, 40) * 2 - 1
    seen = F.interpolate(pictures, (32, 32), mode="bicubic")
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, DEVIATION))
    expected = oracle(model)((seen / 2 + 0.5 - mean) / deviation, output_hidden_states=True).hidden_states[-2]
    found = model(pictures)
    assert found.shape == (2, 17, 160)
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-5)


def published_shapes():
    """What models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth holds: a CLIP whose text half is XLM-RoBERTa."""
    with torch.device("meta"):
        ours = WanImageEncoder(**{**PUBLISHED, "num_layers": 32}).state_dict()
    shapes = {f"visual.{key}": tuple(tensor.shape) for key, tensor in ours.items()}
    shapes |= {"log_scale": (), "visual.head": (1280, 1024)}
    shapes |= {f"visual.post_norm.{kind}": (1280,) for kind in ("weight", "bias")}
    embeddings = {"token_embedding": 250002, "type_embedding": 1, "pos_embedding": 514}
    shapes |= {f"textual.{name}.weight": (rows, 1024) for name, rows in embeddings.items()}
    linear = {"attn.q": (1024, 1024), "attn.k": (1024, 1024), "attn.v": (1024, 1024), "attn.o": (1024, 1024)}
    linear |= {"ffn.0": (4096, 1024), "ffn.2": (1024, 4096)}
    for block in range(24):
        prefix = f"textual.blocks.{block}."
        for name, shape in linear.items():
            shapes |= {f"{prefix}{name}.weight": shape, f"{prefix}{name}.bias": shape[:1]}
        shapes |= {f"{prefix}{norm}.{kind}": (1024,) for norm in ("norm1", "norm2") for kind in ("weight", "bias")}
    shapes |= {f"textual.norm.{kind}": (1024,) for kind in ("weight", "bias")}
    return shapes | {f"textual.head.{place}.weight": (1024, 1024) for place in (0, 2)}


def test_the_published_file():
    shapes = published_shapes()
    assert model_hash({key: torch.empty(shape, device="meta") for key, shape in shapes.items()}) == (
        "5941c53e207d62f20f9025686193c40b"
    )
    names = picture_half(shapes)
    with torch.device("meta"):
        ours = WanImageEncoder(**PUBLISHED).state_dict()
    assert names.keys() == set(map(WanImageEncoder.file_key, ours))
    assert WanImageEncoder.recognises(names.keys())
    assert WanImageEncoder.kwargs_from_shapes({name: shapes[key] for name, key in names.items()}) == PUBLISHED


def test_other_files_have_no_picture_half():
    assert picture_half(["blocks.0.modulation", "head.head.weight"]) == {}


def test_a_width_without_whole_heads_is_an_error():
    with pytest.raises(ValueError, match=r"patch_embedding\.weight has width 100, expected a multiple of 80"):
        WanImageEncoder.kwargs_from_shapes({"visual.patch_embedding.weight": (100, 3, 14, 14)})
