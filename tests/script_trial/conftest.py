"""A trial in a folder of its own, whose savers are put back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from script_trial.results import Results
from script_trial.trial import Place, Trial


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for holder, names in (
        (Image.Image, ("save",)),
        (Image, ("open",)),
        (np, ("save", "savez", "savez_compressed", "savetxt")),
        (torch, ("save", "compile")),
        (torch.autocast, ("__enter__",)),
    ):
        for name in names:
            monkeypatch.setattr(holder, name, getattr(holder, name))
    started = Trial(Place(tmp_path / "work", tmp_path / "mine", tmp_path / "made_up", tmp_path / "results"))
    monkeypatch.setattr("script_trial.trial.libraries", frozenset)  # adapters are tested on their own
    monkeypatch.setattr("script_trial.trial.listeners", listeners_here)
    return started


def listeners_here(results: Results, *others: Any) -> dict:
    from script_trial.savers import listeners

    here = ("PIL.Image", "numpy", "torch")
    return {name: then for name, then in listeners(results, *others).items() if name in here}
