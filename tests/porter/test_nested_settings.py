"""The nearest pyproject.toml above a file says how it is ported, whatever folder the run is over."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from porter.cli import command

TEXT = 'import torch\nx = torch.cuda.Stream("cuda")\n'


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a library of its own settings, and a folder in it without."""
    top = tmp_path / "top"
    for folder in ("", "lib", "lib/deep", "plain"):
        (top / folder).mkdir(parents=True, exist_ok=True)
        (top / folder / "a.py").write_text(TEXT)
    (top / "pyproject.toml").write_text('[tool.diffsynth-port]\ntarget = "npu"\nignore = ["DP104"]\n')
    (top / "lib" / "pyproject.toml").write_text('[tool.diffsynth-port]\nignore = ["DP101"]\n')
    (top / "plain" / "pyproject.toml").write_text('[project]\nname = "diffsynth-port-user"\n')
    monkeypatch.chdir(top)
    return top


def run(*options: str) -> Result:
    return CliRunner().invoke(command, [*options, "--check", "--format", "json"])


def codes(*options: str) -> dict[str, list[str]]:
    files = json.loads(run(*options).stdout)["files"]
    return {file["path"]: [one["code"] for one in file["findings"]] for file in files if file["path"].endswith(".py")}


def test_the_nearest_wins(tree: Path) -> None:
    own = {"./a.py": ["DP101"], "./plain/a.py": ["DP101"], "./lib/a.py": ["DP104"], "./lib/deep/a.py": ["DP104"]}
    assert codes(".") == own
    assert codes("lib/deep/a.py", "a.py") == {"lib/deep/a.py": ["DP104"], "a.py": ["DP101"]}


def test_from_below_it_is_the_same(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "plain")
    assert codes("../lib", ".") == {"../lib/a.py": ["DP104"], "../lib/deep/a.py": ["DP104"], "./a.py": ["DP101"]}
    monkeypatch.chdir(tree / "lib")
    assert codes(".", "../a.py", "--target", "npu")["../a.py"] == ["DP101"]


def test_options_go_over_all_of_them(tree: Path) -> None:
    assert set(map(tuple, codes(".", "--ignore", "DP2").values())) == {("DP104", "DP101")}
    assert set(map(tuple, codes(".", "--select", "DP104").values())) == {("DP104",)}
    assert set(map(tuple, codes(".", "--config", "lib/pyproject.toml", "--target", "npu").values())) == {("DP104",)}
    assert set(map(tuple, codes(".", "--no-config", "--target", "npu").values())) == {("DP104", "DP101")}


def test_patterns_are_relative_to_their_own_folder(tree: Path) -> None:
    (tree / "lib" / "pyproject.toml").write_text(
        '[tool.diffsynth-port]\nexclude = ["/deep"]\n\n[tool.diffsynth-port.per-file-ignores]\n"/a.py" = ["DP104"]\n'
    )
    assert codes(".") == {"./a.py": ["DP101"], "./plain/a.py": ["DP101"], "./lib/a.py": ["DP101"]}
    assert codes(".", "--exclude", "lib") == {"./a.py": ["DP101"], "./plain/a.py": ["DP101"]}


def test_rules_of_its_own_and_unsafe_fixes(tree: Path) -> None:
    (tree / "lib" / "pyproject.toml").write_text(
        "[tool.diffsynth-port]\nunsafe-fixes = false\n\n[tool.diffsynth-port.rules.X001]\n"
        'rename-call = "our.old"\nto = "our.new"\n'
    )
    for folder in (".", "lib"):
        (tree / folder / "a.py").write_text('import our\nour.old(1)\nbuild("cuda")\n')
    found = codes(".")
    assert (found["./a.py"], found["./lib/a.py"]) == (["DP101"], ["X001", "DP101"])
    assert CliRunner().invoke(command, [".", "--no-record"]).exit_code == 0
    assert (tree / "a.py").read_text() == 'import our\nour.old(1)\nbuild("npu")\n'
    assert (tree / "lib" / "a.py").read_text() == 'import our\nour.new(1)\nbuild("cuda")\n'


def test_several_processes_go_by_them_too(tree: Path) -> None:
    for number in range(60):
        (tree / "lib" / f"b{number}.py").write_text(TEXT)
    found = codes(".", "-j", "2")
    assert {tuple(own) for path, own in found.items() if path.startswith("./lib/")} == {("DP104",)}


def test_what_the_cache_remembers_goes_with_them(tree: Path, tmp_path: Path) -> None:
    (tree / "lib" / "a.py").write_text("import torch\ntorch.cuda.nvtx.mark('a')\n")
    for path in tree.rglob("*"):
        os.utime(path, ns=(10**18, 10**18))
    cache = ("--cache-dir", str(tmp_path / "cache"))
    assert codes(".", *cache)["./lib/a.py"] == ["DP201"] == codes(".", *cache)["./lib/a.py"]
    (tree / "lib" / "pyproject.toml").write_text('[tool.diffsynth-port]\nignore = ["DP201"]\n')
    assert codes(".", *cache)["./lib/a.py"] == []
    (tree / "lib" / "pyproject.toml").unlink()
    assert codes(".", *cache)["./lib/a.py"] == ["DP201"]


def test_the_target_may_be_that_of_what_is_ported(tree: Path) -> None:
    (tree / "pyproject.toml").unlink()
    assert run(".").exit_code == 2
    (tree / "lib" / "pyproject.toml").write_text('[tool.diffsynth-port]\ntarget = "xpu"\nignore = ["DP101"]\n')
    assert codes("lib") == {"lib/a.py": ["DP104"], "lib/deep/a.py": ["DP104"]}


def test_two_targets_in_one_run_are_refused_and_an_option_settles_it(tree: Path) -> None:
    (tree / "lib" / "pyproject.toml").write_text('[tool.diffsynth-port]\ntarget = "xpu"\n')
    done = run(".")
    assert done.exit_code == 2
    assert "lib/pyproject.toml: target is xpu, and the run's is npu" in " ".join(done.output.split())
    assert (tree / "a.py").read_text() == TEXT
    assert run(".", "--target", "npu").exit_code == 1


def test_a_mistake_in_one_stops_the_run_and_names_it(tree: Path) -> None:
    (tree / "lib" / "pyproject.toml").write_text("[tool.diffsynth-port]\nignores = []\n")
    done = run(".")
    assert done.exit_code == 2
    assert "lib/pyproject.toml: [tool.diffsynth-port] unknown key" in " ".join(done.output.split())


def test_standard_input_has_those_of_its_name(tree: Path) -> None:
    options = ["-", "--stdin-filename", "lib/new.py"]
    assert CliRunner().invoke(command, options, input=TEXT).stdout == TEXT.replace("torch.cuda", "torch.npu")
