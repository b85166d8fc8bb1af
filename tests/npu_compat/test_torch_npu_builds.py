"""What the torch_npu that is installed has of torch.cuda, by the day it was built rather than by torch's version."""

from __future__ import annotations

from importlib import metadata

import pytest
import torch

import npu_compat
from npu_compat import doctor, torch_npu_builds, versions
from npu_compat.accelerators import load
from npu_compat.detection import Detection
from npu_compat.doctor import as_text, diagnose
from npu_compat.errors import UnsupportedOnAccelerator
from npu_compat.torch_npu_builds import build_of

OCTOBER = "from 2.7.1.post11, 2.9.0.post9, 2.10.0.post7 on"
IPC = "from 2.1.0.post17, 2.6.0.post5, 2.7.1 on"
HOST_STATISTICS = "from 2.7.1.post4, 2.8.0.post5 on"


@pytest.fixture
def with_build(monkeypatch):
    """Says that a build of torch_npu is installed."""

    def install(version):
        found = metadata.version
        monkeypatch.setattr(metadata, "version", lambda name: version if name == "torch_npu" else found(name))

    return install


@pytest.mark.parametrize(
    ("version", "known", "older"),
    [
        ("2.7.1.post4", "2.7.1.post4", False),
        ("2.7.1.post6+git1a2b", "2.7.1.post4", False),
        ("2.7.1.post12", "2.7.1.post11", False),
        ("2.8.0", "2.8.0.post5", True),
        ("2.15.0", "2.14.0", False),
        ("2.14.0.post1", "2.14.0", False),
        ("1.11.0", "2.1.0.post17", True),
    ],
)
def test_a_build_that_is_not_known_is_taken_as_the_last_before_it(version, known, older):
    build = build_of(version)
    assert (build.stands_for, build.older_than_known) == (known, older)


@pytest.mark.parametrize(
    ("name", "without", "having", "found"),
    [
        ("torch.cuda.ExternalStream", "2.7.1.post4", "2.7.1.post11", OCTOBER),
        ("torch.cuda.ExternalStream", "2.9.1", "2.9.0.post9", OCTOBER),
        ("torch.cuda.streams.ExternalStream", "2.8.0.post5", "2.10.0.post7", OCTOBER),
        ("torch.cuda._sleep", "2.8.0.post5", "2.11.0.post3", OCTOBER),
        ("torch.cuda._sleep", "2.1.0.post17", "2.13.0", OCTOBER),
        ("torch.cuda.is_bf16_supported(including_emulation)", "2.7.1.post4", "2.7.1.post11", OCTOBER),
        ("torch.cuda.is_bf16_supported(including_emulation)", "2.6.0", "2.14.0", OCTOBER),
        ("torch.cuda.get_per_process_memory_fraction", "2.7.1", "2.7.1.post4", HOST_STATISTICS),
        ("torch.cuda.memory.get_per_process_memory_fraction", "2.6.0.post5", "2.9.1", HOST_STATISTICS),
        ("torch.cuda.host_memory_stats", "2.7.1", "2.7.1.post4", HOST_STATISTICS),
        ("torch.cuda.host_memory_stats_as_nested_dict", "2.5.1.post1", "2.8.0.post5", HOST_STATISTICS),
        ("torch.cuda.memory.host_memory_stats", "2.6.0", "2.12.0.post3", HOST_STATISTICS),
        ("torch.cuda.reset_peak_host_memory_stats", "2.7.1", "2.9.1", HOST_STATISTICS),
        ("torch.cuda.reset_accumulated_host_memory_stats", "2.7.1", "2.7.1.post11", HOST_STATISTICS),
        ("torch.cuda.ipc_collect", "2.5.1.post1", "2.1.0.post17", IPC),
        ("torch.cuda.ipc_collect", "2.6.0", "2.6.0.post5", IPC),
        ("torch.cuda.StreamContext", "2.4.0.post4", "2.5.1.post1", "from 2.1.0.post17, 2.5.1.post1 on"),
        ("torch.cuda.StreamContext", "2.3.1.post6", "2.1.0.post17", "from 2.1.0.post17, 2.5.1.post1 on"),
        ("torch.cuda._parse_visible_devices", "2.4.0.post4", "2.5.1.post1", "from 2.5.1.post1 on"),
        ("torch.cuda._cached_device_count", "2.1.0.post17", "2.6.0", "from 2.5.1.post1 on"),
        ("torch.cuda.memory_snapshot(mempool_id)", "2.12.0.post3", "2.13.0", "from 2.13.0 on"),
        ("torch.cuda.memory._dump_snapshot(augment_with_fx_traces)", "2.12.0.post3", "2.14.0", "from 2.13.0 on"),
    ],
)
def test_what_builds_lack_before_and_have_after(name, without, having, found):
    assert build_of(without).lacking(load("npu"))[name] == found
    assert name not in build_of(having).lacking(load("npu"))


