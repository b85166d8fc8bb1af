"""``python -m npu_emulator doctor``: whether the emulated NPU can be had here, and with which backend.

It compiles nothing and turns nothing on.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from npu_emulator import binaries, host
from npu_emulator.errors import BuildError, EmulatorError, UnsupportedHost
from npu_emulator.settings import Settings

_NO_COMPILER = "none (needed only where no prebuilt backend fits: apt-get install g++, dnf install gcc-c++)"
# In a process of its own: a library cannot be unloaded again, and one for another torch may end the process.
_LOAD = "import pathlib, sys; from npu_emulator import backend; backend.load_file(pathlib.Path(sys.argv[1]))"


@dataclass
class Findings:
    """What doctor found.

    Attributes:
        python: version and path of the interpreter.
        torch: version of torch.
        host: operating system and processor.
        backend: the binary that enable() would use, or that it would compile one; None where it would fail.
        rejected: prebuilt binaries that are not used, and why.
        cache: folder of compiled backends.
        cached: what it holds, by name, and what each is for.
        compiler: path and version of the C++ compiler, or None.
        settings: the emulated machine of the environment.
        problems: why enable() would fail; empty where it would not.
    """

    python: str = f"{platform.python_version()} ({sys.executable})"
    torch: str = ""
    host: str = f"{platform.system()} on {platform.machine()}"
    backend: str | None = None
    rejected: dict[str, str] = field(default_factory=dict)
    cache: str = ""
    cached: dict[str, str] = field(default_factory=dict)
    compiler: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def diagnose() -> Findings:
    """Looks at everything enable() depends on.

    Raises:
        EmulatorError: torch is not installed, or does not import.
    """
    found = Findings(torch=_import_torch().__version__)
    _look_at_host(found)
    _look_at_compiled(found)
    try:
        _look_at_prebuilt(found)
    except ValueError as error:
        found.problems.append(str(error))
    _look_at_settings(found)
    return found


def as_text(found: Findings) -> str:
    """The findings for people."""
    lines = [f"python: {found.python}", f"torch: {found.torch}", f"host: {found.host}"]
    lines.append(f"backend: {found.backend or 'none'}")
    lines += [f"  not {name}: {why}" for name, why in found.rejected.items()]
    lines.append(f"cache: {found.cache}{'' if found.cached else ' (empty)'}")
    lines += [f"  {name}: {what}" for name, what in found.cached.items()]
    lines.append(f"compiler: {found.compiler or _NO_COMPILER}")
    lines.append("settings:")
    lines += [f"  {name}={value}" for name, value in found.settings.items()]
    lines.append("problems:" if found.problems else "problems: none")
    lines += [f"  {problem}" for problem in found.problems]
    return "\n".join(lines)


def _import_torch() -> ModuleType:
    # Neither the emulator nor the redirect is to be turned on by looking.
    for switch in ("NPU_EMULATOR", "NPU_COMPAT"):
        os.environ.pop(switch, None)
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise EmulatorError(f"torch does not import: {error}") from error
        raise UnsupportedHost(host.NO_TORCH) from None
    except (ImportError, OSError, RuntimeError) as error:
        raise EmulatorError(f"torch does not import: {str(error).splitlines()[0]}") from error
    return torch


def _look_at_host(found: Findings) -> None:
    try:
        host.check_host()
    except UnsupportedHost as error:
        found.problems.append(str(error))


def _look_at_compiled(found: Findings) -> None:
    from npu_emulator import build

    found.cache = str(build.cache())
    fits = build.cache_folder().name
    for library in sorted(build.cache().glob(f"*/{build.LIBRARY}")):
        name = library.parent.name
        size = library.stat().st_size / 2**10
        found.cached[name] = f"{size:.0f} KiB, for {'this torch' if name == fits else 'another torch or other sources'}"
    try:
        found.compiler = _version_of(build.compiler())
    except BuildError:
        found.compiler = None


def _version_of(compiler: str) -> str:
    result = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return f"{compiler} ({(result.stdout or result.stderr or 'no version').splitlines()[0]})"


def _look_at_prebuilt(found: Findings) -> None:
    import torch

    from npu_emulator import backend, build

    for binary in binaries.prebuilt():
        why = binary.why_not(torch.__version__, torch.compiled_with_cxx11_abi())
        if why is not None or not binaries.wanted():
            found.rejected[binary.path.name] = why or "NPU_EMULATOR_PREBUILT=0"
    path, reason = backend.prebuilt_or_reason()
    if path is not None:
        failure = _failure(path)
        if failure is None:
            found.backend = f"prebuilt, {path.name}"
            return
        reason = f"the prebuilt {path.name} does not load: {failure}"
        found.rejected[path.name] = f"does not load: {failure}"
    if build.is_compiled():
        _use_compiled(found, build.cache_folder() / build.LIBRARY)
        return
    try:
        compiler = build.compiler(reason)
        build.check_cache()
        found.backend = f"none yet: {compiler} compiles it on first use, in about half a minute"
    except BuildError as error:
        found.problems.append(str(error))


def _use_compiled(found: Findings, path: Path) -> None:
    failure = _failure(path)
    if failure is None:
        found.backend = f"compiled here, {path}"
    else:
        found.problems.append(f"the cached backend does not load ({failure}): remove the folder {path.parent}")


def _failure(path: Path) -> str | None:
    package = str(Path(__file__).parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    result = subprocess.run(
        [sys.executable, "-c", _LOAD, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode == 0:
        return None
    if result.returncode < 0:
        return f"it ends the process with signal {-result.returncode}"
    return (result.stderr.strip().splitlines() or ["no error message"])[-1]


def _look_at_settings(found: Findings) -> None:
    try:
        settings = Settings.from_environment()
    except ValueError as error:
        found.problems.append(str(error))
        return
    found.settings = {
        "devices": settings.devices,
        "visible": settings.visible_devices(),
        "memory": f"{settings.memory} bytes ({settings.memory / 2**30:.2f} GiB)",
        "hardware": settings.hardware,
        "cann": settings.cann or "the newest",
        "strict": settings.strict,
    }
