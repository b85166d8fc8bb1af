"""Checkpoints and LoRAs that nobody has trained here."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from diffsynth.core import load_state_dict
from diffsynth.core.loader import CheckpointError
from diffsynth.diffusion.lora_file import linear_layers, read_lora
from script_trial.adapters.diffsynth_port.made_up_checkpoints import Checkpoints


@pytest.fixture
def network():
    """A network with one linear layer in a block, and one outside."""
    network = nn.ModuleDict({"head": nn.Linear(3, 2), "blocks": nn.ModuleList([nn.Sequential(nn.Linear(3, 5))])})
    return network.to(torch.bfloat16)


@pytest.fixture
def checkpoints(network, tmp_path, monkeypatch):
    started_in, folder = tmp_path / "started in", tmp_path / "folder"
    started_in.mkdir()
    folder.mkdir()
    monkeypatch.chdir(folder)
    checkpoints = Checkpoints(started_in, lambda network: None)
    checkpoints.watch(SimpleNamespace(family=SimpleNamespace(trained=("dit",)), dit=network))
    return checkpoints


def test_a_network(checkpoints, network):
    load = checkpoints.for_load_state_dict(load_state_dict)
    made = load("models/train/epoch-1.safetensors")
    assert {key: (value.shape, value.dtype) for key, value in made.items()} == {
        key: (value.shape, value.dtype) for key, value in network.state_dict().items()
    }
    again, other = load("models/train/epoch-1.safetensors"), load("models/train/epoch-0.safetensors")
    assert all(torch.equal(made[key], again[key]) for key in made)
    assert not torch.equal(made["head.weight"], other["head.weight"])


def test_a_lora(checkpoints, network):
    given = []
    load = checkpoints.for_load_lora(lambda pipe, module, file=None, alpha=1, state_dict=None: given.append(state_dict))
    load(None, network, "models/train/epoch-4.safetensors", alpha=1)
    pairs = read_lora(given[0], alpha=1, source="it")
    assert list(linear_layers(network, pairs, source="it")) == ["blocks.0.0"]


def test_what_there_is_is_read(checkpoints, tmp_path):
    load = checkpoints.for_load_state_dict(load_state_dict)
    for folder in ("folder", "started in"):
        save_file({"a": torch.zeros(2)}, tmp_path / folder / f"{folder}.safetensors")
        assert list(load(f"{folder}.safetensors")) == ["a"]
    files = []
    load_lora = checkpoints.for_load_lora(lambda pipe, module, file=None: files.append(file))
    load_lora(None, None, "started in.safetensors")
    assert files == [tmp_path / "started in" / "started in.safetensors"]


def test_without_a_pipeline_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"a\.safetensors does not exist"):
        Checkpoints(tmp_path, lambda network: None).for_load_state_dict(load_state_dict)("a.safetensors")
