"""DP113: an argument that the target calls otherwise."""

from __future__ import annotations

import pytest

from tests.porter.rules.rewriting import check_noop, check_transformed


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("torch.cuda.get_device_properties(device=0)", "torch.npu.get_device_properties(device_name=0)"),
        ("torch.cuda.get_device_name(device=d).lower()", "torch.npu.get_device_name(device_name=d).lower()"),
        (
            "torch.cuda.can_device_access_peer(device=0, peer_device=1)",
            "torch.npu.can_device_access_peer(device_id=0, peer_device_id=1)",
        ),
        (
            "from torch.cuda import get_device_properties\nget_device_properties(\n    device=0\n)",
            "from torch.npu import get_device_properties\nget_device_properties(\n    device_name=0\n)",
        ),
        ("torch.cuda.get_device_properties(0)", "torch.npu.get_device_properties(0)"),
        ("torch.cuda.mem_get_info(device=0)", "torch.npu.mem_get_info(device=0)"),
    ],
)
def test_renamed(before: str, after: str) -> None:
    check_transformed(before, after)


def test_a_target_that_calls_it_the_same() -> None:
    check_transformed("torch.cuda.get_device_properties(device=0)", "torch.xpu.get_device_properties(device=0)", "xpu")


@pytest.mark.parametrize("text", ["get_device_properties(device=0)", "props.get_device_name(device=0)"])
def test_left_alone(text: str) -> None:
    check_noop(text)
