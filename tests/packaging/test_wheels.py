"""The two wheels: what they hold, where they lead to each other, and how they are built to be published."""

import ast
import os
import re
import subprocess
import sys
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

import pytest

TOOLS = {"accelerator_autoload.py", "accelerator_tables", "npu_compat", "npu_emulator", "porter", "script_trial"}
PIPELINES = "diffsynth_port_pipelines"

both_wheels = pytest.mark.parametrize("distribution", ["diffsynth-port", "diffsynth-port-pipelines"])


def files_in(wheel: Path) -> set[str]:
    """Every file of a wheel but the metadata that installers read."""
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def metadata_file(wheel: Path, name: str) -> str:
    with ZipFile(wheel) as archive:
        (member,) = (member for member in archive.namelist() if member.endswith(f".dist-info/{name}"))
        return archive.read(member).decode()


def metadata(wheel: Path, field: str) -> list[str]:
    return HeaderParser().parsestr(metadata_file(wheel, "METADATA")).get_all(field, [])


def sources(root: Path, names: set[str]) -> set[str]:
    return {
        path.relative_to(root).as_posix()
        for name in names
        for path in [root / name, *(root / name).rglob("*")]
        if path.is_file() and path.suffix != ".pyc"
    }


def test_the_tools_hold_every_source_file_of_their_packages_and_nothing_else(
    wheels: dict[str, Path], root: Path
) -> None:
    assert files_in(wheels["diffsynth-port"]) == sources(root, TOOLS)


def test_the_pipelines_hold_every_source_file_in_a_folder_of_their_own(wheels: dict[str, Path], root: Path) -> None:
    own = {f"{PIPELINES}.pth", f"{PIPELINES}/__init__.py"}
    expected = own | {f"{PIPELINES}/{name}" for name in sources(root, {"diffsynth", "script_trial"})}
    assert files_in(wheels["diffsynth-port-pipelines"]) == expected


def test_the_support_tables_are_in_the_tools(wheels: dict[str, Path]) -> None:
    tables = {name for name in files_in(wheels["diffsynth-port"]) if name.startswith("accelerator_tables/")}
    assert any(name.endswith(".json") for name in tables)
    assert {Path(name).name for name in tables if name.endswith(".py")} == {"__init__.py"}


@both_wheels
def test_holds_the_license(wheels: dict[str, Path], distribution: str, root: Path) -> None:
    assert metadata_file(wheels[distribution], "licenses/LICENSE") == (root / "LICENSE").read_text(encoding="utf-8")


def test_the_base_install_is_small(wheels: dict[str, Path]) -> None:
    required = metadata(wheels["diffsynth-port"], "Requires-Dist")
    base = {re.split(r"[<>]", requirement)[0] for requirement in required if "extra ==" not in requirement}
    assert base <= {"click", "libcst", "pathspec", "pyyaml", "tomli", "tree-sitter", "tree-sitter-bash"}


@pytest.mark.parametrize("field", ["Version", "Requires-Python", "License-Expression", "Classifier"])
def test_the_wheels_agree_on(wheels: dict[str, Path], field: str) -> None:
    tools, pipelines = (metadata(wheel, field) for wheel in wheels.values())
    assert tools == pipelines != []


@pytest.mark.parametrize(
    ("distribution", "readme"),
    [("diffsynth-port", "README.md"), ("diffsynth-port-pipelines", "packaging/pipelines/README.md")],
)
def test_carries_its_readme(wheels: dict[str, Path], distribution: str, readme: str, root: Path) -> None:
    message = HeaderParser().parsestr(metadata_file(wheels[distribution], "METADATA"))
    assert message.get_payload() == (root / readme).read_text(encoding="utf-8")


def test_the_commands_are_in_the_tools_alone(wheels: dict[str, Path]) -> None:
    assert "diffsynth-port = porter.cli:main" in metadata_file(wheels["diffsynth-port"], "entry_points.txt")
    with ZipFile(wheels["diffsynth-port-pipelines"]) as archive:
        assert not any(name.endswith("entry_points.txt") for name in archive.namelist())


def test_the_extras_lead_to_the_pipelines_of_the_checkout(wheels: dict[str, Path], root: Path) -> None:
    place = (root / "packaging" / "pipelines").as_uri()
    assert pipelines_of(wheels["diffsynth-port"]) == {
        f"diffsynth-port-pipelines @ {place} ; extra == 'pipeline'",
        f"diffsynth-port-pipelines[train] @ {place} ; extra == 'train'",
        f"diffsynth-port-pipelines[usp] @ {place} ; extra == 'usp'",
    }


def test_what_is_built_to_be_published_names_the_pipelines_of_its_version(root: Path, tmp_path: Path) -> None:
    # `make dist` would set up .venv; this is its second line, with this environment in its place.
    dist = subprocess.run(
        ["make", "--dry-run", "--always-make", "dist"], cwd=root, capture_output=True, text=True, check=True
    )
    assert "DIFFSYNTH_PORT_RELEASE=1 .venv/bin/python -m build" in dist.stdout
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(root)],
        env={**os.environ, "DIFFSYNTH_PORT_RELEASE": "1"},
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("diffsynth_port-*.whl")
    (version,) = metadata(wheel, "Version")
    assert "file:" not in metadata_file(wheel, "METADATA")
    assert pipelines_of(wheel) == {
        f"diffsynth-port-pipelines=={version}; extra == 'pipeline'",
        f"diffsynth-port-pipelines[train]=={version}; extra == 'train'",
        f"diffsynth-port-pipelines[usp]=={version}; extra == 'usp'",
    }


def pipelines_of(wheel: Path) -> set[str]:
    required = metadata(wheel, "Requires-Dist")
    return {requirement for requirement in required if requirement.startswith("diffsynth-port-pipelines")}


def test_developers_get_what_the_pipelines_stand_on_and_no_copy_of_them(wheels: dict[str, Path]) -> None:
    mark = " extra == 'dev'"
    developers = {
        line.partition(";")[0] for line in metadata(wheels["diffsynth-port"], "Requires-Dist") if mark in line
    }
    pipelines = {
        line.partition(";")[0]
        for line in metadata(wheels["diffsynth-port-pipelines"], "Requires-Dist")
        if "extra ==" not in line or "extra == 'train'" in line
    }
    assert pipelines
    assert pipelines <= developers
    assert not any(requirement.startswith("diffsynth") for requirement in developers)


def test_what_runs_at_each_start_of_python_imports_nothing(root: Path) -> None:
    """`-X importtime` shows 0.1 ms for it; one import of importlib.util would make that several."""
    module = ast.parse((root / "packaging" / "pipelines" / PIPELINES / "__init__.py").read_text(encoding="utf-8"))
    at_start = [ast.unparse(node) for node in module.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert at_start == ["from __future__ import annotations", "import sys"]
