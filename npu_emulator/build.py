"""Compiles the C++ backend on first use, once for each torch version and each state of the sources."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from npu_emulator.errors import BuildError
from npu_emulator.host import NEWEST_TESTED_TORCH, OLDEST_TORCH, minor_release
from npu_emulator.sources import compiler_arguments, linker_arguments, source_hash

LIBRARY = "npu_emulator.so"


def library(reason: str | None = None) -> Path:
    """Path of the compiled backend for the torch that is installed; compiles it if it is not in the cache.

    Args:
        reason: why nothing prebuilt is used, for the messages.

    Raises:
        BuildError: no compiler, the compiler failed, or the cache cannot be written; says what to do.
    """
    folder = cache_folder()
    target = folder / LIBRARY
    if target.exists():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "lock"):
            if not target.exists():  # another process may have built it while this one waited
                _compile(target, reason)
    except OSError as error:
        raise _cannot_be_kept(error) from error
    return target


def check_cache() -> None:
    """Raises the BuildError that library() would raise where the cache cannot be written; leaves nothing behind."""
    folder = cache_folder()
    try:
        nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryDirectory(dir=nearest):
            pass
    except OSError as error:
        raise _cannot_be_kept(error) from error


def _cannot_be_kept(error: OSError) -> BuildError:
    return BuildError(
        f"the compiled backend cannot be kept in {cache_folder()} ({error.strerror or error}): "
        "set NPU_EMULATOR_CACHE to a folder that can be written"
    )


def is_compiled() -> bool:
    """Whether library() finds the backend in the cache."""
    return (cache_folder() / LIBRARY).exists()


def cache() -> Path:
    """Folder of all compiled backends: NPU_EMULATOR_CACHE, else npu_emulator in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get("NPU_EMULATOR_CACHE") or os.path.join(base, "npu_emulator"))


def cache_folder() -> Path:
    """Folder of the backend for the torch that is installed and the sources as they are."""
    abi = "" if torch.compiled_with_cxx11_abi() else "-oldabi"
    commit = (torch.version.git_version or "")[:8]
    return cache() / f"torch-{torch.__version__}-{commit}{abi}-{platform.machine()}-{source_hash()}"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def compiler(reason: str | None = None) -> str:
    """Path of the C++ compiler: CXX, else the first of g++, c++ and clang++ on PATH.

    Raises:
        BuildError: there is none; says what to install.
    """
    asked = os.environ.get("CXX")
    for name in [asked] if asked else ["g++", "c++", "clang++"]:
        found = shutil.which(name)
        if found is not None:
            return found
    missing = f"CXX={asked} was not found" if asked else "no g++ was found"
    raise BuildError(
        f"npu_emulator compiles its backend on first use{f' ({reason})' if reason else ''}, but {missing}. "
        "Install a C++ compiler (apt-get install g++, dnf install gcc-c++, conda install gxx) or point CXX at one"
    )


def _command(program: str, output: Path) -> list[str]:
    home = Path(torch.__file__).parent
    arguments = compiler_arguments(home, torch.compiled_with_cxx11_abi())
    return [program, *arguments, "-o", str(output), *linker_arguments(home)]


def _untested() -> str:
    if minor_release(torch.__version__) <= NEWEST_TESTED_TORCH:
        return ""
    oldest, newest = (".".join(map(str, release)) for release in (OLDEST_TORCH, NEWEST_TESTED_TORCH))
    return f". It was tested on torch {oldest} to {newest}, and this one is newer: pip install 'torch=={newest}.*'"


def _compile(target: Path, reason: str | None) -> None:
    program = compiler(reason)
    unfinished = target.with_suffix(f".{os.getpid()}.tmp")
    started = time.monotonic()
    print(
        f"npu_emulator: compiling the backend for torch {torch.__version__} (once, about half a minute"
        f"{f'; {reason}' if reason else ''}) ...",
        end="",
        file=sys.stderr,
        flush=True,
    )
    result = subprocess.run(_command(program, unfinished), capture_output=True, text=True, check=False)
    if result.returncode != 0:
        print("failed", file=sys.stderr)
        unfinished.unlink(missing_ok=True)
        log = target.with_suffix(".log")
        log.write_text(result.stderr)
        first = next((line for line in result.stderr.splitlines() if "error" in line), "no error message")
        raise BuildError(
            f"{program} could not compile the npu_emulator backend for torch {torch.__version__}: {first.strip()} "
            f"(all of its output: {log}). It needs a compiler for C++20 (g++ 11 or later){_untested()}"
        )
    os.replace(unfinished, target)
    print(f"done in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
