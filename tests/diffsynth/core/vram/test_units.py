"""How models are cut into units."""

from __future__ import annotations

import torch
from torch import nn

from diffsynth.core.vram.units import cut_into_units
from tests.diffsynth.core.vram.networks import Network, on_meta


def names(model: nn.Module) -> list[str]:
    return [unit.name for unit in cut_into_units(model)]


def test_blocks_are_units_and_every_weight_is_in_one() -> None:
    model = on_meta(Network, layers=2)
    units = cut_into_units(model)
    assert [unit.name for unit in units] == ["Network", "embedding and leave", "enter", "blocks.0", "blocks.1"]
    assert [unit.overlaps for unit in units] == [True, True, False, False, False]
    keys = [key for unit in units for weight in unit.weights for key in weight.keys]
    assert sorted(keys) == sorted(model.state_dict())


def test_the_outermost_list_counts_and_lists_in_lists_are_passed_through() -> None:
    inner = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Sequential(nn.Linear(2, 2)))
    block = nn.Module()
    block.layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    assert names(nn.Sequential(inner, block)) == ["0.0", "0.2.0", "1"]


def test_a_small_module_with_weights_of_its_own_is_one_unit() -> None:
    model = nn.Module()
    model.head = nn.Module()
    model.head.modulation = nn.Parameter(torch.zeros(2))
    model.head.linear = nn.Linear(2, 2)
    assert names(model) == ["head"]


def test_a_model_of_one_layer() -> None:
    assert names(nn.Linear(2, 2)) == ["Linear"]


def test_a_model_may_name_units() -> None:
    class Named(nn.Module):
        vram_units = ("stage?",)

        def __init__(self) -> None:
            super().__init__()
            self.stage1 = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
            self.rest = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})

    assert names(Named()) == ["stage1", "rest.a", "rest.b"]


def test_a_module_in_two_places_is_one_unit() -> None:
    layer = nn.Linear(2, 2)
    units = cut_into_units(nn.ModuleDict({"first": layer, "second": layer}))
    assert [unit.name for unit in units] == ["first"]
    keys = [("first.weight", "second.weight"), ("first.bias", "second.bias")]
    assert [weight.keys for weight in units[0].weights] == keys
