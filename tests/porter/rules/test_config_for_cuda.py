"""DP412: settings of accelerate that only CUDA has."""

from __future__ import annotations

import pytest

from tests.porter.documents.bytes_in_out import check_unchanged

HEAD = "compute_environment: LOCAL_MACHINE\ndistributed_type: {0}\n"


@pytest.mark.parametrize(
    ("text", "severity", "line"),
    [
        (HEAD.format("NO") + "mixed_precision: fp8\n", "warning", 3),
        (HEAD.format("NO") + "mixed_precision: 'FP8'\n", "warning", 3),
        (HEAD.format("MEGATRON_LM"), "error", 2),
        (HEAD.format("NO") + "enable_cpu_affinity: true\n", "warning", 3),
        (HEAD.format("NO") + "dynamo_config:\n  dynamo_backend: CUDAGRAPHS\n", "warning", 4),
    ],
)
def test_reported(text: str, severity: str, line: int) -> None:
    (finding,) = check_unchanged("config.yaml", text.encode())
    assert (finding.code, finding.severity, finding.line) == ("DP412", severity, line)


@pytest.mark.parametrize(
    "text",
    [
        HEAD.format("NO") + "mixed_precision: bf16\n",
        HEAD.format("NO") + "mixed_precision: 'no'\n",
        HEAD.format("NO") + "enable_cpu_affinity: false\n",
        HEAD.format("NO") + "dynamo_config:\n  dynamo_backend: INDUCTOR\n",
        HEAD.format("DEEPSPEED")
        + "deepspeed_config:\n  zero_stage: 3\n  offload_param_device: cpu\nmixed_precision: bf16\n",
        HEAD.format("FSDP") + "fsdp_config:\n  fsdp_version: 2\nmixed_precision: bf16\n",
        "mixed_precision: fp8\n",
        HEAD.format("NO") + "# mixed_precision: fp8\n",
        HEAD.format("NO") + "mixed_precision: fp8  # port: ignore\n",
        HEAD.format("NO") + "note: mixed_precision fp8\n",
    ],
)
def test_left_alone(text: str) -> None:
    assert check_unchanged("config.yaml", text.encode()) == ()
