"""What was refused, read out of the messages of the emulated NPU and of torch_npu."""

from __future__ import annotations

import pytest

from script_trial.refusals import left_to_the_host, refused

EMULATED = (
    "index: NPU function error: call aclnnIndex failed, error code is 161002. EZ1001: Tensor self not implemented for "
    "DT_COMPLEX64, should be in dtype support list [DT_UINT8,DT_INT8]. "
    "(index on complex64, atlas-a2; report: https://example.com/12979; instead: index real cos and sin tables)"
)
REAL = (
    "call aclnnIndex failed, detail:EZ1001: Tensor self not implemented for DT_COMPLEX64, should be in dtype support "
    "list [DT_FLOAT]"
)


@pytest.mark.parametrize(
    ("message", "operator"),
    [
        (EMULATED, "index on complex64"),
        (REAL, "aclnnIndex"),
        ("atanh is not supported on ascend-950dt: none of aclnnAtanh is defined for it", "atanh"),
        ("Expected all tensors to be on the same device", None),
    ],
)
def test_refused(message: str, operator: str | None) -> None:
    assert refused(message) == operator


@pytest.mark.parametrize(
    ("message", "operator"),
    [
        (
            "mul on complex128 runs on the AI CPU of atlas-a2, many times slower than on the AI core",
            "mul on complex128",
        ),
        (
            "CAUTION: The operator 'aten::isin' is not currently supported on the NPU backend and will fall back "
            "to run on the CPU.",
            "aten::isin",
        ),
        (EMULATED, None),
        ("a warning of someone else", None),
    ],
)
def test_left_to_the_host(message: str, operator: str | None) -> None:
    assert left_to_the_host(message) == operator
