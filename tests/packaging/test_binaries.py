"""The wheel with the emulator's prebuilt backends: its tag, what it holds, and the script that makes it."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

from npu_emulator import binaries

MACHINE = platform.machine()
OTHER_MACHINE = "aarch64" if MACHINE == "x86_64" else "x86_64"
STALE = f"torch-2.12-{MACHINE}-0123456789abcdef.so"


@pytest.fixture
def prebuilt(checkout: Path, tmp_path: Path) -> Path:
    """The folder of prebuilt backends, empty, in a checkout of its own."""
    project = tmp_path / "project"
    shutil.copytree(checkout, project, symlinks=True, ignore=shutil.ignore_patterns("prebuilt"))
    folder = project / "npu_emulator" / "prebuilt"
    folder.mkdir()
    return folder


def prebuilt_in(wheel: Path) -> list[str]:
    with ZipFile(wheel) as archive:
        return [name for name in archive.namelist() if name.startswith("npu_emulator/prebuilt/")]


def test_with_prebuilt_backends_it_is_for_their_platform(
    prebuilt: Path, build_wheel: Callable[[Path, Path], Path], tmp_path: Path
) -> None:
    names = [binaries.file_name(minor, MACHINE) for minor in ("2.7", "2.13")]
    for name in (*names, binaries.file_name("2.13", OTHER_MACHINE), STALE):
        (prebuilt / name).write_bytes(b"\x7fELF")
    wheel = build_wheel(prebuilt.parents[1], tmp_path / "out")
    assert wheel.name.endswith(f"-py3-none-manylinux_2_28_{MACHINE}.whl")
    assert prebuilt_in(wheel) == sorted(f"npu_emulator/prebuilt/{name}" for name in names)
    with ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/WHEEL"))
        assert "Root-Is-Purelib: false" in archive.read(metadata).decode()


def test_without_it_is_pure(prebuilt: Path, build_wheel: Callable[[Path, Path], Path], tmp_path: Path) -> None:
    (prebuilt / STALE).write_bytes(b"\x7fELF")
    wheel = build_wheel(prebuilt.parents[1], tmp_path / "out")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert prebuilt_in(wheel) == []


def build_backends(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "tools" / "build_backends.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_an_environment_without_torch_is_one_line(root: Path) -> None:
    done = build_backends(root, "--python", "/nonexistent/python")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("build_backends: --python /nonexistent/python: not the Python of an environment with")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_script_builds_and_runs_the_backend_of_this_torch(prebuilt: Path) -> None:
    pytest.importorskip("ziglang", reason="pip install '.[release]' has it")
    import torch

    minor = ".".join(torch.__version__.split(".")[:2])
    done = build_backends(prebuilt.parents[1], "--python", sys.executable, "--minor", minor, "--no-wheel")
    assert done.returncode == 0, done.stderr
    assert f"torch {torch.__version__}: runs; first tensor" in done.stdout
    assert [path.name for path in prebuilt.iterdir()] == [binaries.file_name(minor, MACHINE)]


def test_base_install_says_what_is_missing(root: Path) -> None:
    for module in ("npu_emulator", "npu_compat"):
        for command in (["doctor"], ["run", __file__]):
            # Without site-packages, and so without torch.
            done = subprocess.run(
                [sys.executable, "-S", "-m", module, *command], cwd=root, capture_output=True, text=True
            )
            assert (done.returncode, done.stdout) == (2, "")
            assert re.match(rf"{module}: .*torch.*not installed.*install torch", done.stderr)
            assert done.stderr.count("\n") == 1
