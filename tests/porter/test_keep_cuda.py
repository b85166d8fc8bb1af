"""Ports that still run on CUDA: the same text, with the device that torch finds."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest

from porter.documents import port_bytes
from porter.port import PYTHON, Plan, port_text

KEEP = Plan("npu", keep_cuda=True)
DEFINED = 'DEVICE = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"\n'
IMPORT = "import torch\n"


def kept(text: str) -> str:
    """The ported text, without what finds the device; a second port changes nothing."""
    whole = port_text(text, KEEP).text
    assert port_text(whole, KEEP).text == whole
    return whole.replace(f"\n{DEFINED}", "")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param('x.to("cuda")\n', "x.to(DEVICE)\n", id="string"),
        pytest.param("x.to('cuda:1')\n", "x.to(f'{DEVICE}:1')\n", id="numbered"),
        pytest.param('x.to(f"cuda:{rank}")\n', 'x.to(f"{DEVICE}:{rank}")\n', id="f-string"),
        pytest.param('x.to("cuda:" + str(i))\n', 'x.to(f"{DEVICE}:" + str(i))\n', id="sum"),
        pytest.param('x.to("cuda:%d" % i)\n', 'x.to(f"{DEVICE}:%d" % i)\n', id="percent"),
        pytest.param('x.to("cuda:{}".format(i))\n', 'x.to(f"{DEVICE}:{{}}".format(i))\n', id="format"),
        pytest.param("x.cuda()\n", "x.to(DEVICE)\n", id="method"),
        pytest.param("x.cuda(0, True)\n", 'x.to(f"{DEVICE}:0", non_blocking=True)\n', id="method-numbered"),
        pytest.param("y = x.is_cuda\n", 'y = (DEVICE != "cpu" and x.device.type == DEVICE)\n', id="flag"),
        pytest.param('y = d.type == "cuda"\n', 'y = (DEVICE != "cpu" and d.type == DEVICE)\n', id="comparison"),
        pytest.param('y = d.type != "cuda"\n', 'y = (DEVICE == "cpu" or d.type != DEVICE)\n', id="comparison-not"),
        pytest.param(
            'if d in ("cuda", "cpu"): pass\n', 'if d in (DEVICE, "cpu"): pass\n', id="comparison-with-several"
        ),
        pytest.param(
            'y = d.startswith("cuda")\n',
            'y = (DEVICE != "cpu" and d.startswith(DEVICE))\n',
            id="comparison-of-the-beginning",
        ),
        pytest.param('def f(device="cuda"): pass\n', "def f(device=DEVICE): pass\n", id="default"),
        pytest.param(
            'def f(n: Literal[1], device: str = "cuda"): pass\n',
            "def f(n: Literal[1], device: str = DEVICE): pass\n",
            id="default-beside-a-literal-type",
        ),
        pytest.param("torch.cuda.synchronize()\n", "torch.get_device_module().synchronize()\n", id="module"),
        pytest.param(
            "torch.cuda.manual_seed_all(1)\n",
            "torch.accelerator.is_available() and torch.get_device_module().manual_seed_all(1)\n",
            id="module-without-a-device",
        ),
        pytest.param(
            "if torch.cuda.is_available(): torch.cuda.empty_cache()\n",
            "if torch.accelerator.is_available(): torch.get_device_module().empty_cache()\n",
            id="module-where-there-is-one",
        ),
        pytest.param(
            "if torch.cuda.is_available(): n = torch.cuda.device_count()\n",
            "if torch.accelerator.is_available(): n = torch.accelerator.device_count()\n",
            id="whether-there-is-one",
        ),
        pytest.param(
            "from torch.cuda import is_available\n",
            "is_available = torch.accelerator.is_available\n",
            id="import-whether-there-is-one",
        ),
        pytest.param(
            'init_process_group("nccl")\n',
            "init_process_group(torch.distributed.get_default_backend_for_device(DEVICE))\n",
            id="backend",
        ),
        pytest.param(
            "a = [ProfilerActivity.CUDA]\n", "a = [getattr(ProfilerActivity, DEVICE.upper())]\n", id="activity"
        ),
        pytest.param(
            "from torch.cuda.amp import GradScaler, autocast as cast\n",
            "GradScaler, cast = torch.get_device_module().amp.GradScaler, torch.get_device_module().amp.autocast\n",
            id="import",
        ),
    ],
)
def test_kept(before: str, after: str) -> None:
    assert kept(IMPORT + before) == IMPORT + after


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("from torch import cuda\n", "cuda stays as it is: it imports CUDA's module", id="from-torch"),
        pytest.param(
            "from torch.cuda import is_available, synchronize\n",
            "Ascend NPU has these in torch.accelerator and torch.get_device_module()",
            id="from-two-modules",
        ),
        pytest.param("torch.cuda.CUDAGraph()\n", "Ascend NPU has no torch.cuda.CUDAGraph", id="another-name"),
        pytest.param(
            'match d:\n    case "cuda": pass\n',
            '"cuda" stays as it is: a pattern or type has to be written out',
            id="pattern",
        ),
        pytest.param(
            'x.type("torch.cuda.FloatTensor")\n',
            "torch.cuda.FloatTensor stays as it is: a pattern or type has to be written out",
            id="type",
        ),
        pytest.param(
            'os.environ["CUDA_VISIBLE_DEVICES"] = "0"\n',
            "CUDA_VISIBLE_DEVICES stays as it is: the other accelerator reads its own",
            id="variable",
        ),
        pytest.param(
            "self.is_cuda = True\nif self.is_cuda: pass\n",
            "this file sets is_cuda itself; it was left as it is",
            id="attribute-of-its-own",
        ),
        pytest.param("torch.cuda.nvtx.mark(1)\n", "Ascend NPU has no torch.cuda.nvtx", id="lacking"),
    ],
)
def test_what_can_be_said_for_one_device_only_is_left_and_reported(text: str, says: str) -> None:
    ported = port_text(IMPORT + text, KEEP)
    assert ported.text == IMPORT + text
    assert says in {finding.message for finding in ported.findings if not finding.is_fix}


@pytest.mark.parametrize(
    "text", ['prompt = "cuda"\n', "# cuda\n", 'print("cuda")\n', 'device = "npu" if n else "cuda"\n']
)
def test_what_is_no_device_or_serves_both_stays(text: str) -> None:
    assert kept(IMPORT + text) == IMPORT + text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('x = "cuda"\n', f"import torch\n\n{DEFINED}\nx = DEVICE\n"),
        ('"""Doc."""\nx = "cuda"\n', f'"""Doc."""\nimport torch\n\n{DEFINED}\nx = DEVICE\n'),
        (
            'import os\nimport torch\nimport sys\n\nx = "cuda"\n',
            f"import os\nimport torch\nimport sys\n\n{DEFINED}\nx = DEVICE\n",
        ),
        ('import torch\r\nx = "cuda"\r\n', f"import torch\r\n\r\n{DEFINED[:-1]}\r\nx = DEVICE\r\n"),
        ('import torch as th\nx = "cuda"\n', f"import torch as th\n\n{DEFINED.replace('torch.', 'th.')}x = DEVICE\n"),
        (
            'import torch\nDEVICE = "cuda"\n',
            f"import torch\n\n{DEFINED.replace('DEVICE', 'ACCELERATOR')}DEVICE = ACCELERATOR\n",
        ),
    ],
    ids=["no-torch", "docstring", "imports", "crlf", "alias", "name-taken"],
)
def test_where_the_device_is_asked_for(before: str, after: str) -> None:
    assert port_text(before, KEEP).text == after


LAZY = """\
def load(path):
    import torch

    return torch.load(path, map_location="cuda")


