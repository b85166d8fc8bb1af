"""One process at a time, where there is flock and where there is only what Windows has."""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from porter import locking


def _as_on_windows(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """`msvcrt.locking` as it is documented: a byte at the file's position, held until it is given back."""
    import fcntl

    held: set[int] = set()

    def lock(file: int, mode: int, count: int) -> None:
        if mode == 2:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OSError(errno.EACCES, "held") from None
            held.add(file)
        else:
            held.remove(file)
            fcntl.flock(file, fcntl.LOCK_UN)

    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=lock, LK_NBLCK=2, LK_UNLCK=0))
    monkeypatch.setattr(locking, "fcntl", None)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(folder))


@pytest.mark.parametrize("windows", [False, True], ids=["flock", "msvcrt"])
def test_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, windows: bool) -> None:
    path = str(tmp_path / "log")
    if windows:
        (tmp_path / "temporary").mkdir()
        _as_on_windows(monkeypatch, tmp_path / "temporary")
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with locking.locked(path):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most, inside) == (1, 0)
    assert os.path.exists(path) != windows  # Windows could not replace a file that is held open


@pytest.mark.parametrize("windows", [False, True], ids=["flock", "msvcrt"])
def test_another_waits_until_it_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, windows: bool) -> None:
    path, entered = str(tmp_path / "log"), threading.Event()
    if windows:
        (tmp_path / "temporary").mkdir()
        _as_on_windows(monkeypatch, tmp_path / "temporary")

    def enter() -> None:
        with locking.locked(path):
            entered.set()

    thread = threading.Thread(target=enter)
    with locking.locked(path):
        thread.start()
        assert not entered.wait(0.1)
    thread.join(60)
    assert entered.is_set()
