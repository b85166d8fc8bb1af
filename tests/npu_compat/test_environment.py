"""CUDA's environment variables under the accelerator's names: never over an explicit value, and filtered."""

from __future__ import annotations

from importlib import metadata

import pytest

from npu_compat.environment import READ_BY_ALL, expected_accelerator, mirror_environment, split_alloc_conf
from npu_compat.settings_check import explain

NPU = {"NPU_EMULATOR": "1"}


@pytest.fixture
def with_build(monkeypatch):
    """Says that a build of torch_npu is installed."""

    def install(version):
        monkeypatch.setattr(metadata, "version", lambda name: version)

    return install


@pytest.fixture(autouse=True)
def newest_build(with_build):
    """Whatever torch is installed, and so whatever torch_npu an emulated NPU says it is."""
    with_build("2.14.0")


def mirrored(**variables):
    environ = {**NPU, **variables}
    mirror_environment(environ)
    return environ


@pytest.mark.parametrize(
    ("given", "expected"),
    [("0,1", "0,1"), ("", ""), ("-1", ""), (" 0, 2", "0,2"), ("GPU-8f1c", None), ("MIG-1", None)],
)
def test_visible_devices(given, expected):
    assert mirrored(CUDA_VISIBLE_DEVICES=given).get("ASCEND_RT_VISIBLE_DEVICES") == expected


def test_an_explicit_value_wins():
    environ = mirrored(CUDA_VISIBLE_DEVICES="0", ASCEND_RT_VISIBLE_DEVICES="1", CUDA_LAUNCH_BLOCKING="1")
    assert environ["ASCEND_RT_VISIBLE_DEVICES"] == "1"
    assert environ["ASCEND_LAUNCH_BLOCKING"] == "1"
    assert environ["CUDA_VISIBLE_DEVICES"] == "0"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("max_split_size_mb:128", "max_split_size_mb:128"),
        ("backend:cudaMallocAsync,max_split_size_mb:64", "max_split_size_mb:64"),
        ("release_lock_on_cudamalloc:True", "release_lock_on_npumalloc:True"),
        ("roundup_power2_divisions:[256:1,512:2],page_size:1g", "roundup_power2_divisions:[256:1,512:2],page_size:1g"),
    ],
)
def test_allocator_keys(given, expected):
    assert mirrored(PYTORCH_CUDA_ALLOC_CONF=given)["PYTORCH_NPU_ALLOC_CONF"] == expected


def test_only_unknown_allocator_keys_leave_the_guides_value():
    environ = mirrored(PYTORCH_CUDA_ALLOC_CONF="pinned_use_cuda_host_register:True")
    assert environ["PYTORCH_NPU_ALLOC_CONF"] == "expandable_segments:True"


def test_never_beside_torchs_own_variable():
    environ = mirrored(PYTORCH_CUDA_ALLOC_CONF="max_split_size_mb:1", PYTORCH_ALLOC_CONF="max_split_size_mb:2")
    assert "PYTORCH_NPU_ALLOC_CONF" not in environ


@pytest.mark.parametrize(
    ("build", "kept"),
    [
        ("2.5.1.post1", "max_split_size_mb:64"),
        ("2.6.0.post5", "max_split_size_mb:64,roundup_power2_divisions:4"),
        ("2.7.1.post4", "max_split_size_mb:64,roundup_power2_divisions:4"),
        ("2.7.1.post11", "max_split_size_mb:64,roundup_power2_divisions:4,release_lock_on_npumalloc:True"),
        ("2.8.0", "max_split_size_mb:64"),
        ("2.12.0.post3", "max_split_size_mb:64,roundup_power2_divisions:4,release_lock_on_npumalloc:True"),
        (
            "2.14.0",
            "max_split_size_mb:64,roundup_power2_divisions:4,release_lock_on_npumalloc:True,throw_on_npumalloc_oom:True",
        ),
    ],
)
@pytest.mark.parametrize("variable", ["PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"])
def test_allocator_keys_by_build(with_build, build, kept, variable):
    with_build(build)
    given = (
        "max_split_size_mb:64,roundup_power2_divisions:4,release_lock_on_cudamalloc:True,throw_on_cudamalloc_oom:True"
    )
    environ = mirrored(**{variable: given})
    read_by_itself = variable == "PYTORCH_ALLOC_CONF" and build in ("2.12.0.post3", "2.14.0")
    assert environ.get("PYTORCH_NPU_ALLOC_CONF") == (None if read_by_itself else kept)
    if not read_by_itself:
        assert explain({"PYTORCH_NPU_ALLOC_CONF": kept}) == (explain({"PYTORCH_NPU_ALLOC_CONF": kept})[0], [])


