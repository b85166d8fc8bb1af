"""Translation is by exact match: everything else stays as it is."""

from __future__ import annotations

import pytest
import torch

from npu_compat.accelerators import TARGETS, load
from npu_compat.translation import Translation


@pytest.fixture
def translation(npu):
    made = Translation(load("npu"))
    made.fill()
    return made


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("nccl", "hccl"),
        ("NCCL", "hccl"),
        ("cuda:nccl", "npu:hccl"),
        ("cpu:gloo,cuda:nccl", "cpu:gloo,npu:hccl"),
        ("cuda:nccl,cpu:gloo", "npu:hccl,cpu:gloo"),
        ("cuda:gloo", "npu:gloo"),
        ("gloo", "gloo"),
        ("my_nccl", "my_nccl"),
        ("cpu:gloo", "cpu:gloo"),
        (None, None),
    ],
)
def test_backends(translation, given, expected):
    assert translation.backend(given) == expected


@pytest.mark.parametrize(
    "value", ["cuda_0", "/cuda", "cuda:64", "Cuda", "", "cpu", 0, 1.5, None, b"cuda", ("cuda",), [1]]
)
def test_what_is_no_device_stays(translation, value):
    assert translation.device(value) is value


def test_devices(translation):
    assert translation.device("cuda") == torch.device("npu")
    assert translation.device("cuda:63") == torch.device("npu", 63)
    assert translation.device(torch.device("cuda", 2)) == torch.device("npu", 2)
    assert translation.device_type("cuda") == "npu"
    assert translation.device_type("cuda:0") == "cuda:0"
    assert translation.device_name("cuda:1") == "npu:1"
    assert translation.device_list(["cuda:1", 0]) == [torch.device("npu", 1), 0]


def test_once_cleared_nothing_is_translated(translation):
    translation.clear()
    assert translation.device("cuda") == translation.device_type("cuda") == "cuda"
    assert translation.backend("nccl") == "nccl"


@pytest.mark.parametrize("name", TARGETS)
def test_every_table_makes_a_translation(npu, name):
    accelerator = load(name)
    if name == "musa":
        return  # torch cannot name the device before torch_musa has registered it
    made = Translation(accelerator)
    made.fill()
    assert made.device("cuda:0") == torch.device(name, 0)
    assert made.backend("nccl") == (accelerator.backend or "gloo")
