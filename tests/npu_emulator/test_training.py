"""Training on npu gives the CPU's numbers: layers, optimizers, mixed precision, checkpointing, compiling."""

from __future__ import annotations

import subprocess
import threading
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


class Block(nn.Module):
    """Convolution, attention, norms, a recurrent layer and a loss."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.attention = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.rnn = nn.LSTM(8, 8, batch_first=True)
        self.gru = nn.GRU(8, 4, batch_first=True)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        tokens = functional.silu(self.norm(self.conv(picture))).flatten(2).transpose(1, 2)
        out: torch.Tensor = self.gru(self.rnn(self.attention(tokens))[0])[0]
        return out


def train(device: str, make_optimizer: Callable[..., torch.optim.Optimizer], steps: int = 3) -> list[torch.Tensor]:
    torch.manual_seed(0)
    block, picture = Block(), torch.randn(2, 3, 6, 6)
    block, picture = block.to(device), picture.to(device)
    optimizer = make_optimizer(block.parameters())
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = block(picture).square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(block.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.detach().cpu())
    return [*losses, *(parameter.detach().cpu() for parameter in block.parameters())]


# The gradient of an attention key bias is zero but for rounding; a larger epsilon keeps Adam from blowing that up.
EPS = 1e-3
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, eps=EPS),
    "adamw foreach": lambda p: torch.optim.AdamW(p, lr=1e-2, eps=EPS, foreach=True),
    "adamw fused": lambda p: torch.optim.AdamW(p, lr=1e-2, eps=EPS, fused=True),
    "sgd momentum": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_equals_cpu(name: str) -> None:
    for here, there in zip(train("cpu", OPTIMIZERS[name]), train("npu", OPTIMIZERS[name]), strict=True):
        torch.testing.assert_close(there, here, rtol=1e-5, atol=1e-6)


def test_training_equals_cpu_on_the_second_device() -> None:
    for here, there in zip(train("cpu", OPTIMIZERS["adamw"]), train("npu:1", OPTIMIZERS["adamw"]), strict=True):
        torch.testing.assert_close(there, here, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("causal", "masked"), [(False, False), (True, False), (False, True)])
def test_attention_equals_cpu(causal: bool, masked: bool) -> None:
    host = torch.randn(3, 2, 4, 9, 8).unbind(0)
    there = [part.npu().requires_grad_() for part in host]
    mask = torch.rand(9, 9) > 0.2 if masked else None
    expected = functional.scaled_dot_product_attention(*host, attn_mask=mask, is_causal=causal)
    actual = functional.scaled_dot_product_attention(
        *there, attn_mask=None if mask is None else mask.npu(), is_causal=causal
    )
    torch.testing.assert_close(actual.cpu(), expected)
    actual.sum().backward()
    assert there[0].grad is not None
    assert there[0].grad.is_npu


def test_optimizer_made_before_the_move_still_steps() -> None:
    layer = nn.Linear(2, 1)
    weight, optimizer = layer.weight, torch.optim.SGD(layer.parameters(), 0.1)
    assert layer.npu().weight is weight
    layer(torch.ones(1, 2, device="npu")).sum().backward()
    before = weight.detach().clone()
    optimizer.step()
    assert not torch.equal(weight, before)


def test_autocast_follows_torchs_policies() -> None:
    a = torch.randn(4, 4, device="npu")
    with torch.autocast("npu", dtype=torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
        assert functional.softmax((a @ a), -1).dtype == torch.float32
        assert (a @ a).exp().dtype == torch.float32
        assert torch.cat([a @ a, a]).dtype == torch.float32
        assert (a @ a).sum().dtype == torch.float32
        assert torch.norm(a @ a).dtype == torch.float32
        with pytest.raises(RuntimeError, match="unsafe to autocast"):
            functional.binary_cross_entropy(torch.rand(2, device="npu"), torch.rand(2, device="npu"))
        with torch.autocast("npu", enabled=False):
            assert (a @ a).dtype == torch.float32
    assert (a @ a).dtype == torch.float32


def test_autocast_casts_lists_of_tensors() -> None:
    a = torch.ones(3, 3, device="npu")
    with torch.autocast("npu", dtype=torch.float16):
        assert torch.einsum("ij,jk->ik", a, a).dtype == torch.float16
        assert torch.linalg.multi_dot([a, a, a]).dtype == torch.float16
        assert torch.stack([a, a.half()]).dtype == torch.float32  # the widest


def test_autocast_equals_cpu() -> None:
    torch.manual_seed(0)
    layer, x = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 2)), torch.randn(4, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = layer(x)
    with torch.autocast("npu", dtype=torch.bfloat16):
        actual = layer.npu()(x.npu())
    assert torch.equal(actual.cpu(), expected)


def test_grad_scaler_steps_and_skips() -> None:
    layer = nn.Linear(4, 1).npu()
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    scaler = torch.amp.GradScaler("npu", init_scale=8.0)
    assert scaler.is_enabled()
    before = layer.weight.detach().clone()
    for factor, moved in ((float("inf"), False), (1.0, True)):
        optimizer.zero_grad()
        scaler.scale(layer(torch.ones(2, 4, device="npu")).sum() * factor).backward()
        scaler.step(optimizer)
        scaler.update()
        assert torch.equal(layer.weight, before) is not moved
    assert scaler.get_scale() == 4.0


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing(reentrant: bool) -> None:
    layer = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 1)).npu()
    x = torch.ones(3, 4, device="npu", requires_grad=True)
    gradients = []
    for run in (lambda: layer(x), lambda: checkpoint(layer, x, use_reentrant=reentrant)):
        torch.manual_seed(5)
        layer.zero_grad()
        run().sum().backward()
        gradients.append(layer[0].weight.grad.clone())
    assert torch.equal(gradients[0], gradients[1])


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiling(backend: str) -> None:
    torch._dynamo.reset()
    block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).npu()
    x = torch.randn(2, 5, 8, device="npu", requires_grad=True)
    expected = block(x)
    expected.sum().backward()
    assert x.grad is not None
    gradient = x.grad.clone()
    x.grad = None
    actual = torch.compile(block, backend=backend)(x)
    actual.sum().backward()
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(x.grad, gradient)


def test_compiled_graph_is_whole() -> None:
    torch._dynamo.reset()

    @torch.compile(backend="aot_eager", fullgraph=True)
    def step(x: torch.Tensor) -> torch.Tensor:
        return functional.scaled_dot_product_attention(x, x, x) + torch.zeros(1, device=x.device)

    x = torch.randn(1, 2, 4, 8, device="npu")
    torch.testing.assert_close(step(x), functional.scaled_dot_product_attention(x, x, x))


def test_vmap_and_functional_grad() -> None:
    x = torch.randn(3, 4, device="npu")
    gradient = torch.func.vmap(torch.func.grad(lambda row: (row**2).sum()))(x)
    torch.testing.assert_close(gradient, 2 * x)


def test_inference_mode() -> None:
    layer = nn.Linear(3, 3).npu()
    with torch.inference_mode():
        out = layer(torch.ones(2, 3, device="npu"))
        out[0] = 0
    assert out[0].sum().item() == 0


def test_backward_keeps_nothing_once_it_is_finished() -> None:
    """Objects of Python that it holds are let go of by the thread of the device, after the call has returned."""

    class Held:
        pass

    held: list[weakref.ref[Held]] = []

    def backward() -> None:
        probe = Held()
        held.append(weakref.ref(probe))
        torch._C._stash_obj_in_tls("probe", probe)
        torch.ones(3, device="npu", requires_grad=True).sum().backward()

    thread = threading.Thread(target=backward)
    thread.start()
    thread.join()
    torch.ops.npu_emulator.finish_backward(0)
    assert held[0]() is None


@pytest.mark.slow
def test_a_program_may_end_with_its_backward_pass(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """One in three was aborted: the thread of the device let go of an object while Python ended."""
    program = "import torch\ntorch.ones(3, device='npu', requires_grad=True).sum().backward()\n"
    assert [run(program).returncode for _ in range(12)] == [0] * 12
