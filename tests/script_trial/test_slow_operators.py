"""What ran off the accelerator, with the counts of a device that keeps them."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from script_trial.watched_run import with_counts


def test_counts_of_the_device_are_told(monkeypatch):
    counted = [
        SimpleNamespace(name="cumsum", type="int64", calls=1200, bytes=9600),
        SimpleNamespace(name="hypot", type="", calls=1, bytes=8),
    ]
    monkeypatch.setitem(sys.modules, "npu_emulator", SimpleNamespace(slow_operators=lambda: counted))
    assert with_counts({"cumsum on int64", "aten::hypot", "aten::isin"}) == [
        "aten::hypot (1 calls, 8 bytes)",
        "aten::isin",
        "cumsum on int64 (1,200 calls, 9,600 bytes)",
    ]


def test_a_device_without_counts(monkeypatch):
    monkeypatch.setitem(sys.modules, "npu_emulator", None)
    assert with_counts({"aten::isin"}) == ["aten::isin"]
