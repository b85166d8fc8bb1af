"""Each of our distributions beside another project's `diffsynth`: its files stay, byte for byte, and it stays first."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from .conftest import Environment

#: What the tests say of DiffSynth-Studio holds for this release, from PyPI.
STUDIO = "diffsynth==2.1.12"

FINDER = """\
import sys
from importlib.util import spec_from_file_location

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return spec_from_file_location(name, {file!r}) if name == "diffsynth" else None

sys.meta_path.append(Finder)
"""


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "environment")


def write_wheel(folder: Path, files: dict[str, str]) -> Path:
    """A wheel of somebody else's distribution `diffsynth`."""
    info = "diffsynth-2.1.12.dist-info"
    everything = {
        **files,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: diffsynth\nVersion: 2.1.12\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/top_level.txt": "diffsynth\n",
    }
    hashes = {
        name: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        for name, text in everything.items()
    }
    record = "".join(f"{name},sha256={digest},\n" for name, digest in hashes.items())
    wheel = folder / "diffsynth-2.1.12-py3-none-any.whl"
    with ZipFile(wheel, "w") as archive:
        for name, text in {**everything, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(name, text)
    return wheel


@pytest.fixture
def another(tmp_path: Path, root: Path) -> Path:
    """A wheel in the place of DiffSynth-Studio's: all names of the pipelines."""
    paths = [path.relative_to(root) for path in (root / "diffsynth").rglob("*.py")]
    names = [path.as_posix() for path in paths]
    return write_wheel(tmp_path, {name: f"# somebody else's {name}\n" for name in names})


@pytest.fixture
def studio(tmp_path: Path) -> Path:
    """DiffSynth-Studio's own wheel."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(tmp_path), STUDIO]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    return wheel


def install_and_uninstall_each(environment: Environment, other: Path, wheels: dict[str, Path]) -> None:
    """Ours on top of it, and away again."""
    environment.install(other)
    before = environment.files()
    with ZipFile(other) as archive:
        assert {name for name in archive.namelist() if name.startswith("diffsynth/")} <= set(before)
    theirs = environment.site_packages / "diffsynth"

    for wheel in wheels.values():
        environment.install(wheel)
        assert environment.files() == before
        assert environment.diffsynth() == theirs
    port_a_script(environment)
    for distribution in wheels:
        environment.uninstall(distribution)
        assert environment.files() == before
    installed = [path.name for path in environment.site_packages.iterdir()]
    assert not [name for name in installed if name.startswith(("porter", "diffsynth_port"))]


def port_a_script(environment: Environment) -> None:
    """The tools work beside it."""
    script = environment.bin.parent / "script.py"
    script.write_text('from diffsynth.pipelines.wan_video import WanVideoPipeline\npipe.to(device="cuda")\n')
    environment.run("diffsynth-port", str(script), "--target", "npu")
    assert script.read_text().endswith('pipe.to(device="npu")\n')


def test_its_files_are_the_same_bytes_throughout(
    environment: Environment, another: Path, wheels: dict[str, Path]
) -> None:
    install_and_uninstall_each(environment, another, wheels)


@pytest.mark.slow
def test_the_files_of_diffsynth_studio_are_the_same_bytes_throughout(
    environment: Environment, studio: Path, wheels: dict[str, Path]
) -> None:
    """Needs a network: its wheel comes from PyPI. Also where it comes last, and goes first."""
    install_and_uninstall_each(environment, studio, wheels)

    theirs = environment.site_packages / "diffsynth"
    ours = environment.site_packages / "diffsynth_port_pipelines" / "diffsynth"
    before = environment.files()
    environment.uninstall("diffsynth")
    environment.install(*wheels.values())
    assert environment.diffsynth() == ours
    environment.install(studio)
    assert environment.files() == before
    assert environment.diffsynth() == theirs
    environment.uninstall("diffsynth")
    assert environment.diffsynth() == ours


def test_wherever_it_is_found_it_comes_first(environment: Environment, wheels: dict[str, Path], tmp_path: Path) -> None:
    """In a clone that is the current folder, and editable, as its documents install it: by a finder of setuptools."""
    environment.install(wheels["diffsynth-port-pipelines"])
    program = "import importlib.util; print(importlib.util.find_spec('diffsynth').origin)"
    file = tmp_path / "clone" / "diffsynth" / "__init__.py"
    file.parent.mkdir(parents=True)

    def found(folder: Path) -> str:
        return environment.run("python", "-c", program, folder=folder).strip()  # -c looks in the current folder first

    ours = environment.site_packages / "diffsynth_port_pipelines" / "diffsynth" / "__init__.py"
    assert found(tmp_path / "clone") == str(ours)  # a mere folder of that name is no package
    file.touch()
    assert found(tmp_path / "clone") == str(file)
    assert found(tmp_path) == str(ours)
    (environment.site_packages / "__editable___diffsynth_finder.py").write_text(FINDER.format(file=str(file)))
    (environment.site_packages / "__editable__.diffsynth.pth").write_text("import __editable___diffsynth_finder")
    assert found(tmp_path) == str(file)


def test_pip_refuses_in_one_sentence_to_install_the_pipelines_of_a_checkout_beside_it(
    environment: Environment, another: Path, offline_pip: dict[str, str], root: Path
) -> None:
    environment.install(another)
    before = environment.files()
    done = environment.pip("install", "--no-deps", str(root / "packaging" / "pipelines"), env=offline_pip)
    assert done.returncode == 1
    told = [line.strip() for line in done.stderr.splitlines()]
    (sentence,) = (line for line in told if line.startswith("diffsynth 2.1.12 is installed here"))
    assert sentence.endswith("`pip install .` for the tools alone, which work with any diffsynth.")
    assert "Traceback" not in done.stderr
    assert environment.files() == before
    assert environment.diffsynth() == environment.site_packages / "diffsynth"


@pytest.mark.slow
def test_the_pipelines_install_from_a_checkout_and_editable(
    environment: Environment, offline_pip: dict[str, str], root: Path
) -> None:
    folder = str(root / "packaging" / "pipelines")
    for options, expected in (
        ((), environment.site_packages / "diffsynth_port_pipelines" / "diffsynth"),
        (("--editable",), root / "diffsynth"),
    ):
        done = environment.pip("install", "--no-deps", *options, folder, env=offline_pip)
        assert done.returncode == 0, done.stdout + done.stderr
        assert environment.diffsynth() == expected
