"""DP208: something of CUDA that a library is asked for by name."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP208"


@pytest.mark.parametrize(
    "text",
    [
        'InferenceSession(path, providers=["CUDAExecutionProvider", "CPUExecutionProvider"])',
        'InferenceSession(path, providers=[("CUDAExecutionProvider", options)])',
        'if "CUDAExecutionProvider" in available: pass',
        'provider = "TensorrtExecutionProvider"',
        'torch.compile(model, backend="cudagraphs")',
    ],
)
def test_a_part_for_cuda_is_a_warning(text):
    check_reported(text, CODE, "warning")


@pytest.mark.parametrize(
    "text",
    [
        'table(sort_by="cuda_time_total")',
        'profile.key_averages().table(sort_by="self_cuda_time_total", row_limit=10)',
        'table(sort_by="self_cuda_memory_usage")',
        'sort_by = "cuda_time"',
    ],
)
def test_a_sort_key_is_a_note(text):
    assert "device_" in check_reported(text, CODE, "note").way_out


@pytest.mark.parametrize(
    "text",
    [
        'InferenceSession(path, providers=["CPUExecutionProvider"])',
        'InferenceSession(path, providers=[("CANNExecutionProvider", options)])',
        'print("CUDAExecutionProvider is missing")',
        '"CUDAExecutionProvider"',
        'torch.compile(model, backend="inductor")',
        'torch.compile(model, mode="cudagraphs")',
        'torch.compile(model, mode="max-autotune-no-cudagraphs")',
        'table(sort_by="cpu_time_total")',
        'table(sort_by="device_time_total")',
        'table(header="cuda_time_total")',
        "event.cuda_time_total",
    ],
)
def test_other_strings_are_left_alone(text):
    check_silent(text, CODE)


def test_the_provider_is_the_targets():
    text = 'providers = ["CUDAExecutionProvider"]'
    assert check_reported(text, CODE, "warning").way_out == "CANNExecutionProvider"
    assert check_reported(text, CODE, "warning", target="mps").way_out == "CoreMLExecutionProvider"
