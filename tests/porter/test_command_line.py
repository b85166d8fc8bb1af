"""The command as its users meet it: a process, its output and its exit status."""

from __future__ import annotations

import json
import os
import pty
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, Run

CUDA = b'import torch\n\nmodel = Model().to("cuda")\n'
NPU = b'import torch\n\nmodel = Model().to("npu")\n'
LACKING = b'import torch\n\ntorch.cuda.nvtx.range_push("step")\n'
NOTHING = b'print("hello")\n'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "port.py").write_bytes(CUDA)
    (folder / "clean.py").write_bytes(NOTHING)
    return folder


def test_rewrites_in_place_and_says_so(run: Run, tree: Path) -> None:
    done = run("scripts", "--target", "npu")
    assert done.returncode == 0, done.stderr
    assert (tree / "port.py").read_bytes() == NPU
    assert (tree / "clean.py").read_bytes() == NOTHING
    assert b"1 file rewritten" in done.stdout


@pytest.mark.parametrize("words", [["--check", "--target", "npu", "."], ["verify", "a.py"], ["server"]])
def test_a_current_folder_that_is_gone_is_one_error(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "gone").mkdir()
    program = "import os, sys; os.rmdir(os.getcwd()); from porter.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=tmp_path / "gone",
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    (said,) = done.stderr.decode().splitlines()
    assert said.startswith("diffsynth-port: the current folder is gone or cannot be read (No such file or directory): ")


def test_a_second_run_has_nothing_to_do(run: Run, tree: Path) -> None:
    run("scripts", "--target", "npu")
    before = (tree / "port.py").stat().st_mtime_ns
    assert run("scripts", "--target", "npu").returncode == 0
    assert (tree / "port.py").stat().st_mtime_ns == before


def test_check_changes_nothing_and_fails(run: Run, tree: Path) -> None:
    done = run("scripts", "--target", "npu", "--check")
    assert done.returncode == 1
    assert (tree / "port.py").read_bytes() == CUDA
    assert b"scripts/port.py:3:20: DP101" in done.stdout
    (tree / "port.py").write_bytes(NPU)
    assert run("scripts", "--target", "npu", "--check").returncode == 0


def test_diff_prints_a_unified_diff(run: Run, tree: Path) -> None:
    done = run("scripts", "--target", "npu", "--diff")
    assert done.returncode == 1
    assert (tree / "port.py").read_bytes() == CUDA
    assert done.stdout.decode().splitlines() == [
        "--- a/scripts/port.py",
        "+++ b/scripts/port.py",
        "@@ -1,3 +1,3 @@",
        " import torch",
        " ",
        '-model = Model().to("cuda")',
        '+model = Model().to("npu")',
    ]


def test_diff_applies_with_patch(run: Run, tree: Path) -> None:
    (tree / "no_newline.py").write_bytes(CUDA.rstrip(b"\n"))
    diff = run("scripts", "--target", "npu", "--diff").stdout
    subprocess.run(["git", "apply", "-p1"], input=diff, cwd=tree.parent, check=True)
    assert (tree / "port.py").read_bytes() == NPU
    assert (tree / "no_newline.py").read_bytes() == NPU.rstrip(b"\n")


