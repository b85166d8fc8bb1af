"""Backends that came prebuilt: which is taken, that it needs no compiler, and what happens where it does not load."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from npu_emulator import backend, binaries, build, sources
from tests.machine import install_entry_points

from .conftest import REPOSITORY

MACHINE = platform.machine()
OTHER_MACHINE = "aarch64" if MACHINE == "x86_64" else "x86_64"
ONES = "import torch; print(torch.ones(2, device='npu').sum().item())"
Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of prebuilt backends, for this process."""
    monkeypatch.setattr(binaries, "FOLDER", tmp_path / "prebuilt")
    monkeypatch.delenv("NPU_EMULATOR_PREBUILT", raising=False)
    binaries.FOLDER.mkdir()
    return binaries.FOLDER


def minor_here() -> str:
    import torch

    return ".".join(torch.__version__.split(".")[:2])


def name_here() -> str:
    return binaries.file_name(minor_here(), MACHINE)


def parsed(name: str) -> binaries.Binary:
    (folder := binaries.FOLDER).joinpath(name).touch()
    (binary,) = binaries.prebuilt()
    assert binary.path == folder / name
    return binary


@pytest.mark.parametrize(
    "version", ["2.13.0", "2.13.1", "2.13.0+cpu", "2.13.2+cu130", "2.13.0+cu130.with.pypi", "2.13.0.post1"]
)
def test_one_serves_every_release_of_its_minor(folder: Path, version: str) -> None:
    assert parsed(binaries.file_name("2.13", MACHINE)).why_not(version, True) is None


@pytest.mark.parametrize(
    ("name", "version", "cxx11_abi", "why"),
    [
        ("torch-2.13-{here}-{sources}.so", "2.1.3", True, "for torch 2.13"),
        ("torch-2.1-{here}-{sources}.so", "2.13.0", True, "for torch 2.1"),
        ("torch-2.13-{here}-{sources}.so", "3.13.0", True, "for torch 2.13"),
        ("torch-2.13-{other}-{sources}.so", "2.13.0", True, "for {other}, and this is {here}"),
        ("torch-2.13-{here}-0123456789abcdef.so", "2.13.0", True, "compiled from other sources than those beside it"),
        ("torch-2.13-{here}-{sources}.so", "2.13.0a0+git12", True, "for releases of torch 2.13, and 2.13.0a0+git12 is"),
        ("torch-2.13-{here}-{sources}.so", "2.13.0.dev20260801", True, "for releases of torch 2.13"),
        ("torch-2.13-{here}-{sources}.so", "2.13.0", False, "for the C++11 ABI, without which this torch was built"),
    ],
)
def test_why_one_does_not_fit(folder: Path, name: str, version: str, cxx11_abi: bool, why: str) -> None:
    words = {"here": MACHINE, "other": OTHER_MACHINE, "sources": sources.source_hash()}
    reason = parsed(name.format(**words)).why_not(version, cxx11_abi)
    assert reason is not None
    assert reason.startswith(why.format(**words))


def test_what_is_no_backend_is_passed_over(folder: Path) -> None:
    for name in ("libother.so", "torch-2.13.so", f"torch-2.13-{MACHINE}-short.so", name_here() + ".tmp"):
        (folder / name).touch()
    assert binaries.prebuilt() == []
    assert backend.prebuilt_or_reason() == (None, None)


def test_the_one_for_this_torch_is_chosen(folder: Path) -> None:
    for name in (binaries.file_name("2.6", MACHINE), name_here(), binaries.file_name("2.99", MACHINE)):
        (folder / name).touch()
    assert [binary.minor for binary in binaries.prebuilt()] == ["2.6", minor_here(), "2.99"]
    assert backend.prebuilt_or_reason() == (folder / name_here(), None)


def test_none_fits(folder: Path) -> None:
    import torch

    (folder / binaries.file_name("2.6", MACHINE)).touch()
    reason = f"none of the prebuilt ones is for torch {torch.__version__} on {MACHINE}"
    assert backend.prebuilt_or_reason() == (None, reason)


def test_the_environment_can_refuse_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / name_here()).touch()
    monkeypatch.setenv("NPU_EMULATOR_PREBUILT", "0")
    assert backend.prebuilt_or_reason() == (None, "NPU_EMULATOR_PREBUILT=0")
    monkeypatch.setenv("NPU_EMULATOR_PREBUILT", "never")
    with pytest.raises(ValueError, match="NPU_EMULATOR_PREBUILT='never': expected 0 or 1"):
        backend.prebuilt_or_reason()


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """Runs Python with a copy of the package, as a wheel leaves it, no compiler on PATH and nothing compiled."""
    site = install_entry_points(tmp_path / "site")
    ignored = shutil.ignore_patterns("__pycache__", "prebuilt")
    shutil.copytree(REPOSITORY / "npu_emulator", site / "npu_emulator", ignore=ignored)
    shutil.copy(REPOSITORY / "accelerator_autoload.py", site)
    shutil.copytree(REPOSITORY / "accelerator_tables", site / "accelerator_tables")
    (site / "npu_emulator" / "prebuilt").mkdir()

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NPU_", "CXX"))}
        fixed = {"PYTHONPATH": str(site), "PATH": "/nonexistent", "NPU_EMULATOR_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, *arguments]
        env = inherited | fixed | environment
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, cwd=tmp_path, check=False)

    return run


