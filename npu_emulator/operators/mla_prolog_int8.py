"""What `mla_prolog` computes in int8: products of what is quantized, quantized queries, and quantized caches.

By the vendor's description of aclnnMlaPrologV3WeightNz, and for what that leaves open (the factor of the turned
queries, the layout of tiles) by its public kernel and test reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from npu_emulator.operators.limits import limit, require, types
from npu_emulator.operators.precision import wide
from npu_emulator.operators.quantization import dynamic_scale, rounded_to_int8

LARGEST = 127
LOW_RANK, TURNING = 512, 64
LEAST = 1e-4  # the least that the largest value of a tile counts as
SCALES = (
    "dequant_scale_x dequant_scale_w_dq dequant_scale_w_uq_qr dequant_scale_w_dkv_kr quant_scale_ckv quant_scale_ckr "
    "smooth_scales_cq k_nope_clip_alpha"
).split()
# What goes together: of weights (0 none, 1 weight_uq_qr, 2 all but weight_uk, and the tokens), of the caches (0 none,
# 1 one scale, 2 a scale for each channel, 3 one for each tile), of queries (1: one for each token and head).
TOGETHER = ((0, 0, 0), (1, 0, 0), (1, 2, 0), (1, 3, 0), (2, 0, 0), (2, 1, 1), (2, 3, 0))


@dataclass(frozen=True)
class Rows:
    """Tokens [..., size], and of quantized ones the scale of each [tokens, 1]."""

    values: Tensor
    scale: Tensor | None = None


def product(rows: Rows, weight: Tensor, scale: Tensor | None) -> Tensor:
    """rows @ weight in float32; of int8 the sums of whole numbers, times both scales."""
    if weight.dtype != torch.int8:
        return wide(rows.values) @ wide(weight)
    sums = (rows.values.double() @ weight.double()).float()  # float32 does not hold them all
    assert rows.scale is not None
    assert scale is not None
    return sums * rows.scale.view(*sums.shape[:-1], 1) * scale.view(-1)


@dataclass(frozen=True)
class Quantized:
    """What is quantized, by the numbers in `TOGETHER`.

    Attributes:
        repositories: whether turned keys are kept in kv_cache, and whether scales are.
    """

    weights: int = 0
    caches: int = 0
    queries: int = 0
    repositories: tuple[int, int] = (0, 0)
    tile: int = 128

    @property
    def together(self) -> bool:
        """A token's keys, turned keys and scales are one row of kv_cache."""
        return self.caches == 3

    @property
    def cache_width(self) -> int:
        """Of kv_cache's last dimension: with tiles, 512 keys, 64 turned ones in two bytes, scales in four."""
        return LOW_RANK + 2 * TURNING + 4 * (LOW_RANK // self.tile) if self.together else LOW_RANK

    def check(self, operator: str, tensors: Mapping[str, Tensor], scales: Mapping[str, Tensor]) -> None:
        """Refuses what does not go together."""
        modes = self.weights, self.caches, self.queries
        names = "weight_quant_mode, kv_cache_quant_mode and query_quant_mode"
        require(modes in TOGETHER, operator, names, modes, " or ".join(map(str, TOGETHER)))
        whole = int(self.together)
        named = "ckvkr_repo_mode and quant_scale_repo_mode"
        require(self.repositories == (whole, whole), operator, named, self.repositories, f"{(whole, whole)}")
        limit(self.tile == 128, operator, "tile_size", self.tile, 128)
        eighth = set[str]()
        if self.weights:
            eighth.add("weight_uq_qr")
        if self.weights == 2:
            eighth |= {"token_x", "weight_dq", "weight_dkv_kr"}
        if self.caches:
            eighth.add("kv_cache")
        if self.caches == 2:
            eighth.add("kr_cache")
        types(operator, (torch.int8,), **{name: tensors[name] for name in tensors if name in eighth})
        types(operator, (torch.bfloat16,), **{name: tensors[name] for name in tensors if name not in eighth})
        self._check_scales(operator, tensors, scales)

    def _check_scales(self, operator: str, tensors: Mapping[str, Tensor], scales: Mapping[str, Tensor]) -> None:
        sizes: dict[str, int] = {}
        if self.weights:
            sizes["dequant_scale_w_uq_qr"] = tensors["weight_uq_qr"].shape[1]
        if self.weights == 2:
            sizes["dequant_scale_x"] = tensors["token_x"].shape[:-1].numel()
            sizes |= {f"dequant_scale_{name}": tensors[f"weight{name[1:]}"].shape[1] for name in ("w_dq", "w_dkv_kr")}
        sizes |= {
            1: {"quant_scale_ckv": 1},
            2: {"quant_scale_ckv": LOW_RANK, "quant_scale_ckr": TURNING},
            3: {"k_nope_clip_alpha": 1},
        }.get(self.caches, {})
        for name, count in sizes.items():
            require(name in scales, operator, name, None, f"{count} numbers")
            require(scales[name].numel() == count, operator, name, list(scales[name].shape), f"{count} numbers")
        if self.weights and "smooth_scales_cq" in scales:
            smooth, rank = scales["smooth_scales_cq"], tensors["weight_dq"].shape[1]
            require(smooth.numel() in (1, rank), operator, "smooth_scales_cq", list(smooth.shape), f"{rank} numbers")
            sizes["smooth_scales_cq"] = rank
        for name in scales:
            limit(name in sizes, operator, name, "given", "None without that quantization")
        types(operator, (torch.float32,), **scales)

    def normed(self, values: Tensor, smooth: Tensor | None) -> Rows:
        """The normed low-rank query as it is multiplied on: of each token its own scale."""
        if not self.weights:
            return Rows(values)
        quotients, scale = dynamic_scale(values if smooth is None else values * smooth.view(-1), LARGEST)
        return Rows(rounded_to_int8(quotients), scale.reshape(-1, 1))

    def queries_of(
        self, query: Tensor, turned: Tensor, scales: Mapping[str, Tensor], kind: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [..., heads, rank], their scales [tokens, heads, 1], and the turned ones to go with them.

        Keys are to be multiplied with both, in units of the quantized caches and queries.
        """
        if not self.queries:
            return query.to(kind), query.new_zeros(0), turned
        quotients, scale = dynamic_scale(query, LARGEST)
        turned = turned * (scales["quant_scale_ckv"] / scale.unsqueeze(-1))
        return rounded_to_int8(quotients), scale.reshape(-1, query.shape[-2], 1), turned

    def kept(
        self, keys: Tensor, turned: Tensor, scales: Mapping[str, Tensor], kind: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """What goes to kv_cache and kr_cache."""
        if self.together:
            return self._in_tiles(keys, turned.to(kind), scales["k_nope_clip_alpha"]), turned
        if self.caches:
            keys = rounded_to_int8(keys * scales["quant_scale_ckv"].view(-1))
        if self.caches == 2:
            turned = rounded_to_int8(turned * scales["quant_scale_ckr"].view(-1))
        return (keys if self.caches else keys.to(kind)), (turned if self.caches == 2 else turned.to(kind))

    def _in_tiles(self, keys: Tensor, turned: Tensor, clip: Tensor) -> Tensor:
        """Bytes of a token: keys, cut to ``clip`` of their tile's largest, turned keys, and the scale of each tile."""
        tiles = torch.unflatten(keys, -1, (-1, self.tile))
        largest = tiles.abs().amax(-1, keepdim=True).clamp(min=LEAST) * clip
        scale = largest / LARGEST
        whole = rounded_to_int8(tiles.clamp(-largest, largest) / scale).flatten(-2)
        parts = (whole, turned.contiguous().view(torch.int8), scale.squeeze(-1).contiguous().view(torch.int8))
        return torch.cat(parts, -1)


def as_given(tensors: Mapping[str, Tensor], scales: Mapping[str, Tensor]) -> Quantized:
    """What is quantized by the types of tensors, where no mode says so."""
    weights = 2 if tensors["token_x"].dtype == torch.int8 else int(tensors["weight_uq_qr"].dtype == torch.int8)
    caches = (2 if "quant_scale_ckr" in scales else 1) if "quant_scale_ckv" in scales else 0
    return Quantized(weights, caches, int((weights, caches) == (2, 1)))
