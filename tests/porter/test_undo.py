"""The target cuda without a record: the words of one accelerator are undone, in files that do not name CUDA as well."""

from __future__ import annotations

import pytest

from porter.port import Plan, Ported, port_text

LIBRARY = "from diffsynth.pipelines.wan_video import WanVideoPipeline\n"
HELPER_IMPORT = "from diffsynth.core.device.npu_compatible_device import get_device_name\n"
QUERY, PORTED_QUERY = 'x = torch.cuda.mem_get_info("cuda")\n', "x = torch.npu.mem_get_info(get_device_name())\n"


def undone(text: str, source: str | None = None) -> str:
    return port_text(text, Plan("cuda", source=source)).text


SCRIPT = '''\
import os, torch
from torch.cuda import CUDAGraph, Stream
from torch import cuda, nn

os.environ["CUDA_VISIBLE_DEVICES"] = "0"


def main(device: str = "cuda") -> None:
    """Runs on cuda, unlike cpu."""
    dist.init_process_group("nccl")  # nccl
    model = build().cuda().cuda(0, non_blocking=True)
    if device == "cuda" and cuda.is_available() and model.weight.is_cuda:
        model.to(f"cuda:{rank}")
    print("cuda", torch.cuda.memory_allocated("cuda:1"), ProfilerActivity.CUDA)
'''


@pytest.mark.parametrize("target", ["npu", "musa"])
def test_there_and_back(target: str) -> None:
    ported = port_text(SCRIPT, Plan(target))
    assert ported.text != SCRIPT
    assert undone(ported.text, target) == SCRIPT


@pytest.mark.parametrize("newline", ["\r\n", "\r"], ids=["crlf", "cr"])
def test_there_and_back_with_other_newlines(newline: str) -> None:
    script = SCRIPT.replace("\n", newline)
    assert undone(port_text(script, Plan("npu")).text) == script


@pytest.mark.parametrize(
    ("target", "one_way"),
    [
        ("xpu", [".cuda()", ".cuda(0, non_blocking=True)"]),
        ("mps", ["nccl", "CUDA_VISIBLE_DEVICES", "ProfilerActivity"]),
    ],
)
def test_what_does_not_come_back_from_a_target_of_another_kind(target: str, one_way: list[str]) -> None:
    script = "".join(line for line in SCRIPT.splitlines(keepends=True) if not any(word in line for word in one_way))
    script = script.replace("from torch.cuda import CUDAGraph, Stream\n", "").replace('("cuda:1")', "()")
    script = script.replace(".cuda().cuda(0, non_blocking=True)", "")
    assert undone(port_text(script, Plan(target)).text, target) == script


def test_a_method_that_became_to_stays_so() -> None:
    assert undone('x.to("xpu:0")', "xpu") == 'x.to("cuda:0")'


def test_undoing_twice_changes_nothing() -> None:
    assert undone(SCRIPT) == SCRIPT
    assert port_text(SCRIPT, Plan("cuda")).findings == []


def test_comparisons_come_back_too() -> None:
    assert undone('x = d == "npu"; y = d.type in ("npu", "cpu")') == 'x = d == "cuda"; y = d.type in ("cuda", "cpu")'


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param('a = "npu"\nb = "cuda"', "cuda and npu", id="strings"),
        pytest.param('if d == "cuda": pass\nelif d == "npu": pass', "cuda and npu", id="comparisons"),
        pytest.param("torch.npu.init()\ntorch.cuda.init()", "cuda and npu", id="modules"),
        pytest.param("x.npu()\ny.cuda()", "cuda and npu", id="methods"),
        pytest.param('a = "npu"\ninit_process_group("nccl")', "cuda and npu", id="backend"),
        pytest.param('os.environ["CUDA_VISIBLE_DEVICES"]\na = "npu"', "cuda and npu", id="variable"),
    ],
)
def test_a_file_that_names_both_is_reported_and_stays(text: str, named: str) -> None:
    result = port_text(text, Plan("cuda"))
    assert result.text == text
    (finding,) = result.findings
    assert (finding.code, finding.severity) == ("DP109", "error")
    assert finding.message == f"this file names {named}; it was not undone"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('if x.device.type == "mps": pass', id="mps"),
        pytest.param('x = torch.zeros(1, device="xpu")', id="xpu"),
        pytest.param("x.musa()", id="musa"),
        pytest.param('a = "cuda"\nb = "xpu"', id="beside-cuda"),
    ],
)
def test_words_of_another_accelerator_than_the_one_to_undo_stay(text: str) -> None:
    assert port_text(text, Plan("cuda")) == Ported(text)


def test_of_two_accelerators_the_one_that_is_named_is_undone() -> None:
    before = 'device = "cuda" if fast else "mps"\n'
    ported = port_text(before, Plan("npu")).text
    assert undone(ported) == undone(ported, "npu") == before
    assert undone('device = "npu" if fast else "mps"', "mps") == 'device = "npu" if fast else "cuda"'


@pytest.mark.parametrize(
    "beside",
    [
        pytest.param('print("cuda")', id="printed"),
        pytest.param("# cuda", id="comment"),
        pytest.param('"""cuda"""', id="docstring"),
        pytest.param('prompt = "cuda"', id="prompt"),
        pytest.param('x = stats["cuda"]', id="key"),
        pytest.param("torch.cuda.nvtx.mark(x)", id="what-the-target-lacks"),
        pytest.param("torch.backends.cuda.matmul.allow_tf32 = True", id="flag"),
        pytest.param('b = "cuda"  # port: ignore', id="ignored"),
    ],
)
def test_what_a_port_leaves_in_does_not_stop_the_way_back(beside: str) -> None:
    assert undone(f'{beside}\na = "npu"') == f'{beside}\na = "cuda"'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('prompt = "npu"', id="prompt"),
        pytest.param('print("npu")', id="printed"),
        pytest.param("# npu", id="comment"),
        pytest.param("input_video = 1", id="part-of-a-word"),
        pytest.param(LIBRARY + HELPER_IMPORT, id="helper"),
        pytest.param('device = "cpu"', id="host"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_file_that_no_port_made(text: str) -> None:
    assert undone(text) == text
    assert port_text(text, Plan("cuda")).findings == []


def test_the_import_stays() -> None:
    """Nothing in the file tells whether a port added it."""
    assert undone(LIBRARY + HELPER_IMPORT + PORTED_QUERY) == LIBRARY + HELPER_IMPORT + QUERY


@pytest.mark.parametrize(
    "text",
    [
        # what a port itself leaves says nothing of who wrote the rest
        "import torch\nfrom torch.cuda import OutOfMemoryError\n\ntorch.cuda.empty_cache()\n",
        (
            'import torch\n\n\ndef f(x):\n    if x.device.type != "cuda":\n        raise ValueError\n'
            "    y = x.cuda()\n    return my_cuda_kernels.add(y)\n"
        ),
    ],
)
def test_what_a_port_leaves_for_cuda_does_not_keep_it_from_being_undone(text: str) -> None:
    done = port_text(text, Plan("npu"))
    assert done.text != text
    assert "cuda" in done.text
    assert port_text(done.text, Plan("cuda")).text == text
