"""A trial that has not started: adapters ask it for what is made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from script_trial.trial import Place, Trial


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    for name in ("work", "mine"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return Trial(Place(tmp_path / "work", tmp_path / "mine", tmp_path / "made_up", tmp_path / "results"))
