"""DP218: packages made for CUDA in setup.py."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP218"


@pytest.mark.parametrize(
    "text",
    [
        'setup(install_requires=["flash-attn", "numpy"])',
        'setup(extras_require={"fast": ["xformers"]})',
        'setup(install_requires=["torch==2.5.1+cu121"])',
        'setup(setup_requires=["nvidia-cublas-cu12"])',
    ],
)
def test_reported(text: str) -> None:
    check_reported(text, CODE, "error")


@pytest.mark.parametrize(
    "text",
    [
        'setup(install_requires=["torch", "numpy"])',
        'setup(keywords=["flash-attn"])',
        "setup(install_requires=read())",
        'install(["flash-attn"])',
    ],
)
def test_left_alone(text: str) -> None:
    check_silent(text, CODE)
