"""--npu-scripts: the NPU forms of launch scripts, written beside them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from porter.shell.npu_script import is_npu_script, npu_script_of
from tests.porter.conftest import Run
from tests.porter.shell.launching import EXPORTS

LAUNCH = b"CUDA_VISIBLE_DEVICES=0 accelerate launch train.py --learning_rate 1e-5\n"
FORM = EXPORTS.encode() + LAUNCH.replace(b"CUDA", b"ASCEND_RT")
FULL, LORA = "wan/model_training/full/Wan.sh", "wan/model_training/lora/Wan.sh"
NPU_FULL = "wan/model_training/special/npu_training/Wan-NPU.sh"
NPU_LORA = "wan/model_training/special/npu_training/Wan-lora-NPU.sh"


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, bytes]:
    """Two launch scripts, and what is none."""
    files = {
        FULL: LAUNCH,
        LORA: LAUNCH,
        "wan/model_training/train.py": b'device = "cuda"\n',
        "wan/model_training/full/config.yaml": b"compute_environment: X\ndistributed_type: MULTI_GPU\n",
        "wan/download.sh": b"CUDA_VISIBLE_DEVICES=0 python download.py\n",
        "wan/other.sh": b"if then\n",
    }
    for name, data in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return files


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("script", "form"),
    [
        (FULL, NPU_FULL),
        (LORA, NPU_LORA),
        ("model_training/x.sh", "model_training/special/npu_training/x-NPU.sh"),
        ("model_training/special/fp8_training/x.sh", "model_training/special/npu_training/x-fp8_training-NPU.sh"),
        ("model_training/full/a/x.bash", "model_training/special/npu_training/x-a-NPU.bash"),
        ("scripts/x.sh", "scripts/special/npu_training/x-NPU.sh"),
        ("x.sh", "special/npu_training/x-NPU.sh"),
        ("/a/model_training/lora/run", "/a/model_training/special/npu_training/run-lora-NPU.sh"),
    ],
)
def test_where_a_form_goes(script: str, form: str) -> None:
    assert Path(npu_script_of(script)).as_posix() == form
    assert is_npu_script(form)
    assert not is_npu_script(script)


def test_the_forms_are_written_and_nothing_else_changes(run: Run, tmp_path: Path, tree: dict[str, bytes]) -> None:
    done = run("wan", "--target", "npu", "--npu-scripts")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"2 files given an NPU form in 4 places, 2 left unchanged. No findings.\n"
    assert content(tmp_path) == {**tree, NPU_FULL: FORM, NPU_LORA: FORM}


def test_a_form_has_the_mode_of_its_script(run: Run, tmp_path: Path, tree: dict[str, bytes]) -> None:
    (tmp_path / FULL).chmod(0o755)
    run("wan", "--target", "npu", "--npu-scripts")
    assert (tmp_path / NPU_FULL).stat().st_mode & 0o777 == 0o755


def test_once_they_are_there_nothing_is_left_to_do(run: Run, tmp_path: Path, tree: dict[str, bytes]) -> None:
    run("wan", "--target", "npu", "--npu-scripts")
    for options in ((), ("--check",)):
        done = run("wan", "--target", "npu", "--npu-scripts", *options)
        assert (done.returncode, done.stdout.count(b"left unchanged")) == (0, 1)
    assert content(tmp_path) == {**tree, NPU_FULL: FORM, NPU_LORA: FORM}


def test_a_form_that_was_edited_is_noted_and_stays(run: Run, tmp_path: Path, tree: dict[str, bytes]) -> None:
    run("wan", "--target", "npu", "--npu-scripts")
    (tmp_path / NPU_FULL).write_bytes(FORM + b"# mine\n")
    (tmp_path / NPU_LORA).unlink()
    done = run("wan", "--target", "npu", "--npu-scripts")
    assert done.returncode == 0
    message = f"{NPU_FULL} is kept; the NPU form of this script differs from it"
    assert f"{FULL}:1:1: DP420 note {message}".encode() in done.stdout
    way_out = f"diffsynth-port {FULL} --target npu --npu-scripts --diff shows how; delete it to have it written anew"
    assert way_out.encode() in done.stdout
    assert b"DP420" not in run("wan", "--target", "npu", "--npu-scripts", "--ignore", "DP420").stdout
    assert content(tmp_path) == {**tree, NPU_FULL: FORM + b"# mine\n", NPU_LORA: FORM}
    (tmp_path / FULL).write_bytes(tree[FULL] + b"# port: ignore-file[DP420]\n")
    assert b"DP420" not in run("wan", "--target", "npu", "--npu-scripts").stdout


def test_a_form_is_the_same_whatever_the_case_of_its_name(run: Run, tmp_path: Path, tree: dict[str, bytes]) -> None:
    by_hand = NPU_LORA.replace("lora", "LoRA")
    (tmp_path / by_hand).parent.mkdir(parents=True)
    (tmp_path / by_hand).write_bytes(FORM + b"# mine\n")
    done = run("wan", "--target", "npu", "--npu-scripts")
    assert done.returncode == 0
    assert f"{LORA}:1:1: DP420 note {by_hand} is kept".encode() in done.stdout
    assert content(tmp_path) == {**tree, by_hand: FORM + b"# mine\n", NPU_FULL: FORM}


def test_check_and_diff_write_nothing(run: Run, tmp_path: Path, tree: dict[str, bytes]) -> None:
    (tmp_path / NPU_LORA).parent.mkdir(parents=True)
    (tmp_path / NPU_LORA).write_bytes(FORM)
    before = content(tmp_path)
    assert run("wan", "--target", "npu", "--npu-scripts", "--check").returncode == 1
    done = run("wan", "--target", "npu", "--npu-scripts", "--diff")
    assert done.returncode == 1
    assert f"+++ b/{NPU_FULL}\n".encode() in done.stdout
    assert done.stdout.count(b"+++") == 1
    assert done.stdout.count(b"\n+") - 1 == FORM.count(b"\n")
    assert content(tmp_path) == before


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("own", "moved"),
    [
        ('cd "$(dirname "$0")"', 'cd "$(dirname "$0")/../../full"'),
        ("cd $(dirname $0)/../..", "cd $(dirname $0)/../../full/../.."),
        ("cd -- `dirname $0`/..", "cd -- `dirname $0`/../../full/.."),
        ('cd "`dirname $0`" || exit', 'cd "`dirname $0`/../../full" || exit'),
        ('cd "$(dirname "$(readlink -f "$0")")"', 'cd "$(dirname "$(readlink -f "$0")")/../../full"'),
        (
            'HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." >/dev/null 2>&1 && pwd)"',
            'HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../full/.." >/dev/null 2>&1 && pwd)"',
        ),
        ('echo "usage: $(basename "$0") $0 $1"', 'echo "usage: $(basename "$0") $0 $1"'),
    ],
)
def test_a_script_that_goes_to_its_own_folder_goes_there_from_the_other(
    run: Run, tmp_path: Path, own: str, moved: str
) -> None:
    place = tmp_path / FULL
    place.parent.mkdir(parents=True)
    show = b"\npwd\n"
    place.write_bytes(own.encode() + show + LAUNCH)
    assert run(FULL, "--target", "npu", "--npu-scripts").returncode == 0
    written = (tmp_path / NPU_FULL).read_bytes()
    assert written.count(moved.encode() + show) == 1
    said = [
        subprocess.run(["bash", name], cwd=tmp_path, capture_output=True, text=True, check=False).stdout
        for name in (FULL, NPU_FULL)
    ]
    assert said[0].splitlines()[-1] == said[1].splitlines()[-1]


@pytest.mark.parametrize(
    "own",
    [
        'DIR="$(dirname "$0")"',
        'DIR="${0%/*}"',
        'cd "$(dirname "$(dirname "$0")")"',
        'cd "x$(dirname "$0")"',
        'cd "$(dirname "$0")x"',
        'SELF=$(readlink -f "$0")',
        'python "$(dirname "$0")/prepare.py"',
    ],
)
def test_a_script_that_does_more_with_its_own_folder_is_named(run: Run, tmp_path: Path, own: str) -> None:
    (tmp_path / "run.sh").write_bytes(own.encode() + b"\n" + LAUNCH)
    done = run("run.sh", "--target", "npu", "--npu-scripts")
    assert done.returncode == 2
    assert b"it asks for its own folder, which is another one for special/npu_training/run-NPU.sh: " in done.stdout
    assert f'{own}; go there by cd "$(dirname "$0")" first'.encode() in done.stdout
    assert list(content(tmp_path)) == ["run.sh"]


def test_a_script_that_does_not_parse_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_bytes(LAUNCH + b"if true; then\n")
    done = run("run.sh", "--target", "npu", "--npu-scripts")
    assert (done.returncode, done.stdout.startswith(b"run.sh:2: error: not bash")) == (2, True)


def test_undoing_a_folder_leaves_them(run: Run, tmp_path: Path, tree: dict[str, bytes]) -> None:
    run("wan", "--target", "npu", "--npu-scripts")
    before = content(tmp_path)
    run("wan", "--target", "npu")
    assert content(tmp_path) != before
    run("wan", "--target", "cuda")
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("wan", "--target", "cuda"), b"it goes with --target npu, not cuda"),
        (("wan", "--target", "xpu"), b"it goes with --target npu, not xpu"),
        (("wan", "--target", "npu", "--output", "out"), b"it does not go with --output"),
        (("wan", "--target", "npu", "--write-baseline"), b"it does not go with --output, --write-baseline or -"),
        (("-", "--target", "npu"), b"it does not go with --output, --write-baseline or -"),
    ],
)
def test_what_it_does_not_go_with(run: Run, tree: dict[str, bytes], options: tuple[str, ...], message: bytes) -> None:
    done = run(*options, "--npu-scripts")
    assert done.returncode == 2
    assert message in done.stderr.replace(b"\n", b" ")
