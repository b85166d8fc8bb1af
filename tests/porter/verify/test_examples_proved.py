"""Examples and their golden ports, run to the last frame; and ports broken on purpose, which must not pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from porter.verify.outcome import Row
from porter.verify.scripts import find_scripts
from porter.verify.verification import Verification

from .conftest import EXAMPLES, GOLDEN

WAN = EXAMPLES / "wanvideo"
SCRIPTS = sorted(path.relative_to(EXAMPLES).as_posix() for path in WAN.rglob("*.py") if "/model_inference" in str(path))

# One for each model family and mode: text or video to video, on the device or with little memory.
QUICK = [
    "wanvideo/model_inference/Wan2.1-T2V-1.3B.py",
    "wanvideo/model_inference_low_vram/Wan2.1-T2V-1.3B-V2V.py",
    "wanvideo/model_inference/Wan2.2-T2V-A14B-V2V.py",
    "wanvideo/model_inference_low_vram/Wan2.2-T2V-A14B.py",
]
PLAIN = (WAN / "model_inference" / "Wan2.1-T2V-1.3B.py").read_text("utf-8")
PORTED = (GOLDEN / "wanvideo" / "model_inference" / "Wan2.1-T2V-1.3B.py").read_text("utf-8")


def run_example(running: Verification, name: str) -> Row:
    (script,) = find_scripts([str(EXAMPLES / name)], None)
    assert script.cuda == (EXAMPLES / name).read_bytes()
    assert script.ported == (GOLDEN / name).read_bytes()
    return running.run(script)


def check(row: Row, name: str) -> None:
    assert row.problems == []
    assert row.ran == 3
    assert row.equal is True
    (saved,) = row.outcomes["ported"].saved
    assert saved["shape"] == [5, 32, 48, 3]
    called = {network for network, record in row.outcomes["ported"].networks.items() if record["calls"]}
    assert called == {"text_encoder", "dit", "vae"} | ({"dit2"} if "A14B" in name else set())
    assert row.outcomes["ported"].operations_on("npu")[0] > 1000
    assert row.outcomes["ported"].operations_on_host_data() == 0
    assert row.outcomes["cpu"].operations_on("npu") == (0, 0)
    assert 0 < row.outcomes["ported"].peak_memory < 2**30
    assert row.outcomes["cpu"].peak_memory is None


@pytest.mark.parametrize("name", QUICK)
def test_an_example_passes(running: Verification, name: str) -> None:
    check(run_example(running, name), name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(SCRIPTS) - set(QUICK)))
def test_every_other_example_passes(running: Verification, name: str) -> None:
    check(run_example(running, name), name)


def changed(old: str, new: str) -> str:
    assert PORTED.count(old) == 1
    return PORTED.replace(old, new)


def test_a_port_that_makes_other_frames_fails(verify_text: Callable[..., Row]) -> None:
    row = verify_text(PLAIN, changed("seed=0", "seed=1"))
    (problem,) = row.problems
    assert problem.startswith("ported: saved other frames than the reference (")
    assert "of the values differ, by up to" in problem
    assert row.ran == 3
    assert row.equal is False


def test_a_port_that_makes_fewer_videos_fails(verify_text: Callable[..., Row]) -> None:
    row = verify_text(PLAIN, PORTED + 'save_video(video[:2], "again.mp4", fps=15)\n')
    assert row.problems == ["ported: saved 5x32x48x3, 2x32x48x3 where the reference saved 5x32x48x3"]


def test_a_port_that_stays_on_the_cpu_fails_though_its_frames_are_the_same(verify_text: Callable[..., Row]) -> None:
    row = verify_text(PLAIN, changed('device="npu"', 'device="cpu"'))
    assert row.equal is True
    assert not row.passed
    for network in ("text_encoder", "dit", "vae"):
        assert f"ported: {network} computed nothing on npu" in row.problems
        assert f"ported: {network} took or gave tensors on cpu" in row.problems


ONE_LAYER_ON_THE_CPU = """
layer = pipe.dit.blocks[0].ffn
on_host = __import__("copy").deepcopy(layer).to("cpu")
layer.forward = lambda x: on_host(x.cpu()).to(x.device)

video = pipe("""


def test_a_port_that_computes_one_layer_on_the_cpu_fails(verify_text: Callable[..., Row]) -> None:
    row = verify_text(PLAIN, changed("\nvideo = pipe(", ONE_LAYER_ON_THE_CPU))
    assert row.equal is True
    (problem,) = row.problems
    assert problem.startswith("ported: dit computed on the CPU: ")
    assert "aten.addmm" in problem
    assert row.outcomes["ported"].networks["dit"]["moved"]["npu->cpu"]["operations"] == 4  # 2 steps, 2 branches
    assert row.outcomes["redirected"].operations_on_host_data() == 0


def test_a_refused_operation_is_named(verify_text: Callable[..., Row]) -> None:
    refused = "\ntorch.ones(4, dtype=torch.float64, device='npu').repeat_interleave(2)\n"
    row = verify_text(PLAIN, PORTED + refused)
    assert row.outcomes["ported"].refused == ["repeat_interleave on float64"]
    (problem,) = row.problems
    line = PORTED.count("\n") + 2
    assert problem.startswith(f"ported: line {line}: aclnnRepeatInterleaveIntWithDim: tensor not implemented for")


def test_what_device_memory_does_not_hold_is_said(verify_text: Callable[..., Row]) -> None:
    row = verify_text(PLAIN, PORTED + "\ntorch.empty(9 * 2**30, dtype=torch.uint8, device='npu')\n")
    (problem,) = row.problems
    assert "NPU out of memory" in problem
    assert "8.00 GiB total capacity" in problem


def test_no_script_is_changed_and_no_file_is_left(running: Verification, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PORTED, "utf-8")
    monkeypatch.chdir(tmp_path)
    (script,) = find_scripts(["mine.py"], None)
    assert script.cuda.decode("utf-8") == PLAIN  # a script that is ported already is undone for the reference
    assert running.run(script).passed
    assert [file.name for file in tmp_path.iterdir()] == ["mine.py"]
    assert path.read_text("utf-8") == PORTED
