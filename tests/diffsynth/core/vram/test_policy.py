"""A vram_config becomes four placements, or an error that names the key."""

from __future__ import annotations

import pytest
import torch

from diffsynth.core.vram import OnDisk, Placement, VramConfigError, parse_vram_config

CPU = torch.device("cpu")
BF16 = torch.bfloat16
COMPUTATION = {"computation_device": "cpu", "computation_dtype": BF16}
DISK = {"offload_device": "disk", "offload_dtype": "disk"}


def parse(config: dict[str, object]) -> object:
    return parse_vram_config(config, torch_dtype=BF16, device=CPU, model="wan_video_dit")


def test_no_key_is_no_policy() -> None:
    assert parse({}) is None
    assert parse({"offload_device": None, "offload_dtype": None}) is None


def test_missing_placements_are_those_of_computation() -> None:
    policy = parse({**DISK, **COMPUTATION})
    assert policy.offload == OnDisk()
    assert policy.onload == policy.preparing == policy.computation == Placement(CPU, BF16)


def test_all_eight_keys() -> None:
    onload = {"onload_device": torch.device("cpu"), "onload_dtype": torch.float8_e4m3fn}
    preparing = {"preparing_device": "cpu", "preparing_dtype": torch.float32}
    policy = parse({**DISK, **onload, **preparing, **COMPUTATION})
    assert policy.onload == Placement(CPU, torch.float8_e4m3fn)
    assert policy.preparing == Placement(CPU, torch.float32)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"offload_device": "cpu", **COMPUTATION}, "offload_device is given without offload_dtype"),
        ({"offload_dtype": BF16, **COMPUTATION}, "offload_dtype is given without offload_device"),
        ({**DISK, "onload_device": "cpu", **COMPUTATION}, "onload_device is given without onload_dtype"),
        ({**DISK, "computation_device": "cpu"}, "computation_device is given without computation_dtype"),
        (DISK, "add computation_device='cpu', computation_dtype=torch.bfloat16"),
        (COMPUTATION, "computation_device is given without offload_device and offload_dtype"),
        ({"offload_device": "disk", "offload_dtype": BF16, **COMPUTATION}, "offload_device='disk' contradicts"),
        ({"offload_device": "cpu", "offload_dtype": "disk", **COMPUTATION}, "contradicts offload_dtype='disk'"),
        ({"offload_device": "cudda", "offload_dtype": BF16, **COMPUTATION}, "offload_device: device 'cudda'"),
        ({"offload_device": "cpu", "offload_dtype": "bf16", **COMPUTATION}, "offload_dtype='bf16' is no torch dtype"),
        ({"offload_device": "cpu", "offload_dtype": torch.int8, **COMPUTATION}, "offload_dtype=torch.int8 cannot hold"),
        ({"offload_devise": "cpu", **COMPUTATION}, "no key 'offload_devise': did you mean 'offload_device'"),
        ({**DISK, "computation_device": "disk", "computation_dtype": "disk"}, "computation_device='disk'"),
        (
            {**DISK, "computation_device": "cpu", "computation_dtype": torch.float8_e4m3fn},
            "computation_dtype=torch.float8_e4m3fn is a type for storage",
        ),
        (
            {
                "offload_device": "cpu",
                "offload_dtype": BF16,
                "onload_device": "disk",
                "onload_dtype": "disk",
                **COMPUTATION,
            },
            "onload_device='disk' contradicts offload_device='cpu'",
        ),
    ],
)
def test_what_is_wrong_is_named(config: dict[str, object], message: str) -> None:
    with pytest.raises(VramConfigError, match="vram_config of wan_video_dit: ") as raised:
        parse(config)
    assert message in str(raised.value)


def test_computing_elsewhere_than_the_pipeline() -> None:
    with pytest.raises(VramConfigError, match="computation_device='cpu', but the pipeline computes on 'meta'"):
        parse_vram_config({**DISK, **COMPUTATION}, torch_dtype=BF16, device=torch.device("meta"), model="vae")
