"""torch_npu.contrib: functions and modules that stand in for torch's."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from npu_emulator.npu.not_emulated import NotEmulated
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
    close(function.fuse_add_softmax_dropout(True, identity, mask.npu(), scores.npu(), 8, p=0.25), expected)
    scores, mask = made(8, 4, 128, 4), made(8, 4, 128, 4)
    expected = torch.softmax(scores.double() / math.sqrt(8) + mask.double(), -1)
    close(function.fuse_add_softmax_dropout(False, identity, mask.npu(), scores.npu(), 8), expected)
    dropped = function.fuse_add_softmax_dropout(True, identity, mask.npu(), scores.npu(), 8, p=0.25).cpu()
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], (expected[kept] / 0.75).float())
    assert 0.7 < kept.float().mean() < 0.8


def test_arguments_that_the_functions_refuse() -> None:
    from torch_npu.contrib import function

    x = made(1, 4, 5, 2).npu()
    with pytest.raises(NotEmulated, match=r"function.roll: dims is \(2, 3\), but torch_npu rolls along \(1, 2\)"):
        function.roll(x, (1, 1), (2, 3))
    with pytest.raises(ValueError, match="expected 4 dimensions, 2 shifts and 2 dims, but got 4, 1 and 1"):
        function.roll(x, (1,), (1,))
    with pytest.raises(NotEmulated, match="fuse_add_softmax_dropout: dim is 1"):
        function.fuse_add_softmax_dropout(False, torch.nn.Identity(), x, x, 8, dim=1)
    with pytest.raises(ValueError, match="inplace is True, expected False"):
        function.dropout_with_byte_mask(x, inplace=True)
    with pytest.raises(TypeError, match=r"condition is torch.float32, expected torch.bool"):
        function.npu_fast_condition_index_put(x, x, 1.0)


def test_modules() -> None:
    from torch_npu.contrib import module

    x1, x2 = made(2, 3, 4), made(2, 3, 4)
    halves = module.ChannelShuffle(6)(x1.npu(), x2.npu())
    shuffled = functional.channel_shuffle(torch.cat((x1, x2), 1)[..., None], 2)[..., 0]
    assert torch.equal(torch.cat(halves, 1).cpu(), shuffled)
    assert torch.equal(module.ChannelShuffle(6, split_shuffle=False)(x1.npu(), x2.npu()).cpu(), shuffled)
    with pytest.raises(NotImplementedError, match="groups is 3, expected 2"):
        module.ChannelShuffle(6, 3)
    focus, x = module.Focus(8, 13).npu(), made(4, 8, 6, 4).npu()
    assert focus(x).shape == (4, 13, 3, 2)
    assert {"conv.conv.weight", "conv.bn.weight"} <= set(focus.state_dict())
    assert focus.conv.fuseforward(torch.cat(module.fast_slice(x), 1)).min() < 0
    pred, target = made(5, 10), torch.randint(10, (5,))
    loss = module.LabelSmoothingCrossEntropy(10, 0.1)(pred.npu(), target.npu())
    log_prob = torch.log_softmax(pred.double(), -1)
    labels = torch.full((5, 10), 0.1 / 9).double().scatter_(1, target[:, None], 0.9)
    close(loss, -(labels * log_prob).sum(-1).mean())
    assert loss.dtype == torch.float32
    assert 0 < module.DropoutWithByteMask(0.3).npu()(torch.ones(100).npu()).eq(0).sum() < 60


@pytest.mark.parametrize("split", [True, False])
def test_the_channel_shuffle_hands_each_input_its_gradients(split: bool) -> None:
    from torch_npu.contrib import module

    inputs = [made(2, 3, 4) for _ in range(2)]
    weights = made(2, 6, 4)
    on_device = [x.npu().requires_grad_() for x in inputs]
    shuffle = module.ChannelShuffle(6, split_shuffle=split)
    found = shuffle(*on_device)
    assert shuffle.checked
    assert shuffle.bp_index1.device.type == "npu"
    (torch.cat(found, 1) if split else found).mul(weights.npu()).sum().backward()
    assert torch.equal(on_device[0].grad.cpu(), weights[:, 0::2])
    assert torch.equal(on_device[1].grad.cpu(), weights[:, 1::2])


def test_dropout_of_whole_models_begins_with_their_second_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_npu.contrib import module

    monkeypatch.setattr(module.NpuDropPath, "task_dict", {})
    monkeypatch.setattr(module.NpuCachedDropout, "task_dict", {})
    drop, x = module.NpuDropPath(0.5), torch.ones(64, 3).npu()
    path = torch.nn.Sequential(drop).npu()
    drop.enable_droppath_ensemble(path)
    assert torch.equal(path(x), x)
    assert set(path(x).sum(-1).tolist()) == {0.0, 6.0}
    assert torch.equal(path.eval()(x), x)
    dropout = module.NpuFairseqDropout(0.25)
    model = torch.nn.Sequential(dropout, module.NpuFairseqDropout(0)).npu()
    dropout.enable_dropout_ensemble(model)
    assert torch.equal(model(x), x)
    results = [model(x), model.eval()(x)]
    assert not torch.equal(*results)
    for result in results:
        assert 0 < result.eq(0).sum() < 100
        torch.testing.assert_close(result[result != 0].cpu(), torch.full_like(result[result != 0].cpu(), 1 / 0.75))
    assert dropout([(64, 3), x.dtype, x.device]).dtype == torch.uint8
    with pytest.raises(RuntimeError, match="input type error"):
        dropout(3)


def test_old_layers() -> None:
    from torch_npu.contrib import module

    x = made(5, 2, 4)
    for kind, theirs in ((module.Mish, functional.mish), (module.SiLU, functional.silu)):
        with pytest.warns(FutureWarning, match=rf"contrib.module.{kind.__name__} is deprecated"):
            close(kind()(x.npu()), theirs(x.double()))
    with pytest.warns(FutureWarning, match="BiLSTM is deprecated"):
        ours = module.BiLSTM(4, 3)
    theirs = torch.nn.LSTM(4, 3, bidirectional=True)
    for name, parameter in theirs.named_parameters():
        part = ours.bw_rnn if name.endswith("_reverse") else ours.fw_rnn
        parameter.data = part.get_parameter(name.removesuffix("_reverse")).data.clone()
    close(ours.npu()(x.npu()), theirs.double()(x.double())[0])


def test_attention_of_fairseq() -> None:
    from torch_npu.contrib import module

    attention = module.MultiheadAttention(16, 4, dropout=0.1, add_bias_kv=True, q_noise=0.5).npu()
    assert (attention.head_dim, attention.scaling, attention.bias_k.shape) == (4, 0.5, (1, 1, 16))
    x, weight = made(3, 2, 16), attention.q_proj.weight.detach().cpu()
    assert attention(x, x, x, 2, 3, 3) == (None, None)
    attention.q_proj(x.npu())
    blocks = (attention.q_proj.weight.detach().cpu() / weight).view(-1, 8)
    assert {round(value, 3) for value in blocks.mean(1).tolist()} == {0.0, 2.0}
    attention.eval()
    weight, bias = attention.q_proj.weight.detach().cpu(), attention.q_proj.bias.detach().cpu()
    close(attention.q_proj(x.npu()).detach(), functional.linear(x.double(), weight.double(), bias.double()))
    older = {"layer.in_proj_weight": made(48, 16), "layer.in_proj_bias": made(48), "other": made(1)}
    expected = older["layer.in_proj_weight"][16:32]
    attention.upgrade_state_dict_named(older, "layer")
    assert torch.equal(older["layer.k_proj.weight"], expected)
    assert set(older) == {"other"} | {f"layer.{x}_proj.{kind}" for x in "qkv" for kind in ("weight", "bias")}
    with pytest.raises(NotEmulated, match="npu_multi_head_attention works on Ascend hardware"):
        attention.multi_attn(x.npu(), x.npu(), x.npu(), x.npu(), 1, 3)
    with pytest.raises(ValueError, match="embed_dim must be divisible by num_heads, but got 16 and 3"):
        module.MultiheadAttention(16, 3)


def test_boxes_and_their_offsets() -> None:
    import torch_npu
    from torch_npu.contrib import function

    # The numbers of the operators' published examples; the first's are good to four digits.
    first = torch.tensor([[1.0, 2, 3, 4], [3, 4, 5, 6]]).npu()
    second = torch.tensor([[5.0, 6, 7, 8], [7, 8, 9, 6]]).npu()
    found = torch_npu.npu_bounding_box_encode(first, second, 0, 0, 0, 0, 0.1, 0.1, 0.2, 0.2)
    published = torch.tensor([[13.3281, 13.3281, 0, 0], [13.3281, 6.6641, 0, -5.4922]])
    torch.testing.assert_close(found.cpu(), published, rtol=1e-3, atol=0)
    found = torch_npu.npu_bounding_box_decode(first, second, 0, 0, 0, 0, 1, 1, 1, 1, (10, 10), 0.1)
    assert found.tolist() == [[2.5, 6.5, 9, 9], [9, 9, 9, 9]]
    corners, sizes = torch.rand(5, 2) * 100, torch.rand(5, 2) * 50 + 1
    anchors = torch.cat((corners, corners + sizes), 1)
    boxes = torch.cat((corners + 3, corners + 3 + sizes * 2), 1).npu()
    scaling = {"means": [0.1, 0.2, 0.3, 0.4], "stds": [0.5, 0.5, 2.0, 2.0]}
    offsets = function.npu_bbox_coder_encode_xyxy2xywh(anchors.npu(), boxes, **scaling)
    close(function.npu_bbox_coder_decode_xywh2xyxy(anchors.npu(), offsets, **scaling), boxes.cpu().double())
    small = function.npu_bbox_coder_encode_xyxy2xywh(
        anchors.npu() / 100, boxes / 100, **scaling, is_normalized=True, normalized_scale=100
    )
    close(small, offsets.cpu().double())
    cut = function.npu_bbox_coder_decode_xywh2xyxy(anchors.npu(), offsets, **scaling, max_shape=(20, 30))
    assert cut.amax(0).le(torch.tensor([29.0, 19, 29, 19]).npu()).all()
    with pytest.raises(ValueError, match=r"shape \[N, 4\], but got \[5, 4\] and \[2, 4\]"):
        function.npu_bbox_coder_decode_xywh2xyxy(anchors.npu(), first)
    with pytest.raises(RuntimeError, match="npu_bounding_box_decode: deltas is float16, expected float32 as rois"):
        torch_npu.npu_bounding_box_decode(first, second.half(), 0, 0, 0, 0, 1, 1, 1, 1, (10, 10), 0.1)


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
    import torch_npu
    from torch_npu.contrib.module import LinearA8W8Quant, LinearQuant, LinearWeightQuant

    x, weight = torch.randint(-9, 9, (4, 16), dtype=torch.int8), torch.randint(-9, 9, (8, 16), dtype=torch.int8)
    scale = torch.rand(8)
    model = LinearQuant(16, 8, bias=False, output_dtype=torch.float16).npu()
    model.weight.data, model.scale.data = weight.npu(), scale.npu()
    close(model(x.npu()), x.double() @ weight.double().t() * scale.double())
    rounded = torch_npu.npu_trans_quant_param(scale.npu()).cpu()
    assert not torch.equal(rounded & 0xFFFFFFFF, scale.view(torch.int32).long())  # the scale loses its lower bits
    model.pertoken_scale = torch.nn.Parameter(torch.full((4,), 0.5).npu(), requires_grad=False)
    close(model(x.npu()), x.double() @ weight.double().t() * scale.double() / 2)
    assert LinearQuant(16, 8, offset=True, pertoken_scale=True).pertoken_scale.shape == (8,)
    with pytest.raises(ValueError, match=r"now input is torch.int8, weight is torch.float32"):
        LinearQuant(16, 8).npu()(x.npu())
    with pytest.warns(FutureWarning, match="LinearA8W8Quant is deprecated"):
        older = LinearA8W8Quant(16, 8, output_dtype=torch.int32)
    with pytest.raises(ValueError, match=r"output_dtype should be .* but now it is torch.int32"):
        older(x)
    half, offset = made(8, 1).half(), made(8, 1).half()
    model = LinearWeightQuant(16, 8, bias=False, dtype=torch.float16, antiquant_offset=True).npu()
    model.weight.data, model.antiquant_scale.data = weight.npu(), half.npu()
    model.antiquant_offset.data = offset.npu()
    given = made(4, 16).half()
    close(model(given.npu()), given.double() @ ((weight.double() + offset.double()) * half.double()).t())


def test_what_is_not_emulated_says_so() -> None:
    import torch_npu
    from torch_npu.contrib import module

    x, boxes = made(1, 4, 8, 8).npu(), made(3, 5).npu()
    with pytest.raises(ValueError, match=r"expected rois of shape \[K, 5\], but got \[3, 4\]"):
        module.ROIAlign((7, 7), 1.0, 2)(x, boxes[:, :4])
    refused = {
        "npu_roi_align": lambda: module.ROIAlign((7, 7), 1.0, 2)(x, boxes),
        "npu_ps_roi_pooling": lambda: module.PSROIPool(group_size=7)(x, boxes),
        "npu_quant_conv2d": lambda: module.QuantConv2d(4, 2, 3, 5).npu()(x.char()),
        "contrib.module.ModulatedDeformConv.forward": lambda: module.ModulatedDeformConv(4, 2, 3).npu()(x),
        "contrib.function.npu_multiclass_nms": lambda: torch_npu.contrib.function.npu_multiclass_nms(None, None),
    }
    for name, use in refused.items():
        with pytest.raises(NotEmulated, match=rf"^torch_npu\.{name} works on Ascend hardware"):
            use()
    deform = module.DCNv2(4, 2, 3, deformable_groups=2)
    assert deform.sort_index_for_npu_fp.tolist() == [*range(1, 36, 2), *range(0, 36, 2)]
    assert deform.sort_index_for_npu_fp[deform.sort_index_for_npu_bp].tolist() == list(range(36))
    assert not deform.conv_offset.weight.any()