def name():
    return "x"
"""


def test_a_program_that_imports_torch_late_still_does() -> None:
    once = port_text(LAZY, KEEP).text
    later = LAZY.replace('"cuda"', "DEVICE").replace("import torch\n", f"import torch\n    {DEFINED}")
    assert once == later
    assert port_text(once, KEEP).text == once
    both = port_text(LAZY + LAZY.replace("load(path)", "other(path)"), KEEP).text
    assert both == later + later.replace("load(path)", "other(path)")


@pytest.mark.parametrize(
    "text",
    [
        LAZY + 'device = "cuda"\n',
        LAZY.replace("(path)", '(path, device="cuda")'),
        LAZY.replace("    import torch\n", "    if path:\n        import torch\n"),
        "import torch\n" + LAZY,
    ],
    ids=["outside", "default", "condition", "above"],
)
def test_what_uses_the_device_elsewhere_has_it_from_the_top(text: str) -> None:
    ported = port_text(text, KEEP).text
    assert f"\n{DEFINED}" in ported
    compile(ported, "lazy", "exec")


def test_a_line_appended_later_uses_the_same_device() -> None:
    first = port_text('import torch\nx = "cuda"\n', KEEP).text
    assert port_text(first + 'y = "cuda"\n', KEEP).text == first + "y = DEVICE\n"


def test_other_files_are_left_with_a_note_for_each_place() -> None:
    script = b"CUDA_VISIBLE_DEVICES=0 python a.py --device cuda\n"
    ported = port_bytes("a.sh", script, KEEP)
    assert ported.data == script
    assert [finding.severity for finding in ported.findings] == ["note", "note"]
    assert "on npu, cuda becomes npu" in {finding.message for finding in ported.findings}


SCRIPT = """\
import torch
from torch.cuda import synchronize

