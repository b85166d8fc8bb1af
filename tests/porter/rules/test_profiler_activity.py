"""DP108: which device's kernels the profiler records."""

from __future__ import annotations

import pytest

from tests.porter.rules.rewriting import (
    befores,
    check_noop,
    check_reported,
    check_text_for_people,
    check_transformed,
    ported,
)

ACTIVITIES = [
    pytest.param("x = ProfilerActivity.CUDA", "x = ProfilerActivity.NPU", id="imported"),
    pytest.param("torch.profiler.ProfilerActivity.CUDA", "torch.profiler.ProfilerActivity.NPU", id="in-full"),
    pytest.param("profiler.ProfilerActivity.CUDA", "profiler.ProfilerActivity.NPU", id="module"),
    pytest.param(
        "from torch.profiler import ProfilerActivity as A\nf(A.CUDA)",
        "from torch.profiler import ProfilerActivity as A\nf(A.NPU)",
        id="alias",
    ),
    pytest.param(
        "with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]): pass",
        "with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.NPU]): pass",
        id="list",
    ),
    pytest.param(
        "x = a + [ProfilerActivity.CUDA] if gpu else a", "x = a + [ProfilerActivity.NPU] if gpu else a", id="if"
    ),
    pytest.param("activities.append(ProfilerActivity.CUDA)", "activities.append(ProfilerActivity.NPU)", id="append"),
    pytest.param("(ProfilerActivity\n  .CUDA)", "(ProfilerActivity\n  .NPU)", id="over-lines"),
]


@pytest.mark.parametrize(("before", "after"), ACTIVITIES)
def test_renamed(before: str, after: str) -> None:
    check_transformed(before, after)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("ProfilerActivity.CPU", id="host"),
        pytest.param("ProfilerActivity.CUDA_RUNTIME", id="another-activity"),
        pytest.param("ProfilerActivities.CUDA", id="another-enumeration"),
        pytest.param("DeviceType.CUDA", id="device-type"),
        pytest.param(
            "from mine import Kind as ProfilerActivity\nProfilerActivity.CUDA", id="something-else-under-that-name"
        ),
        pytest.param("CUDA", id="variable"),
        pytest.param('f("ProfilerActivity.CUDA")', id="string"),
        pytest.param("# ProfilerActivity.CUDA", id="comment"),
        pytest.param("profile(use_cpu=True)", id="another-switch"),
        pytest.param("use_cuda = True", id="variable-of-that-name"),
        pytest.param("train(use_cuda=True)", id="switch-of-another-function"),
    ],
)
def test_left_alone(text: str) -> None:
    check_noop(text)
    assert ported(text).findings == []


def test_the_older_switch_is_for_a_person() -> None:
    finding = check_reported("with torch.autograd.profiler.profile(use_cuda=True): pass", "DP108", "warning")
    assert finding.way_out == 'use_device="npu"'


def test_each_target_has_its_own() -> None:
    check_transformed("x = ProfilerActivity.CUDA", "x = ProfilerActivity.XPU", "xpu")
    check_reported("x = ProfilerActivity.CUDA", "DP108", "error", "mps")


@pytest.mark.parametrize("before", befores(ACTIVITIES))
def test_left_alone_as_text_for_people(before: str) -> None:
    check_text_for_people(before)
