"""Compiles the C++ backend on first use, once for each torch version and each state of the sources."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from npu_emulator.errors import BuildError
from npu_emulator.host import NEWEST_TESTED_TORCH, OLDEST_TORCH, minor_release

SOURCES = Path(__file__).parent / "csrc"
FLAGS = ("-std=c++20", "-O1", "-fPIC", "-shared", "-w")


def library() -> Path:
    """Path of the compiled backend for the torch that is installed; compiles it if it is not in the cache.

    Raises:
        BuildError: no compiler, or the compiler failed; says what to install or where its output is.
    """
    folder = cache_folder()
    target = folder / "npu_emulator.so"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        if not target.exists():  # another process may have built it while this one waited
            _compile(target)
    return target


def load() -> None:
    """Loads the compiled backend into this process, compiling it first if need be.

    Raises:
        BuildError: as library(), and where the cached file does not load.
    """
    path = library()
    operators: Any = torch.ops
    try:
        operators.load_library(str(path))
    except OSError as error:
        raise BuildError(f"the cached backend does not load; remove the folder {path.parent} and try again") from error


def cache_folder() -> Path:
    """Folder of the cached build: NPU_EMULATOR_CACHE, else the user's cache folder, by torch version and sources."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    root = Path(os.environ.get("NPU_EMULATOR_CACHE") or os.path.join(base, "npu_emulator"))
    return root / f"torch-{torch.__version__}-{platform.machine()}-{_source_hash()}"


def _source_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(SOURCES.glob("*.[ch]*")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    digest.update(repr((FLAGS, torch.version.git_version, torch.compiled_with_cxx11_abi())).encode())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _compiler() -> str:
    asked = os.environ.get("CXX")
    for name in [asked] if asked else ["g++", "c++", "clang++"]:
        found = shutil.which(name)
        if found is not None:
            return found
    missing = f"CXX={asked} was not found" if asked else "no g++ was found"
    raise BuildError(
        f"npu_emulator compiles its backend on first use, but {missing}. Install a C++ compiler "
        "(apt-get install g++, dnf install gcc-c++, conda install gxx) or point CXX at one"
    )


def _command(compiler: str, output: Path) -> list[str]:
    home = Path(torch.__file__).parent
    return [
        *(compiler, *FLAGS, f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"),
        *(f"-I{home / 'include'}", f"-I{home / 'include/torch/csrc/api/include'}", str(SOURCES / "backend.cpp")),
        *("-o", str(output), f"-L{home / 'lib'}", "-ltorch_cpu", "-lc10"),
    ]


def _untested() -> str:
    if minor_release(torch.__version__) <= NEWEST_TESTED_TORCH:
        return ""
    oldest, newest = (".".join(map(str, release)) for release in (OLDEST_TORCH, NEWEST_TESTED_TORCH))
    return f". It was tested on torch {oldest} to {newest}, and this one is newer: pip install 'torch=={newest}.*'"


def _compile(target: Path) -> None:
    compiler = _compiler()
    unfinished = target.with_suffix(f".{os.getpid()}.tmp")
    started = time.monotonic()
    print(
        f"npu_emulator: compiling the backend for torch {torch.__version__} (once, about half a minute) ...",
        end="",
        file=sys.stderr,
        flush=True,
    )
    result = subprocess.run(_command(compiler, unfinished), capture_output=True, text=True, check=False)
    if result.returncode != 0:
        print("failed", file=sys.stderr)
        unfinished.unlink(missing_ok=True)
        log = target.with_suffix(".log")
        log.write_text(result.stderr)
        first = next((line for line in result.stderr.splitlines() if "error" in line), "no error message")
        raise BuildError(
            f"{compiler} could not compile the npu_emulator backend for torch {torch.__version__}: {first.strip()} "
            f"(all of its output: {log}). It needs a compiler for C++20 (g++ 11 or later){_untested()}"
        )
    os.replace(unfinished, target)
    print(f"done in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