def test_diff_of_the_working_directory_applies_with_git(run: Run, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diff = run(".", "./scripts/../scripts/clean.py", "--target", "npu", "--diff").stdout
    assert diff.startswith(b"--- a/scripts/port.py\n+++ b/scripts/port.py\n")
    subprocess.run(["git", "apply"], input=diff, cwd=tree.parent, check=True)
    assert (tree / "port.py").read_bytes() == NPU


def test_a_copy_never_replaces_an_input(run: Run, tmp_path: Path) -> None:
    for folder, text in (("a", CUDA), ("b", CUDA)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.py").write_bytes(text)
    (tmp_path / "b" / "y.py").write_bytes(CUDA)
    for paths in (["a/x.py"], ["b/y.py", "a/x.py"], ["b/x.py", "a/x.py"]):
        done = run(*paths, "--target", "npu", "--output", "a")
        assert done.returncode == 2
        assert b"Error: --output a: the copy of " in done.stderr
        assert not (tmp_path / "a" / "y.py").exists()
    assert (tmp_path / "a" / "x.py").read_bytes() == CUDA


def test_output_writes_a_copy_of_the_whole_tree(run: Run, tree: Path) -> None:
    (tree / "data").mkdir()
    (tree / "data" / "prompts.txt").write_text("cuda", encoding="utf-8")
    (tree / "port.py").chmod(0o755)
    done = run("scripts", "--target", "npu", "--output", "out")
    assert done.returncode == 0, done.stderr
    assert b" The copy is in out. " in done.stdout
    assert (tree / "port.py").read_bytes() == CUDA
    out = tree.parent / "out"
    assert (out / "port.py").read_bytes() == NPU
    assert (out / "clean.py").read_bytes() == NOTHING
    assert (out / "data" / "prompts.txt").read_text(encoding="utf-8") == "cuda"
    assert stat.S_IMODE((out / "port.py").stat().st_mode) == 0o755


def test_a_copy_that_cannot_be_written_is_not_claimed(run: Run, tree: Path) -> None:
    (tree.parent / "file").write_bytes(b"")
    done = run("scripts", "--target", "npu", "--output", "file/out")
    assert done.returncode == 2
    assert b"error: its copy file/out/port.py was not written: " in done.stdout
    assert b"There is no copy in file/out. " in done.stdout
    assert b"[Errno" not in done.stdout
    (tree.parent / "out" / "port.py").mkdir(parents=True)
    done = run("scripts", "--target", "npu", "--output", "out")
    assert done.returncode == 2
    assert b" The copy is in out, without 1 file. 1 file could not be ported." in done.stdout


def test_what_is_read_as_python_for_want_of_a_known_ending_says_so(run: Run, tmp_path: Path) -> None:
    for name in ("notes.txt", "broken.py"):
        (tmp_path / name).write_bytes(b"buy a cuda card\n")
    done = run("notes.txt", "broken.py", "--target", "npu")
    assert done.returncode == 2
    notes, broken, _ = done.stdout.splitlines()
    assert b"; it was read as Python, since its name tells no other kind (.ipynb, .md, " in notes
    assert b"read as Python" not in broken


def test_a_folder_without_files_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("empty", "--target", "npu").stdout.strip() == b"No files to port in empty."


def test_two_copies_never_take_the_same_place(run: Run, tmp_path: Path) -> None:
    for folder, text in (("a", CUDA), ("b", NOTHING)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.py").write_bytes(text)
    for paths in (["a", "b"], ["a/x.py", "b/x.py"]):
        done = run(*paths, "--target", "npu", "--output", "out")
        assert done.returncode == 2
        assert b"b/x.py: error: its copy would overwrite that of a/x.py" in done.stdout
        assert (tmp_path / "out" / "x.py").read_bytes() == NPU


def test_an_error_needs_a_person(run: Run, tree: Path) -> None:
    (tree / "nvtx.py").write_bytes(LACKING)
    done = run("scripts", "--target", "npu")
    assert done.returncode == 1
    assert b"scripts/nvtx.py:3:1: DP201 error" in done.stdout
    assert (tree / "port.py").read_bytes() == NPU
    assert run("scripts", "--target", "npu", "--exit-zero").returncode == 0


def test_a_build_of_torch_npu(run: Run, tree: Path) -> None:
    (tree / "port.py").write_bytes(b"import torch\n\ntorch.cuda._sleep(1000)\n")
    done = run("scripts", "--target", "npu", "--check", "--torch-npu", "2.7.1.post4", "--select", "DP209")
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"port.py:3:1: DP209 error torch_npu 2.7.1.post4 has no torch.npu._sleep" in done.stdout
    for builds in (["--torch-npu", "2.7.1.post11"], []):
        assert run("scripts", "--target", "npu", "--check", "--select", "DP209", *builds).returncode == 0


def test_a_later_post_release_is_taken_as_the_newest_of_its_line(run: Run, tree: Path) -> None:
    asked = ("scripts", "--target", "npu", "--check", "--torch-npu", "2.7.1.post12", "--format", "json")
    done = run(*asked)
    says = "note: torch_npu 2.7.1.post12 is not known; taken as 2.7.1.post11, the last one before it that is\n"
    assert done.stderr.decode() == says
    assert json.loads(done.stdout)["torch_npu"] == "2.7.1.post11"
    assert run(*asked, "--quiet").stderr == b""


def test_fail_on_chooses_what_fails(run: Run, tree: Path) -> None:
    (tree / "port.py").write_bytes(b'pipe(prompt, rand_device="npu")\n')
    assert run("scripts", "--target", "npu").returncode == 0
    assert run("scripts", "--target", "npu", "--fail-on", "note").returncode == 1


def test_what_cannot_be_done_exits_with_2_and_the_rest_goes_on(run: Run, tree: Path) -> None:
    (tree / "broken.py").write_bytes(b'x = ("cuda"\n')
    (tree / "bytes.py").write_bytes(b'x = "cuda" # \xff\n')
    done = run("scripts", "--target", "npu")
    assert done.returncode == 2
    assert (tree / "port.py").read_bytes() == NPU
    assert (tree / "broken.py").read_bytes() == b'x = ("cuda"\n'
    for name in (b"scripts/broken.py", b"scripts/bytes.py"):
        assert done.stdout.count(name) == 1
    assert b"Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("options", [(), ("--output", "out"), ("--npu-scripts",)])
def test_nothing_is_written_where_a_path_leads_nowhere(run: Run, tree: Path, options: tuple[str, ...]) -> None:
    done = run("scripts", "missing.py", "--target", "npu", *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.endswith(b"Error: missing.py: no such file or folder; nothing was written\n")
    assert (tree / "port.py").read_bytes() == CUDA
    assert not (tree.parent / "out").exists()


def test_a_check_tells_of_a_path_that_leads_nowhere_among_the_rest(run: Run, tree: Path) -> None:
    done = run("scripts", "missing/", "--target", "npu", "--check")
    assert done.returncode == 2
    assert b"missing/: error: no such file or folder" in done.stdout
    assert b"scripts/port.py" in done.stdout


@pytest.mark.parametrize("arguments", [("verfy", "scripts", "--check"), ("--target", "npu", "verify", "scripts")])
def test_a_misspelt_command_is_told(run: Run, tree: Path, arguments: tuple[str, ...]) -> None:
    done = run(*arguments, *(() if "--target" in arguments else ("--target", "npu")))
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"no such file or folder; did you mean the command verify? It comes before all else:" in done.stderr
    assert (tree / "port.py").read_bytes() == CUDA


def test_a_read_only_file_stays(run: Run, tree: Path) -> None:
    (tree / "port.py").chmod(0o444)
    done = run("scripts", "--target", "npu")
    assert done.returncode == 2
    assert b"read-only" in done.stdout
    assert (tree / "port.py").read_bytes() == CUDA


def test_undo_gives_back_the_bytes(run: Run, tree: Path) -> None:
    shutil.copytree(ROOT / "examples", tree / "examples")
    originals = {path: path.read_bytes() for path in sorted(tree.rglob("*.py"))}
    assert run("scripts", "--target", "npu").returncode == 0
    assert all(path.read_bytes() != old for path, old in originals.items() if b'"cuda"' in old)
    assert run("scripts", "--target", "cuda").returncode == 0
    assert {path: path.read_bytes() for path in originals} == originals


def test_undo_reports_a_file_that_names_both(run: Run, tree: Path) -> None:
    both = b'a = x.to("npu")\nb = y.to("cuda")\n'
    (tree / "port.py").write_bytes(both)
    done = run("scripts", "--target", "cuda")
    assert done.returncode == 1
    assert b"DP109" in done.stdout
    assert (tree / "port.py").read_bytes() == both


def test_from_says_which_accelerator_to_undo(run: Run, tree: Path) -> None:
    before = b'device = "cuda" if fast else "mps"\n'
    (tree / "port.py").write_bytes(before)
    run("scripts", "--target", "npu")
    ported = (tree / "port.py").read_bytes()
    assert run("scripts", "--target", "cuda", "--from", "xpu").returncode == 0
    assert (tree / "port.py").read_bytes() == ported != before
    assert run("scripts", "--target", "cuda", "--from", "npu").returncode == 0
    assert (tree / "port.py").read_bytes() == before


def test_standard_input(run: Run) -> None:
    done = run("-", "--target", "npu", stdin=CUDA)
    assert (done.returncode, done.stdout) == (0, NPU)
    broken = run("-", "--target", "npu", "--stdin-filename", "mine.py", stdin=b'x = ("cuda"\n')
    assert (broken.returncode, broken.stdout) == (2, b'x = ("cuda"\n')
    assert b"mine.py" in broken.stderr


def test_standard_input_may_be_a_notebook(run: Run) -> None:
    cell = {"cell_type": "code", "source": ['x.to("cuda")'], "metadata": {}, "outputs": [], "execution_count": None}
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    done = run("-", "--target", "npu", "--stdin-filename", "a.ipynb", stdin=json.dumps(notebook).encode())
    assert json.loads(done.stdout)["cells"][0]["source"] == ['x.to("npu")']


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["scripts"], "no target; say --target npu"),
        (["--target", "npu"], "no PATHS given"),
        (["scripts", "--target", "gpu"], "'gpu' is not one of"),
        (["scripts", "--target", "npu", "--hardware", "atlas-a9"], "unknown hardware 'atlas-a9'"),
        (["scripts", "--target", "xpu", "--hardware", "atlas-a2"], "only npu has"),
        (["scripts", "--target", "npu", "--torch-npu", "2.15.0"], "unknown torch_npu '2.15.0'; known: 2.1.0.post17, "),
        (["scripts", "--target", "npu", "--torch-npu", ""], "unknown torch_npu ''; known: "),
        (["scripts", "--target", "xpu", "--torch-npu", "2.7.1"], "it goes with --target npu, not xpu"),
        (["scripts", "--target", "npu", "--select", "DP999"], "DP999"),
        (["scripts", "--target", "npu", "--output", "scripts"], "is the input itself"),
        (["scripts/port.py", "--target", "npu", "--output", "scripts"], "the copy of scripts/port.py would replace"),
        (["./scripts/port.py", "--target", "npu", "--output", "scripts/."], "name another folder"),
        (["scripts", "--target", "npu", "--output", "out", "--check"], "does not go with"),
        (["scripts", "-", "--target", "npu"], "goes alone"),
        (["scripts/port.py", "--target", "npu", "--npu-scripts"], "is for shell scripts; scripts/port.py is none"),
        (["scripts", "--target", "npu", "--from", "xpu"], "goes with --target cuda"),
        (["scripts", "--target", "npu", "--jobs", "0"], "0 is not in the range"),
        (["--explain", "DP999"], "no rule is called 'DP999'"),
        (["scripts", "--targte", "npu"], "--target"),
        (["scripts", "--target", "npu", "--config", "none.toml"], "none.toml"),
    ],
)
def test_bad_options_get_one_clear_error(run: Run, tree: Path, arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert says in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert (tree / "port.py").read_bytes() == CUDA


def test_select_and_ignore(run: Run, tree: Path) -> None:
    (tree / "port.py").write_bytes(b'torch.cuda.empty_cache()\nx.to("cuda")\n')
    run("scripts", "--target", "npu", "--select", "DP101")
    assert (tree / "port.py").read_bytes() == b'torch.cuda.empty_cache()\nx.to("npu")\n'
    run("scripts", "--target", "npu", "--ignore", "torch-namespace")
    assert (tree / "port.py").read_bytes() == b'torch.cuda.empty_cache()\nx.to("npu")\n'


def test_settings_come_from_pyproject(run: Run, tree: Path) -> None:
    (tree.parent / "pyproject.toml").write_text(
        '[tool.diffsynth-port]\ntarget = "npu"\nexclude = ["scripts/old/"]\n'
        '[tool.diffsynth-port.per-file-ignores]\n"scripts/keep.py" = ["DP101"]\n',
        encoding="utf-8",
    )
    (tree / "old").mkdir()
    for name in ("old/a.py", "keep.py"):
        (tree / name).write_bytes(CUDA)
    assert run("scripts").returncode == 0
    assert (tree / "port.py").read_bytes() == NPU
    assert (tree / "old/a.py").read_bytes() == CUDA
    assert (tree / "keep.py").read_bytes() == CUDA


def test_baseline_accepts_todays_findings(run: Run, tree: Path) -> None:
    (tree / "nvtx.py").write_bytes(LACKING)
    assert run("scripts", "--target", "npu", "--write-baseline", "--baseline", "accepted.json").returncode == 0
    assert (tree / "port.py").read_bytes() == CUDA
    assert run("scripts", "--target", "npu", "--baseline", "accepted.json").returncode == 0
    (tree / "nvtx.py").write_bytes(LACKING + b'torch.cuda.nvtx.range_push("another")\n')
    assert run("scripts", "--target", "npu", "--baseline", "accepted.json").returncode == 1


def test_a_baseline_that_cannot_be_read_keeps_the_files_as_they_are(run: Run, tree: Path) -> None:
    done = run("scripts", "--target", "npu", "--baseline", "nowhere.json")
    assert done.returncode == 2
    assert b"nowhere.json: the baseline cannot be read" in done.stderr
    assert (tree / "port.py").read_bytes() == CUDA


def test_json_describes_every_finding(run: Run, tree: Path) -> None:
    done = run("scripts", "--target", "npu", "--check", "--format", "json")
    content = json.loads(done.stdout)
    files = {file["path"]: file for file in content["files"]}
    (finding,) = files["scripts/port.py"]["findings"]
    assert (finding["code"], finding["line"], finding["column"]) == ("DP101", 3, 20)
    assert done.stderr == b""


@pytest.mark.parametrize("format_", ["sarif", "github"])
def test_other_formats(run: Run, tree: Path, format_: str) -> None:
    (tree / "nvtx.py").write_bytes(LACKING)
    done = run("scripts", "--target", "npu", "--format", format_)
    assert done.returncode == 1
    if format_ == "sarif":
        assert json.loads(done.stdout)["version"] == "2.1.0"
    else:
        assert b"::error file=scripts/nvtx.py,line=3," in done.stdout


def test_quiet_prints_errors_only(run: Run, tree: Path) -> None:
    assert run("scripts", "--target", "npu", "--quiet").stdout == b""
    (tree / "nvtx.py").write_bytes(LACKING)
    assert b"DP201" in run("scripts", "--target", "npu", "--quiet").stdout


def test_lists_and_explains_its_rules(run: Run) -> None:
    listed = run("--list-rules").stdout.decode()
    assert "DP101  device-string" in listed
    page = run("--explain", "DP103").stdout.decode()
    for part in ("What it does", "Why", "Before", "After", "get_device_name()"):
        assert part in page
    assert run("--explain", "mem-get-info").stdout.decode() == page


def test_several_processes_do_what_one_does(run: Run, tmp_path: Path) -> None:
    for folder in ("one", "many"):
        for number in range(60):
            path = tmp_path / folder / f"{number:02}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(CUDA if number % 3 else LACKING)
    one = run("one", "--target", "npu", "--jobs", "1")
    many = run("many", "--target", "npu", "--jobs", "2")
    assert one.returncode == many.returncode == 1
    assert one.stdout.replace(b"one/", b"many/") == many.stdout
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "many" / path.name).read_bytes()


def test_a_file_with_nothing_to_do_imports_no_libcst(tree: Path) -> None:
    (tree / "port.py").write_bytes(NPU)
    code = "import sys, porter.cli as c\ntry: c.command()\nexcept SystemExit: pass\nprint('libcst' in sys.modules)"
    # a comparison that is left as it is, and calls within an f-string, whose columns Python before 3.12 has wrong
    (tree / "left.py").write_text('a = "npu"\nif device.type == "cuda":\n    print(f"cuda: {int(a)}")\n')
    for name, imported in (("clean.py", "False"), ("port.py", "False"), ("left.py", "False")):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tree / name), "--target", "npu", "--quiet"],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
        )
        assert done.stdout.strip() == imported


