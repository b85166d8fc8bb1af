"""What the device helpers answer on a CPU, on an NPU, and with a redirect in force."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from diffsynth.core.device import device_types, npu_compatible_device, resolution
from diffsynth.core.device.npu_compatible_device import UnknownDeviceError, memory_info, resolve_device

ANSWERS = {
    "cpu": {
        "get_device_name()": "cpu",
        "get_device_type()": "cpu",
        "get_available_device_type()": "cpu",
        "get_device_id()": 0,
        "get_torch_device() is torch.cpu": True,
        "device.IS_NPU_AVAILABLE": False,
        "device.IS_CUDA_AVAILABLE": False,
        "resolve_device(None)": "cpu",
        "resolve_device('cpu:0')": "cpu",
        "resolve_device(torch.device('cpu'))": "cpu",
        "empty_cache()": None,
        "synchronize('cpu')": None,
        "enable_high_precision_for_bf16()": None,
    },
    "npu": {
        "get_device_name()": "npu:0",
        "get_device_type()": "npu",
        "get_device_id()": 0,
        "get_torch_device() is torch.npu": True,
        "torch.npu.set_device(1)": None,
        "(get_device_name(), get_device_id(), resolve_device('npu').index) == ('npu:1', 1, 1)": True,
        "device.IS_NPU_AVAILABLE": True,
        "device.IS_CUDA_AVAILABLE": False,
        "resolve_device('npu:0')": "npu:0",
        "resolve_device(1)": "npu:1",
        "resolve_device('cpu')": "cpu",
        "memory_info('npu:0')[1] == 8 * 1024**3": True,
        "[torch.zeros(2**20, device='npu:0'), memory_info('npu:0')[0]][1] <= 8 * 1024**3 - 2**22": True,
        "memory_info('cpu') != memory_info('npu')": True,
        "empty_cache()": None,
        "synchronize('npu:1')": None,
        "get_nccl_backend()": "hccl",
        "torch.npu.config.allow_internal_format": False,
        "[enable_high_precision_for_bf16(), torch.npu.conv.allow_hf32][1]": False,
    },
    "redirected": {
        "get_device_name()": "npu:0",
        "resolve_device('cuda')": "npu:0",
        "resolve_device('cuda:1')": "npu:1",
        "resolve_device(torch.device('cuda', 1))": "npu:1",
        "device.IS_NPU_AVAILABLE": True,
        "device.IS_CUDA_AVAILABLE": False,
        "memory_info('cuda') == torch.cuda.mem_get_info('cuda')": True,
        "parse_device_type('cuda:0')": "npu",
        "parse_nccl_backend('cuda')": "hccl",
    },
    "fallback": {
        "get_device_name()": "cpu",
        "resolve_device('cuda')": "cpu",
        "resolve_device('cuda:0')": "cpu",
        "device.IS_CUDA_AVAILABLE": False,
        "memory_info('cuda')[1] == memory_info('cpu')[1]": True,
        "synchronize('cuda')": None,
    },
}

ERRORS = {
    "cpu": {
        "resolve_device('gpuu')": "device 'gpuu' is not known: this machine has only cpu; write that",
        "resolve_device('cpuu')": "device 'cpuu' is not known (did you mean 'cpu'?): this machine has only cpu; write "
        "that",
        "resolve_device('cudda')": "device 'cudda' is not known: this machine has only cpu; write that",
        "resolve_device('xpu')": "device 'xpu' is not on this machine, which has only cpu; write that",
        "resolve_device('npu:1')": "device 'npu:1' is not on this machine, which has only cpu; write that (torch_npu ",
        "resolve_device(0)": "device '0' is not on this machine, which has only cpu; write that",
        "memory_info('gpuu')": "device 'gpuu' is not known: this machine has only cpu; write that",
        "parse_device_type('gpuu')": "device 'gpuu' is not known: this machine has only cpu; write that",
        "resolve_device(True)": "device=True: expected a name such as 'cpu', a torch.device, a number or None",
    },
    "npu": {
        "resolve_device('npu:7')": "device 'npu:7' is not on this machine, which has npu:0, npu:1, cpu; write one of "
        "them",
        "resolve_device(2)": "device '2' is not on this machine, which has npu:0, npu:1, cpu; write one of them",
        "resolve_device('npuu')": "device 'npuu' is not known (did you mean 'npu'?): this machine has npu:0, npu:1, "
        "cpu; write one of them",
        "resolve_device('cuda')": "device 'cuda' is not on this machine, which has npu:0, npu:1, cpu; write one of "
        "them, or run the script unchanged with `import npu_compat` at its top",
    },
    "redirected": {"resolve_device('cuda:7')": "device 'cuda:7' is not on this machine, which has npu:0, npu:1, cpu"},
    "fallback": {"resolve_device('npu')": "device 'npu' is not on this machine, which has only cpu; write that"},
}


PROGRAM = """
import json
import torch
from diffsynth.core.device import npu_compatible_device as device
from diffsynth.core.device.npu_compatible_device import *

