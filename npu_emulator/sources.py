"""The C++ sources of the backend: where they are, how a compiler is called on them, and which state they are in."""

from __future__ import annotations

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent / "csrc"
FLAGS = ("-std=c++20", "-O1", "-fPIC", "-shared", "-w")


def compiler_arguments(torch_home: Path, cxx11_abi: bool) -> list[str]:
    """What follows the compiler's name, up to the output: flags, torch's headers, and the one file to compile."""
    include = torch_home / "include"
    return [
        *(*FLAGS, f"-D_GLIBCXX_USE_CXX11_ABI={int(cxx11_abi)}"),
        *(f"-I{include}", f"-I{include / 'torch/csrc/api/include'}", str(FOLDER / "backend.cpp")),
    ]


def linker_arguments(torch_home: Path) -> list[str]:
    """The libraries of torch that the backend links against."""
    return [f"-L{torch_home / 'lib'}", "-ltorch_cpu", "-lc10"]


def source_hash() -> str:
    """16 hexadecimal digits that change with any source and any flag."""
    digest = hashlib.sha256(repr(FLAGS).encode())
    for path in sorted(FOLDER.glob("*.[ch]*")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
