"""torch_npu.contrib: functions and modules that stand in for torch's."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tests.npu_emulator.operators.holding import close, made


def test_functions() -> None:
    from torch_npu.contrib import function

    a, b = made(2, 3, 4), made(2, 5, 4)
    close(function.matmul_transpose(a.npu(), b.npu()), a.double() @ b.double().transpose(-1, -2))
    found = function.npu_fast_condition_index_put(a.npu(), (a > 0).npu(), 7.0)
    assert torch.equal(found.cpu(), a.masked_fill(a > 0, 7.0))
    x = made(1, 4, 5, 2)
    assert torch.equal(function.roll(x.npu(), (1, -2), (1, 2)).cpu(), torch.roll(x, (1, -2), (1, 2)))
    scores, mask = made(2, 3, 4, 4), made(2, 1, 1, 4).expand(2, 3, 4, 4).contiguous()
    expected = torch.softmax(scores.double() / math.sqrt(8) + mask.double(), -1)
    identity = torch.nn.Identity()
    close(function.fuse_add_softmax_dropout(False, identity, mask.npu(), scores.npu(), 8), expected)
    dropped = function.fuse_add_softmax_dropout(True, identity, mask.npu(), scores.npu(), 8, p=0.25).cpu()
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], (expected[kept] / 0.75).float())
    assert 0.5 < kept.float().mean() < 0.95


def test_modules() -> None:
    from torch_npu.contrib import module

    x1, x2 = made(2, 3, 4), made(2, 3, 4)
    halves = module.ChannelShuffle(6)(x1.npu(), x2.npu())
    shuffled = functional.channel_shuffle(torch.cat((x1, x2), 1)[..., None], 2)[..., 0]
    assert torch.equal(torch.cat(halves, 1).cpu(), shuffled)
    assert torch.equal(module.ChannelShuffle(6, split_shuffle=False)(x1.npu(), x2.npu()).cpu(), shuffled)
    with pytest.raises(NotImplementedError, match="groups is 3, expected 2"):
        module.ChannelShuffle(6, 3)
    assert module.Focus(8, 13).npu()(made(4, 8, 6, 4).npu()).shape == (4, 13, 3, 2)
    pred, target = made(5, 10), torch.randint(10, (5,))
    loss = module.LabelSmoothingCrossEntropy(10, 0.1)(pred.npu(), target.npu())
    log_prob = torch.log_softmax(pred.double(), -1)
    labels = torch.full((5, 10), 0.1 / 9).double().scatter_(1, target[:, None], 0.9)
    close(loss, -(labels * log_prob).sum(-1).mean())
    drop = module.NpuDropPath(0.5).npu()
    rows = drop(torch.ones(64, 3).npu())
    assert set(rows.sum(-1).tolist()) == {0.0, 6.0}
    assert torch.equal(drop.eval()(pred.npu()).cpu(), pred)
    for kind in (module.DropoutWithByteMask, module.NpuFairseqDropout):
        assert 0 < kind(0.3).npu()(torch.ones(100).npu()).eq(0).sum() < 60


def test_prefetcher() -> None:
    from torch_npu.contrib import Prefetcher

    data = torch.utils.data.TensorDataset(torch.arange(5.0), torch.arange(5))
    prefetcher, seen = Prefetcher(torch.utils.data.DataLoader(data, batch_size=2)), []
    batch, target = prefetcher.next()
    while batch is not None:
        assert batch.device.type == target.device.type == "npu"
        seen += target.tolist()
        batch, target = prefetcher.next()
    assert seen == list(range(5))


def test_quantized_modules() -> None:
    from torch_npu.contrib.module import LinearQuant, LinearWeightQuant

    x, weight = torch.randint(-9, 9, (4, 16), dtype=torch.int8), torch.randint(-9, 9, (8, 16), dtype=torch.int8)
    scale = torch.rand(8)
    model = LinearQuant(16, 8, bias=False, output_dtype=torch.float16).npu()
    model.weight.data, model.scale.data = weight.npu(), scale.npu()
    close(model(x.npu()), x.double() @ weight.double().t() * scale.double())
    half, offset = made(8, 1).half(), made(8, 1).half()
    model = LinearWeightQuant(16, 8, bias=False, dtype=torch.float16, antiquant_offset=True).npu()
    model.weight.data, model.antiquant_scale.data = weight.npu(), half.npu()
    model.antiquant_offset.data = offset.npu()
    given = made(4, 16).half()
    close(model(given.npu()), given.double() @ ((weight.double() + offset.double()) * half.double()).t())


def test_what_is_not_emulated_says_so() -> None:
    import torch_npu

    with pytest.raises(NotImplementedError, match=r"torch_npu\.contrib\.module\.ROIAlign works on Ascend hardware"):
        torch_npu.contrib.ROIAlign((7, 7), 1.0, 2)
    with pytest.raises(NotImplementedError, match=r"torch_npu\.contrib\.function\.npu_multiclass_nms works"):
        torch_npu.contrib.function.npu_multiclass_nms(None, None)