def test_every_path_of_the_table_is_one_of_the_accelerators():
    for build in torch_npu_builds.known_builds():
        for name, found in build_of(build).lacking(load("npu")).items():
            assert name.startswith("torch.cuda.")
            assert found.startswith(("from ", "up to "))
    assert build_of("2.14.0").lacking(load("npu")) == {}


def test_a_call_the_build_lacks_says_which_have_it(npu, with_build, monkeypatch):
    with_build("2.7.1.post4")
    for owner in (torch.npu, torch.npu.streams):
        monkeypatch.delattr(owner, "ExternalStream")
    monkeypatch.delattr(torch.npu, "_sleep", raising=False)
    with npu_compat.redirected() as report:
        for call in (lambda: torch.cuda.ExternalStream(0), lambda: torch.cuda._sleep(1)):
            with pytest.raises(UnsupportedOnAccelerator, match=f"another build of torch_npu: it is there {OCTOBER}"):
                call()
        assert report.missing["torch.cuda.ExternalStream"].endswith(OCTOBER)


def test_report_and_doctor_say_what_the_build_lacks(npu, with_build, monkeypatch):
    monkeypatch.setattr(Detection, "is_ascend", True)
    with_build("2.7.1.post4")
    with npu_compat.redirected() as report:
        assert report.build == "2.7.1.post4"
        assert f"not in torch_npu 2.7.1.post4: torch.cuda.ExternalStream: {OCTOBER}" in str(report)
    findings = diagnose()
    assert findings["lacking_in_build"]["torch.cuda.ExternalStream"] == OCTOBER
    assert f"not in this torch_npu: torch.cuda.ExternalStream: {OCTOBER}" in as_text(findings)
    with_build("2.14.0")
    assert diagnose()["lacking_in_build"] == {}


def test_an_emulated_npu_stands_for_no_build(redirect):
    assert (redirect.build, redirect.lacking_in_build) == (None, {})


@pytest.mark.parametrize(
    ("kind", "found", "advised"),
    [
        ("none", {"python": "3.11", "torch": "2.7.1"}, True),
        ("none", {"python": "3.11", "torch": "2.9.0", "torch_npu": "2.7.1.post4"}, True),
        ("accelerator", {"python": "3.11", "torch": "2.7.1+cpu", "torch_npu": "2.7.1.post4"}, False),
        ("cuda", {"python": "3.11", "torch": "2.7.1"}, False),
        ("none", {"python": "3.11", "torch": "2.13.0"}, False),
    ],
)
def test_doctor_advises_how_to_install_where_that_is_to_be_done(monkeypatch, kind, found, advised):
    monkeypatch.setattr(doctor, "detect", lambda: Detection(kind, None, "the test says so"))
    monkeypatch.setattr(versions, "installed", lambda: found)
    monkeypatch.setattr(versions.install_advice, "__defaults__", ("x86_64",))
    findings = diagnose()
    assert bool(findings["advice"]) == advised
    assert ("to install: on x86-64, torch_npu for torch" in as_text(findings)) == advised
