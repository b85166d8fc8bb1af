"""Versions that do not belong together, by the vendor's table."""

from __future__ import annotations

import pytest

from npu_compat.versions import install_advice, installed, mismatches


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ({"python": "3.11", "torch": "2.9.0+cpu", "torch_npu": "2.8.0"}, "belongs to torch 2.8.0; torch 2.9.0"),
        ({"python": "3.11", "torch": "2.8.0", "torch_npu": "2.8.0", "cann": "9.1.0"}, "built for CANN 8.3.RC1"),
        ({"python": "3.9", "torch": "2.12.0", "torch_npu": "2.12.0"}, "no wheel for Python 3.9; there are some for"),
        (
            {"python": "3.14", "torch": "2.10.0", "torch_npu": "2.10.0.post4"},
            "2.10.0.post4 has no wheel for Python 3.14",
        ),
        ({"python": "3.13", "torch": "2.6.0", "torch_npu": "2.6.0.post5"}, "has no wheel for Python 3.13"),
        ({"python": "3.12", "torch": "2.6.0", "torch_npu": "2.6.0.post3"}, "has no wheel for Python 3.12"),
        ({"python": "3.14", "torch": "2.8.0", "torch_npu": "2.8.0.post9"}, "has no wheel for Python 3.14"),
        ({"python": "3.11", "torch": "2.14.1", "torch_npu": "2.14.0"}, "belongs to torch 2.14.0; torch 2.14.1 is"),
        ({"python": "3.11", "torch_npu": "2.14.0"}, "belongs to torch 2.14.0; torch none is installed"),
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
        {"python": "3.14", "torch": "2.9.0+cpu", "torch_npu": "2.9.0.post9"},
        {"python": "3.14", "torch": "2.10.0+cpu", "torch_npu": "2.10.0.post7"},
        {"python": "3.14", "torch": "2.10.0+cpu", "torch_npu": "2.10.0.post8"},
        {"python": "3.12", "torch": "2.6.0+cpu", "torch_npu": "2.6.0.post5"},
        {"python": "3.13", "torch": "2.7.1+cpu", "torch_npu": "2.7.1.post12", "cann": "9.2.0"},
        {"python": "3.14", "torch": "2.14.0", "torch_npu": "2.14.0.post1"},
        {"python": "3.15", "torch": "2.16.0", "torch_npu": "2.16.0"},
    ],
)
def test_what_belongs_together(found):
    assert mismatches(found) == []


@pytest.mark.parametrize(
    ("found", "pinned"),
    [
        ({"torch": "2.7.1"}, "2.7.1+cpu"),
        ({"torch": "2.7.1+cpu", "torch_npu": "2.7.1.post4"}, "2.7.1+cpu"),
        ({"torch": "2.11.0", "torch_npu": "2.11.0.post4"}, "2.11.0+cpu"),
        ({"torch": "2.13.0", "torch_npu": "2.9.0.post2"}, "2.9.0+cpu"),
    ],
)
def test_wheels_that_pypi_alone_cannot_install(found, pinned):
    advice = install_advice(found, "x86_64")
    assert f"requires torch=={pinned}, which PyPI does not have" in advice
    assert "PyTorch's CPU wheel index" in advice
    assert install_advice(found, "aarch64") == ""


@pytest.mark.parametrize("found", [{}, {"torch": "2.12.1"}, {"torch": "2.12.0", "torch_npu": "2.12.0.post3"}])
def test_wheels_that_pypi_alone_can_install(found):
    assert install_advice(found, "x86_64") == ""


def test_cann_is_read_from_its_folder(tmp_path, monkeypatch):
    tmp_path.joinpath("version.cfg").write_text("# version: 1.0\nruntime_running_version=[8.3.RC1:CANN-8.3]\n")
    monkeypatch.setenv("ASCEND_TOOLKIT_HOME", str(tmp_path))
    assert installed()["cann"].startswith("8.3.RC1")
