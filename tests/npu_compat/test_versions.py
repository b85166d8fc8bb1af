"""Versions that do not belong together, by the vendor's table."""

from __future__ import annotations

import pytest

from npu_compat.versions import installed, mismatches


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({"python": "3.11", "torch": "2.9.0+cpu", "torch_npu": "2.8.0"}, "belongs to torch 2.8.0; torch 2.9.0"),
        ({"python": "3.11", "torch": "2.8.0", "torch_npu": "2.8.0", "cann": "9.1.0"}, "built for CANN 8.3.RC1"),
        ({"python": "3.9", "torch": "2.12.0", "torch_npu": "2.12.0"}, "this is Python 3.9"),
        ({"python": "3.11", "torch": "2.13.0", "torch_npu": "9.9.0"}, "belongs to torch 9.9.0"),
    ],
)
def test_mismatches(found, problem):
    assert any(problem in sentence for sentence in mismatches(found))


@pytest.mark.parametrize(
    "found",
    [
        {"python": "3.11", "torch": "2.13.0+cpu"},
        {"python": "3.11", "torch": "2.12.0", "torch_npu": "2.12.0", "cann": "9.1.0"},
        {"python": "3.10", "torch": "2.7.1", "torch_npu": "2.7.1.post8", "cann": "9.1.0"},
        {"python": "3.11", "torch": "99.0.0", "torch_npu": "99.0.0"},
    ],
)
def test_what_belongs_together(found):
    assert mismatches(found) == []


def test_cann_is_read_from_its_folder(tmp_path, monkeypatch):
    tmp_path.joinpath("version.cfg").write_text("# version: 1.0\nruntime_running_version=[8.3.RC1:CANN-8.3]\n")
    monkeypatch.setenv("ASCEND_TOOLKIT_HOME", str(tmp_path))
    assert installed()["cann"].startswith("8.3.RC1")
