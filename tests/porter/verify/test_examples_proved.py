"""Examples and their golden ports, run to the last frame; and ports broken on purpose, which must not pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from porter.verify.outcome import Outcome, Row
from porter.verify.scripts import Script, find_scripts
from porter.verify.verification import Verification

from .conftest import EXAMPLES, GOLDEN

Tried = tuple[Script, dict[str, Outcome]]
SCRIPTS = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.glob("*/model_inference*/*.py"))

# One for each model family and mode, on the device or with little memory; the one below is tried anyway.
QUICK = [
    "qwen_image/model_inference/Qwen-Image-Edit-2509.py",
    "wanvideo/model_inference_low_vram/Wan2.2-T2V-A14B-V2V.py",
]
FIRST = "wanvideo/model_inference/Wan2.1-T2V-1.3B.py"
PLAIN = (EXAMPLES / FIRST).read_text("utf-8")
PORTED = (GOLDEN / FIRST).read_text("utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but a script that is ported already."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.py").write_text(PORTED, "utf-8")
    return folder


@pytest.fixture(scope="module")
def plain(running: Verification, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Tried:
    """The script of that folder, and what came of it all three ways."""
    (script,) = find_scripts([str(folder / "mine.py")], None)
    return script, running.outcomes(script, running.request.ways, tmp_path_factory.mktemp("plain"))


@pytest.fixture
def verify_port(running: Verification, plain: Tried, tmp_path: Path) -> Callable[[str], Row]:
    """``verify_port(text)``: the row of the same script with this port; the other two ways have been run before."""

    def verify(text: str) -> Row:
        script = replace(plain[0], ported=text.encode())
        ported = running.outcomes(script, running.request.ways[2:], tmp_path)
        return running.judged(script, {**plain[1], **ported}, tmp_path)

    return verify


def run_example(running: Verification, name: str) -> Row:
    (script,) = find_scripts([str(EXAMPLES / name)], None)
    assert script.cuda == (EXAMPLES / name).read_bytes()
    assert script.ported == (GOLDEN / name).read_bytes()
    return running.run(script)


@pytest.mark.parametrize("kind", ["", "Inpaint-"])
def test_a_controlnet_to_train_from_the_start_is_the_same_on_every_device(running: Verification, kind: str) -> None:
    row = run_example(running, f"qwen_image/model_training/scripts/Qwen-Image-Blockwise-ControlNet-{kind}Initialize.py")
    assert row.problems == []
    assert (row.ran, row.equal) == (3, True)
    assert 0 < row.outcomes["ported"].peak_memory < 2**24  # of one block, where a published one has 2.1 GiB


def check(row: Row, name: str) -> None:
    assert row.problems == []
    assert row.ran == 3
    assert row.equal is True
    (saved,) = row.outcomes["ported"].saved
    # Its latent cells are 16 pixels wide, so that its widths are multiples of 32.
    assert saved["shape"] == [5 if name.startswith("wanvideo") else 1, 32, 64 if "TI2V-5B" in name else 48, 3]
    called = {network for network, record in row.outcomes["ported"].networks.items() if record["calls"]}
    assert called - {"image_encoder", "vace", "vace2"} == {"text_encoder", "dit", "vae"} | (
        {"dit2"} if "A14B" in name else set()
    )
    assert ("image_encoder" in called) is any(kind in name for kind in ("Wan2.1-I2V", "FLF2V", "Wan2.1-Fun"))
    assert row.outcomes["ported"].operations_on("npu")[0] > 500
    assert row.outcomes["ported"].operations_on_host_data() == 0
    assert row.outcomes["cpu"].operations_on("npu") == (0, 0)
    assert 0 < row.outcomes["ported"].peak_memory < 2**30
    assert row.outcomes["cpu"].peak_memory is None


def test_a_script_that_is_ported_already_passes_and_is_not_changed(
    running: Verification, plain: Tried, folder: Path, tmp_path: Path
) -> None:
    script, outcomes = plain
    assert script.cuda.decode("utf-8") == PLAIN  # it is undone for the reference
    assert script.ported.decode("utf-8") == PORTED
    check(running.judged(script, outcomes, tmp_path), FIRST)
    assert [file.name for file in folder.iterdir()] == ["mine.py"]
    assert (folder / "mine.py").read_text("utf-8") == PORTED


@pytest.mark.parametrize("name", QUICK)
def test_an_example_passes(running: Verification, name: str) -> None:
    check(run_example(running, name), name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*SCRIPTS} - {*QUICK}))
def test_every_other_example_passes(running: Verification, name: str) -> None:
    check(run_example(running, name), name)


def changed(old: str, new: str) -> str:
    assert PORTED.count(old) == 1
    return PORTED.replace(old, new)


def test_a_port_that_makes_other_frames_fails(verify_port: Callable[[str], Row]) -> None:
    row = verify_port(changed("seed=0", "seed=1"))
    (problem,) = row.problems
    assert problem.startswith("ported: saved other frames than the reference (")
    assert "of the values differ, by up to" in problem
    assert row.ran == 3
    assert row.equal is False


def test_a_port_that_makes_fewer_videos_fails(verify_port: Callable[[str], Row]) -> None:
    row = verify_port(PORTED + 'save_video(video[:2], "again.mp4", fps=15)\n')
    assert row.problems == ["ported: saved 5x32x48x3, 2x32x48x3 where the reference saved 5x32x48x3"]


def test_a_port_that_stays_on_the_cpu_fails_though_its_frames_are_the_same(verify_port: Callable[[str], Row]) -> None:
    row = verify_port(changed('device="npu"', 'device="cpu"'))
    assert row.equal is True
    assert not row.passed
    for network in ("text_encoder", "dit", "vae"):
        assert f"ported: {network} computed nothing on npu" in row.problems
        assert f"ported: {network} took or gave tensors on cpu" in row.problems


ONE_LAYER_ON_THE_CPU = """
layer = next(module for name, module in pipe.dit.named_modules() if name.endswith(".ffn"))
on_host = __import__("copy").deepcopy(layer).to("cpu")
layer.forward = lambda x: on_host(x.cpu()).to(x.device)

video = pipe("""


def test_a_port_that_computes_one_layer_on_the_cpu_fails(verify_port: Callable[[str], Row]) -> None:
    row = verify_port(changed("\nvideo = pipe(", ONE_LAYER_ON_THE_CPU))
    assert row.equal is True
    (problem,) = row.problems
    assert problem.startswith("ported: dit computed on the CPU: ")
    assert "aten.addmm" in problem
    assert row.outcomes["ported"].networks["dit"]["moved"]["npu->cpu"]["operations"] == 4  # 2 steps, 2 branches
    assert row.outcomes["redirected"].operations_on_host_data() == 0


def test_a_refused_operation_is_named(verify_port: Callable[[str], Row]) -> None:
    refused = "\ntorch.ones(4, dtype=torch.float64, device='npu').repeat_interleave(2)\n"
    row = verify_port(PORTED + refused)
    assert row.outcomes["ported"].refused == ["repeat_interleave on float64"]
    (problem,) = row.problems
    line = PORTED.count("\n") + 2
    assert problem.startswith(f"ported: line {line}: repeat_interleave: NPU function error: call aclnnRepeatInter")


def test_what_device_memory_does_not_hold_is_said(verify_port: Callable[[str], Row]) -> None:
    row = verify_port(PORTED + "\ntorch.empty(9 * 2**30, dtype=torch.uint8, device='npu')\n")
    (problem,) = row.problems
    assert "NPU out of memory" in problem
    assert "8.00 GiB total capacity" in problem
