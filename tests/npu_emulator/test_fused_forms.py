"""What `diffsynth-port --apply-affinity` writes, run on the emulated NPU beside what was there: the same within the
bound that its findings state, and so are the gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from porter.analysis.affinity.fusing import BOUNDS
from porter.port import Plan, port_text

HEAD = "import math\nimport torch\nimport torch.nn.functional as F\n\n\n"
TURN_HALF = "def turn(x):\n    a, b = x.chunk(2, dim=-1)\n    return torch.cat((-b, a), dim=-1)\n\n\n"
TURN_PAIRS = "def turn(x):\n    return torch.stack((-x[..., 1::2], x[..., ::2]), dim=-1).flatten(-2)\n\n\n"

NORM = "def f(x, weight):\n    kind = x.dtype\n    x = x.float()\n    v = x.pow(2).mean(-1, keepdim=True)\n"
NORM += "    return weight * (x * torch.rsqrt(v + 1e-6)).to(kind)\n"
NORM_PLAIN = "def f(x, weight):\n    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6) * weight\n"
ROTARY = (
    "def f(x, cos, sin):\n    cos = cos.unsqueeze(1)\n    sin = sin.unsqueeze(1)\n    return x * cos + turn(x) * sin\n"
)
ATTENTION = "def f(q, k, v):\n    a = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])\n    return a.softmax(-1) @ v\n"
MASKED = "def f(q, k, v, mask):\n    a = (q @ k.mT).masked_fill(mask > 0, -math.inf)\n    return a.softmax(-1) @ v\n"
ADDED = "def f(q, k, v, bias):\n    a = torch.matmul(q, k.mT) * 0.25 + bias\n    return F.softmax(a, -1) @ v\n"
SWIGLU = "def f(x):\n    a, b = x.chunk(2, dim=-1)\n    return F.silu(a) * b\n"
GEGLU = "def f(x):\n    a, b = x.chunk(2, dim=-1)\n    return a * F.gelu(b)\n"
GEGLU_LEFT = "def f(x):\n    a, b = x.chunk(2, dim=-1)\n    return F.gelu(a, approximate='tanh') * b\n"
FAST_GELU = "def f(x):\n    return x * torch.sigmoid(1.702 * x)\n"
GELU = "def f(x):\n    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))\n"
GELU_TANH = "def f(x):\n    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))\n"
SILU = "def f(x):\n    return x * torch.sigmoid(x)\n"

WIDE = ((2, 5, 64), (64,))
HEADS = ((2, 4, 6, 16),) * 3

#: By name: the rule, the program, and the shapes of what it is called with.
CASES = {
    "rms norm": ("DP501", NORM, WIDE),
    "rms norm in its type": ("DP501", NORM_PLAIN, WIDE),
    "rotary": ("DP503", TURN_HALF + ROTARY, ((2, 4, 6, 16), (2, 6, 16), (2, 6, 16))),
    "rotary in pairs": ("DP503", TURN_PAIRS + ROTARY, ((2, 4, 6, 16), (2, 6, 16), (2, 6, 16))),
    "attention": ("DP502", ATTENTION, HEADS),
    "attention with a mask": ("DP502", MASKED, (*HEADS, (2, 1, 6, 6))),
    "attention with a bias": ("DP502", ADDED, (*HEADS, (1, 4, 6, 6))),
    "swiglu": ("DP504", SWIGLU, ((3, 32),)),
    "geglu": ("DP504", GEGLU, ((3, 32),)),
    "geglu by its first half": ("DP504", GEGLU_LEFT, ((3, 32),)),
    "fast gelu": ("DP505", FAST_GELU, ((3, 32),)),
    "gelu": ("DP505", GELU, ((3, 32),)),
    "gelu by tanh": ("DP505", GELU_TANH, ((3, 32),)),
    "silu": ("DP505", SILU, ((3, 32),)),
}

OPTIMIZERS = {
    "AdamW": "torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1)",
    "Adam": "torch.optim.Adam(p, 1e-2, (0.8, 0.99))",
    "SGD": "torch.optim.SGD(p, lr=1e-2, momentum=0.9, weight_decay=0.1)",
}


def fused(text: str, code: str) -> str:
    plan = Plan("npu", codes=frozenset({code}), applies=True)
    ported = port_text(HEAD + text, plan)
    assert [finding.severity for finding in ported.findings] == ["fix"]
    return ported.text


def function(text: str) -> Callable[..., torch.Tensor]:
    names: dict[str, Callable[..., torch.Tensor]] = {}
    exec(compile(text, "case.py", "exec"), names)
    return names["f"]


def run(
    text: str, shapes: tuple[tuple[int, ...], ...], dtype: torch.dtype, masked: bool
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The result, and the gradients of all floating-point inputs."""
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(shape, generator=generator).to("npu", dtype) for shape in shapes]
    if masked:
        made[-1][..., 0] = -1  # no row is masked whole
    inputs = [one.requires_grad_(not masked or at < len(made) - 1) for at, one in enumerate(made)]
    result = function(text)(*inputs)
    result.float().square().sum().backward()
    return result.detach(), [one.grad for one in inputs if one.grad is not None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=lambda one: str(one)[6:])
@pytest.mark.parametrize("name", CASES)
def test_the_result_is_the_same_within_the_bound(name: str, dtype: torch.dtype) -> None:
    code, text, shapes = CASES[name]
    before, gradients = run(HEAD + text, shapes, dtype, "masked_fill" in text)
    after, gradients_after = run(fused(text, code), shapes, dtype, "masked_fill" in text)
    assert (after.dtype, after.shape, after.device) == (before.dtype, before.shape, before.device)
    bound = BOUNDS[str(dtype).removeprefix("torch.")]
    if code == "DP502" and dtype != torch.float32:
        bound *= 1 + 5  # once more for each unit of the largest score
    for one, other in zip([before, *gradients], [after, *gradients_after], strict=True):
        limit = bound if one is before else 4 * bound  # the statement is about the result
        assert (one.float() - other.float()).abs().max() <= limit * one.float().abs().max()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_ten_steps_of_the_optimizer_are_the_same(name: str) -> None:
    text = f"def f(p):\n    return {OPTIMIZERS[name]}\n"

    def trained(source: str) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        layer = torch.nn.Linear(8, 3)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        layer = layer.to("npu")
        data = torch.randn(10, 4, 8, generator=generator).to("npu")
        optimizer = function(source)(layer.parameters())
        for batch in data:
            optimizer.zero_grad()  # type: ignore[attr-defined]
            layer(batch).square().mean().backward()
            optimizer.step()  # type: ignore[attr-defined]
        return layer.weight.detach().clone()

    before, after = trained(HEAD + text), trained(fused(text, "DP506"))
    assert (before - after).abs().max() <= BOUNDS["float32"] * before.abs().max()
