"""The table of what each model computes beside diffusers: one row always, all with ``-m slow``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers")

from benchmarks.numbers import BOUNDS, models, small_pictures

ALWAYS = "Qwen/Qwen-Image-Edit-2511, 3 to edit"
ROWS = [pytest.param(name, marks=[] if name == ALWAYS else pytest.mark.slow) for name in models()]

pytestmark = pytest.mark.usefixtures("diffusers_as_without_torch_npu")


@pytest.mark.parametrize("name", ROWS)
@torch.no_grad()
def test_a_model_computes_what_diffusers_does(name: str, tmp_path: Path) -> None:
    with small_pictures():
        row = models()[name](tmp_path)
    assert row.keys() == BOUNDS.keys()
    for column, bound in BOUNDS.items():
        assert row[column].most < bound, column
        assert row[column].of > 0.1, column
