"""Reading, replacing and locking files, whatever other processes do meanwhile."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from porter import files as locking
from porter.files import CannotWrite, read_file, replace_file


def test_replaces_and_keeps_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_bytes(b"old")
    path.chmod(0o755)
    _, state = read_file(str(path))
    replace_file(str(path), b"new", state)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert [entry.name for entry in tmp_path.iterdir()] == ["script.py"]


def test_writes_through_a_link(tmp_path: Path) -> None:
    real = tmp_path / "real.py"
    real.write_bytes(b"old")
    link = tmp_path / "link.py"
    link.symlink_to(real)
    replace_file(str(link), b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_leaves_a_read_only_file(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(CannotWrite, match="read-only"):
        replace_file(str(path), b"new")
    assert path.read_bytes() == b"old"


def test_leaves_a_file_that_changed_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_bytes(b"old")
    _, state = read_file(str(path))
    path.write_bytes(b"edited")
    with pytest.raises(CannotWrite, match="changed or deleted meanwhile"):
        replace_file(str(path), b"new", state)
    assert path.read_bytes() == b"edited"


def test_does_not_bring_back_a_deleted_file(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_bytes(b"old")
    _, state = read_file(str(path))
    path.unlink()
    with pytest.raises(CannotWrite, match="changed or deleted meanwhile"):
        replace_file(str(path), b"new", state)
    assert not path.exists()


_REWRITE_FOREVER = """
import sys
from porter.files import replace_file
old, new = b"a" * 3_000_000, b"b" * 3_000_000
print("ready", flush=True)
while True:
    replace_file(sys.argv[1], new)
    replace_file(sys.argv[1], old)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("delay", [0.003, 0.011, 0.027, 0.04])
def test_killed_at_any_moment_leaves_old_or_new(tmp_path: Path, delay: float) -> None:
    path = tmp_path / "script.py"
    path.write_bytes(b"a" * 3_000_000)
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", _REWRITE_FOREVER, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(delay)
    process.kill()
    process.wait()
    process.stdout.close()
    assert path.read_bytes() in (b"a" * 3_000_000, b"b" * 3_000_000)


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
    monkeypatch.setattr(locking.tempfile, "gettempdir", lambda: str(folder))


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
