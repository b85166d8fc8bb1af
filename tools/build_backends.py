"""Builds the emulator's backend for every minor release of torch, runs each, and makes the wheel that brings them.

    pip install '.[release]'
    python tools/build_backends.py [--python ENVIRONMENT/bin/python ...]

A torch comes from an environment (--python, as often as needed), or else from the package index into build/torch: the
CPU build is enough. A backend made for the one serves the other.

The backends run with glibc 2.28 and later (manylinux_2_28), on whatever Linux this is: g++ compiles against the headers
of glibc 2.28 and zig links against its symbols. Both are in the package ziglang; libstdc++ is g++'s own, as torch wants
it. auditwheel has the last word. On an aarch64 machine the same command makes the wheel for aarch64.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from npu_emulator import binaries, sources  # noqa: E402
from npu_emulator.host import NEWEST_TESTED_TORCH, OLDEST_TORCH  # noqa: E402

MINORS = [f"2.{minor}" for minor in range(OLDEST_TORCH[1], NEWEST_TESTED_TORCH[1] + 1)]
GLIBC = (2, 28)
TARGET = f"{platform.machine()}-linux-gnu.{GLIBC[0]}.{GLIBC[1]}"
POLICY = f"manylinux_{GLIBC[0]}_{GLIBC[1]}_{platform.machine()}"
TORCH_LIBRARIES = {"libc10.so", "libtorch_cpu.so"}
# Runs where there is no compiler and nothing cached, so that only the prebuilt backend can be what answers.
CHECK = ROOT / "tools" / "check_backend.py"
NEWER_LIBSTDCXX = ROOT / "tools" / "newer_libstdcxx.cpp"


class Failure(Exception):
    """Something did not work; the message says what."""


@dataclass(frozen=True)
class Torch:
    """One installed torch.

    Attributes:
        version: such as "2.13.0+cpu".
        home: its package folder, with `include` and `lib`.
        python: the interpreter that can import it, given `home`'s parent on its path.
    """

    version: str
    home: Path
    python: str

    @property
    def minor(self) -> str:
        minor = binaries.minor_of_release(self.version)
        if minor is None:
            raise Failure(f"torch {self.version} in {self.home} is not a release")
        return minor


def main() -> int:
    """Returns 0 if every backend was built and ran and the wheel fits its platform, 1 if not, 2 on bad input."""
    options = _options()
    try:
        installed = [_installed(python) for python in options.python]
        found = {torch.minor: torch for torch in installed}
        wanted = options.minor or MINORS
        torches = [found.pop(minor, None) or _fetched(minor) for minor in wanted] + list(found.values())
        compiler = Compiler()
    except Failure as failure:
        print(f"build_backends: {failure}", file=sys.stderr)
        return 2
    _remove_stale()
    # A second environment of the same minor runs the backend of the first.
    others = [torch for torch in installed if torch not in torches]
    problems = [problem for torch in torches if (problem := _build(compiler, torch)) is not None]
    problems += [problem for torch in others if (problem := _check(torch)) is not None]
    if not problems and not options.no_wheel:
        problems += _make_wheel(options.outdir)
    for problem in problems:
        print(f"build_backends: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], help="Python of an environment with a torch to use")
    parser.add_argument("--minor", action="append", choices=MINORS, help="only these torch releases (default: all)")
    parser.add_argument("--no-wheel", action="store_true", help="build and run the backends only")
    parser.add_argument("--outdir", type=Path, default=ROOT / "dist", help="folder of the wheel (default: dist)")
    return parser.parse_args()


def _installed(python: str) -> Torch:
    program = "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
    try:
        # -E: a PYTHONPATH would come before what the environment has.
        result = subprocess.run([python, "-E", "-c", program], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failure(f"--python {python}: not the Python of an environment with torch ({error})") from error
    return _at(Path(result.stdout.strip()), python)


def _at(home: Path, python: str) -> Torch:
    return Torch(runpy.run_path(str(home / "version.py"))["__version__"], home, python)


def _fetched(minor: str) -> Torch:
    folder = ROOT / "build" / "torch" / minor
    if not (folder / "torch" / "version.py").exists():
        print(f"torch {minor}: fetching", flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
        result = subprocess.run([*pip, "--target", str(folder), f"torch=={minor}.*"], check=False)
        if result.returncode != 0:
            raise Failure(f"torch {minor} could not be fetched; give an environment that has it with --python")
    return _at(folder / "torch", sys.executable)


class Compiler:
    """g++ on headers of glibc 2.28, zig as its linker."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("ziglang")
        if spec is None or spec.origin is None:
            raise Failure("ziglang is not installed: pip install '.[release]'")
        self.zig = str(Path(spec.origin).parent / "zig")
        gxx = os.environ.get("CXX") or shutil.which("g++")
        if gxx is None:
            raise Failure("no g++ was found: install one, or point CXX at it")
        self.gxx = gxx
        self.headers = [*self._libstdcxx_headers(), *self._glibc_headers()]

    def compile(self, torch: Torch, output: Path) -> None:
        """Writes the shared library.

        Raises:
            Failure: with what the compiler or the linker said.
        """
        with tempfile.TemporaryDirectory() as folder:
            backend, newer = str(Path(folder, "backend.o")), str(Path(folder, "newer.o"))
            arguments = sources.compiler_arguments(torch.home, cxx11_abi=True)
            self._compile([*arguments, "-o", backend])
            self._compile([*sources.FLAGS, str(NEWER_LIBSTDCXX), "-o", newer])
            libraries = [self._found("libstdc++.so.6"), self._found("libgcc_s.so.1")]
            link = [self.zig, "cc", "-target", TARGET, "-shared", "-Wl,-z,defs", "-Wl,--strip-debug", backend, newer]
            _command([*link, "-o", str(output), *sources.linker_arguments(torch.home), *libraries])

    def _compile(self, arguments: list[str]) -> None:
        headers = [part for header in self.headers for part in ("-isystem", str(header))]
        _command([self.gxx, "-c", "-nostdinc", f"-D__GLIBC_MINOR__={GLIBC[1]}", *headers, *arguments])

    def _found(self, name: str) -> str:
        return _command([self.gxx, f"-print-file-name={name}"]).stdout.strip()

    def _libstdcxx_headers(self) -> list[Path]:
        folders = _searched([self.gxx, "-E", "-v", "-x", "c++", os.devnull])
        # Beside libstdc++'s, those of the compiler itself: stddef.h and the like.
        return [*(folder for folder in folders if "c++" in folder.parts), Path(self._found("include"))]

    def _glibc_headers(self) -> list[Path]:
        found = _searched([self.zig, "cc", "-target", TARGET, "-E", "-v", "-x", "c", os.devnull])
        folders = [folder for folder in found if "libc" in folder.parts]
        return [_as_of_2_28(folder) if folder.name == "generic-glibc" else folder for folder in folders]


