"""Tensors that lie in one buffer."""

from __future__ import annotations

import torch

from diffsynth.core.loader.weights import Weight
from diffsynth.core.vram.memory import allocate, tensors_in, total_bytes


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
