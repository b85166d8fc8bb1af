"""Configs made small by the names of their entries."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from script_trial.small.sizes import HEAD, WIDTH, shares, small


@pytest.mark.parametrize(
    ("config", "smaller"),
    [
        ({"num_hidden_layers": 32, "hidden_size": 4096}, {"num_hidden_layers": 2, "hidden_size": WIDTH}),
        ({"hidden_size": 16, "num_layers": 1}, {}),
        ({"num_attention_heads": 32, "num_key_value_heads": 8}, {"num_attention_heads": 2, "num_key_value_heads": 1}),
        ({"num_attention_heads": 32, "num_key_value_heads": 32}, {"num_attention_heads": 2, "num_key_value_heads": 2}),
        ({"vocab_size": 32000, "bos_token_id": 1, "eos_token_id": 31999}, {"vocab_size": 300, "eos_token_id": 299}),
        (
            {"attention_head_dim": 128, "axes_dims_rope": (16, 56, 56)},
            {"attention_head_dim": 16, "axes_dims_rope": (4, 6, 6)},
        ),
        (
            {"block_out_channels": (320, 640, 1280, 1280), "layers_per_block": 2},
            {"block_out_channels": (32, 64, 64, 64), "layers_per_block": 1},
        ),
        ({"z_dim": 48, "latent_channels": 128, "in_channels": 64, "patch_size": 2}, {}),
        ({"use_hidden_layers": True, "hidden_act": "gelu", "rms_norm_eps": 1e-6}, {}),
        ({"image_size": 336, "patch_size": 14}, {"image_size": 56}),
        (
            {"num_hidden_layers": 4, "layer_types": ["full", "sliding", "full", "sliding"]},
            {"num_hidden_layers": 2, "layer_types": ["full", "sliding"]},
        ),
        (
            {"num_hidden_layers": 6, "layer_types": list("abcabc"), "mlp_layer_types": list("ddeeff")},
            {"num_hidden_layers": 6, "mlp_layer_types": list("ddeeff"), "layer_types": list("abcabc")},
        ),
        (
            {"text_config": {"model_type": "llama", "hidden_size": 4096, "hidden_act": "silu"}},
            {"text_config": {"model_type": "llama", "hidden_size": WIDTH}},
        ),
    ],
)  # fmt: skip
def test_a_config_made_small(config: dict[str, Any], smaller: dict[str, Any]) -> None:
    assert small(config, 300) == smaller


def test_shares_of_a_head() -> None:
    assert shares([32, 48, 48], HEAD) == [4, 6, 6]
    assert shares([16, 24, 24], 8, even=False) == [2, 3, 3]
    assert shares((2, 2, 2), HEAD) == (2, 2, 2)
    assert shares(None, HEAD) is None


@pytest.mark.slow
def test_most_networks_of_diffusers_are_made_small_by_rule() -> None:
    """The others ask for arguments without a default, or have sizes that no name tells."""
    diffusers = pytest.importorskip("diffusers")
    import torch

    from script_trial.adapters.diffusers.published import NETWORKS
    from script_trial.small.networks import small_arguments

    classes = [getattr(diffusers, name) for name in dir(diffusers)]
    classes = [one for one in classes if inspect.isclass(one) and issubclass(one, diffusers.ModelMixin)]
    built, small_ones = 0, 0
    for one in classes:
        try:
            arguments = small_arguments(one, NETWORKS.get(one.__name__, {}))
            with torch.device("meta"):
                network = one(**arguments)
        except Exception:
            continue
        built += 1
        small_ones += sum(parameter.numel() for parameter in network.parameters()) < 3e6
    assert built >= 0.8 * len(classes)
    assert small_ones >= 0.8 * built


@pytest.mark.slow
def test_most_models_of_transformers_are_made_small_by_rule() -> None:
    """The others need packages that are not here, or have sizes that no name tells."""
    transformers = pytest.importorskip("transformers", minversion="5.0")
    import torch
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    from script_trial.small.networks import small_config

    built, small_ones = 0, 0
    for model_type, name in MODEL_MAPPING_NAMES.items():
        name = name[0] if isinstance(name, (list, tuple)) else name
        try:
            config = small_config(getattr(transformers, CONFIG_MAPPING_NAMES[model_type]))
            with torch.device("meta"):
                network = getattr(transformers, name)(config)
        except Exception:
            continue
        built += 1
        small_ones += sum(parameter.numel() for parameter in network.parameters()) < 3e6
    assert built >= 0.8 * len(MODEL_MAPPING_NAMES)
    assert small_ones >= 0.85 * built
