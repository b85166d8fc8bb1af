"""Every implementation against softmax written out."""

from __future__ import annotations

import pytest
import torch

from diffsynth.core.attention import attention
from diffsynth.core.attention.implementations import IMPLEMENTATIONS

GENERATOR = torch.Generator().manual_seed(0)


def random(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=GENERATOR).to(dtype)


def inputs(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return random(2, 5, 3, 16, dtype=dtype), random(2, 7, 3, 16, dtype=dtype), random(2, 7, 3, 16, dtype=dtype)


def written_out(query, key, value, mask=None):
    """In float64, head by head as the formula stands."""
    query, key, value = (one.double().transpose(1, 2) for one in (query, key, value))
    scores = query @ key.mT * query.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask.double()
    return (scores.softmax(-1) @ value).transpose(1, 2)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
def test_torch(dtype, close):
    query, key, value = inputs(dtype)
    output = attention(query, key, value)
    assert (output.shape, output.dtype) == (query.shape, dtype)
    torch.testing.assert_close(output.double(), written_out(query, key, value), rtol=0, atol=close)


@pytest.mark.parametrize("shape", [(5, 7), (2, 1, 1, 7), (2, 3, 5, 7), (1, 1, 5, 1)])
@pytest.mark.parametrize("additive", [True, False])
def test_masks(shape, additive):
    query, key, value = inputs()
    mask = random(*shape) if additive else random(*shape) > -0.5
    if not additive:
        mask[..., 0] = True
    output = attention(query, key, value, mask=mask)
    torch.testing.assert_close(output.double(), written_out(query, key, value, mask), rtol=0, atol=1e-6)


def test_a_query_that_is_a_view():
    query, key, value = (one.transpose(1, 2).contiguous().transpose(1, 2) for one in inputs())
    torch.testing.assert_close(attention(query, key, value).double(), written_out(query, key, value), rtol=0, atol=1e-6)


def test_gradients():
    query, key, value = (one.requires_grad_() for one in inputs())
    attention(query, key, value).square().sum().backward()
    got = [one.grad.clone() for one in (query, key, value)]
    for one in (query, key, value):
        one.grad = None
    written_out(query, key, value).square().sum().backward()
    for one, grad in zip((query, key, value), got, strict=True):
        torch.testing.assert_close(grad, one.grad, rtol=1e-4, atol=1e-5)


def test_compiled_whole():
    query, key, value = inputs()
    mask = random(5, 7) > -0.5
    compiled = torch.compile(lambda *args: attention(*args, mask=mask) + 1, fullgraph=True, backend="aot_eager")
    expected = written_out(query, key, value, mask) + 1
    torch.testing.assert_close(compiled(query, key, value).double(), expected, rtol=0, atol=1e-6)


def test_compiled_for_any_number_of_heads():
    """Which torch 2.7 makes of a number that a module keeps, where it compiles for any shapes."""

    class Attending(torch.nn.Module):
        heads = 2

        def forward(self, tokens):
            tokens = torch.unflatten(tokens, -1, (self.heads, -1))
            return attention(tokens, tokens, tokens)

    module, tokens = Attending(), torch.randn(1, 6, 32, generator=torch.Generator().manual_seed(0))
    expected = module(tokens)
    module.forward = torch.compile(module.forward, dynamic=True, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(module(tokens), expected, rtol=0, atol=1e-6)


# On a CPU the packages themselves cannot run: this is the adapter's part, names and order of what it passes on.
@pytest.mark.parametrize(
    "name",
    [
        "flash_attention_2",
        "flash_attention_3",
        "flash_attention_4",
        "sage_attention",
        "xformers",
        "customized_fa_kernel",
    ],
)
def test_adapters(install, monkeypatch, name):
    monkeypatch.setenv("DIFFSYNTH_FLASH_ATTN_KERNEL_REPO_ID", "someone/flash-attn")
    monkeypatch.setenv("DIFFSYNTH_FLASH_ATTN_KERNEL_VERSION", "2")
    install(name)
    assert IMPLEMENTATIONS[name].why_not_installed() == ""
    query, key, value = inputs()
    output = IMPLEMENTATIONS[name].load()(query, key, value, None)
    torch.testing.assert_close(output.double(), written_out(query, key, value), rtol=0, atol=1e-6)


def test_on_the_emulated_npu(run_on):
    """torch's own is taken there, whole graphs compile, and the fused operator is called as it wants to be."""
    program = """
        import os, torch
        from diffsynth.core.attention import attention, chosen_implementation

        query, key, value = (torch.randn(2, 5, 3, 16).to("npu", torch.bfloat16) for _ in range(3))
        print(chosen_implementation("npu", torch.bfloat16, 16))
        expected = attention(query, key, value)
        compiled = torch.compile(attention, fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(query, key, value), expected)
        masks = [(torch.rand(shape) > 0.3).index_fill(-1, torch.tensor(0), True).to("npu")
                 for shape in [(5, 5), (3, 5, 5), (2, 1, 1, 5), (1, 3, 5, 5)]]
        masked = [attention(query, key, value, mask=mask) for mask in masks]
        os.environ["DIFFSYNTH_ATTENTION_IMPLEMENTATION"] = "npu_fusion_attention"
        print(chosen_implementation("npu:0", torch.bfloat16, 16))
        torch.testing.assert_close(attention(query, key, value), expected, rtol=0, atol=2e-2)
        for mask, wanted in zip(masks, masked):
            torch.testing.assert_close(attention(query, key, value, mask=mask), wanted, rtol=0, atol=2e-2)
        print(chosen_implementation("npu", torch.bfloat16, 16, torch.bfloat16))
    """
    assert run_on("npu", program).split() == ["torch", "npu_fusion_attention", "torch"]


HARDWARE = ["flash_attention_2", "flash_attention_3", "flash_attention_4", "sage_attention", "xformers"]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA or AMD GPU")
@pytest.mark.parametrize("name", HARDWARE)
def test_on_a_gpu(monkeypatch, name):
    implementation = IMPLEMENTATIONS[name]
    missing = implementation.why_not_installed() or implementation.why_not_on(torch.device("cuda"))
    if missing:
        pytest.skip(f"{name}: {missing}")
    query, key, value = (random(1, 512, 4, 128, dtype=torch.bfloat16).cuda() for _ in range(3))
    monkeypatch.setenv("DIFFSYNTH_ATTENTION_IMPLEMENTATION", name)
    output = attention(query, key, value)
    torch.testing.assert_close(output.double(), written_out(query, key, value), rtol=0, atol=2e-2)


@pytest.mark.npu
@pytest.mark.skipif(not (hasattr(torch, "npu") and torch.npu.is_available()), reason="needs an NPU, real or emulated")
@pytest.mark.parametrize("mask_shape", [None, (64, 64), (2, 1, 1, 64), (1, 4, 64, 64)])
def test_on_an_npu(monkeypatch, mask_shape):
    query, key, value = (random(2, 64, 4, 128, dtype=torch.bfloat16).to("npu") for _ in range(3))
    mask = None
    if mask_shape:
        mask = (random(*mask_shape) > -0.5).to("npu")
        mask[..., 0] = True
    monkeypatch.setenv("DIFFSYNTH_ATTENTION_IMPLEMENTATION", "npu_fusion_attention")
    output = attention(query, key, value, mask=mask).cpu().double()
    host = [one.cpu() for one in (query, key, value)]
    expected = written_out(*host, None if mask is None else mask.cpu())
    torch.testing.assert_close(output, expected, rtol=0, atol=2e-2)
