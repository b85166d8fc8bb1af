"""Writing keys and values into their caches, together with the norm and the rotary embedding before it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from npu_emulator.operators.limits import HALVES, dimensions, limit, newest_line, one_of, require, same_type, types
from npu_emulator.operators.norms import rms
from npu_emulator.operators.precision import wide
from npu_emulator.operators.quantization import rounded_to_int8
from npu_emulator.operators.registry import kernel
from npu_emulator.operators.rotary import rotated

MODES = ("Norm", "PA", "PA_BNSD", "PA_NZ", "PA_BLK_BNSD", "PA_BLK_NZ")


def token_slots(index: Tensor, mode: str, batch: int, length: int, block: int) -> Tensor:
    """Where each token [batch * length] goes in a paged cache; negative for nowhere."""
    if "BLK" not in mode:
        return index.flatten()
    starts = index.view(batch, -1).repeat_interleave(block, 1)[:, :length]
    within = torch.arange(length, device=index.device) % block
    return torch.where(starts < 0, -1, starts + within).flatten()


def blocks_of(operator: str, cache: Tensor, table: Tensor, length: int, block: int) -> Tensor:
    """The blocks of a paged cache that hold the first tokens of a sequence, in order.

    Raises RuntimeError where ``table``, the numbers of its blocks, has too few, or one that the cache has not.
    """
    count = -(-length // block)
    require(count <= len(table), operator, "block_table", f"{len(table)} blocks wide", f"{count} for {length} tokens")
    used = table[:count].long()
    if used.device.type != "meta":
        there = bool(((used >= 0) & (used < len(cache))).all())
        require(there, operator, "block_table", f"{used.tolist()}", f"blocks of the cache, 0 to {len(cache) - 1}")
    return cache[used]


def write(cache: Tensor, values: Tensor, index: Tensor, mode: str) -> None:
    """Puts values [B, 1, S, D] into the cache."""
    batch, _, length, width = values.shape
    values = values.to(cache.dtype)
    if mode == "Norm":
        rows = torch.arange(batch, device=index.device)[:, None]
        cache[rows, 0, index] = values[:, 0]
        return
    blocks, block = cache.shape[:2]
    slots = token_slots(index, mode, batch, length, block)
    flat, used = values.reshape(-1, width), slots >= 0
    where = slots[used] // block, slots[used] % block
    if mode.endswith("NZ"):  # features in groups of 32 bytes, a group's tokens together
        group = 32 if cache.dtype == torch.int8 else 16
        tiled = cache.view(blocks, width // group, block, group).permute(0, 2, 1, 3)
        tiled[where] = flat[used].view(-1, width // group, group)
    else:
        cache.view(blocks, block, width)[where] = flat[used]


def _check(kv: Tensor, gamma: Tensor, cos: Tensor, sin: Tensor, index: Tensor, mode: str) -> tuple[int, int]:
    operator = "npu_kv_rmsnorm_rope_cache"
    types(operator, HALVES, kv=kv, gamma=gamma, cos=cos, sin=sin)
    same_type(operator, kv=kv, gamma=gamma, cos=cos, sin=sin)
    types(operator, (torch.int64,), index=index)
    dimensions(operator, 4, 4, kv=kv, cos=cos, sin=sin)
    one_of(operator, "cache_mode", mode, MODES)
    norm_size, rope_size = gamma.shape[0], cos.shape[-1]
    total = norm_size + rope_size
    require(kv.shape[-1] == total, operator, "the last dimension of kv", kv.shape[-1], f"{norm_size} + {rope_size}")
    if not newest_line():
        limit(
            (norm_size, rope_size) == (512, 64),
            operator,
            "the sizes of gamma and cos",
            (norm_size, rope_size),
            "512, 64",
        )
    return norm_size, rope_size


def _quantized(values: Tensor, scale: Tensor | None, cache: Tensor, name: str) -> Tensor:
    operator = "npu_kv_rmsnorm_rope_cache"
    if scale is None:
        limit(cache.dtype == values.dtype, operator, name, cache.dtype, f"{values.dtype} without a scale")
        return values
    types(operator, (torch.float32,), scale=scale)
    limit(cache.dtype == torch.int8, operator, name, cache.dtype, "int8 with a scale")
    return rounded_to_int8(wide(values) * scale)


def _run(
    kv: Tensor,
    gamma: Tensor,
    cos: Tensor,
    sin: Tensor,
    index: Tensor,
    k_cache: Tensor,
    ckv_cache: Tensor,
    k_rope_scale: Tensor | None,
    c_kv_scale: Tensor | None,
    offsets: tuple[Tensor | None, Tensor | None],
    epsilon: float,
    cache_mode: str,
    is_output_kv: bool,
) -> tuple[Tensor, Tensor]:
    """Writes both caches; returns the turned part and the normed part where they are asked for."""
    norm_size, _ = _check(kv, gamma, cos, sin, index, cache_mode)
    for name, offset in zip(("k_rope_offset", "c_kv_offset"), offsets, strict=True):
        limit(offset is None, "npu_kv_rmsnorm_rope_cache", name, "given", "None: scales alone")
    normed = rms(kv[..., :norm_size], gamma, epsilon, "npu_kv_rmsnorm_rope_cache")[0].to(kv.dtype)
    turned = rotated(kv[..., norm_size:], cos, sin, "interleave-half").to(kv.dtype)
    if kv.device.type != "meta":
        write(k_cache, _quantized(turned, k_rope_scale, k_cache, "k_cache"), index, cache_mode)
        write(ckv_cache, _quantized(normed, c_kv_scale, ckv_cache, "ckv_cache"), index, cache_mode)
    if is_output_kv and cache_mode != "Norm":
        return turned, normed
    return kv.new_empty(0), kv.new_empty(0)


@kernel("npu_kv_rmsnorm_rope_cache")
def kv_rmsnorm_rope_cache(
    kv: Tensor,
    gamma: Tensor,
    cos: Tensor,
    sin: Tensor,
    index: Tensor,
    k_cache: Tensor,
    ckv_cache: Tensor,
    *,
    k_rope_scale: Tensor | None = None,
    c_kv_scale: Tensor | None = None,
    k_rope_offset: Tensor | None = None,
    c_kv_offset: Tensor | None = None,
    v: Tensor | None = None,
    epsilon: float = 1e-5,
    cache_mode: str = "Norm",
    is_output_kv: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cuts kv [B, 1, S, 512 + 64]: the first part normed into ``ckv_cache``, the second turned into ``k_cache``.

    Returns the caches, which it has written to, and with ``is_output_kv`` both parts.
    """
    limit(v is None, "npu_kv_rmsnorm_rope_cache", "v", "given", "None")
    offsets = k_rope_offset, c_kv_offset
    turned, normed = _run(
        kv,
        gamma,
        cos,
        sin,
        index,
        k_cache,
        ckv_cache,
        k_rope_scale,
        c_kv_scale,
        offsets,
        epsilon,
        cache_mode,
        is_output_kv,
    )
    return k_cache, ckv_cache, turned, normed