def put(tmp_path: Path, content: Path | str) -> Path:
    """Puts a prebuilt backend for this torch into the copy of the package."""
    target = tmp_path / "site" / "npu_emulator" / "prebuilt" / name_here()
    if isinstance(content, str):
        target.write_text(content)
    else:
        shutil.copy(content, target)
    return target


def test_it_runs_without_a_compiler(python: Python, tmp_path: Path) -> None:
    prebuilt = put(tmp_path, build.library())
    result = python("-c", f"{ONES}; print({str(prebuilt)!r} in open('/proc/self/maps').read())", NPU_EMULATOR="1")
    assert result.stdout.split() == ["2.0", "True"], result.stderr
    assert result.stderr == ""
    assert not (tmp_path / "cache").exists()


def test_one_that_does_not_load_gives_way_to_the_compiled_one(python: Python, tmp_path: Path) -> None:
    put(tmp_path, "not a library")
    compiled = build.library()
    program = f"{ONES}; print({str(compiled)!r} in open('/proc/self/maps').read())"
    result = python("-c", program, NPU_EMULATOR="1", NPU_EMULATOR_CACHE=str(build.cache()))
    assert (result.stdout.split(), result.stderr) == (["2.0", "True"], "")


def test_doctor_finds_it_and_then_why_it_does_not_load(python: Python, tmp_path: Path) -> None:
    put(tmp_path, build.library()).with_name(binaries.file_name("2.6", MACHINE)).touch()
    found = python("-m", "npu_emulator", "doctor", NPU_EMULATOR="1", NPU_EMULATOR_DEVICES="3")
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"backend: prebuilt, {name_here()}\n  not torch-2.6-{MACHINE}-" in found.stdout
    assert "compiler: none (needed only where no prebuilt backend fits" in found.stdout
    assert "  devices=3\n" in found.stdout
    assert found.stdout.endswith("problems: none\n")

    put(tmp_path, "not a library")
    found = python("-m", "npu_emulator", "doctor")
    assert found.returncode == 1, found.stdout + found.stderr
    assert "backend: none\n" in found.stdout
    assert f"  not {name_here()}: does not load: " in found.stdout
    (problem,) = found.stdout.partition("problems:\n")[2].splitlines()
    assert "npu_emulator compiles its backend on first use" in problem
    assert "no g++ was found" in problem
    assert "Traceback" not in found.stdout + found.stderr


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({}, r"npu_emulator: npu_emulator compiles its backend on first use \(the prebuilt .* does not load: .*\), "),
        ({"NPU_EMULATOR": "yes"}, "npu_emulator: NPU_EMULATOR='yes': expected 0 or 1"),
        ({"NPU_EMULATOR_MEMORY": "much"}, "npu_emulator: NPU_EMULATOR_MEMORY='much': expected an amount"),
    ],
    ids=["no compiler", "switch", "setting"],
)
def test_what_fails_as_torch_is_imported_is_one_line(
    python: Python, tmp_path: Path, environment: dict[str, str], line: str
) -> None:
    put(tmp_path, "not a library")
    result = python("-c", "import torch", **{"NPU_EMULATOR": "1"} | environment)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1, result.stderr
    assert re.match(line, result.stderr), result.stderr


@pytest.mark.parametrize(
    "program",
    ["import npu_emulator as e; e.enable()", "import sys; sys.ps1 = '>>> '; import torch"],
    ids=["enable() imports torch", "interactive session"],
)
def test_what_fails_is_an_error_to_who_can_handle_it(python: Python, tmp_path: Path, program: str) -> None:
    put(tmp_path, "not a library")
    caught = f"""
        try:
            {program}
        except RuntimeError as error:
            print(error.__cause__ or error)
    """
    result = python("-c", textwrap.dedent(caught), NPU_EMULATOR="1")
    assert result.returncode == 0, result.stderr
    assert "npu_emulator compiles its backend on first use (the prebuilt" in result.stdout


def test_doctor_names_a_cache_that_cannot_be_written(python: Python, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = tmp_path / "file" / "cache"
    found = python("-m", "npu_emulator", "doctor", NPU_EMULATOR_CACHE=str(cache), CXX=sys.executable)
    assert found.returncode == 1, found.stdout + found.stderr
    assert f"the compiled backend cannot be kept in {cache}" in found.stdout
    assert "set NPU_EMULATOR_CACHE" in found.stdout
