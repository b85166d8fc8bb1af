"""Tensors that lie in one buffer."""

from __future__ import annotations

import torch

from diffsynth.core.vram.memory import ALIGNMENT, allocate, tensors_in, total_bytes
from diffsynth.core.vram.memory import _power_of_two_pieces as pieces
from diffsynth.core.vram.units import Weight


def weight(*shape: int, dtype: torch.dtype = torch.float32) -> Weight:
    return Weight(("key",), (), shape, dtype, is_buffer=False)


def test_tensors_do_not_overlap_and_are_aligned() -> None:
    weights = [weight(3, 5), weight(), weight(0, 4), weight(7, dtype=torch.int64), weight(2, 2)]
    buffer = allocate(total_bytes(weights, torch.bfloat16), torch.device("cpu"))
    tensors = tensors_in(buffer, weights, torch.bfloat16)
    for number, tensor in enumerate(tensors):
        tensor.fill_(number)
    assert [tensor.tolist() for tensor in tensors] == [
        torch.full(w.shape, number).tolist() for number, w in enumerate(weights)
    ]
    assert [tensor.dtype for tensor in tensors] == [torch.bfloat16] * 3 + [torch.int64, torch.bfloat16]
    assert all(tensor.data_ptr() % 64 == 0 for tensor in tensors if tensor.numel())


def test_pinned_memory_is_taken_in_sizes_that_powers_of_two_hold_well() -> None:
    # A block of the 14B model in bfloat16: 702 MiB, of which one piece of 1 GiB would waste 31 percent.
    weights = [weight(5120, 5120) for _ in range(8)] + [weight(13824, 5120) for _ in range(2)] + [weight(5120)]
    shared = pieces(weights, torch.bfloat16)
    assert sorted(map(id, (w for _, share in shared for w in share))) == sorted(map(id, weights))
    taken = sum(1 << (size - 1).bit_length() for size, _ in shared)
    assert taken < 1.15 * total_bytes(weights, torch.bfloat16)


def test_one_large_weight_is_one_piece() -> None:
    large = weight(1000, 1000)
    assert pieces([large], torch.float32) == [(4_000_256, [large])]
    assert 4_000_256 % ALIGNMENT == 0
