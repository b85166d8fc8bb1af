"""What comes before multi-head latent attention: npu_mla_prolog, _v2 and _v3.

x to the normed low-rank query, from it the query of each head in the keys' low rank, and its turned part; x to the
normed keys and values in low rank and to the turned part of the keys, which go to their caches. What is computed where
weights, queries or caches are in int8 is in `mla_prolog_int8`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from npu_emulator.npu.not_emulated import NotEmulated
from npu_emulator.operators import mla_prolog_int8 as int8
from npu_emulator.operators.kv_cache import token_slots, write
from npu_emulator.operators.limits import dimensions, limit, newest_line, one_of, require, types
from npu_emulator.operators.norms import rms
from npu_emulator.operators.precision import wide
from npu_emulator.operators.registry import kernel
from npu_emulator.operators.rotary import rotated

_PAGED = ("PA_BSND", "PA_NZ", "PA_BLK_BSND", "PA_BLK_NZ")
MODES = {
    "npu_mla_prolog": _PAGED[:2],
    "npu_mla_prolog_v2": _PAGED[:2],
    "npu_mla_prolog_v3": (*_PAGED, "BSND", "TND"),
}
# Sizes of the low ranks of queries and keys, of a head without and with its place.
SIZES = {"Hcq": 1536, "Hckv": 512, "D": 128, "Dr": 64}
WIDTHS = (1024, 2048, 3072, 4096, 5120, 6144, 7168, 7680, 8192)
HEADS = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Call:
    """The arguments of one call.

    Attributes:
        scales: those of quantization that were given.
        lengths: sums of the sequences' lengths, where tokens in a row go to blocks of their own.
        factors: of the normed queries and of the normed keys.
    """

    operator: str
    tensors: Mapping[str, Tensor]
    scales: Mapping[str, Tensor]
    quantized: int8.Quantized
    cache_index: Tensor | None
    cache_mode: str
    epsilons: tuple[float, float]
    factors: tuple[float, float] = (1.0, 1.0)
    lengths: Tensor | None = None

    def check(self) -> None:
        """Refuses what the operator's description does not take."""
        operator, tensors = self.operator, self.tensors
        self.quantized.check(operator, tensors, self.scales)
        one_of(operator, "cache_mode", self.cache_mode, MODES[operator])
        x, turning = tensors["token_x"], tensors["rope_sin"]
        dimensions(operator, 2, 3, token_x=x)
        fits = turning.shape[:-1] == x.shape[:-1] and tensors["rope_cos"].shape == turning.shape
        wanted = f"{[*x.shape[:-1], SIZES['Dr']]} both"
        require(fits, operator, "rope_sin and rope_cos", [list(turning.shape), list(tensors["rope_cos"].shape)], wanted)
        heads, size, rank = tensors["weight_uk"].shape
        found = {"Hcq": tensors["weight_dq"].shape[1], "Hckv": rank, "D": size, "Dr": turning.shape[-1]}
        for name, expected in SIZES.items():
            limit(found[name] == expected, operator, name, found[name], expected)
        limit(x.shape[-1] in WIDTHS, operator, "He", x.shape[-1], WIDTHS)
        limit(heads in HEADS, operator, "N", heads, HEADS)
        self._check_index()
        self._check_caches()

    def _check_caches(self) -> None:
        operator, mode, x = self.operator, self.cache_mode, self.tensors["token_x"]
        paged = mode in _PAGED
        if not paged:
            most = 3 if mode == "BSND" else 2
            require(x.dim() == most, operator, f"token_x with {mode}", f"{x.dim()}-dimensional", f"{most} dimensions")
        tail = [1, self.quantized.cache_width], [1, SIZES["Dr"]]
        for name, expected in zip(("kv_cache", "kr_cache"), tail, strict=True):
            cache = self.tensors[name]
            if name == "kr_cache" and self.quantized.together:
                require(cache.numel() == 0, operator, name, list(cache.shape), "[0]: it is kept in kv_cache")
                continue
            shape = list(x.shape[:-1]) if not paged else list(cache.shape[:2])
            require(list(cache.shape) == shape + expected, operator, name, list(cache.shape), shape + expected)
        if paged:
            block = self.tensors["kv_cache"].shape[1]
            limit(block % 16 == 0 and 16 <= block <= 1024, operator, "BlockSize", block, "a multiple of 16 up to 1024")

    def _check_index(self) -> None:
        """The slots, or blocks, that tokens go to."""
        operator, mode, x = self.operator, self.cache_mode, self.tensors["token_x"]
        paged = mode in _PAGED
        require(paged == (self.cache_index is not None), operator, "cache_index", "given" if not paged else None,
                "slots" if paged else f"None with {mode}")  # fmt: skip
        types(operator, (torch.int64,), cache_index=self.cache_index)
        in_a_row = "BLK" in mode and x.dim() == 2
        wanted = "given" if in_a_row else "None, but for tokens in a row and PA_BLK"
        given = None if self.lengths is None else "given"
        require(in_a_row == (given is not None), operator, "actual_seq_len", given, wanted)
        if self.cache_index is not None and not in_a_row:
            places = list(x.shape[:-1])
            if "BLK" in mode:
                places[-1] = -(-places[-1] // self.tensors["kv_cache"].shape[1])
            index = list(self.cache_index.shape)
            require(index == places, operator, "cache_index", index, places)

    def run(self) -> tuple[Tensor, Tensor, Tensor, int8.Rows]:
        """The queries in low rank, the scales of theirs, their turned part, and the normed low-rank query.

        Writes both caches.
        """
        self.check()
        given, quantized = self.tensors, self.quantized
        heads, size, rank = given["weight_uk"].shape
        sin, cos = given["rope_sin"], given["rope_cos"]
        kind = sin.dtype
        x = int8.Rows(given["token_x"], self.scales.get("dequant_scale_x"))
        down = int8.product(x, given["weight_dq"], self.scales.get("dequant_scale_w_dq"))
        normed = rms(down, given["rmsnorm_gamma_cq"], self.epsilons[0], self.operator)[0] * self.factors[0]
        low = quantized.normed(normed, self.scales.get("smooth_scales_cq"))
        up = int8.product(low, given["weight_uq_qr"], self.scales.get("dequant_scale_w_uq_qr"))
        of_heads = up.reshape(*up.shape[:-1], heads, -1)
        query = torch.einsum("...nd,ndr->...nr", of_heads[..., :size], wide(given["weight_uk"]))
        turned = rotated(of_heads[..., size:], cos.unsqueeze(-2), sin.unsqueeze(-2), "interleave-half")
        query, scale, turned = quantized.queries_of(query, turned, self.scales, kind)
        of_keys = int8.product(x, given["weight_dkv_kr"], self.scales.get("dequant_scale_w_dkv_kr"))
        keys, _ = rms(of_keys[..., :rank], given["rmsnorm_gamma_ckv"], self.epsilons[1], self.operator)
        if keys.device.type != "meta":
            turned_keys = rotated(of_keys[..., rank:], cos, sin, "interleave-half")
            self._store(*quantized.kept(keys * self.factors[1], turned_keys, self.scales, kind))
        rounded = low if quantized.weights else int8.Rows(low.values.to(kind))
        return query, scale, turned.to(kind), rounded

    def _store(self, keys: Tensor, turned: Tensor) -> None:
        """Writes [T, size], or [B, S, size], to their caches."""
        for name, values in (("kv_cache", keys), ("kr_cache", turned)):
            cache = self.tensors[name]
            if not cache.numel() or not values.numel():
                continue
            if self.cache_index is None:
                cache.copy_(values.unsqueeze(-2))
                continue
            slots = self._slots(cache.shape[1])
            flat = values.reshape(1, 1, -1, values.shape[-1])
            write(cache, flat, slots, self.cache_mode.replace("BLK_", ""))

    def _slots(self, block: int) -> Tensor:
        """Where each token goes: its own slot, or the next of its sequence's blocks."""
        assert self.cache_index is not None
        x = self.tensors["token_x"]
        if "BLK" not in self.cache_mode:
            return self.cache_index.flatten()
        starts = self.cache_index * block
        if self.lengths is None:
            return token_slots(starts, self.cache_mode, x.shape[0], x.shape[1], block)
        ends = self.lengths.tolist()
        require(ends[-1] == len(x), self.operator, "the last of actual_seq_len", ends[-1], f"{len(x)}, the tokens")
        slots, used = [], 0
        for length in self.lengths.diff(prepend=self.lengths.new_zeros(1)).tolist():
            count = -(-length // block)
            slots.append(token_slots(starts[used : used + count], self.cache_mode, 1, length, block))
            used += count
        require(used == len(starts), self.operator, "cache_index", [len(starts)], f"{[used]}, the sequences' blocks")
        return torch.cat(slots)


_TENSORS = (
    "token_x weight_dq weight_uq_qr weight_uk weight_dkv_kr rmsnorm_gamma_cq rmsnorm_gamma_ckv rope_sin rope_cos "
    "kv_cache kr_cache"
).split()


def _scales(given: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: given[name] for name in int8.SCALES if given.get(name) is not None}


def _positional(operator: str, given: Mapping[str, Any]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    tensors, scales = {name: given[name] for name in _TENSORS}, _scales(given)
    call = Call(
        operator,
        tensors,
        scales,
        int8.as_given(tensors, scales),
        given["cache_index"],
        given["cache_mode"],
        (given["rmsnorm_epsilon_cq"], given["rmsnorm_epsilon_ckv"]),
    )
    query, scale, turned, _ = call.run()
    return query, turned, tensors["kv_cache"], tensors["kr_cache"], scale


@kernel("npu_mla_prolog")
def mla_prolog(
    token_x: Tensor,
    weight_dq: Tensor,
    weight_uq_qr: Tensor,
    weight_uk: Tensor,
    weight_dkv_kr: Tensor,
    rmsnorm_gamma_cq: Tensor,
    rmsnorm_gamma_ckv: Tensor,
    rope_sin: Tensor,
    rope_cos: Tensor,
    cache_index: Tensor,
    kv_cache: Tensor,
    kr_cache: Tensor,
    *,
    dequant_scale_x: Tensor | None = None,
    dequant_scale_w_dq: Tensor | None = None,
    dequant_scale_w_uq_qr: Tensor | None = None,
    dequant_scale_w_dkv_kr: Tensor | None = None,
    quant_scale_ckv: Tensor | None = None,
    quant_scale_ckr: Tensor | None = None,
    smooth_scales_cq: Tensor | None = None,
    rmsnorm_epsilon_cq: float = 1e-05,
    rmsnorm_epsilon_ckv: float = 1e-05,
    cache_mode: str = "PA_BSND",
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries, their turned part, and both caches, which it has written to."""
    given = dict(locals())
    types("npu_mla_prolog", (torch.bfloat16,), token_x=token_x)  # in int8 from _v2 on, which returns queries' scales
    return _positional("npu_mla_prolog", given)[:4]


@kernel("npu_mla_prolog_v2")
def mla_prolog_v2(
    token_x: Tensor,
    weight_dq: Tensor,
    weight_uq_qr: Tensor,
    weight_uk: Tensor,
    weight_dkv_kr: Tensor,
    rmsnorm_gamma_cq: Tensor,
    rmsnorm_gamma_ckv: Tensor,
    rope_sin: Tensor,
    rope_cos: Tensor,
    cache_index: Tensor,
    kv_cache: Tensor,
    kr_cache: Tensor,
    *,
    dequant_scale_x: Tensor | None = None,
    dequant_scale_w_dq: Tensor | None = None,
    dequant_scale_w_uq_qr: Tensor | None = None,
    dequant_scale_w_dkv_kr: Tensor | None = None,
    quant_scale_ckv: Tensor | None = None,
    quant_scale_ckr: Tensor | None = None,
    smooth_scales_cq: Tensor | None = None,
    rmsnorm_epsilon_cq: float = 1e-05,
    rmsnorm_epsilon_ckv: float = 1e-05,
    cache_mode: str = "PA_BSND",
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The same, and the scales of quantized queries [tokens, N, 1]: one number where they are not."""
    *results, scale = _positional("npu_mla_prolog_v2", dict(locals()))
    return (*results, scale if scale.numel() else scale.new_zeros(1))  # type: ignore[return-value]


@kernel("npu_mla_prolog_v3")
def mla_prolog_v3(
    token_x: Tensor,
    weight_dq: Tensor,
    weight_uq_qr: Tensor,
    weight_uk: Tensor,
    weight_dkv_kr: Tensor,
    rmsnorm_gamma_cq: Tensor,
    rmsnorm_gamma_ckv: Tensor,
    rope_sin: Tensor,
    rope_cos: Tensor,
    kv_cache: Tensor,
    kr_cache: Tensor,
    *,
    cache_index: Tensor | None = None,
    dequant_scale_x: Tensor | None = None,
    dequant_scale_w_dq: Tensor | None = None,
    dequant_scale_w_uq_qr: Tensor | None = None,
    dequant_scale_w_dkv_kr: Tensor | None = None,
    quant_scale_ckv: Tensor | None = None,
    quant_scale_ckr: Tensor | None = None,
    smooth_scales_cq: Tensor | None = None,
    actual_seq_len: Tensor | None = None,
    k_nope_clip_alpha: Tensor | None = None,
    rmsnorm_epsilon_cq: float = 1e-05,
    rmsnorm_epsilon_ckv: float = 1e-05,
    cache_mode: str = "PA_BSND",
    query_norm_flag: bool = False,
    weight_quant_mode: int = 0,
    kv_cache_quant_mode: int = 0,
    query_quant_mode: int = 0,
    ckvkr_repo_mode: int = 0,
    quant_scale_repo_mode: int = 0,
    tile_size: int = 128,
    qc_qr_scale: float = 1.0,
    kc_scale: float = 1.0,
    token_x_dtype: int | None = None,
    weight_dq_dtype: int | None = None,
    weight_uq_qr_dtype: int | None = None,
    weight_dkv_kr_dtype: int | None = None,
    kv_cache_dtype: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Queries, their turned part, the queries' scales, the normed low-rank query with ``query_norm_flag``, its scales.

    What there is none of is empty.
    """
    operator, given = "npu_mla_prolog_v3", dict(locals())
    _without_other_types(operator, given)
    repositories = ckvkr_repo_mode, quant_scale_repo_mode
    quantized = int8.Quantized(weight_quant_mode, kv_cache_quant_mode, query_quant_mode, repositories, tile_size)
    types(operator, (torch.int32,), actual_seq_len=actual_seq_len)
    query, scale, turned, normed = Call(
        operator,
        {name: given[name] for name in _TENSORS},
        _scales(given),
        quantized,
        cache_index,
        cache_mode,
        (rmsnorm_epsilon_cq, rmsnorm_epsilon_ckv),
        (qc_qr_scale, kc_scale),
        actual_seq_len,
    ).run()
    if not query_norm_flag:
        normed = int8.Rows(weight_uq_qr.new_zeros(0))
    scale_of_normed = scale.new_zeros(0) if normed.scale is None else normed.scale
    return query, turned, scale, normed.values, scale_of_normed


def _without_other_types(operator: str, given: Mapping[str, Any]) -> None:
    """Raises NotEmulated for the 8-bit floating-point types, which Ascend 950 takes."""
    beyond = {name: given[name] for name in given if name.endswith("_dtype")}
    if newest_line() and given["weight_quant_mode"] in (3, 4, 5):
        beyond["weight_quant_mode"] = given["weight_quant_mode"]
    for name, value in beyond.items():
        if value is not None:
            raise NotEmulated(
                f"torch_npu.{operator} with {name}={value} works on Ascend 950, but not on the emulated NPU"
            )


@kernel("npu_mla_prolog_v3_functional")
@functools.wraps(mla_prolog_v3, assigned=())  # its parameters are the same
def mla_prolog_v3_functional(*given: Any, **options: Any) -> tuple[Tensor, ...]:
    """The same on copies of the caches, which it returns as well."""
    *tensors, kv_cache, kr_cache = given
    caches, in_place = (kv_cache.clone(), kr_cache.clone()), cast(Any, mla_prolog_v3)
    return (*in_place(*tensors, *caches, **options), *caches)
