"""Compiling on first use: the cache, several processes at once, no compiler, a compiler that fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from npu_emulator import build, sources
from npu_emulator.errors import BuildError


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NPU_EMULATOR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def make_compiler(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_cache_is_keyed_by_torch_version_and_sources() -> None:
    import torch

    assert torch.__version__ in build.cache_folder().name
    assert sources.source_hash() in build.cache_folder().name


def test_no_compiler_says_what_to_install(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(BuildError, match=r"no g\+\+ was found. Install a C\+\+ compiler .*apt-get install g\+\+"):
        build.library()


def test_failed_build_keeps_the_log(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", make_compiler(tmp_path / "cxx", "echo 'x.cpp:1: error: no such type' >&2; exit 1"))
    with pytest.raises(BuildError, match=r"x.cpp:1: error: no such type"):
        build.library()
    assert "no such type" in (build.cache_folder() / "npu_emulator.log").read_text()
    assert not list(build.cache_folder().glob("*.so*"))
    assert "compiling the backend" in capfd.readouterr().err


def test_a_failed_build_for_a_newer_torch_says_that_it_is_untested(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", make_compiler(tmp_path / "cxx", "echo 'x.cpp:1: error: no such type' >&2; exit 1"))
    monkeypatch.setattr(build, "NEWEST_TESTED_TORCH", (2, 6))
    with pytest.raises(BuildError, match=r"tested on torch 2\.7 to 2\.6, and this one is newer: pip install"):
        build.library()
    monkeypatch.setattr(build, "NEWEST_TESTED_TORCH", (9, 0))
    with pytest.raises(BuildError) as error:
        build.library()
    assert "newer" not in str(error.value)


def test_processes_that_start_together_compile_once(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A slow compiler that notes each call; the output file follows -o.
    body = f'echo call >> {tmp_path}/calls; sleep 1; while [ "$1" != -o ]; do shift; done; echo library > "$2"'
    monkeypatch.setenv("CXX", make_compiler(tmp_path / "cxx", body))
    monkeypatch.setenv("PYTHONPATH", str(Path(build.__file__).parents[1]))
    program = "from npu_emulator import build; print(build.library().read_text())"
    started = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate(timeout=200)[0] for process in started] == [b"library\n\n"] * 3
    assert (tmp_path / "calls").read_text() == "call\n"