@kernel("npu_kv_rmsnorm_rope_cache_v2")
def kv_rmsnorm_rope_cache_v2(
    kv: Tensor,
    gamma: Tensor,
    cos: Tensor,
    sin: Tensor,
    index: Tensor,
    k_cache: Tensor,
    ckv_cache: Tensor,
    *,
    k_rope_scale: Tensor | None = None,
    c_kv_scale: Tensor | None = None,
    k_rope_offset: Tensor | None = None,
    c_kv_offset: Tensor | None = None,
    v: Tensor | None = None,
    epsilon: float = 1e-5,
    cache_mode: str = "Norm",
    is_output_kv: bool = False,
    k_cache_dtype: int | None = None,
    ckv_cache_dtype: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The same, without the caches among the results."""
    limit(v is None, "npu_kv_rmsnorm_rope_cache_v2", "v", "given", "None")
    offsets = k_rope_offset, c_kv_offset
    return _run(
        kv,
        gamma,
        cos,
        sin,
        index,
        k_cache,
        ckv_cache,
        k_rope_scale,
        c_kv_scale,
        offsets,
        epsilon,
        cache_mode,
        is_output_kv,
    )


@kernel("npu_kv_rmsnorm_rope_cache_v2_functional")
def kv_rmsnorm_rope_cache_v2_functional(
    kv: Tensor,
    gamma: Tensor,
    cos: Tensor,
    sin: Tensor,
    index: Tensor,
    k_cache: Tensor,
    ckv_cache: Tensor,
    *,
    k_rope_scale: Tensor | None = None,
    c_kv_scale: Tensor | None = None,
    k_rope_offset: Tensor | None = None,
    c_kv_offset: Tensor | None = None,
    v: Tensor | None = None,
    epsilon: float = 1e-5,
    cache_mode: str = "Norm",
    is_output_kv: bool = False,
    k_cache_dtype: int | None = None,
    ckv_cache_dtype: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same, on copies of the caches."""
    return kv_rmsnorm_rope_cache(
        kv,
        gamma,
        cos,
        sin,
        index,
        k_cache.clone(),
        ckv_cache.clone(),
        k_rope_scale=k_rope_scale,
        c_kv_scale=c_kv_scale,
        k_rope_offset=k_rope_offset,
        c_kv_offset=c_kv_offset,
        v=v,
        epsilon=epsilon,
        cache_mode=cache_mode,
        is_output_kv=is_output_kv,
    )


@kernel("npu_scatter_pa_kv_cache", shapes=lambda *_, **__: None)
def scatter_pa_kv_cache(
    key: Tensor,
    value: Tensor,
    key_cache: Tensor,
    value_cache: Tensor,
    slot_mapping: Tensor,
    *,
    compress_lens: Tensor | None = None,
    compress_seq_offsets: Tensor | None = None,
    seq_lens: Tensor | None = None,
    cache_mode: str | None = "PA_NZ",
) -> None:
    """Writes tokens [T, N, D] to their slots of the paged caches.

    A cache is [blocks, block, N, D], or with ``PA_NZ`` [blocks, N * D / group, block, group].
    """
    operator = "npu_scatter_pa_kv_cache"
    types(operator, (torch.int32, torch.int64), slot_mapping=slot_mapping)
    same_type(operator, key=key, value=value, key_cache=key_cache, value_cache=value_cache)
    one_of(operator, "cache_mode", cache_mode, ("PA_NZ", "Norm", None))
    for name, given in (("compress_lens", compress_lens), ("seq_lens", seq_lens)):
        require(given is None, operator, name, "given", "None: tokens are not compressed here")
    require(compress_seq_offsets is None, operator, "compress_seq_offsets", "given", "None")
    require(
        len(key) == len(value) == len(slot_mapping), operator, "slot_mapping", len(slot_mapping), f"{len(key)} slots"
    )
    slots = slot_mapping.long()
    for tokens, cache, name in ((key, key_cache, "key"), (value, value_cache, "value")):
        require(tokens.dim() == 3, operator, name, f"{tokens.dim()}-dimensional", "[tokens, heads, size]")
        dimensions(operator, 4, 4, **{f"{name}_cache": cache})
        paged = cache.permute(0, 2, 1, 3) if cache_mode == "PA_NZ" else cache
        room = list(paged.shape[2:])
        require(
            math.prod(room) == tokens[0].numel(),
            operator,
            f"{name}_cache",
            list(cache.shape),
            f"{tokens[0].numel()} numbers a slot",
        )
        block = paged.shape[1]
        paged[slots // block, slots % block] = tokens.reshape(-1, *room)
