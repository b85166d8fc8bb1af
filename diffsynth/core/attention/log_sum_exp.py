"""Attention that also tells how much its keys weighed, so that parts over different keys can be merged.

Every kernel here returns the true log-sum-exp of the scaled products, which not all of torch's do: its plain
mathematical form has none.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from diffsynth.core.attention.implementations import HALF
from diffsynth.core.device.device_types import CPU, CUDA, NPU

LogSumExpKernel = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]

_LARGEST_FLASH_HEAD = 256
_QUERIES_AT_A_TIME = 1024  # bounds the products that lie in memory where there is no fused kernel


def attention_and_log_sum_exp(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Attention without a mask, scaled by 1 / sqrt(head_dim), and the log-sum-exp of each query's products.

    Args:
        query: (batch, length, heads, head_dim).
        key, value: (batch, key length, heads, head_dim), of at least one key.

    Returns:
        The attention, (batch, length, heads, head_dim), in the type of the query; and (batch, length, heads), float32.
    """
    return _kernel_for(query)(query, key, value)


def _kernel_for(query: Tensor) -> LogSumExpKernel:
    kind, dtype, head_dim = query.device.type, query.dtype, query.shape[-1]
    if kind == CPU:
        return _cpu_flash
    if kind == CUDA and dtype in HALF and head_dim % 8 == 0 and head_dim <= _LARGEST_FLASH_HEAD:
        return _cuda_flash
    if kind == CUDA and dtype == torch.float32 and torch.version.cuda and head_dim % 4 == 0:
        return _cuda_efficient
    if kind == NPU and dtype in HALF:
        return _npu_fusion
    return _plain


def _cpu_flash(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    output, log_sum_exp = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*_heads_first(query, key, value))
    return output.transpose(1, 2), log_sum_exp.float().transpose(1, 2)


def _cuda_flash(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    output, log_sum_exp, *_ = torch.ops.aten._scaled_dot_product_flash_attention(*_heads_first(query, key, value))
    return output.transpose(1, 2), log_sum_exp.float().transpose(1, 2)


def _cuda_efficient(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    output, log_sum_exp, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
        *_heads_first(query, key, value), None, compute_log_sumexp=True
    )
    length = query.shape[1]  # the kernel pads to its own tiles
    return output.transpose(1, 2), log_sum_exp[:, :, :length].float().transpose(1, 2)


def _npu_fusion(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    import torch_npu

    output, largest, total, *_ = torch_npu.npu_fusion_attention(
        query, key, value, query.shape[2], "BSND", scale=query.shape[-1] ** -0.5
    )
    # Eight equal numbers for each query.
    return output, (largest[..., 0] + total[..., 0].log()).transpose(1, 2)


def _plain(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """In float32, where no fused kernel gives the log-sum-exp."""
    queries, keys, values = (tensor.float() for tensor in _heads_first(query, key, value))
    keys = keys.transpose(-1, -2) * query.shape[-1] ** -0.5
    parts, sums = [], []
    for some in torch.split(queries, _QUERIES_AT_A_TIME, dim=2):
        products = some @ keys
        largest = products.amax(-1, keepdim=True)
        products = products.sub_(largest).exp_()
        total = products.sum(-1, keepdim=True)
        parts.append(products @ values / total)
        sums.append((largest + total.log()).squeeze(-1))
    return torch.cat(parts, dim=2).transpose(1, 2).to(query.dtype), torch.cat(sums, dim=2).transpose(1, 2)


def _heads_first(*tensors: Tensor) -> list[Tensor]:
    return [tensor.transpose(1, 2) for tensor in tensors]
