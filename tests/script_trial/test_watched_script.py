"""What is told of a script besides its results."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from script_trial import watched_script
from script_trial.watched_script import Script, not_laid_out


def test_a_module_that_is_made_meanwhile_is_not_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch 2.7 makes `_remote_module_non_scriptable`, in a temporary folder, where the script may lie as well."""
    monkeypatch.setitem(sys.modules, watched_script.__name__, sys.modules.pop(watched_script.__name__))
    for name in ("of_the_user", "made_meanwhile"):
        file = tmp_path / f"{name}.py"
        file.write_text("")
        module = ModuleType(name)
        module.__file__ = str(file)
        monkeypatch.setitem(sys.modules, name, module)
    begun = (tmp_path / "made_meanwhile.py").stat().st_mtime
    os.utime(tmp_path / "of_the_user.py", (begun - 1, begun - 1))
    script = Script(str(tmp_path / "script.py"), str(tmp_path))
    assert not_laid_out(script, begun) == ["of_the_user.py"]
