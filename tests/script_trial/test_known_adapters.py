"""Adapters are found, told apart, and installed as soon as their library is there."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path

import pytest

from script_trial import known_adapters
from script_trial.on_import import on_import

ROOT = Path(__file__).resolve().parents[2]


def test_to_ask_for_them_imports_no_library() -> None:
    program = (
        "import sys\nfrom script_trial.known_adapters import libraries\nprint(sorted(libraries()))\n"
        "others = {'torch', 'numpy', 'PIL', 'porter', 'npu_compat', 'npu_emulator'}\n"
        "print(sorted({*others, *libraries()} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    known, imported = done.stdout.splitlines()
    assert "'diffsynth'" in known
    assert imported == "[]"


def test_ours_is_told_from_another_package_of_its_name(tmp_path: Path) -> None:
    ours = find_spec("diffsynth")
    assert ours is not None
    found = known_adapters.adapter_for(ours)
    assert found is not None
    assert found.name == "diffsynth-port"
    (tmp_path / "__init__.py").write_text("from .core import *\n")
    other = spec_from_file_location("diffsynth", tmp_path / "__init__.py")
    assert other is not None
    assert getattr(known_adapters.adapter_for(other), "name", "") != "diffsynth-port"


class Mine:
    name, library = "mine", "a_library_of_mine"

    def is_for(self, spec: ModuleSpec) -> bool:
        return True


def test_another_distribution_names_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("mine", "tests.script_trial.test_known_adapters:Mine", known_adapters.GROUP),
        EntryPoint("broken", "no_such_package", known_adapters.GROUP),
    ]
    monkeypatch.setattr(EntryPoint, "load", lambda self: Mine() if self.name == "mine" else __import__(self.value))
    monkeypatch.setattr(known_adapters, "entry_points", lambda group: points)
    known_adapters.known_adapters.cache_clear()
    try:
        with pytest.warns(UserWarning, match=r"the adapter broken \(no_such_package\) is left out: No module named"):
            assert known_adapters.known_adapters()[0].name == "mine"
        assert "a_library_of_mine" in known_adapters.libraries()
        found = known_adapters.adapter_for(ModuleSpec("a_library_of_mine", None))
        assert found is not None
        assert found.name == "mine"
    finally:
        known_adapters.known_adapters.cache_clear()


def test_a_module_is_acted_on_before_the_script_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "library_x.py").write_text("def load():\n    return 'real'\n")
    (tmp_path / "library_y.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    import library_y  # type: ignore[import-not-found]

    seen = []

    def change(spec: ModuleSpec) -> None:
        seen.append(spec.name)
        if spec.name == "library_x":
            sys.modules[spec.name].load = lambda: "made up"  # type: ignore[attr-defined]

    on_import({"library_x": change, "library_y": change, "library_z": change})
    assert seen == ["library_y"]
    from library_x import load  # type: ignore[import-not-found]

    assert load() == "made up"
    assert seen == ["library_y", "library_x"]
    assert sys.modules["library_x"].__spec__.loader is sys.modules["library_x"].__loader__
    assert type(library_y.__loader__) is type(sys.modules["library_x"].__loader__)
    with pytest.raises(ModuleNotFoundError):
        import library_z  # type: ignore[import-not-found]  # noqa: F401
    for name in ("library_x", "library_y"):
        del sys.modules[name]


def test_two_may_wait_for_one_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "library_w.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    seen: list[str] = []
    for who in ("first", "second"):
        on_import(dict.fromkeys(("library_w", "library_v"), lambda spec, who=who: seen.append(f"{who} {spec.name}")))
    assert importlib.util.find_spec("library_v") is None
    importlib.import_module("library_w")
    assert seen == ["first library_w", "second library_w"]
    del sys.modules["library_w"]


def test_a_library_that_was_imported_for_others_is_acted_on_when_the_script_imports_it() -> None:
    program = (
        "import sys\n"
        "import json.decoder, wave, importlib\n"
        "from script_trial.on_import import on_import\n"
        "seen = []\n"
        "on_import({'wave': lambda spec: seen.append('at once')},\n"
        "          {name: lambda spec: seen.append(spec.name) for name in ('json', 'importlib', 'colorsys')})\n"
        "import sys; print(seen)\n"
        "from json.decoder import JSONDecoder; print(seen)\n"
        "importlib.import_module('colorsys'); import json; print(seen)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    first, second, third = done.stdout.splitlines()
    assert first == "['at once']"
    assert second == "['at once', 'json']"
    assert third == "['at once', 'json', 'colorsys']"


def test_a_library_that_imports_itself_while_more_of_it_loads_is_whole_when_it_is_acted_on(tmp_path: Path) -> None:
    package = tmp_path / "lazy_library"
    package.mkdir()
    (package / "__init__.py").write_text(
        "def __getattr__(name):\n"
        "    if name != 'Tool':\n"
        "        raise AttributeError(name)\n"
        "    import lazy_library.tools\n"
        "    return lazy_library.tools.Tool\n"
    )
    (package / "tools.py").write_text("import lazy_library\nclass Tool: pass\n")
    program = (
        "import sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "import lazy_library\n"
        "from script_trial.on_import import on_import\n"
        "on_import({}, {'lazy_library': lambda spec: print(sys.modules['lazy_library.tools'].Tool.__name__)})\n"
        "from lazy_library import Tool\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.stdout, done.stderr) == ("Tool\n", "")
