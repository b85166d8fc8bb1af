"""DP112: a name below torch.cuda, written as a string."""

from __future__ import annotations

import pytest

from tests.porter.rules.rewriting import check_noop, check_reported, check_transformed

CODE = "DP112"


@pytest.mark.parametrize(
    "form",
    [
        'import_module("torch.{d}")',
        'importlib.import_module("torch.{d}.amp")',
        'sys.modules["torch.{d}"]',
        '"torch.{d}" in sys.modules',
        'mock.patch("torch.{d}.is_available")',
        '@patch("torch.{d}.is_available", return_value=True)\ndef f(m): ...',
        'monkeypatch.setattr("torch.{d}.device_count", lambda: 1)',
        'find_spec("torch.{d}")',
    ],
)
def test_renamed(form: str) -> None:
    check_transformed(form.format(d="cuda"), form.format(d="npu"))


def test_a_name_that_differs() -> None:
    check_transformed('mock.patch("torch.cuda.CUDAGraph")', 'mock.patch("torch.npu.NPUGraph")')


def test_what_the_target_lacks() -> None:
    check_reported('mock.patch("torch.cuda.nvtx.range_push")', CODE, "error")


@pytest.mark.parametrize(
    "text",
    [
        'print("torch.cuda.is_available")',
        'mock.patch("torch.cudnn")',
        'mock.patch("mylib.torch.cuda")',
        'import_module("torch")',
        'x = {"torch.cuda": 1}',
        '"""torch.cuda.is_available"""',
    ],
)
def test_left_alone(text: str) -> None:
    check_noop(text)
