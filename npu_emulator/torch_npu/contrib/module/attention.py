"""The attention of fairseq."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..function import matmul_transpose
from .dropout import NpuCachedDropout


def Matmul_transpose(tensor1: Tensor, tensor2: Tensor) -> Tensor:
    """tensor1 @ tensor2, the latter's last two dimensions exchanged."""
    return matmul_transpose(tensor1, tensor2)


class _Linear(nn.Linear):
    """npu_linear over the last dimension, whose weight in training is drawn anew with ``noise`` of its blocks zero."""

    def __init__(self, inputs: int, outputs: int, bias: bool, noise: float, block_size: int) -> None:
        super().__init__(inputs, outputs, bias)
        if noise > 0 and inputs % block_size:
            raise ValueError(f"Input features must be a multiple of block sizes, but {inputs} is not of {block_size}")
        self._noise, self._block_size = noise, block_size

    def forward(self, x: Tensor) -> Tensor:
        if self._noise > 0 and self.training:
            self._drop_blocks()
        result: Tensor = torch.ops.npu.npu_linear(x.reshape(-1, self.in_features), self.weight, self.bias)
        return result.view(*x.shape[:-1], self.out_features)

    @torch.no_grad()
    def _drop_blocks(self) -> None:
        blocks = torch.zeros(self.out_features, self.in_features // self._block_size, device=self.weight.device)
        dropped = blocks.bernoulli_(self._noise).repeat_interleave(self._block_size, 1).bool()
        self.weight.data = self.weight.masked_fill(dropped, 0) / (1 - self._noise)


class MultiheadAttention(nn.Module):
    """fairseq's attention with its projections.

    As in torch_npu ``forward`` returns (None, None): there it computes only once a program has set its fused mode, by
    an operator (npu_multi_head_attention, called by ``multi_attn``) that is not emulated.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        kdim: int | None = None,
        vdim: int | None = None,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        self_attention: bool = False,
        encoder_decoder_attention: bool = False,
        q_noise: float = 0.0,
        qn_block_size: int = 8,
    ) -> None:
        super().__init__()
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.qkv_same_dim = self.kdim == self.vdim == embed_dim
        if self.head_dim * num_heads != embed_dim:
            raise ValueError(f"embed_dim must be divisible by num_heads, but got {embed_dim} and {num_heads}")
        if self_attention and not self.qkv_same_dim:
            raise ValueError("Self-attention requires query, key and value to be of the same size")
        self.dropout_module = NpuCachedDropout(dropout, module_name=type(self).__name__)
        self.dropout_prob, self.use_dropout_optim = dropout, True
        self.scaling = self.head_dim**-0.5
        self.self_attention, self.encoder_decoder_attention = self_attention, encoder_decoder_attention
        noise = (q_noise, qn_block_size)
        self.k_proj, self.v_proj = (_Linear(size, embed_dim, bias, *noise) for size in (self.kdim, self.vdim))
        self.q_proj, self.out_proj = (_Linear(embed_dim, embed_dim, bias, *noise) for _ in range(2))
        self.bias_k, self.bias_v = (
            nn.Parameter(torch.empty(1, 1, embed_dim)) if add_bias_kv else None for _ in range(2)
        )
        self.add_zero_attn = add_zero_attn
        self.reset_parameters()
        self.onnx_trace = self.tpu = False

    def prepare_for_onnx_export_(self) -> None:
        """Notes the export."""
        self.onnx_trace = True

    def prepare_for_tpu_(self, **kwargs: Any) -> None:
        """Notes the device."""
        self.tpu = True

    def reset_parameters(self) -> None:
        """Draws the weights."""
        gain = 1 / math.sqrt(2) if self.qkv_same_dim else 1.0
        for projection in (self.k_proj, self.v_proj, self.q_proj):
            nn.init.xavier_uniform_(projection.weight, gain=gain)
        nn.init.xavier_uniform_(self.out_proj.weight)
        if self.out_proj.bias is not None:
            nn.init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                nn.init.xavier_normal_(bias)

    def transpose_for_scores(self, x: Tensor) -> Tensor:
        """x as [batch_size, num_attention_heads, squence_length, attention_head_size], which the program sets."""
        shape: Any = (self.batch_size, self.squence_length, self.num_attention_heads, self.attention_head_size)
        result: Tensor = torch.ops.npu.npu_confusion_transpose(x, (0, 2, 1, 3), shape, False)
        return result

    def forward(
        self,
        query: Tensor,
        key: Tensor | None,
        value: Tensor | None,
        bsz: int,
        tgt_len: int,
        s_len: int,
        key_padding_mask: Tensor | None = None,
        incremental_state: Any = None,
        need_weights: bool = True,
        static_kv: bool = False,
        attn_mask: Tensor | None = None,
        before_softmax: bool = False,
        need_head_weights: bool = False,
    ) -> tuple[Tensor | None, Tensor | None]:
        """(None, None)."""
        return None, None

    def multi_attn(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor, bsz: int, tgt_len: int
    ) -> Tensor:
        """Raises NotEmulated."""
        src_len = key.size(0) // bsz
        result: Tensor = torch.ops.npu.npu_multi_head_attention(
            query,
            key,
            value,
            self.q_proj.weight,
            self.k_proj.weight,
            self.v_proj.weight,
            key_padding_mask,
            self.out_proj.weight,
            self.q_proj.bias,
            self.k_proj.bias,
            self.v_proj.bias,
            self.out_proj.bias,
            self.dropout_module([(bsz, self.num_heads, tgt_len, src_len), query.dtype, query.device]),
            self.num_heads,
            self.head_dim,
            src_len,
            tgt_len,
            self.dropout_prob,
            True,
        )[0]
        return result

    def apply_sparse_mask(self, attn_weights: Tensor, tgt_len: int, src_len: int, bsz: int) -> Tensor:
        """The weights as they are."""
        return attn_weights

    def upgrade_state_dict_named(self, state_dict: dict[str, Tensor], name: str) -> None:
        """Cuts the one projection of older checkpoints, [3 * embed_dim, ...], into those of query, key and value."""
        prefix = f"{name}." if name else ""
        for kind in ("weight", "bias"):
            whole = state_dict.pop(f"{prefix}in_proj_{kind}", None)
            if whole is not None:
                for letter, part in zip("qkv", whole.chunk(3), strict=True):
                    state_dict[f"{prefix}{letter}_proj.{kind}"] = part
