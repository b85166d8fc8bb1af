"""The two wheels: what they hold, that they agree, and that the tools leave a foreign diffsynth alone."""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

import pytest

TOOLS = {"accelerator_autoload.py", "accelerator_tables", "npu_compat", "npu_emulator", "porter"}
CONTENTS = {"diffsynth-port": TOOLS | {"diffsynth"}, "diffsynth-port-tools": TOOLS}

both_wheels = pytest.mark.parametrize("distribution", list(CONTENTS))


def files_in(wheel: Path) -> set[str]:
    """Every file of a wheel but the metadata that installers read."""
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def metadata_file(wheel: Path, name: str) -> str:
    with ZipFile(wheel) as archive:
        (member,) = (member for member in archive.namelist() if member.endswith(f".dist-info/{name}"))
        return archive.read(member).decode()


@both_wheels
def test_holds_its_packages_and_nothing_else(wheels: dict[str, Path], distribution: str) -> None:
    assert {name.split("/")[0] for name in files_in(wheels[distribution])} == CONTENTS[distribution]


@both_wheels
def test_holds_every_source_file_of_its_packages(wheels: dict[str, Path], distribution: str, root: Path) -> None:
    sources = {
        path.relative_to(root).as_posix()
        for name in CONTENTS[distribution]
        for path in [root / name, *(root / name).rglob("*")]
        if path.is_file() and path.suffix != ".pyc"
    }
    assert files_in(wheels[distribution]) == sources


@both_wheels
def test_holds_the_support_tables(wheels: dict[str, Path], distribution: str) -> None:
    tables = {name for name in files_in(wheels[distribution]) if name.startswith("accelerator_tables/")}
    assert any(name.endswith(".json") for name in tables)
    assert {Path(name).name for name in tables if name.endswith(".py")} == {"__init__.py"}


@both_wheels
def test_holds_the_license(wheels: dict[str, Path], distribution: str, root: Path) -> None:
    assert metadata_file(wheels[distribution], "licenses/LICENSE") == (root / "LICENSE").read_text(encoding="utf-8")


def test_the_base_install_is_small(wheels: dict[str, Path]) -> None:
    required = HeaderParser().parsestr(metadata_file(wheels["diffsynth-port"], "METADATA")).get_all("Requires-Dist")
    base = {requirement.split(">")[0] for requirement in required or [] if "extra ==" not in requirement}
    assert base <= {"click", "libcst", "pathspec", "pyyaml", "tomli", "tree-sitter", "tree-sitter-bash"}


@pytest.mark.parametrize(
    "field", ["Version", "Requires-Python", "License-Expression", "Keywords", "Classifier", "Requires-Dist"]
)
def test_the_wheels_agree_on(wheels: dict[str, Path], field: str) -> None:
    main, tools = (
        [
            value
            for value in HeaderParser().parsestr(metadata_file(wheels[name], "METADATA")).get_all(field, [])
            if "extra ==" not in value
        ]
        for name in CONTENTS
    )
    assert main == tools != []


def test_the_wheels_carry_the_readme(wheels: dict[str, Path], root: Path) -> None:
    readme = (root / "README.md").read_text(encoding="utf-8")
    for wheel in wheels.values():
        assert HeaderParser().parsestr(metadata_file(wheel, "METADATA")).get_payload() == readme


def test_the_wheels_agree_on_every_entry_point(wheels: dict[str, Path]) -> None:
    main, tools = (metadata_file(wheels[name], "entry_points.txt") for name in CONTENTS)
    assert main == tools
    assert "diffsynth-port = porter.cli:main" in main


FOREIGN_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "diffsynth"
version = "2.0"
"""


@pytest.fixture
def foreign_diffsynth(tmp_path: Path, build_wheel: Callable[[Path, Path], Path]) -> Path:
    """The wheel of somebody else's `diffsynth`, with file names that ours has too."""
    project = tmp_path / "foreign"
    package = project / "diffsynth"
    (package / "pipelines").mkdir(parents=True)
    (project / "pyproject.toml").write_text(FOREIGN_PROJECT)
    (package / "__init__.py").write_text("OWNER = 'somebody else'\n")
    (package / "pipelines" / "__init__.py").touch()
    (package / "pipelines" / "wan_video.py").write_text("class WanVideoPipeline: ...\n")
    return build_wheel(project, tmp_path / "foreign-wheel")


class Environment:
    """A fresh virtual environment that sees this one's libraries (click, libcst), not its editable ones."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.bin = folder / "bin"
        self.site_packages = next(folder.glob("lib/python*/site-packages"))
        libraries = "\n".join(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
        (self.site_packages / "libraries.pth").write_text(libraries)

    def pip(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), *arguments]
        subprocess.run(command, check=True, capture_output=True, text=True)

    def run(self, program: str, *arguments: str) -> str:
        command = [str(self.bin / program), *arguments]
        # PYTHONPATH would put this checkout before what the environment has installed.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(command, cwd=self.bin, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def files_of(self, package: str) -> dict[str, bytes]:
        paths = (self.site_packages / package).rglob("*.*")
        return {path.relative_to(self.site_packages).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def test_the_tools_leave_a_foreign_diffsynth_untouched(
    wheels: dict[str, Path], foreign_diffsynth: Path, tmp_path: Path
) -> None:
    environment = Environment(tmp_path / "environment")
    environment.pip("install", "--no-deps", "--no-index", "--no-compile", str(foreign_diffsynth))
    before = environment.files_of("diffsynth")
    assert set(before) == files_in(foreign_diffsynth)

    environment.pip("install", "--no-deps", "--no-index", "--no-compile", str(wheels["diffsynth-port-tools"]))
    assert environment.files_of("diffsynth") == before
    assert environment.run("python", "-B", "-c", "import diffsynth; print(diffsynth.OWNER)") == "somebody else\n"

    version = HeaderParser().parsestr(metadata_file(wheels["diffsynth-port-tools"], "METADATA"))["Version"]
    assert version in environment.run("diffsynth-port", "--version")
    script = tmp_path / "script.py"
    script.write_text('pipe.to(device="cuda")\n')
    environment.run("diffsynth-port", str(script), "--target", "npu")
    assert script.read_text() == 'pipe.to(device="npu")\n'

    environment.pip("uninstall", "--yes", "diffsynth-port-tools")
    assert environment.files_of("diffsynth") == before
    assert not (environment.site_packages / "porter").exists()
