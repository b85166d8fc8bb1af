"""Every command of the README, and of the recipe for continuous integration, is run.

Here, by another test that is named, or with `-m slow` (`make test-readme`). A command that is new in the README is run
here from then on, and has to end well. One that cannot be run here is entered below with the reason.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from .conftest import Environment

#: Not run here, and why.
LEFT_OUT = {
    "make port": "tests/packaging/test_commands.py runs it in a fresh copy",
    "make test": "runs this test",
    "make test TESTS=tests/porter": "runs tests, as `make test` does",
    "diffsynth-port verify": "names a command; with its paths it is run below",
    "diffsynth-port --npu-scripts": "names an option; tests/porter/shell runs it",
    "NPU_COMPAT_FALLBACK=cpu python -m npu_compat run examples/wanvideo/model_inference/Wan2.1-T2V-1.3B.py": (
        "needs the published weights and hours; `diffsynth-port verify` runs the same, small, as its reference"
    ),
    "bash examples/wanvideo/model_training/lora/Wan2.1-T2V-1.3B.sh": (
        "needs the published weights; tests/porter/verify/test_launch_scripts.py runs it small"
    ),
}

#: Need a network, or minutes: run in this order by `-m slow`, in a new virtual environment, without constraints.
SLOW = [
    "pip install '.[pipeline]'",
    "diffsynth-port verify examples/wanvideo/model_inference",
    "pip install '.[train]'",
    "python -m script_trial dataset data/example_video_dataset",
    "diffsynth-port verify examples/wanvideo/model_training/lora/Wan2.1-T2V-1.3B.sh",
]

#: What ends otherwise than with 0, and what it has to say then.
ENDS_WITH = {
    "diffsynth-port examples/ --target npu --diff": (1, '+    device="npu",'),
    "diffsynth-port train.py --target npu": (0, "DP203 note the package flash_attn is made for NVIDIA devices"),
    "python -m npu_emulator run rope.py": (1, "Tensor self not implemented for DT_DOUBLE"),
    "python examples/wanvideo/model_inference/Wan2.1-T2V-1.3B.py": (1, "UnknownDeviceError: device 'cuda' is not on"),
}

#: The machines that commands are meant for.
MACHINE = {
    "python -m npu_compat run train.py": {"NPU_EMULATOR": "1"},
    "python examples/wanvideo/model_inference/Wan2.1-T2V-1.3B.py": {"CUDA_VISIBLE_DEVICES": ""},
}

#: The readers' own scripts.
SCRIPTS = {
    "train.py": "import torch\n\ntry:\n    import flash_attn\nexcept ImportError:\n    flash_attn = None\n"
    "weights = torch.ones(4, device='cuda')\nprint('trained on', weights.device)\n",
    "ported.py": "import torch\nprint(torch.npu.device_count(), torch.npu.mem_get_info()[1] >> 30)\n",
    "rope.py": "import torch\ntorch.ones(4, dtype=torch.float64, device='npu').repeat_interleave(2)\n",
}

_COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )*(?:make|pip|python|diffsynth-port|bash|git|pre-commit) \S.*")


def commands_of(page: Path) -> list[str]:
    """The commands of shell blocks, those after a "$ ", and those in the running text and its tables, once each."""
    text = page.read_text(encoding="utf-8")
    found = []
    for piece in re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE):
        if piece.startswith("```shell\n"):
            found += piece.splitlines()[1:-1]
        elif piece.startswith("```"):
            found += [line[2:] for line in piece.splitlines() if line.startswith("$ ")]
        else:
            found += [span for span in re.findall(r"`([^`\n]+)`", piece) if _COMMAND.fullmatch(span)]
    bare = [re.sub(r"\s+#.*", "", line).strip() for line in found]
    return list(dict.fromkeys(command for command in bare if command))


def test_both_readmes_have_the_same_commands(root: Path) -> None:
    assert set(commands_of(root / "README.md")) == set(commands_of(root / "README.zh.md"))


def test_what_is_listed_here_is_in_the_readme(root: Path) -> None:
    assert {*LEFT_OUT, *SLOW, *ENDS_WITH, *MACHINE} <= set(commands_of(root / "README.md"))


def test_no_command_installs_a_name_that_no_index_has(root: Path) -> None:
    pages = [root / "README.md", root / "README.zh.md", *root.glob("docs/**/*.md"), root / "CONTRIBUTING.md"]
    told = {page.name: re.findall(r"pip install [\"']?diffsynth-port.*", page.read_text("utf-8")) for page in pages}
    assert not any(told.values()), told


class Shell:
    """Runs commands as a reader does, in a copy of the checkout, with an environment's programs first on the path."""

    def __init__(self, checkout: Path, folder: Path, programs: Path, env: dict[str, str]) -> None:
        self.folder = Path(shutil.copytree(checkout, folder, symlinks=True))
        inherited = {name: value for name, value in env.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        self.env = {
            **inherited,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "XDG_STATE_HOME": str(folder.parent / "state"),
        }

    def run(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        for name, text in SCRIPTS.items():
            (self.folder / name).write_text(text)
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env={**self.env, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture(scope="module")
def shell(
    checkout: Path, wheels: dict[str, Path], offline_pip: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Shell:
    """An environment with this one's libraries and the pipelines, where pip finds the wheelhouse alone."""
    folder = tmp_path_factory.mktemp("readme")
    environment = Environment(folder / "environment")
    pip = environment.bin / "pip"
    pip.write_text(
        f"#!{environment.bin / 'python'}\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"
    )
    pip.chmod(0o755)
    environment.install(wheels["diffsynth-port-pipelines"])
    return Shell(checkout, folder / "clone", environment.bin, offline_pip)


def test_its_commands_run(shell: Shell, root: Path) -> None:
    """In the README's order, each after those before it."""
    run = [command for command in commands_of(root / "README.md") if command not in {*LEFT_OUT, *SLOW}]
    assert run[0] == "pip install ."
    for command in run:
        done = shell.run(command, **MACHINE.get(command, {}))
        status, words = ENDS_WITH.get(command, (0, ""))
        assert done.returncode == status, f"$ {command}\n{done.stdout}"
        assert words in done.stdout, f"$ {command}\n{done.stdout}"
    for path in (root / "examples").rglob("*.py"):  # ported in place, and undone
        assert (shell.folder / path.relative_to(root)).read_bytes() == path.read_bytes()


def recipe_of(root: Path) -> list[str]:
    """The commands of the workflow in docs/install.md: fetch and install, port, verify."""
    (workflow,) = re.findall(r"```yaml\n(.*?)```", (root / "docs" / "install.md").read_text("utf-8"), re.DOTALL)
    assert len(workflow.splitlines()) == 10
    steps = yaml.safe_load(workflow)["jobs"]["npu"]["steps"]
    return [step["run"] for step in steps if "run" in step]


def scripts_of_a_user(shell: Shell) -> None:
    """What the recipe is for: a repository with a folder `scripts`."""
    (shell.folder / "scripts").mkdir()
    shutil.copy(
        shell.folder / "examples" / "wanvideo" / "model_inference" / "Wan2.1-T2V-1.3B.py", shell.folder / "scripts"
    )


def test_the_recipe_for_continuous_integration_ports(shell: Shell, root: Path) -> None:
    _, port, _ = recipe_of(root)
    scripts_of_a_user(shell)
    done = shell.run(port)
    assert done.returncode == 0, done.stdout
    assert 'device="npu"' in (shell.folder / "build" / "npu" / "Wan2.1-T2V-1.3B.py").read_text()
    (shell.folder / "scripts" / "bad.py").write_text("import torch\ntorch.cuda.nvtx.mark('x')\n")
    done = shell.run(port)
    assert done.returncode == 1
    assert "::error file=scripts/bad.py,line=2" in done.stdout


@pytest.mark.slow
def test_what_it_installs_from_an_index_proves_the_examples(checkout: Path, root: Path, tmp_path: Path) -> None:
    """Needs a network, and some minutes; `make test-readme` shows what the commands print."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "environment")], check=True)
    env = {**os.environ, "PIP_CONSTRAINT": os.devnull}  # whatever this machine's pip is told: the newest of everything
    shell = Shell(checkout, tmp_path / "clone", tmp_path / "environment" / "bin", env)
    fetched = tmp_path / "fetched"  # what the recipe clones is this checkout, as a commit
    shutil.copytree(checkout, fetched, symlinks=True)
    commit = "git init -q . && git add -A && git -c user.name=x -c user.email=x@y commit -qm x --allow-empty"
    subprocess.run(["bash", "-c", commit], cwd=fetched, env=env, check=True, capture_output=True)
    scripts_of_a_user(shell)
    for command in [*SLOW, *recipe_of(root)]:
        done = shell.run(command, DIFFSYNTH_PORT=str(fetched), COMMIT="HEAD")
        print(f"$ {command}\n{done.stdout[-4000:]}")
        assert done.returncode == 0
    print(shell.run("python -c 'import torch; print(torch.__version__)'").stdout)