def test_on_a_terminal_there_is_colour_and_progress(tree: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    environment |= {"PYTHONPATH": str(ROOT), "TERM": "xterm"}
    command = [sys.executable, "-m", "porter", str(tree), "--target", "npu", "--diff"]
    leader, follower = pty.openpty()
    process = subprocess.Popen(command, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    printed = b""
    while True:
        try:
            piece = os.read(leader, 4096)
        except OSError:
            break
        if not piece:
            break
        printed += piece
    os.close(leader)
    assert process.wait() == 1
    assert b"Porting" in printed
    assert b"\x1b[31m-model" in printed
    assert b"\x1b[32m+model" in printed


@pytest.mark.parametrize(
    ("variables", "is_colored"),
    [
        ({"FORCE_COLOR": "1", "NO_COLOR": ""}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "", "NO_COLOR": ""}, False),
    ],
)
def test_color_is_forced_and_refused_by_variables(tree: Path, variables: dict[str, str], is_colored: bool) -> None:
    command = [sys.executable, "-m", "porter", "scripts", "--target", "npu", "--check", "--no-record"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(command, cwd=tree.parent, env=environment, capture_output=True, check=False)
    assert (b"\x1b[" in done.stdout) is is_colored


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_options(tree: Path, shell: str) -> None:
    variables = {
        "_DIFFSYNTH_PORT_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": "diffsynth-port --fo",
        "COMP_CWORD": "--fo" if shell == "fish" else "1",
    }
    command = [sys.executable, "-c", "from porter.cli import main; main()"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(command, cwd=tree.parent, env=environment, capture_output=True, check=False)
    assert b"--format" in done.stdout, done.stderr


def test_git_takes_the_diff_of_any_line_endings(run: Run, tmp_path: Path) -> None:
    files = {
        "windows.py": CUDA.replace(b"\n", b"\r\n"),
        "no newline.py": CUDA.rstrip(b"\n"),
        "mixed.py": CUDA.replace(b"\n", b"\r\n", 1),
        "模型.sh": b"python a.py --device cuda",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    diff = run(".", "--target", "npu", "--diff").stdout
    subprocess.run(["git", "apply", "--whitespace=nowarn"], input=diff, cwd=tmp_path, check=True)
    for name, data in files.items():
        assert (tmp_path / name).read_bytes() == data.replace(b"cuda", b"npu")


def test_git_takes_the_diff_that_makes_new_files(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "model_training" / "full"
    folder.mkdir(parents=True)
    (folder / "Wan.sh").write_bytes(b"accelerate launch train.py --device cuda\n")
    diff = run("model_training", "--target", "npu", "--npu-scripts", "--diff").stdout
    subprocess.run(["git", "apply"], input=diff, cwd=tmp_path, check=True)
    written = tmp_path / "model_training" / "special" / "npu_training" / "Wan-NPU.sh"
    applied = written.read_bytes()
    written.unlink()
    run("model_training", "--target", "npu", "--npu-scripts")
    assert written.read_bytes() == applied