def told(question):
    try:
        answer = eval(question)
    except Exception as error:
        return [type(error).__name__, str(error)]
    return answer if isinstance(answer, (bool, int, str, type(None))) else str(answer)

print(json.dumps({question: told(question) for question in QUESTIONS}))
"""


@pytest.fixture(scope="module")
def ask(run_on):
    """``ask(machine)``: what every expression is there, or ``[type, text]`` of the error it raises."""
    told = {}

    def answers(machine: str) -> dict[str, object]:
        if machine not in told:
            questions = [*ANSWERS[machine], *ERRORS[machine], *(OTHERS if machine == "cpu" else [])]
            told[machine] = json.loads(run_on(machine, PROGRAM.replace("QUESTIONS", repr(questions))))
        return told[machine]

    return answers


@pytest.mark.parametrize("machine", ANSWERS)
def test_answers(ask, machine):
    told = ask(machine)
    assert {question: told[question] for question in ANSWERS[machine]} == ANSWERS[machine]


@pytest.mark.parametrize("machine", ERRORS)
def test_a_device_that_is_not_there_is_named_with_those_that_are(ask, machine):
    told = ask(machine)
    for question, message in ERRORS[machine].items():
        kind, text = told[question]
        assert kind == "UnknownDeviceError", question
        assert text.startswith(message)


BUILT = "torch.version.cuda or torch.version.hip or ''"
OTHERS = [
    "resolve_device('cuda')",
    BUILT,
    "parse_nccl_backend('cuda:1')",
    "parse_nccl_backend('npu')",
    "get_nccl_backend()",
]


def test_cuda_on_a_machine_without_says_what_torch_lacks(ask):
    told = ask("cpu")
    kind, text = told["resolve_device('cuda')"]
    assert kind == "UnknownDeviceError"
    assert text.startswith("device 'cuda' is not on this machine, which has only cpu; write that")
    reason = "check the driver and CUDA_VISIBLE_DEVICES" if told[BUILT] else "install a torch built for CUDA or ROCm"
    assert reason in text
    assert "run the script on the CPU as it stands: NPU_COMPAT_FALLBACK=cpu python -m npu_compat run SCRIPT" in text


def test_process_group_backends(ask):
    told = ask("cpu")
    assert told["parse_nccl_backend('cuda:1')"] == "nccl"
    assert told["parse_nccl_backend('npu')"] == "hccl"
    kind, text = told["get_nccl_backend()"]
    assert kind == "RuntimeError"
    assert text.startswith("device 'cpu' has no process group backend")
    assert "npu (hccl)" in text


def test_types_are_read_without_the_device():
    from diffsynth.core.device.npu_compatible_device import parse_device_type

    asked = ["npu:3", "cuda", torch.device("cpu"), "musa:0", None]
    assert [parse_device_type(device) for device in asked] == ["npu", "cuda", "cpu", "musa", None]


def test_memory_of_the_host_is_what_programs_can_still_have():
    free, total = memory_info("cpu")
    assert 0 < free < total
    if npu_compatible_device._MEMINFO.exists():
        kib = dict(line.split()[:2] for line in npu_compatible_device._MEMINFO.read_text().splitlines())
        assert total == int(kib["MemTotal:"]) * 1024
        assert abs(free - int(kib["MemAvailable:"]) * 1024) < 2**30


def test_memory_of_a_host_that_says_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(npu_compatible_device, "_MEMINFO", tmp_path / "absent")
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(RuntimeError, match="install psutil"):
        memory_info("cpu")


def test_a_broken_vendor_package_is_a_reason(monkeypatch, tmp_path):
    (tmp_path / "torch_musa.py").write_text("raise OSError('libmusa.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    device_types._import.cache_clear()
    try:
        with pytest.raises(UnknownDeviceError, match=r"torch_musa cannot be imported: OSError: libmusa\.so\.1"):
            resolve_device("musa")
    finally:
        device_types._import.cache_clear()


def test_no_other_name_is_there():
    from diffsynth.core.device import npu_compatible_device

    with pytest.raises(AttributeError, match="IS_TPU_AVAILABLE"):
        _ = npu_compatible_device.IS_TPU_AVAILABLE


def test_importing_it_asks_no_device():
    program = (
        "import torch\n"
        "def fail(*_): raise AssertionError\n"
        "torch.accelerator.is_available = torch.cuda.is_available = fail\n"
        "import diffsynth.core.device.npu_compatible_device"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=resolution.__file__.split("/diffsynth/core")[0])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA or AMD GPU")
def test_on_a_gpu():
    assert resolve_device("cuda").type == "cuda"
    free, total = memory_info("cuda")
    assert 0 < free <= total == torch.cuda.mem_get_info()[1]
