"""DP207: NVIDIA's command-line tools, run by the program."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP207"


@pytest.mark.parametrize(
    "text",
    [
        'subprocess.run(["nvidia-smi", "-L"], check=True)',
        'subprocess.check_output("nvidia-smi --query-gpu=name", shell=True)',
        'subprocess.Popen(args=["nvidia-smi"])',
        'os.system("nvidia-smi")',
        'os.system(f"nvidia-smi -i {index}")',
        'os.system("cd /tmp && /usr/bin/nvidia-smi")',
        'if shutil.which("nvcc"): pass',
        'os.popen("nvcc --version")',
        'cmd = "nsys profile python train.py"',
        'run(command="ncu train.py")',
        'options = {"cmd": ["nvprof", script]}',
    ],
)
def test_running_one_is_a_warning(text):
    check_reported(text, CODE, "warning")


@pytest.mark.parametrize(
    "text",
    [
        'subprocess.run(["npu-smi", "info"], check=True)',
        'subprocess.check_output("rocm-smi --query-gpu=name", shell=True)',
        'print("nvidia-smi")',
        'raise RuntimeError("run nvidia-smi first")',
        'title = "nvidia-smi"',
        'os.system("my-nvidia-smi-exporter")',
        'os.system("cat nvidia-smi.log")',
        'if shutil.which("gcc"): pass',
        '"nvcc --version"',
        'tools = ["nsys"]',
        'options = {"title": ["nvprof", script]}',
    ],
)
def test_mentioning_one_is_left_alone(text):
    check_silent(text, CODE)


def test_the_way_out_is_the_targets():
    text = 'os.system("nvidia-smi")'
    assert check_reported(text, CODE, "warning").way_out == "npu-smi info"
    assert check_reported(text, CODE, "warning", target="xpu").way_out == "xpu-smi"
    assert check_reported('os.system("nsys profile x")', CODE, "warning").way_out == "msprof"
