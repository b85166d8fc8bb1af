"""DP111: .cuda that is named, not called."""

from __future__ import annotations

import pytest

from tests.porter.rules.rewriting import check_noop, check_reported, check_transformed, ported

CODE = "DP111"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("import torch\ntorch.Tensor.cuda(x)", "import torch\ntorch.Tensor.npu(x)", id="tensor"),
        pytest.param("import torch\nmap(torch.Tensor.cuda, xs)", "import torch\nmap(torch.Tensor.npu, xs)", id="map"),
        pytest.param("from torch import nn\nnn.Module.cuda(m)", "from torch import nn\nnn.Module.npu(m)", id="module"),
        pytest.param('getattr(x, "cuda")()', 'getattr(x, "npu")()', id="getattr-called"),
        pytest.param(
            'import torch\ngetattr(torch, "cuda")', 'import torch\ngetattr(torch, "npu")', id="getattr-module"
        ),
        pytest.param(
            'import torch\nhasattr(torch, "cuda")', 'import torch\nhasattr(torch, "npu")', id="hasattr-module"
        ),
        pytest.param(
            'import torch\nhasattr(torch.compiler, "cudagraph_mark_step_begin")',
            'import torch\nhasattr(torch.compiler, "npugraph_mark_step_begin")',
            id="hasattr-renamed",
        ),
        pytest.param(
            'import torch\nhasattr(torch.cuda, "CUDAGraph")',
            'import torch\nhasattr(torch.npu, "NPUGraph")',
            id="hasattr-both",
        ),
        pytest.param("launch(stream.cuda_stream)", "launch(stream.npu_stream)", id="stream"),
        pytest.param("launch(event.cuda_event)", "launch(event.npu_event)", id="event"),
    ],
)
def test_renamed(before: str, after: str) -> None:
    check_transformed(before, after)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("move = model.cuda", id="kept"),
        pytest.param("map(model.cuda, parts)", id="handed-on"),
        pytest.param("def f(model):\n    return model.cuda", id="returned"),
        pytest.param('getattr(x, "cuda")', id="asked-for"),
        pytest.param('hasattr(x, "cuda")', id="asked-whether"),
    ],
)
def test_what_may_be_the_method_is_reported(text: str) -> None:
    check_reported(text, CODE, "warning")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("f(args.cuda)", id="option"),
        pytest.param("use = self.cuda", id="of-its-own"),
        pytest.param("if model.cuda: pass", id="condition"),
        pytest.param("state.cuda = True\nuse = state.cuda", id="set-in-the-file"),
        pytest.param('parser.add_argument("--cuda")\nuse = given.cuda', id="an-option-of-the-file"),
        pytest.param("move = model.cpu", id="host"),
        pytest.param('getattr(x, "cpu")()', id="host-by-name"),
        pytest.param("stream.cuda_stream = 1", id="handle-set"),
        pytest.param("f(x.cuda_streams)", id="another-name"),
        pytest.param("torch.version.cuda", id="below-torch"),
    ],
)
def test_left_alone(text: str) -> None:
    check_noop(text)
    assert not [finding for finding in ported(text).findings if finding.code == CODE]


def test_a_target_without_the_method() -> None:
    check_reported("import torch\nmap(torch.Tensor.cuda, xs)", CODE, "error", "mps")
    check_reported("f(stream.cuda_stream)", CODE, "error", "mps")
    check_transformed("f(stream.cuda_stream)", "f(stream.sycl_queue)", "xpu")