def _as_of_2_28(headers: Path) -> Path:
    # zig has the headers of the newest glibc, which hide by version what older ones lack. libstdc++ asks whether this
    # one exists; it came with 2.32.
    copy = ROOT / "build" / "glibc-2.28"
    shutil.copytree(headers, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("single_threaded.h"))
    return copy


def _searched(command: list[str]) -> list[Path]:
    listing = _command(command).stderr.partition("#include <...> search starts here:")[2].partition("End of search")[0]
    return [Path(line.strip()) for line in listing.splitlines() if line.strip()]


def _command(command: list[str]) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        said = result.stderr.strip().splitlines()
        first = next((line for line in said if "error" in line), (said or ["no message"])[-1])
        raise Failure(f"{Path(command[0]).name} failed: {first}")
    return result


def _remove_stale() -> None:
    binaries.FOLDER.mkdir(exist_ok=True)
    for binary in binaries.prebuilt():
        if binary.path.name != binaries.file_name(binary.minor, platform.machine()):
            binary.path.unlink()


def _build(compiler: Compiler, torch: Torch) -> str | None:
    target = binaries.FOLDER / binaries.file_name(torch.minor, platform.machine())
    try:
        if not target.exists():
            print(f"torch {torch.version}: compiling", flush=True)
            unfinished = target.with_suffix(".tmp")
            compiler.compile(torch, unfinished)
            unfinished.replace(target)
    except Failure as failure:
        return f"torch {torch.version}: {failure}"
    return _check(torch)


def _check(torch: Torch) -> str | None:
    with tempfile.TemporaryDirectory() as cache:
        paths = [str(ROOT), str(torch.home.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NPU_", "CXX"))}
        environment = {"PYTHONPATH": os.pathsep.join(paths), "PATH": "/nonexistent", "NPU_EMULATOR_CACHE": cache}
        command = [torch.python, str(CHECK), torch.version]
        result = subprocess.run(command, env=inherited | environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        said = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
        return f"torch {torch.version}: built, and did not run: {said}"
    print(f"torch {torch.version}: {result.stdout.strip()}", flush=True)
    return None


def _make_wheel(folder: Path) -> list[str]:
    with tempfile.TemporaryDirectory() as built:
        subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", built, str(ROOT)], check=True)
        (wheel,) = Path(built).glob("*.whl")
        problems = _against_policy(wheel)
        if not problems:
            folder.mkdir(parents=True, exist_ok=True)
            print(f"{shutil.copy(wheel, folder)}: {wheel.stat().st_size} bytes, fits {POLICY}")
    return problems


def _against_policy(wheel: Path) -> list[str]:
    if not wheel.name.endswith(f"-{POLICY}.whl"):
        return [f"{wheel.name} is not tagged {POLICY}"]
    audit = json.loads(_command([sys.executable, "-m", "auditwheel", "show", "--json", str(wheel)]).stdout)
    problems = []
    needed = re.match(r"manylinux_(\d+)_(\d+)_", audit["sym_tag"])
    if needed is None or tuple(map(int, needed.groups())) > GLIBC:
        problems.append(f"{wheel.name}: its symbols fit {audit['sym_tag']}, not {POLICY}")
    if others := set(audit["external_libs"]) - TORCH_LIBRARIES:
        problems.append(f"{wheel.name}: needs {', '.join(sorted(others))}, which {POLICY} does not have")
    return problems


if __name__ == "__main__":
    sys.exit(main())