@pytest.mark.parametrize(("build", "both"), [("2.9.0.post9", False), ("2.10.0.post7", True), ("2.10.0.post8", True)])
def test_torchs_own_variable_by_build(with_build, build, both):
    with_build(build)
    environ = mirrored(PYTORCH_ALLOC_CONF="max_split_size_mb:2", PYTORCH_CUDA_ALLOC_CONF="max_split_size_mb:1")
    assert environ.get("PYTORCH_NPU_ALLOC_CONF") == (None if both else "max_split_size_mb:2")
    meaning, problems = explain({"PYTORCH_ALLOC_CONF": "x:1", "PYTORCH_NPU_ALLOC_CONF": "max_split_size_mb:2"})
    assert bool(problems) == both
    assert both or f"not read by torch_npu {build} (it is from 2.10.0.post7 on)" in meaning[0]


def test_hccls_variables_under_both_names():
    environ = mirrored(TORCH_NCCL_BLOCKING_WAIT="1", TORCH_NCCL_TRACE_BUFFER_SIZE="8", HCCL_DESYNC_DEBUG="0")
    assert environ["TORCH_HCCL_BLOCKING_WAIT"] == environ["HCCL_BLOCKING_WAIT"] == "1"
    assert environ["TORCH_HCCL_TRACE_BUFFER_SIZE"] == "8"
    environ = mirrored(TORCH_NCCL_DESYNC_DEBUG="1", HCCL_DESYNC_DEBUG="0")
    assert (environ["TORCH_HCCL_DESYNC_DEBUG"], environ["HCCL_DESYNC_DEBUG"]) == ("1", "0")


def test_the_porter_tells_the_same_pairs():
    """Its rules write into programs what is set here while they run."""
    from porter import environment as porters

    assert READ_BY_ALL.items() <= porters._READ_BY_ALL.items()


def test_what_the_guide_sets():
    environ = mirrored()
    assert environ["PYTORCH_NPU_ALLOC_CONF"] == "expandable_segments:True"
    assert environ["CPU_AFFINITY_CONF"] == "1"
    assert mirrored(CPU_AFFINITY_CONF="2")["CPU_AFFINITY_CONF"] == "2"


def test_without_an_accelerators_package_nothing_is_set(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    environ = {"CUDA_VISIBLE_DEVICES": "0"}
    mirror_environment(environ)
    assert environ == {"CUDA_VISIBLE_DEVICES": "0"}
    assert expected_accelerator(NPU) == "npu"


def test_before_torch_is_imported(npu, environment, run_python):
    program = """
import os, sys
seen = {}
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            seen.setdefault("torch", os.environ.get("ASCEND_RT_VISIBLE_DEVICES"))
sys.meta_path.insert(0, Finder())
import npu_compat
assert seen == {"torch": "0"}, seen
assert __import__("torch").cuda.device_count() == 1
"""
    env = {**environment, "NPU_EMULATOR": "1", "NPU_EMULATOR_DEVICES": "2", "CUDA_VISIBLE_DEVICES": "0"}
    done = run_python("-c", program, env=env)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"PYTORCH_NPU_ALLOC_CONF": "no_such_key:1"}, "unknown key no_such_key"),
        ({"PYTORCH_NPU_ALLOC_CONF": "page_size:1g", "PYTORCH_ALLOC_CONF": "x:1"}, "both set"),
        ({"CPU_AFFINITY_CONF": "3"}, "expected 0 (off), 1 (coarse) or 2 (fine)"),
        ({"ASCEND_RT_VISIBLE_DEVICES": "0,a"}, "digits and commas"),
    ],
)
def test_doctor_finds_bad_values(variables, problem):
    assert problem in " ".join(explain(variables)[1])


@pytest.mark.parametrize(
    ("value", "meaning"), [("0", "not bound"), ("1", "coarsely"), ("2", "finely"), ("1,npu0:0-3", "coarsely")]
)
def test_doctor_explains_good_values(value, meaning):
    found, problems = explain({"CPU_AFFINITY_CONF": value, "PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True"})
    assert problems == []
    assert any(meaning in sentence for sentence in found)
    assert any("virtual memory" in sentence for sentence in found)


def test_splitting():
    assert list(split_alloc_conf("a:1, b:[2:3,4:5],")) == [("a", "1"), ("b", "[2:3,4:5]")]
