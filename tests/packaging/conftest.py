"""What the packaging tests share: this checkout, copies and wheels of it, and an offline pip."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_SOURCES = {".git", ".venv", "build", "dist"}


class Environment:
    """A fresh virtual environment that sees this one's libraries (click, libcst, torch), not its editable ones."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.bin = folder / "bin"
        self.site_packages = next(folder.glob("lib/python*/site-packages"))
        libraries = "\n".join(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
        (self.site_packages / "libraries.pth").write_text(libraries)

    def pip(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True)

    def install(self, *wheels: Path) -> None:
        done = self.pip("install", "--no-deps", "--no-index", "--no-compile", *map(str, wheels))
        assert done.returncode == 0, done.stdout + done.stderr

    def uninstall(self, distribution: str) -> None:
        done = self.pip("uninstall", "--yes", distribution)
        assert f"Successfully uninstalled {distribution}" in done.stdout, done.stdout + done.stderr

    def run(self, program: str, *arguments: str, status: int = 0, folder: Path | None = None) -> str:
        command = [str(self.bin / program), *arguments]
        # PYTHONPATH would put this checkout before what the environment has installed.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(command, cwd=folder or self.bin, env=env, capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stderr

    def diffsynth(self) -> Path:
        """The folder of what `import diffsynth` finds."""
        program = "import importlib.util; print(importlib.util.find_spec('diffsynth').origin)"
        return Path(self.run("python", "-B", "-c", program).strip()).parent

    def files(self) -> dict[str, bytes]:
        """What another project's `diffsynth` has installed, and whatever else is in its folders."""
        folders = [self.site_packages / "diffsynth", *self.site_packages.glob("diffsynth-*.dist-info")]
        paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(self.site_packages).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def build_wheel() -> Callable[[Path, Path], Path]:
    """Builds a project's wheel into a folder, with this environment's hatchling: nothing is downloaded."""

    def build(project: Path, out: Path) -> Path:
        command = [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(out),
            str(project),
        ]
        subprocess.run(command, check=True, capture_output=True, text=True)
        (wheel,) = out.glob("*.whl")
        return wheel

    return build


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory, build_wheel: Callable[[Path, Path], Path]) -> dict[str, Path]:
    """Both distributions, built from this checkout: name to wheel file."""
    out = tmp_path_factory.mktemp("wheels")
    return {
        "diffsynth-port": build_wheel(ROOT, out / "main"),
        "diffsynth-port-pipelines": build_wheel(ROOT / "packaging" / "pipelines", out / "pipelines"),
    }


@pytest.fixture(scope="session")
def offline_pip() -> dict[str, str]:
    """The environment in which pip, whoever starts it, takes wheels from the wheelhouse alone."""
    wheelhouse = ROOT / "build" / "wheelhouse"
    if not (wheelhouse / "stamp").exists():
        pytest.skip("no wheelhouse to install from offline: `make test` prepares build/wheelhouse")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "GIT_"))}
    return inherited | {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": wheelhouse.as_uri(),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "VIRTUALENV_NO_PERIODIC_UPDATE": "1",
    }


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout's sources, uncommitted changes and all, without what commands wrote."""

    def not_sources(folder: str, names: list[str]) -> set[str]:
        caches = {name for name in names if name == "__pycache__" or name.endswith("_cache")}
        return caches | (NOT_SOURCES if Path(folder) == ROOT else set())

    copy = tmp_path_factory.mktemp("checkout") / "diffsynth-port"
    shutil.copytree(ROOT, copy, ignore=not_sources, symlinks=True)
    return copy
