"""Mixtures of experts against loops over tokens, and gradients against differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.npu_emulator.operators.holding import TYPES, check_gradient, close, made


@pytest.mark.parametrize("norm_type", [0, 1])
@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("groups", [1, 4])
def test_gating_top_k(groups: int, mode: int, norm_type: int) -> None:
    import torch_npu

    x, bias, k, k_group = made(7, 16), made(16), 3, min(2, groups)
    found = torch_npu.npu_moe_gating_top_k(
        x.npu(),
        k,
        bias=bias.npu(),
        k_group=k_group,
        group_count=groups,
        group_select_mode=mode,
        norm_type=norm_type,
        out_flag=True,
        routed_scaling_factor=2.5,
    )
    scores = torch.sigmoid(x.double()) if norm_type else torch.softmax(x.double(), -1)
    close(found[2], scores)
    for row in range(7):
        ranked = (scores[row] + bias.double()).view(groups, -1)
        strength = [max(g) if mode == 0 else sum(sorted(g)[-2:]) for g in ranked.tolist()]
        best = sorted(range(groups), key=lambda g: -strength[g])[:k_group]
        candidates = [e for e in range(16) if e // (16 // groups) in best]
        chosen = sorted(candidates, key=lambda e: -ranked.flatten()[e].item())[:k]
        assert found[1][row].tolist() == chosen
        weights = scores[row, chosen]
        weights = weights / weights.sum() if norm_type else weights
        close(found[0][row], weights * 2.5)
    assert found[1].dtype == torch.int32


def test_gating_top_k_softmax() -> None:
    import torch_npu

    for dtype in TYPES:
        x = made(5, 8, dtype=dtype)
        finished = torch.tensor([False, True, False, False, True])
        weights, experts, rows = torch_npu.npu_moe_gating_top_k_softmax(x.npu(), finished.npu(), 3)
        expected = torch.softmax(x.double(), -1).topk(3)
        close(weights, expected.values)
        assert torch.equal(experts.cpu()[~finished].long(), expected.indices[~finished])
        assert experts.cpu()[finished].eq(8).all()
        assert rows.tolist() == [[row + 5 * j for j in range(3)] for row in range(5)]
    x = made(5, 8)
    weights, _, softmax = torch_npu.npu_moe_gating_top_k_softmax_v2(x.npu(), k=3, renorm=1)
    close(weights, torch.softmax(x.double().topk(3).values, -1))
    softmax = torch_npu.npu_moe_gating_top_k_softmax_v2(x.npu(), k=3, output_softmax=True)[2]
    close(softmax, torch.softmax(x.double(), -1))


def test_compute_expert_tokens() -> None:
    import torch_npu

    experts = torch.tensor([0, 0, 2, 2, 2, 4], dtype=torch.int32).npu()
    assert torch_npu.npu_moe_compute_expert_tokens(experts, 6).tolist() == [2, 2, 5, 5, 6, 6]


@pytest.mark.parametrize("active", [2, 4, 9])
def test_init_and_finalize_routing_are_each_others_reverse(active: int) -> None:
    import torch_npu

    rows, k, width = 4, 3, 5
    x, scales, bias, skip = made(rows, width), made(rows, k), made(6, width), made(rows, width)
    experts = torch.stack([torch.randperm(6)[:k] for _ in range(rows)]).int()
    row_idx = torch.arange(rows * k, dtype=torch.int32).view(k, rows).t().contiguous()
    expanded, places, sorted_experts = torch_npu.npu_moe_init_routing(x.npu(), row_idx.npu(), experts.npu(), active)
    assert sorted_experts.tolist() == sorted(experts.flatten().tolist())
    assert expanded.shape == (min(rows, active) * k, width)
    if active < rows:
        return
    for copy, place in enumerate(places.tolist()):  # copy j of row i is number j * rows + i
        assert sorted_experts[place] == experts[copy % rows, copy // rows]
        assert torch.equal(expanded[place].cpu(), x[copy % rows])
    found = torch_npu.npu_moe_finalize_routing(
        expanded, skip.npu(), None, bias.npu(), scales.npu(), places, experts.npu()
    )
    expected = skip.double()
    for i in range(rows):
        for j in range(k):
            expected[i] += scales[i, j].double() * (x[i].double() + bias[experts[i, j]].double())
    close(found, expected)
    by_token = places.view(k, rows).t().flatten().contiguous()
    again = torch_npu.npu_moe_finalize_routing(
        expanded, skip.npu(), None, bias.npu(), scales.npu(), by_token, experts.npu(), 2
    )
    assert torch.equal(found, again)


@pytest.mark.parametrize("row_idx_type", [0, 1])
def test_init_routing_v2_of_a_range(row_idx_type: int) -> None:
    import torch_npu

    x, experts = made(6, 4), torch.randint(8, (6, 2), dtype=torch.int32)
    expanded, places, tokens, scales = torch_npu.npu_moe_init_routing_v2(
        x.npu(),
        experts.npu(),
        active_num=12,
        expert_num=8,
        active_expert_range=[2, 6],
        expert_tokens_num_type=1,
        expert_tokens_num_flag=True,
        row_idx_type=row_idx_type,
        scale=torch.arange(6.0).npu(),
    )
    order = [i for e in range(2, 6) for i in range(12) if experts.flatten()[i] == e]
    assert torch.equal(expanded.cpu(), x[[i // 2 for i in order]])
    assert tokens.tolist() == [experts.eq(e).sum().item() for e in range(2, 6)]
    assert scales.tolist() == [i // 2 for i in order]
    if row_idx_type:
        assert places.tolist()[: len(order)] == order
    else:
        assert places.tolist() == [order.index(i) if i in order else -1 for i in range(12)]


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_counts_of_init_routing_v2(kind: int) -> None:
    import torch_npu

    experts = torch.tensor([[0, 3], [3, 1], [3, 0]], dtype=torch.int32).npu()
    tokens = torch_npu.npu_moe_init_routing_v2(
        made(3, 4).npu(), experts, expert_num=4, expert_tokens_num_type=kind, expert_tokens_num_flag=True
    )[2]
    expected = {0: [2, 3, 3, 6], 1: [2, 1, 0, 3], 2: [[0, 2], [1, 1], [3, 3], [0, 0]]}
    assert tokens.tolist() == expected[kind]


def test_init_routing_v2_drops_and_quantizes() -> None:
    import torch_npu

    x = made(3, 4)
    experts = torch.tensor([[0, 3], [3, 1], [3, 0]], dtype=torch.int32).npu()
    padded, places, *_ = torch_npu.npu_moe_init_routing_v2(
        x.npu(), experts, expert_num=4, expert_capacity=2, drop_pad_mode=1
    )
    assert padded.shape == (4, 2, 4)
    assert torch.equal(padded[0].cpu(), x[[0, 2]])
    assert torch.equal(padded[1].cpu(), torch.stack((x[1], torch.zeros(4))))
    assert torch.equal(padded[3].cpu(), x[[0, 1]])
    assert places.tolist() == [0, 6, 7, 2, -1, 1]
    quantized, _, _, scales = torch_npu.npu_moe_init_routing_v2(x.npu(), experts, expert_num=4, quant_mode=1)
    rows = x[[0, 2, 1, 0, 1, 2]].double()
    largest = rows.abs().amax(-1)
    close(scales, largest / 127)
    assert quantized.dtype == torch.int8
    assert (quantized.cpu().double() * largest[:, None] / 127 - rows).abs().max() <= largest.max() / 127 * 0.51
    still = torch_npu.npu_moe_init_routing_v2(
        x.npu(),
        experts,
        expert_num=4,
        quant_mode=0,
        scale=torch.tensor([10.0]).npu(),
        offset=torch.tensor([1.0]).npu(),
    )[0]
    assert torch.equal(still.cpu().float(), (x[[0, 2, 1, 0, 1, 2]] * 10 + 1).round().clamp(-128, 127))


@pytest.mark.parametrize("kept", [None, 0, 5, -3])
def test_token_permute(kept: int | None) -> None:
    import torch_npu

    tokens, indices = made(4, 3), torch.tensor([[0, 1], [1, 0], [0, 2], [2, 0]])
    permuted, places = torch_npu.npu_moe_token_permute(tokens.npu(), indices.int().npu(), kept)
    assert places.tolist() == [0, 4, 5, 1, 2, 6, 7, 3]  # the published example's
    expected = torch.empty(8, 3)
    expected[places.cpu().long()] = tokens.repeat_interleave(2, 0)
    assert torch.equal(permuted.cpu(), expected[: kept or 8])
    check_gradient(lambda t: torch_npu.npu_moe_token_permute(t, indices.npu(), kept)[0], tokens)


def test_token_unpermute() -> None:
    import torch_npu

    places = torch.tensor([0, 4, 5, 1, 2, 6, 7, 3], dtype=torch.int32)
    for dtype in TYPES:
        rows, probs = made(8, 3, dtype=dtype), made(4, 2, dtype=dtype)
        found = torch_npu.npu_moe_token_unpermute(rows.npu(), places.npu(), probs.npu())
        expected = torch.stack(
            [sum(rows[places[2 * i + j]].double() * probs[i, j].double() for j in range(2)) for i in range(4)]
        )
        close(found, expected)
        plain = torch_npu.npu_moe_token_unpermute(rows.npu(), places.npu())
        assert torch.equal(plain.cpu(), rows[places.long()])
    check_gradient(lambda r, p: torch_npu.npu_moe_token_unpermute(r, places.npu(), p), made(8, 3), made(4, 2))
    check_gradient(lambda r: torch_npu.npu_moe_token_unpermute(r, places.npu()), made(8, 3))


@pytest.mark.parametrize("drop_and_pad", [False, True])
def test_permute_with_routing_map(drop_and_pad: bool) -> None:
    import torch_npu

    tokens, probs = made(4, 3), made(4, 3)
    routing = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=torch.bool)
    wanted = 6 if drop_and_pad else 8
    permuted, kept, places = torch_npu.npu_moe_token_permute_with_routing_map(
        tokens.npu(), routing.npu(), probs=probs.npu(), num_out_tokens=wanted, drop_and_pad=drop_and_pad
    )
    pairs = [(e, t) for e in range(3) for t in range(4) if routing[t, e]]
    if drop_and_pad:
        pairs = [pair for e in range(3) for pair in [p for p in pairs if p[0] == e][:2]]
    assert torch.equal(permuted.cpu(), tokens[[t for _, t in pairs]])
    assert torch.equal(kept.cpu(), torch.stack([probs[t, e] for e, t in pairs]))
    if drop_and_pad:
        assert places.tolist() == [t for _, t in pairs]
    else:
        assert torch.equal(permuted[places.long()].cpu(), tokens.repeat_interleave(2, 0))
    check_gradient(
        lambda t, p: torch_npu.npu_moe_token_permute_with_routing_map(
            t, routing.npu(), probs=p, num_out_tokens=wanted, drop_and_pad=drop_and_pad
        )[:2],
        tokens,
        probs,
    )


def _refused(name: str, message: str, *arguments: object, **options: object) -> None:
    import torch_npu

    def moved(value: object) -> object:
        return value.npu() if isinstance(value, Tensor) else value

    with pytest.raises(RuntimeError, match=message):
        getattr(torch_npu, name)(*map(moved, arguments), **{key: moved(value) for key, value in options.items()})


def test_limits() -> None:
    x, experts = torch.ones(4, 8), torch.zeros(4, 2, dtype=torch.int32)
    _refused("npu_moe_gating_top_k", "k is 9, expected 1 to 8", x, 9)
    _refused("npu_moe_gating_top_k", "group_count is 3, expected a divisor of the 8 experts", x, 1, group_count=3)
    _refused("npu_moe_gating_top_k", "the experts of a group is 2, expected more than 2", x, 1, group_count=4)
    _refused("npu_moe_gating_top_k", "renorm is 1, expected 0", x, 1, renorm=1)
    _refused("npu_moe_gating_top_k", "bias is float16, expected float32 as x", x, 1, bias=torch.ones(8).half())
    _refused("npu_moe_gating_top_k_softmax", "k is 0, expected 1 to 8", x, None, 0)
    _refused("npu_moe_gating_top_k_softmax", "x is float64", x.double(), None, 1)
    _refused("npu_moe_init_routing", "expert_idx is int64, expected int32", x, experts, experts.long(), 4)
    _refused("npu_moe_token_permute", "padded_mode is True, expected False", x, experts, None, True)
    _refused("npu_moe_token_permute", "tokens is int8, expected float16", x.to(torch.int8), experts)
    _refused("npu_moe_token_permute", "the rows of indices is 3, expected 4", x, experts[:3])
    _refused("npu_moe_token_unpermute", "sorted_indices is int64, expected int32", x, torch.arange(4))
    _refused("npu_moe_token_unpermute", "expected False and None", x, torch.arange(4).int(), None, True)
    _refused("npu_moe_init_routing_v2", "scale and offset is missing", x, experts, expert_num=4, quant_mode=0)
    _refused(
        "npu_moe_finalize_routing",
        "skip2 is given, expected None without skip1",
        x,
        None,
        x,
        None,
        None,
        torch.arange(4).int(),
        None,
    )
