"""Weights that are a function of names, and that leave the script's own random numbers alone."""

from __future__ import annotations

import random

import torch
from torch import nn

from script_trial.small.random_weights import fill, making_up


def network() -> nn.Module:
    return nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))


def test_the_same_name_gives_the_same_weights_whatever_was_drawn_before() -> None:
    one, other, third = network(), network(), network()
    fill(one, "model")
    torch.rand(5)
    fill(other, "model")
    fill(third, "another model")
    assert all(torch.equal(*pair) for pair in zip(one.parameters(), other.parameters(), strict=True))
    assert not torch.equal(one[1].weight, third[1].weight)


def test_buffers_stay() -> None:
    built = network()
    fill(built, "model")
    assert torch.equal(built[2].running_var, torch.ones(8))


def test_what_goes_through_keeps_its_size() -> None:
    layer = nn.Linear(256, 256)
    fill(layer, "layer")
    out = layer(torch.randn(64, 256))
    assert 0.8 < out.std() < 1.2


def test_the_script_draws_what_it_would_have_drawn() -> None:
    torch.manual_seed(5)
    random.seed(5)
    expected = torch.rand(3), random.random()
    torch.manual_seed(5)
    random.seed(5)
    torch.set_default_dtype(torch.float64)
    try:
        with making_up():
            built = network()
            random.random()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert built[1].weight.dtype == torch.float32
    assert torch.equal(torch.rand(3), expected[0])
    assert random.random() == expected[1]
