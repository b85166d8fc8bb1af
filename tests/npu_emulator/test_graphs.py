"""Graph capture, torch.compile and flex_attention on npu: what there is instead of a graph compiler."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch.nn.attention import flex_attention as flex

from npu_emulator import eager_compile
from npu_emulator.npu.not_emulated import NotEmulated


def test_replay_runs_on_the_same_memory(tmp_path: Path) -> None:
    graph, given = torch.npu.NPUGraph(), torch.zeros(4, 4, device="npu")
    with torch.npu.graph(graph):
        assert torch.npu.is_current_stream_capturing()
        result = (given @ given).relu() + 1
        view = result[0]
    assert not torch.npu.is_current_stream_capturing()
    given.copy_(torch.randn(4, 4))
    graph.replay()
    assert torch.equal(result, (given @ given).relu() + 1)
    assert torch.equal(view, result[0])
    graph.debug_dump(str(tmp_path / "graph.txt"))
    assert "aten.mm" in (tmp_path / "graph.txt").read_text()
    graph.reset()
    with pytest.raises(RuntimeError, match="holds nothing"):
        graph.replay()


def test_a_training_step_is_replayed() -> None:
    layer = torch.nn.Linear(4, 4).npu()
    optimizer, inputs, before = torch.optim.SGD(layer.parameters(), lr=0.1), torch.ones(2, 4, device="npu"), None
    before = layer.weight.detach().clone()
    graph = torch.npu.NPUGraph()
    with torch.npu.graph(graph):
        optimizer.zero_grad()
        layer(inputs).sum().backward()
        optimizer.step()
    graph.replay()
    torch.testing.assert_close(before - layer.weight, torch.full((4, 4), 2 * 0.1 * 2, device="npu"))


def test_a_capture_does_not_wait_and_does_not_nest() -> None:
    graph, x = torch.npu.NPUGraph(), torch.ones(2, device="npu")
    for wait in (x.sum().item, x.nonzero, x.cpu):
        with pytest.raises(RuntimeError, match="waits for the device"), torch.npu.graph(torch.npu.NPUGraph()):
            wait()
    with torch.npu.graph(graph), pytest.raises(RuntimeError, match="already"):
        torch.npu.NPUGraph().capture_begin()
    with pytest.raises(RuntimeError, match="without capture_begin"):
        graph.capture_end()
    with pytest.raises(NotEmulated, match="capture again"):
        graph.update([{}])
    assert torch.npu.make_graphed_callables(len, ()) is len
    assert torch.npu.graph_pool_handle() != torch.npu.graph_pool_handle()


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_compile_runs_eagerly_and_says_so_once() -> None:
    x = torch.randn(4, 4, device="npu")
    eager_compile._warn_once.cache_clear()
    options = [
        {},
        {"mode": "reduce-overhead"},
        {"backend": "npu"},
        {"backend": "npugraph_ex"},
        {"backend": "npugraphs"},
    ]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for chosen in options:
            torch._dynamo.reset()
            assert torch.equal(torch.compile(lambda a: (a @ a).relu() * 2, **chosen)(x), (x @ x).relu() * 2)
        assert torch.compile(lambda n: torch.ones(3, device="npu") * n)(2).tolist() == [2, 2, 2]
        layer = torch.compile(torch.nn.Linear(4, 4).npu())
        layer(x).sum().backward()
    assert layer.weight.grad is not None
    assert [str(w.message) for w in seen if "graph compiler" in str(w.message)] == [
        "torch.compile: there is no graph compiler for the emulated NPU; npu code runs eagerly"
    ]


@pytest.mark.filterwarnings("ignore")
def test_flex_attention() -> None:
    q, k, v = torch.randn(3, 1, 2, 128, 16, device="npu").unbind(0)
    q.requires_grad_()
    mask = flex.create_block_mask(lambda b, h, i, j: i >= j, 1, 1, 128, 128, device="npu")
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(flex.flex_attention(q, k, v, block_mask=mask), expected)
    torch.compile(flex.flex_attention)(q, k, v, block_mask=mask).sum().backward()
    assert q.grad is not None
    with torch.autocast("npu", torch.bfloat16):
        assert flex.flex_attention(q, k, v).dtype == torch.bfloat16