rank = 1
named = ["cuda", f"cuda:{rank}", "cuda:%d" % rank, {"device": "cuda:0"}["device"]]
is_there = [torch.cuda.is_available(), torch.cuda.device_count()]
same = synchronize is torch.cuda.synchronize


def place(device="cuda"):
    return torch.device(device).type == "cuda", torch.device(device).index
"""


def _run(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(text, "script", "exec"), names)
    return {"named": names["named"], "is_there": names["is_there"], "same": names["same"], "place": names["place"]()}


def test_both_forms_say_the_same_on_cuda() -> None:
    torch = pytest.importorskip("torch")
    ported = port_text(SCRIPT, KEEP).text
    assert ported.count('"cuda') == 0
    with (
        patch.object(torch.cuda, "is_available", lambda: True),
        patch.object(torch.accelerator, "is_available", lambda: True),
        patch.object(torch.accelerator, "current_accelerator", lambda: torch.device("cuda")),
        patch.object(torch, "get_device_module", lambda device=None: torch.cuda),
    ):
        assert _run(ported) == _run(SCRIPT)


def test_both_forms_run_where_there_is_no_accelerator() -> None:
    torch = pytest.importorskip("torch")
    if torch.accelerator.is_available():
        pytest.skip("there is an accelerator here")
    ported = _run(port_text(SCRIPT, KEEP).text)
    assert ported["is_there"] == [False, 0]
    assert ported["named"] == ["cpu", "cpu:1", "cpu:1", "cpu:0"]
    assert ported["place"] == (False, None)


@pytest.mark.parametrize(
    "text",
    [
        'def f(device: Literal["cuda", "cpu"] = "cuda"): pass\n',
        'def f(*, device: Literal["cuda", "cpu"] | None = "cuda"): pass\n',
        'device: Literal["cuda", "cpu"] = "cuda"\n',
    ],
    ids=["parameter", "keyword-only", "variable"],
)
def test_a_value_of_a_literal_type_stays_with_its_type(text: str) -> None:
    ported = port_text(IMPORT + text, KEEP)
    assert ported.text == IMPORT + text
    assert [finding.severity for finding in ported.findings] == ["warning", "warning"]


def test_what_needs_no_device_needs_none_still() -> None:
    torch = pytest.importorskip("torch")
    if torch.accelerator.is_available():
        pytest.skip("there is an accelerator here")
    names: dict[str, Any] = {}
    calls = "torch.cuda.manual_seed_all(1), torch.cuda.empty_cache(), torch.cuda.max_memory_allocated()"
    exec(port_text(f"import torch\ny = {calls}\nz = torch.ones(1).device.type == 'cuda'\n", KEEP).text, names)
    assert names["y"] == (None, None, 0), "what torch.cuda gives without a device"
    assert names["z"] is False


def test_a_tensor_on_the_host_is_not_on_an_accelerator() -> None:
    torch = pytest.importorskip("torch")
    if torch.accelerator.is_available():
        pytest.skip("there is an accelerator here")
    names: dict[str, Any] = {}
    exec(port_text("import torch\ny = torch.ones(1).is_cuda\n", KEEP).text, names)
    assert names["y"] is False


def test_python_is_the_only_language_of_it() -> None:
    assert port_text("import torch\nx.cuda()\n", KEEP, PYTHON).text.endswith("x.to(DEVICE)\n")


@pytest.mark.parametrize("chain", ["ProfilerActivity . CUDA", "(ProfilerActivity).CUDA", "ProfilerActivity\n.CUDA"])
def test_an_activity_that_is_not_written_in_one_piece_is_reported(chain: str) -> None:
    text = f"from torch.profiler import ProfilerActivity, profile\nprofile(activities=[{chain}])\n"
    done = port_text(text, Plan("npu", keep_cuda=True))
    assert done.text == text
    assert [one.severity for one in done.findings] == ["warning"]
