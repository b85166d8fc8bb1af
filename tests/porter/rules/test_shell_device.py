"""DP405: devices and backends among the options of a command."""

from __future__ import annotations

import pytest

from porter.documents import port_bytes
from porter.port import Plan
from tests.porter.shell.launching import PATH, check_noop, check_reported, check_silent, check_transformed


@pytest.mark.parametrize(
    "form",
    [
        "python generate.py --device {d}",
        "python generate.py --device={d}",
        "python generate.py --device '{d}:0'",
        'python generate.py --device="{d}:1" --prompt cuda',
        "python generate.py --vae-device {d}:3 --rand_device {d}",
        "python generate.py -device {d}",
        "python generate.py model.device={d}",
        "torchrun run.py --backend {b}",
        "torchrun run.py --dist_backend={b}",
        "DEVICE={d} ./run.sh",
        'DEVICE="{d}"\npython generate.py --device $DEVICE',
        "export DEVICE='{d}:0'",
        "export DIST_BACKEND={b}",
        "./run.sh --device {d}",
    ],
)
def test_renamed(form: str) -> None:
    check_transformed(form.format(d="cuda", b="nccl") + "\n", form.format(d="npu", b="hccl") + "\n")


@pytest.mark.parametrize(
    "script",
    [
        "python generate.py --prompt cuda",
        'python generate.py --prompt "a cuda device"',
        "python generate.py --output cuda",
        "python generate.py --device_name_file cuda",
        "python generate.py --device cpu",
        "python generate.py --device cuda118",
        "python generate.py --device cuda.txt",
        "python generate.py --device $1",
        "python generate.py --attn_backend cuda",
        "python generate.py cuda",
        "python generate.py --device --cuda",
        "echo --device cuda",
        "PATH=/usr/local/cuda/bin:$PATH",
        "NAME=cuda",
        "module load cuda",
        "# python generate.py --device cuda",
        "python generate.py --device cuda  # port: ignore",
        "python generate.py --device npu",
        "cd cuda",
        "MODE=nccl",
    ],
)
def test_left_alone(script: str) -> None:
    check_silent(script + "\n")


@pytest.mark.parametrize(("target", "backend"), [("xpu", "xccl"), ("musa", "mccl")])
def test_each_target_has_its_own(target: str, backend: str) -> None:
    script = "torchrun run.py --device cuda --backend nccl\n"
    check_transformed(script, script.replace("cuda", target).replace("nccl", backend), target)


def test_a_target_without_a_backend() -> None:
    finding = check_reported("torchrun run.py --backend nccl\n", "DP405", "error", "mps")
    assert finding.message == "Apple MPS has no communication backend"
    check_transformed("python run.py --device cuda\n", "python run.py --device mps\n", "mps")


def test_a_script_that_names_both_is_not_undone() -> None:
    script = b"python a.py --device cuda\npython b.py --device npu\n"
    result = port_bytes(PATH, script, Plan("cuda"))
    assert [finding.code for finding in result.findings] == ["DP109"]
    assert result.data == script


def test_what_the_script_had_stays_when_other_things_are_undone() -> None:
    script = "python a.py --device npu\nCUDA_VISIBLE_DEVICES=0 python b.py\n"
    check_transformed(script, script.replace("CUDA_", "ASCEND_RT_"))


def test_a_word_that_is_put_together_stays() -> None:
    check_noop("N=cuda\npython generate.py --device $N\npython generate.py --device cu'da'\n")
