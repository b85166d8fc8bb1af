"""What a file holds is told from its header: by hash, by names, and for rows appended at run time."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from typing import ClassVar

import pytest
import torch
from torch import nn

from diffsynth.core.loader import CheckpointError, DictSource, build_on_meta, detect, fill, model_hash
from diffsynth.families import MODEL_CONFIGS
from diffsynth.families.wan import without_model_prefix
from diffsynth.models.wan_video_dit import WanModel

SMALL = {"dim": 256, "ffn_dim": 96, "num_heads": 2, "num_layers": 3}


class Tagger(nn.Module):
    """A model of a user's own; sizes are not read from its file."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)


class Sized(Tagger):
    """One whose sizes are always the same, in one dict."""

    SIZES: ClassVar = {"width": 5}

    @classmethod
    def kwargs_from_shapes(cls, shapes: object) -> dict[str, int]:
        return cls.SIZES


def keys_of_tagger(keys: Iterable[str]) -> dict[str, str]:
    return {key.removeprefix("tagger."): key for key in keys if key.startswith("tagger.")}


def keys_of_dit(keys: Iterable[str]) -> dict[str, str]:
    return {key: key for key in keys if not key.startswith("tagger.")}


@pytest.fixture
def tagger_path(monkeypatch: pytest.MonkeyPatch) -> str:
    """This module under a name that can be imported."""
    monkeypatch.setitem(sys.modules, "module_of_tagger", sys.modules[__name__])
    return "module_of_tagger"


def test_a_model_of_any_size_is_told_by_its_names() -> None:
    source = DictSource(WanModel(**SMALL).state_dict())
    (entry,) = detect(source, MODEL_CONFIGS)
    assert entry.model_name == "wan_video_dit"
    assert {name: entry.kwargs[name] for name in SMALL} == SMALL
    assert entry.key_map(build_on_meta(entry)) == {key: key for key in source.headers}


def test_a_prefix_in_the_file() -> None:
    weights = {f"model.{key}": value for key, value in WanModel(**SMALL).state_dict().items()}
    (entry,) = detect(DictSource(weights), MODEL_CONFIGS)
    assert entry.key_map(build_on_meta(entry))["head.modulation"] == "model.head.modulation"
    assert {name: entry.kwargs[name] for name in SMALL} == SMALL
    assert without_model_prefix(["model.model.a"]) == {"model.a": "model.model.a"}


def test_names_that_differ_between_file_and_model() -> None:
    pytest.importorskip("transformers")
    from diffsynth.models.wan_video_text_encoder import WanTextEncoder

    encoder = WanTextEncoder(vocab_size=16, dim=8, dim_attn=8, dim_ffn=12, num_heads=2, num_layers=2)
    published = {WanTextEncoder.file_key(key): value for key, value in encoder.state_dict().items()}
    (entry,) = detect(DictSource({**published, "extra": torch.zeros(1)}), MODEL_CONFIGS)
    assert entry.model_name == "wan_video_text_encoder"
    key_map = entry.key_map(build_on_meta(entry))
    assert key_map.items() - {("extra", "extra")} == {
        (key, WanTextEncoder.file_key(key)) for key in encoder.state_dict()
    }
    assert key_map["extra"] == "extra"


def test_building_takes_no_memory_and_is_ready_to_compute() -> None:
    (entry,) = detect(DictSource(WanModel(**SMALL).state_dict()), MODEL_CONFIGS)
    model = build_on_meta(entry)
    assert isinstance(model, WanModel)
    assert all(parameter.is_meta and not parameter.requires_grad for parameter in model.parameters())
    assert not model.training


def test_appended_rows_and_several_models_in_one_file(tagger_path: str) -> None:
    tags = {"tagger.project.weight": torch.zeros(5, 5), "tagger.project.bias": torch.zeros(5)}
    weights = WanModel(**SMALL).state_dict() | tags
    digest = model_hash(weights)
    dit = {
        "model_hash": digest,
        "model_name": "wan_video_dit",
        "model_class": "diffsynth.models.wan_video_dit.WanModel",
        "state_dict_converter": f"{tagger_path}.keys_of_dit",
    }
    tagger = {
        "model_hash": digest,
        "model_name": "tagger",
        "model_class": f"{tagger_path}.Tagger",
        "state_dict_converter": f"{tagger_path}.keys_of_tagger",
        "extra_kwargs": {"width": 5},
    }
    entries = detect(DictSource(weights), [*MODEL_CONFIGS, dit, tagger])
    assert [entry.model_name for entry in entries] == ["wan_video_dit", "tagger"]
    assert entries[1].kwargs == {"width": 5}
    assert entries[1].names == {"project.weight": "tagger.project.weight", "project.bias": "tagger.project.bias"}
    for entry in entries:
        model = build_on_meta(entry)
        fill(model, DictSource(weights), entry.key_map(model), dtype=None, device="cpu")
    assert model.project.weight.shape == (5, 5)


def test_what_a_row_adds_stays_out_of_what_the_class_returns(tagger_path: str) -> None:
    weights = DictSource(Tagger(7).state_dict())
    row = {"model_hash": model_hash(weights.headers), "model_name": "tagger", "model_class": f"{tagger_path}.Sized"}
    (entry,) = detect(weights, [{**row, "extra_kwargs": {"width": 7}}])
    assert entry.kwargs == {"width": 7}
    assert Sized.SIZES == {"width": 5}


def test_of_rows_that_know_the_same_names_the_first_counts() -> None:
    row = {"model_name": "wan_video_dit", "model_class": "diffsynth.models.wan_video_dit.WanModel"}
    table = [{**row, "model_hash": str(eps), "extra_kwargs": {"eps": eps}} for eps in (1e-5, 1e-4)]
    (entry,) = detect(DictSource(WanModel(**SMALL).state_dict()), table)
    assert entry.kwargs["eps"] == 1e-5


def test_the_table_is_a_plain_list_of_known_hashes() -> None:
    assert type(MODEL_CONFIGS) is list
    assert len({(row["model_hash"], row["model_name"]) for row in MODEL_CONFIGS}) == len(MODEL_CONFIGS)
    assert all(len(row["model_hash"]) == len(hashlib.md5().hexdigest()) for row in MODEL_CONFIGS)


def test_an_unknown_file_is_named_with_its_hash() -> None:
    weights = {"a.weight": torch.zeros(2, 2), "b": torch.zeros(1)}
    with pytest.raises(CheckpointError) as caught:
        detect(DictSource(weights, name="lora.safetensors"), MODEL_CONFIGS)
    for part in (
        "lora.safetensors holds no known model",
        "2 tensors",
        "a.weight",
        model_hash(weights),
        "MODEL_CONFIGS",
    ):
        assert part in str(caught.value)


def test_a_missing_tensor_that_tells_the_size() -> None:
    weights = WanModel(**SMALL).state_dict()
    lost = "blocks.0.ffn.0.weight"
    del weights[lost]
    with pytest.raises(
        CheckpointError, match=rf"shard.safetensors lacks '{lost}'.*size of WanModel.*no shard is missing"
    ):
        detect(DictSource(weights, name="shard.safetensors"), MODEL_CONFIGS)


def test_a_row_that_cannot_be_imported() -> None:
    weights = {"a": torch.zeros(1)}
    for path in ("no.such.module.Model", "diffsynth.models.wan_video_dit.NoModel", "Model"):
        row = {"model_hash": model_hash(weights), "model_name": "x", "model_class": path}
        with pytest.raises(ImportError, match=f"'{path}' in the table of models cannot be imported"):
            detect(DictSource(weights), [row])
