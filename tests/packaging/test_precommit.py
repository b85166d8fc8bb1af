"""This checkout's hooks in a scratch git repository, installed by pre-commit itself, without a network."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

CUDA_SCRIPT = 'import torch\n\nmodel = torch.nn.Linear(4, 4).to(device="cuda")\n'
NPU_SCRIPT = CUDA_SCRIPT.replace("cuda", "npu")

CONFIG = """\
repos:
  - repo: {repo}
    rev: {rev}
    hooks:
      - id: {hook}
        args: {args}
"""


class Repository:
    """A git repository; every command runs in it, in an environment without the user's git settings."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        identity = {f"GIT_{role}_{what}": "somebody" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self.env = env | identity | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        folder.mkdir(exist_ok=True)
        self.git("init", "--quiet")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True)

    def git(self, *arguments: str) -> str:
        done = self.run("git", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def commit(self) -> subprocess.CompletedProcess[str]:
        self.git("add", "--all")
        return self.run("git", "commit", "--message", "a change")

    def pre_commit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "pre_commit", *arguments)

    def script(self) -> str:
        return (self.folder / "script.py").read_text()


@pytest.fixture(scope="module")
def env(offline_pip: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """pre-commit keeps what it installs here, so one installation serves every test of this file."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    return offline_pip | {"PRE_COMMIT_HOME": str(tmp_path_factory.mktemp("pre-commit-home"))}


@pytest.fixture(scope="module")
def hooks(checkout: Path, env: dict[str, str]) -> Repository:
    """This checkout, committed: pre-commit installs hooks from git repositories only."""
    repository = Repository(checkout, env)
    assert repository.commit().returncode == 0
    return repository


@pytest.fixture
def scratch(hooks: Repository, env: dict[str, str], tmp_path: Path) -> Callable[..., Repository]:
    """Makes a user's repository that holds one CUDA script and uses one of our hooks."""

    def make(hook: str, args: str = "[]") -> Repository:
        repository = Repository(tmp_path / "scratch", env)
        rev = hooks.git("rev-parse", "HEAD").strip()
        config = CONFIG.format(repo=hooks.folder, rev=rev, hook=hook, args=args)
        (repository.folder / ".pre-commit-config.yaml").write_text(config)
        (repository.folder / "script.py").write_text(CUDA_SCRIPT)
        repository.git("add", "--all")
        return repository

    return make


def test_the_readmes_configuration_rewrites_and_fails_then_passes(
    scratch: Callable[..., Repository], hooks: Repository, root: Path
) -> None:
    repository = scratch("diffsynth-port")
    pages = [(root / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md")]
    config, in_chinese = (block for page in pages for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    assert yaml.safe_load(config) == yaml.safe_load(in_chinese)
    placeholders = {"/path/to/diffsynth-port": str(hooks.folder), "HEAD_OF_THE_CLONE": hooks.git("rev-parse", "HEAD")}
    for placeholder, value in placeholders.items():
        assert config.count(placeholder) == 1
        config = config.replace(placeholder, value.strip())
    (repository.folder / ".pre-commit-config.yaml").write_text(config, encoding="utf-8")
    repository.git("add", "--all")
    first = repository.pre_commit("run", "--all-files")
    assert first.returncode == 1, first.stdout + first.stderr
    assert "files were modified by this hook" in first.stdout
    assert repository.script() == NPU_SCRIPT

    second = repository.pre_commit("run", "--all-files")
    assert second.returncode == 0, second.stdout + second.stderr
    assert repository.script() == NPU_SCRIPT


def test_commit_fails_the_first_time_and_passes_the_second(scratch: Callable[..., Repository]) -> None:
    repository = scratch("diffsynth-port")
    assert repository.pre_commit("install").returncode == 0

    refused = repository.commit()
    assert refused.returncode == 1
    assert "files were modified by this hook" in refused.stderr
    assert repository.script() == NPU_SCRIPT
    assert repository.run("git", "rev-parse", "--verify", "HEAD").returncode != 0

    accepted = repository.commit()
    assert accepted.returncode == 0, accepted.stderr
    assert repository.git("show", "HEAD:script.py") == NPU_SCRIPT


def test_args_choose_another_target(scratch: Callable[..., Repository]) -> None:
    repository = scratch("diffsynth-port", args="[--target, xpu]")
    assert repository.pre_commit("run", "--all-files").returncode == 1
    assert repository.script() == CUDA_SCRIPT.replace("cuda", "xpu")


def test_check_fails_and_changes_nothing(scratch: Callable[..., Repository]) -> None:
    repository = scratch("diffsynth-port-check")
    for _ in range(2):
        checked = repository.pre_commit("run", "--all-files")
        assert checked.returncode == 1, checked.stdout + checked.stderr
        assert "exit code: 1" in checked.stdout
        assert "files were modified" not in checked.stdout
        assert repository.script() == CUDA_SCRIPT

    (repository.folder / "script.py").write_text(NPU_SCRIPT)
    assert repository.pre_commit("run", "--all-files").returncode == 0


def test_shell_scripts_and_configurations_are_ported(scratch: Callable[..., Repository]) -> None:
    repository = scratch("diffsynth-port")
    (repository.folder / "run").write_text("#!/bin/bash\nCUDA_VISIBLE_DEVICES=0 python script.py\n")
    (repository.folder / "run").chmod(0o755)
    (repository.folder / "c.yml").write_text("compute_environment: X\ndistributed_type: MULTI_GPU\n")
    repository.git("add", "--all")
    assert repository.pre_commit("run", "--all-files").returncode == 1
    assert "ASCEND_RT_VISIBLE_DEVICES=0" in (repository.folder / "run").read_text()
    assert "MULTI_NPU" in (repository.folder / "c.yml").read_text()


@pytest.mark.parametrize("hook", ["diffsynth-port", "diffsynth-port-check"])
def test_files_of_other_kinds_are_not_looked_at(scratch: Callable[..., Repository], hook: str) -> None:
    repository = scratch(hook)
    repository.git("rm", "--quiet", "-f", "--cached", ".pre-commit-config.yaml")  # it is YAML itself
    repository.git("rm", "--quiet", "-f", "script.py")
    (repository.folder / "notes.txt").write_text('device="cuda"\n')
    repository.git("add", "notes.txt")
    skipped = repository.pre_commit("run", "--all-files")
    assert skipped.returncode == 0
    assert "no files to check" in skipped.stdout
