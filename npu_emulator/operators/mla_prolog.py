"""What comes before multi-head latent attention: npu_mla_prolog, _v2 and _v3, without quantization.

x to the normed low-rank query, from it the query of each head in the keys' low rank, and its turned part; x to the
normed keys and values in low rank and to the turned part of the keys, which go to their caches.
"""

from __future__ import annotations

import torch
from torch import Tensor

from npu_emulator.npu.not_emulated import NotEmulated
from npu_emulator.operators.kv_cache import write
from npu_emulator.operators.limits import dimensions, limit, one_of, require, types
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


def _unquantized(operator: str, **given: object) -> None:
    for name, argument in given.items():
        if argument is not None and argument != 0:
            raise NotEmulated(f"torch_npu.{operator} with {name} works on Ascend hardware, but not on the emulated NPU")


def _check(
    operator: str,
    tensors: dict[str, Tensor],
    cache_index: Tensor | None,
    cache_mode: str,
) -> None:
    types(operator, (torch.bfloat16,), **tensors)
    one_of(operator, "cache_mode", cache_mode, MODES[operator])
    dimensions(operator, 2, 3, token_x=tensors["token_x"])
    heads, size, rank = tensors["weight_uk"].shape
    turning = tensors["rope_sin"].shape[-1]
    found = {"Hcq": tensors["weight_dq"].shape[1], "Hckv": rank, "D": size, "Dr": turning}
    for name, wanted in SIZES.items():
        limit(found[name] == wanted, operator, name, found[name], wanted)
    limit(tensors["token_x"].shape[-1] in WIDTHS, operator, "He", tensors["token_x"].shape[-1], WIDTHS)
    limit(heads in HEADS, operator, "N", heads, HEADS)
    paged = cache_mode in _PAGED
    require(paged == (cache_index is not None), operator, "cache_index", "given" if not paged else None,
            "slots" if paged else f"None with {cache_mode}")  # fmt: skip
    types(operator, (torch.int64,), cache_index=cache_index)
    if paged:
        block = tensors["kv_cache"].shape[1]
        limit(block % 16 == 0 and 16 <= block <= 1024, operator, "BlockSize", block, "a multiple of 16 up to 1024")


def _store(cache: Tensor, values: Tensor, cache_index: Tensor | None, cache_mode: str, operator: str) -> None:
    """Writes [T, size], or [B, S, size]."""
    if cache_index is None:
        cache.copy_(values.unsqueeze(-2))
        return
    if "BLK" in cache_mode and values.dim() == 2:
        raise NotEmulated(
            f"torch_npu.{operator} with {cache_mode} for tokens in a row works on Ascend hardware, not here"
        )
    in_batches = values if values.dim() == 3 else values.unsqueeze(0)
    write(cache, in_batches.unsqueeze(1), cache_index.view(len(in_batches), -1), cache_mode)


def _run(
    operator: str,
    tensors: dict[str, Tensor],
    cache_index: Tensor | None,
    epsilons: tuple[float, float],
    cache_mode: str,
    scales: tuple[float, float] = (1.0, 1.0),
) -> tuple[Tensor, Tensor, Tensor]:
    """The queries in low rank, their turned part, and the normed low-rank query; writes both caches."""
    _check(operator, tensors, cache_index, cache_mode)
    x, kind = wide(tensors["token_x"]), tensors["token_x"].dtype
    heads, size, rank = tensors["weight_uk"].shape
    sin, cos = tensors["rope_sin"], tensors["rope_cos"]
    normed = (
        rms(x @ wide(tensors["weight_dq"]), wide(tensors["rmsnorm_gamma_cq"]), epsilons[0], operator)[0] * scales[0]
    )
    of_heads = (normed @ wide(tensors["weight_uq_qr"])).reshape(*x.shape[:-1], heads, -1)
    query = torch.einsum("...nd,ndr->...nr", of_heads[..., :size], wide(tensors["weight_uk"]))
    turned = rotated(of_heads[..., size:], cos.unsqueeze(-2), sin.unsqueeze(-2), "interleave-half")
    of_keys = x @ wide(tensors["weight_dkv_kr"])
    keys = rms(of_keys[..., :rank], tensors["rmsnorm_gamma_ckv"], epsilons[1], operator)[0] * scales[1]
    if x.device.type != "meta":
        _store(tensors["kv_cache"], keys.to(kind), cache_index, cache_mode, operator)
        _store(
            tensors["kr_cache"],
            rotated(of_keys[..., rank:], cos, sin, "interleave-half").to(kind),
            cache_index,
            cache_mode,
            operator,
        )
    return query.to(kind), turned.to(kind), normed.to(kind)


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
    return _positional("npu_mla_prolog", dict(locals()))


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
    """The same, and the scale of quantized queries: of one number, as these are not."""
    return (*_positional("npu_mla_prolog_v2", dict(locals())), token_x.new_zeros(1, dtype=torch.float32))


_TENSORS = (
    "token_x weight_dq weight_uq_qr weight_uk weight_dkv_kr rmsnorm_gamma_cq rmsnorm_gamma_ckv rope_sin rope_cos "
    "kv_cache kr_cache"
).split()
_QUANTIZED = (
    "dequant_scale_x dequant_scale_w_dq dequant_scale_w_uq_qr dequant_scale_w_dkv_kr quant_scale_ckv quant_scale_ckr "
    "smooth_scales_cq"
).split()


def _positional(operator: str, given: dict[str, object]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    _unquantized(operator, **{name: given[name] for name in _QUANTIZED})
    tensors: dict[str, Tensor] = {name: given[name] for name in _TENSORS}  # type: ignore[misc]
    epsilons = given["rmsnorm_epsilon_cq"], given["rmsnorm_epsilon_ckv"]
    query, turned, _ = _run(operator, tensors, given["cache_index"], epsilons, given["cache_mode"])  # type: ignore[arg-type]
    return query, turned, tensors["kv_cache"], tensors["kr_cache"]


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
    """Queries, their turned part, and with ``query_norm_flag`` the normed low-rank query; scales are empty here."""
    operator, given = "npu_mla_prolog_v3", dict(locals())
    modes = ("weight_quant_mode", "kv_cache_quant_mode", "query_quant_mode", "ckvkr_repo_mode", "quant_scale_repo_mode")
    types_of_bytes = [name for name in given if name.endswith("_dtype")]
    _unquantized(
        operator, **{name: given[name] for name in (*_QUANTIZED, "k_nope_clip_alpha", *modes, *types_of_bytes)}
    )
    query, turned, normed = _run(
        operator,
        {name: given[name] for name in _TENSORS},
        cache_index,
        (rmsnorm_epsilon_cq, rmsnorm_epsilon_ckv),
        cache_mode,
        (qc_qr_scale, kc_scale),
    )
    no_scale = token_x.new_zeros(0, dtype=torch.float32)
    return query, turned, no_scale, normed if query_norm_flag else token_x.new_zeros(0), no_scale.clone()
