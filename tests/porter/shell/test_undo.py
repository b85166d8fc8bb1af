"""Shell scripts and configurations by the command: ported, noted, undone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.porter.conftest import Run
from tests.porter.shell.launching import EXPORTS

HEAD = "#!/bin/bash\n"
LAUNCH = 'accelerate launch train.py \\\n  --model_id_with_origin_paths "Wan-AI/Wan2.1-T2V-14B:a*"'
FLAG = " \\\n  --initialize_model_on_cpu"
PARSER = 'parser.add_argument("--initialize_model_on_cpu", action="store_true")\n'
CONFIG = "compute_environment: X\ndistributed_type: MULTI_{0}\n"


@pytest.fixture
def launched(tmp_path: Path) -> Path:
    """A folder with a script that knows the option."""
    (tmp_path / "train.py").write_text(PARSER, encoding="utf-8")
    return tmp_path


def port(run: Run, folder: Path, script: str, target: str = "npu") -> str:
    (folder / "run.sh").write_text(script, encoding="utf-8")
    assert run("run.sh", "--target", target).returncode == 0
    return (folder / "run.sh").read_text(encoding="utf-8")


def test_there_and_back(run: Run, launched: Path) -> None:
    script = f"{HEAD}export CUDA_VISIBLE_DEVICES=0\n{LAUNCH} # why\n"
    ported = port(run, launched, script)
    assert ported == f"{HEAD}{EXPORTS}export ASCEND_RT_VISIBLE_DEVICES=0\n{LAUNCH}{FLAG} # why\n"
    assert port(run, launched, ported) == ported
    assert port(run, launched, ported, "cuda") == script


def test_what_the_script_had_already_stays(run: Run, launched: Path) -> None:
    script = f"{HEAD}{EXPORTS}{LAUNCH}{FLAG}\nCUDA_VISIBLE_DEVICES=0 {LAUNCH}\n"
    ported = port(run, launched, script)
    assert ported == f"{HEAD}{EXPORTS}{LAUNCH}{FLAG}\nASCEND_RT_VISIBLE_DEVICES=0 {LAUNCH}{FLAG}\n"
    assert port(run, launched, ported, "cuda") == script


def test_a_second_port_of_an_edited_script_is_undone_with_the_first(run: Run, launched: Path) -> None:
    first = port(run, launched, f"CUDA_VISIBLE_DEVICES=0 {LAUNCH}\n")
    second = port(run, launched, f"{first}\nCUDA_VISIBLE_DEVICES=1 {LAUNCH} --seed 1\n")
    assert "CUDA" not in second
    undone = port(run, launched, second, "cuda")
    assert undone == f"CUDA_VISIBLE_DEVICES=0 {LAUNCH}\n\nCUDA_VISIBLE_DEVICES=1 {LAUNCH} --seed 1\n"


def test_notes_of_another_script_at_the_same_place_are_forgotten(run: Run, launched: Path) -> None:
    port(run, launched, f"{LAUNCH}\n")
    script = f"export CPU_AFFINITY_CONF=1\nexport PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True\n{LAUNCH} --x\n"
    (launched / "run.sh").unlink()
    ported = port(run, launched, script)
    assert ported == script.replace("CUDA", "NPU").replace("--x", "--x" + FLAG)
    assert port(run, launched, ported, "cuda") == script


def test_on_another_machine_what_was_added_stays(
    run: Run, launched: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ported = f"{EXPORTS}ASCEND_RT_VISIBLE_DEVICES=0 {LAUNCH}{FLAG}\n"
    assert port(run, launched, ported, "cuda") == ported.replace("ASCEND_RT", "CUDA").replace("_NPU_", "_CUDA_")


def test_a_configuration(run: Run, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CONFIG.format("GPU"), encoding="utf-8")
    run(".", "--target", "npu")
    assert (tmp_path / "c.yaml").read_text(encoding="utf-8") == CONFIG.format("NPU")
    run(".", "--target", "cuda")
    assert (tmp_path / "c.yaml").read_text(encoding="utf-8") == CONFIG.format("GPU")


def test_an_output_folder_is_undone_as_well(run: Run, launched: Path) -> None:
    (launched / "run.sh").write_text(f"{LAUNCH}\n", encoding="utf-8")
    run(".", "--target", "npu", "--output", "ported")
    assert (launched / "ported" / "run.sh").read_text(encoding="utf-8") == f"{EXPORTS}{LAUNCH}{FLAG}\n"
    run("ported", "--target", "cuda")
    assert (launched / "ported" / "run.sh").read_text(encoding="utf-8") == f"{LAUNCH}\n"


def test_standard_input(run: Run, launched: Path) -> None:
    done = run("-", "--target", "npu", "--stdin-filename", "run.sh", stdin=f"{LAUNCH}\n".encode())
    assert (done.returncode, done.stdout.decode()) == (0, f"{EXPORTS}{LAUNCH}{FLAG}\n")
    done = run("-", "--target", "npu", "--stdin-filename", "c.yml", stdin=CONFIG.format("GPU").encode())
    assert (done.returncode, done.stdout.decode()) == (0, CONFIG.format("NPU"))


def test_check_lists_each_change_and_changes_nothing(run: Run, launched: Path) -> None:
    (launched / "run.sh").write_text(f"{LAUNCH}\n", encoding="utf-8")
    done = run(".", "--target", "npu", "--check")
    assert done.returncode == 1
    assert done.stdout.decode() == (
        "./run.sh:1:1: DP401 [*] PYTORCH_NPU_ALLOC_CONF and CPU_AFFINITY_CONF are set for the training\n"
        "./run.sh:1:1: DP402 [*] --initialize_model_on_cpu is added for the Wan 14B series\n"
        "1 file would be rewritten in 2 places, 1 left unchanged. No findings.\n"
    )
    assert (launched / "run.sh").read_text(encoding="utf-8") == f"{LAUNCH}\n"
