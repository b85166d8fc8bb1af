"""Softmax, losses, dropout, casts, reshapes, sampling, caches and convolutions."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tests.npu_emulator.operators.holding import TYPES, check_gradient, close, made


def test_scaled_masked_softmax() -> None:
    import torch_npu

    mask = torch.rand(2, 1, 32, 64) < 0.3
    for dtype in TYPES:
        x = made(2, 3, 32, 64, dtype=dtype)
        expected = torch.softmax((x.double() * 0.7).masked_fill(mask, -math.inf), -1)
        close(torch_npu.npu_scaled_masked_softmax(x.npu(), mask.npu(), 0.7), expected)
    few = torch.rand(1, 1, 2, 3) < 0.4
    check_gradient(lambda x: torch_npu.npu_scaled_masked_softmax(x, few.npu(), 0.7), made(1, 2, 2, 3))
    with pytest.raises(RuntimeError, match="a last dimension of x is 33, expected 32 to 4096, in steps of 32"):
        torch_npu.npu_scaled_masked_softmax(torch.ones(1, 1, 32, 33).npu(), torch.zeros(1).bool().npu())
    with pytest.raises(RuntimeError, match="mask is float32, expected bool"):
        torch_npu.npu_scaled_masked_softmax(torch.ones(1, 1, 32, 32).npu(), torch.zeros(1).npu())


def test_attention_softmax_in_place() -> None:
    import torch_npu

    scores, grad, values = made(2, 3, 4), made(2, 3, 5), made(2, 4, 5)
    host = scores.double().requires_grad_()
    weights = torch.softmax(host, -1)
    (weights @ values.double()).backward(grad.double())
    on_device = scores.npu()
    torch_npu.npu_attn_softmax_(on_device)
    close(on_device, weights.detach())
    torch_npu.npu_attn_softmax_backward_(on_device, grad.npu(), values.npu())
    close(on_device, host.grad)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy(reduction: str) -> None:
    import torch_npu

    x, target, weight = made(6, 5), torch.tensor([0, 4, 2, 2, 1, 3]), torch.rand(5)
    loss, log_prob, *_ = torch_npu.npu_cross_entropy_loss(
        x.npu(), target.npu(), weight.npu(), reduction, 2, label_smoothing=0.1
    )
    expected = functional.cross_entropy(
        x.double(), target, weight.double(), reduction=reduction, ignore_index=2, label_smoothing=0.1
    )
    close(loss, expected if reduction == "none" else expected.view(1))
    close(log_prob, torch.log_softmax(x.double(), -1))
    options = {} if reduction == "mean" else {"weight": weight.npu(), "ignore_index": 2}
    check_gradient(lambda x: torch_npu.npu_cross_entropy_loss(x, target.npu(), reduction=reduction, **options)[0], x)


def test_limits_of_cross_entropy() -> None:
    import torch_npu

    x, target = torch.ones(3, 4).npu().requires_grad_(), torch.tensor([0, 1, 2]).npu()
    with pytest.raises(RuntimeError, match="target is int32, expected int64"):
        torch_npu.npu_cross_entropy_loss(x, target.int())
    with pytest.raises(RuntimeError, match="return_zloss is True, expected False"):
        torch_npu.npu_cross_entropy_loss(x, target, return_zloss=True)
    loss = torch_npu.npu_cross_entropy_loss(x, target, label_smoothing=0.1, reduction="sum")[0]
    with pytest.raises(RuntimeError, match=r"with a gradient: label_smoothing is 0.1, expected 0.0"):
        loss.backward()


def test_softmax_cross_entropy() -> None:
    import torch_npu

    x, labels = made(4, 5), torch.rand(4, 5)
    expected = -(torch.log_softmax(x.double(), -1) * labels.double()).sum(-1)
    close(torch_npu.npu_softmax_cross_entropy_with_logits(x.npu(), labels.npu()), expected)
    check_gradient(lambda x: torch_npu.npu_softmax_cross_entropy_with_logits(x, labels.double().npu()), x)


def test_dropout() -> None:
    import torch_npu

    x = torch.ones(40, 50).npu().requires_grad_()
    torch.npu.manual_seed(1)
    result, mask = torch_npu._npu_dropout(x, 0.25)
    assert mask.shape == (2048 // 8,)
    assert result.unique().tolist() == pytest.approx([0, 4 / 3])
    assert 0.7 < result.ne(0).float().mean() < 0.8
    result.sum().backward()
    assert torch.equal(x.grad, result.detach())
    assert torch.equal(torch_npu.npu_dropout_do_mask(x, mask, 0.25)[0], result)
    torch.npu.manual_seed(1)
    assert torch.equal(torch_npu._npu_dropout(x, 0.25)[0], result)
    assert torch_npu.npu_dropout_gen_mask([40, 50], 0.25, device="npu").shape == mask.shape


def test_dropout_with_add_softmax() -> None:
    import torch_npu

    x, bias = made(3, 5), made(3, 5)
    mask, softmax, result = torch_npu.npu_dropout_with_add_softmax(x.npu(), bias.npu(), 0.7, 0.3, -1)
    close(softmax, torch.softmax(x.double() * 0.7 + bias.double(), -1))
    assert torch.allclose(result[result != 0] * 0.7, softmax[result != 0])
    bits = torch.tensor([[byte >> bit & 1 for bit in range(8)] for byte in mask.tolist()]).flatten()[:15]
    assert torch.equal(bits.bool(), result.cpu().flatten() != 0)
    ours = [t.npu().requires_grad_() for t in (x, bias)]
    torch.npu.manual_seed(3)
    mask, _, result = torch_npu.npu_dropout_with_add_softmax(*ours, 0.7, 0.3, -1)
    grad = made(3, 5)
    bits = torch.tensor([[byte >> bit & 1 for bit in range(8)] for byte in mask.tolist()]).flatten()[:15].view(3, 5)
    host = [t.double().requires_grad_() for t in (x, bias)]
    expected = torch.softmax(host[0] * 0.7 + host[1], -1) * bits / 0.7
    wanted = torch.autograd.grad(expected, host, grad.double())
    for part, formula in zip(torch.autograd.grad(result, ours, grad.npu()), wanted, strict=True):
        close(part, formula)


def test_casts() -> None:
    import torch_npu

    x = made(3, 4).npu().requires_grad_()
    half = torch_npu.npu_dtype_cast(x, torch.float16)
    assert half.dtype == torch.float16
    half.sum().backward()
    assert x.grad.dtype == torch.float32
    assert torch_npu.npu_dtype_cast_backward(half, torch.float32).dtype == torch.float32
    for formatted in (torch_npu.npu_format_cast(x, 29), torch_npu.npu_format_cast(x, x)):
        assert torch.equal(formatted, x)
    for number in (torch.float8_e4m3fn, torch_npu.float8_e4m3fn, torch.float8_e5m2):
        with pytest.raises(
            RuntimeError, match=r"npu_dtype_cast: dtype is torch\.float8_e\dm\d(fn)?, expected a type of this"
        ):
            torch_npu.npu_dtype_cast(x, number)
    with pytest.raises(RuntimeError, match="acl_format is 99, expected"):
        torch_npu.npu_format_cast(x, 99)
    assert torch_npu.get_npu_format(x) == 2
    assert torch_npu.empty_with_format((2, 3), dtype=torch.float16, acl_format=29).shape == (2, 3)


@pytest.mark.parametrize("first", [True, False])
def test_transposes(first: bool) -> None:
    import torch_npu

    x = made(2, 3, 4)
    expected = x.permute(0, 2, 1)
    found = torch_npu.npu_transpose(x.npu(), [0, 2, 1])
    assert found.is_contiguous()
    assert torch.equal(found.cpu(), expected)
    shape = [4, 6] if first else [6, 4]
    perm = [2, 0, 1] if first else [1, 0]
    confused = torch_npu.npu_confusion_transpose(x.npu(), perm, shape, first)
    assert torch.equal(confused.cpu(), x.permute(perm).reshape(shape) if first else x.reshape(shape).permute(perm))
    check_gradient(lambda x: torch_npu.npu_confusion_transpose(x, perm, shape, first), x)


def test_reshapes() -> None:
    import torch_npu

    x = made(3, 4)
    assert torch.equal(torch_npu.npu_reshape(x.npu(), [2, 6]).cpu(), x.view(2, 6))
    assert torch.equal(torch_npu.npu_broadcast(x[:, :1].npu(), [3, 4]).cpu(), x[:, :1].expand(3, 4))
    assert torch.equal(torch_npu.npu_slice(x.npu(), [1, 0], [2, 3]).cpu(), x[1:3, :3])
    assert torch.equal(torch_npu.npu_pad(x.npu(), [1, 0, 0, 2]).cpu(), functional.pad(x, (0, 2, 1, 0)))
    assert torch_npu.npu_one_hot(torch.tensor([1, 0]).npu(), depth=3, on_value=2).tolist() == [[0, 2, 0], [2, 0, 0]]
    assert torch.equal(torch_npu.npu_sort_v2(x.npu(), 0, True).cpu(), x.sort(0, True)[0])
    values, indices = torch_npu.npu_max(x.npu(), 1)
    assert (indices.dtype, values.tolist()) == (torch.int32, x.amax(1).tolist())
    check_gradient(lambda x: torch_npu.npu_max(x, 1)[0], x)
    check_gradient(lambda x: torch_npu.npu_min(x, 0, True)[0], x)
    copied = torch_npu.npu_stride_copy(x.npu(), [2, 2], [4, 1], 1)
    assert torch.equal(copied.cpu(), x[:2, 1:3])


def test_scatter_nd_update() -> None:
    import torch_npu

    x, indices, updates = made(4, 3, 2), torch.tensor([[0, 1], [3, 2]]), made(2, 2)
    on_device = x.npu()
    assert torch_npu.npu_scatter_nd_update_(on_device, indices.npu(), updates.npu()) is on_device
    x[0, 1], x[3, 2] = updates
    assert torch.equal(on_device.cpu(), x)
    with pytest.raises(RuntimeError, match=r"updates is \[2, 3\], expected \[2, 2\]"):
        torch_npu.npu_scatter_nd_update_(on_device, indices.npu(), torch.ones(2, 3).npu())


def test_top_k_top_p() -> None:
    import torch_npu

    logits, p, k = made(4, 9), torch.tensor([0.5, 0.9, 1.0, 0.1]), torch.tensor([9, 4, 2, 5])
    found = torch_npu.npu_top_k_top_p(logits.npu(), p.npu(), k.int().npu()).cpu()
    for row in range(4):
        order = logits[row].argsort(descending=True)[: k[row]].tolist()
        probs = torch.softmax(logits[row, order].double(), -1).tolist()
        # From the least likely on, as long as what is left out sums to no more than 1 - p.
        while len(order) > 1 and sum(probs[len(order) - 1 :]) <= 1 - p[row].item() + 1e-7:
            order.pop()
        assert found[row].isfinite().nonzero().flatten().tolist() == sorted(order)
        assert torch.equal(found[row, order], logits[row, order])
    with pytest.raises(RuntimeError, match=r"k is \[10, 4, 2, 5\], expected 1 to 9"):
        torch_npu.npu_top_k_top_p(logits.npu(), p.npu(), torch.tensor([10, 4, 2, 5], dtype=torch.int32).npu())


def test_partial_attention_is_merged() -> None:
    import torch_npu

    scores, values = made(6, 12), made(12, 8)
    parts = (slice(0, 5), slice(5, 12))
    results = [torch.softmax(scores[:, s], -1) @ values[s] for s in parts]
    logs = [torch.logsumexp(scores[:, s], -1) for s in parts]
    merged, log = torch_npu.npu_attention_update([x.npu() for x in logs], [x.npu() for x in results], 1)
    close(merged, torch.softmax(scores.double(), -1) @ values.double())
    close(log, torch.logsumexp(scores.double(), -1))
    q, k, v = (made(6, 2, 16).npu() for _ in range(3))  # SBH, two heads
    whole = torch_npu.npu_fusion_attention(q, k, v, 2, "SBH")
    halves = [torch_npu.npu_fusion_attention(q, k[s], v[s], 2, "SBH")[:3] for s in (slice(0, 2), slice(2, 6))]
    found = torch_npu.npu_ring_attention_update(*halves[0], *halves[1])
    for part, formula in zip(found, whole[:3], strict=True):
        torch.testing.assert_close(part, formula)


@pytest.mark.parametrize("mode", ["Norm", "PA_BNSD", "PA_NZ", "PA_BLK_BNSD"])
def test_kv_rmsnorm_rope_cache(mode: str) -> None:
    import torch_npu

    batch, length, block = 2, 3, 4
    kv, gamma = made(batch, 1, length, 576).half(), made(512).half()
    cos, sin = made(batch, 1, length, 64).half(), made(batch, 1, length, 64).half()
    x = kv[..., :512].double()
    normed = x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * gamma.double()
    pairs = kv[..., 512:].double()
    gathered = torch.cat((pairs[..., ::2], pairs[..., 1::2]), -1)
    turned = gathered * cos.double() + torch.cat((-gathered[..., 32:], gathered[..., :32]), -1) * sin.double()
    if mode == "Norm":
        caches = [torch.zeros(batch, 1, 5, width).half().npu() for width in (64, 512)]
        index = torch.tensor([[4, 0, 2], [1, 2, 3]])
    else:
        caches = [torch.zeros(4, block, 1, width).half().npu() for width in (64, 512)]
        index = torch.tensor([4, 12]) if "BLK" in mode else torch.tensor([7, 0, 12, 1, 9, 4])
    found = torch_npu.npu_kv_rmsnorm_rope_cache(
        kv.npu(), gamma.npu(), cos.npu(), sin.npu(), index.npu(), *caches, cache_mode=mode, is_output_kv=True
    )
    for cache, returned, expected in zip(caches, found, (turned, normed), strict=False):
        assert returned.data_ptr() == cache.data_ptr()
        width = expected.shape[-1]
        if mode == "Norm":
            for b in range(batch):
                close(cache[b, 0, index[b].tolist()], expected[b, 0])
            continue
        rows = cache.view(4, width // 16, block, 16).permute(0, 2, 1, 3) if mode == "PA_NZ" else cache
        rows = rows.reshape(16, width)
        slots = [4, 5, 6, 12, 13, 14] if "BLK" in mode else index.tolist()
        close(rows[slots], expected.reshape(-1, width))
    if mode != "Norm":
        close(found[2], turned)
        close(found[3], normed)
    with pytest.raises(RuntimeError, match=r"the last dimension of kv is 500, expected 512 \+ 64"):
        torch_npu.npu_kv_rmsnorm_rope_cache(
            kv[..., :500].npu(), gamma.npu(), cos.npu(), sin.npu(), index.npu(), *caches, cache_mode=mode
        )


def test_convolutions() -> None:
    import torch_npu

    x, weight, bias = made(2, 4, 5, 6), made(6, 2, 3, 3), made(6)
    expected = functional.conv2d(x.double(), weight.double(), bias.double(), 2, 1, 1, 2)
    arguments = [2, 2], [1, 1], [1, 1], 2
    for name in ("npu_convolution", "npu_conv2d"):
        close(getattr(torch_npu, name)(x.npu(), weight.npu(), bias.npu(), *arguments), expected)
    check_gradient(lambda *a: torch_npu.npu_convolution(*a, *arguments), made(1, 4, 3, 3), made(2, 2, 2, 2), made(2))
    back = made(4, 3, 2, 2)
    expected = functional.conv_transpose2d(x.double(), back.double(), None, 2, 1, 1)
    close(torch_npu.npu_conv_transpose2d(x.npu(), back.npu(), None, [1, 1], [1, 1], [2, 2], [1, 1], 1), expected)
    check_gradient(
        lambda *a: torch_npu.npu_convolution_transpose(*a, [0, 0], [1, 1], [2, 2], [1, 1], 1),
        made(1, 2, 2, 2),
        made(2, 2, 2, 2),
        made(2),
    )


@pytest.mark.parametrize("mode", ["PA_NZ", "Norm"])
def test_scattering_into_paged_caches(mode: str) -> None:
    import torch_npu

    key, value, slots = made(5, 2, 32).half(), made(5, 2, 16).half(), torch.tensor([0, 9, 3, 15, 8])
    sizes = ((2, 4, 8, 16), (2, 2, 8, 16)) if mode == "PA_NZ" else ((2, 8, 2, 32), (2, 8, 2, 16))
    caches = [torch.zeros(size).half().npu() for size in sizes]
    torch_npu.npu_scatter_pa_kv_cache(key.npu(), value.npu(), *caches, slots.int().npu(), cache_mode=mode)
    for tokens, cache in zip((key, value), caches, strict=True):
        rows = (cache.cpu().permute(0, 2, 1, 3) if mode == "PA_NZ" else cache.cpu()).reshape(16, -1)
        assert torch.equal(rows[slots], tokens.flatten(1))
        assert rows.count_nonzero() == tokens.count_nonzero()
    with pytest.raises(RuntimeError, match="seq_lens is given, expected None: tokens are not compressed here"):
        torch_npu.npu_scatter_pa_kv_cache(key.npu(), value.npu(), *caches, slots.npu(), seq_lens=slots.npu())
    narrow = torch.zeros(2, 2, 8, 16).half().npu()
    with pytest.raises(RuntimeError, match=r"key_cache is \[2, 2, 8, 16\], expected 64 numbers a slot"):
        torch_npu.npu_scatter_pa_kv_cache(key.npu(), value.npu(), narrow, caches[1], slots.npu(), cache_mode=mode)
