"""Files are replaced whole or left alone."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
