"""Modules of a script's project, wherever they lie in it: each way imports them in its own form."""

from __future__ import annotations

from pathlib import Path

import pytest

from porter.verify.project_modules import project_modules
from porter.verify.scripts import command_line, find_scripts
from porter.verify.verification import Verification

DEVICE = 'import torch\ndef where():\n    return torch.ones(2, 4).to("cuda")\n'
BODY = """
torch.manual_seed(0)
y = torch.nn.Linear(4, 4).to("cuda")(where()).sum()
print("loss", float(y))
"""
FILES = {
    "pyproject.toml": "",
    "mylib/__init__.py": "",
    "mylib/device.py": DEVICE,
    "other.py": DEVICE,
    "json.py": "",
    "numpy/__init__.py": "",
    "pkg/__init__.py": "",
    "pkg/device.py": DEVICE,
    "pkg/sub/__init__.py": "",
    "configs/a.txt": "of the project",
}
HERE = "os.path.dirname(os.path.abspath(__file__))"
SCRIPTS = {
    "tools/append.py": "import sys, torch\nsys.path.append('..')\nfrom mylib.device import where\n",
    "tools/insert.py": f"import os, sys, torch\nsys.path.insert(0, {HERE} + '/..')\nfrom other import where\n",
    "tools/parents.py": "import sys, torch\nfrom pathlib import Path\ntop = Path(__file__).resolve().parents[1]\n"
    "sys.path.append(str(top))\nfrom other import where\nassert open(top / 'configs/a.txt').read()\n",
    "tools/by_name.py": "import importlib, torch\nname = 'device'\n"
    "where = importlib.import_module(f'mylib.{name}').where\n",
    "tools/by_text.py": "import importlib, torch\nname = 'mylib.device'\nwhere = importlib.import_module(name).where\n",
    "pkg/train.py": "import torch\nfrom .device import where\n",
    "pkg/sub/deep.py": "import torch\nfrom ..device import where\nimport other\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in {**FILES, **{name: text + BODY for name, text in SCRIPTS.items()}}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_passes(running: Verification, project: Path, name: str) -> None:
    (script,) = find_scripts([str(project / name)], None)
    row = running.run(script)
    assert (row.problems, row.ran, row.outcomes["ported"].notes) == ([], 3, [])


@pytest.mark.parametrize("command", ["python -m pkg.sub.deep", "torchrun -m pkg.train", "python tools/insert.py"])
def test_a_command_passes(running: Verification, project: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(project)
    (script,) = command_line(command.split(), None, [1])
    row = running.run(script)
    assert (row.problems, row.ran) == ([], 3)


def test_a_module_that_nothing_names_is_told_of(running: Verification, project: Path) -> None:
    place = project / "tools" / "hidden.py"
    text = "import torch, importlib\nhelp = importlib.import_module('hel' + 'per')\n" + BODY
    place.write_text(text.replace("where()", "torch.ones(2, 4).to('cuda')"))
    (place.parent / "helper.py").write_text("")
    (script,) = find_scripts([str(place)], None)
    row = running.run(script)
    assert row.outcomes["ported"].notes == [
        "helper.py was imported as it lies, not ported: no import names it before the script runs"
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import other", ["other.py"]),
        ("import json", []),  # Python's own
        ("import numpy", []),  # installed
        ("import sys\nsys.path.insert(0, '..')\nimport numpy", ["numpy/__init__.py"]),
        ("import nowhere, os", []),
        ("import (", []),
        ("__import__('other')", ["other.py"]),
        ("import mylib.device", ["mylib/__init__.py", "mylib/device.py"]),
    ],
)
def test_which_modules(project: Path, text: str, names: list[str]) -> None:
    found = project_modules(str(project / "tools" / "a.py"), text.encode())
    assert sorted(str(Path(one).relative_to(project)) for one in found.files) == names
    assert found.module is None


def test_a_script_that_imports_relatively_runs_as_a_module(project: Path) -> None:
    found = project_modules(str(project / "pkg" / "sub" / "a.py"), b"from ..device import where")
    assert (found.module, found.top) == ("pkg.sub.a", str(project))
