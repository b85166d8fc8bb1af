"""The picture half of the CLIP that Wan's image-to-video models see through: ViT-H/14, as open_clip trained it.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021. Wan takes what enters the
last layer, so neither that layer nor what stands behind it is here. The names of the parameters are those of
models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth below "visual.".
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsynth.core.attention.attention import attention
from diffsynth.core.loader.detection import ToldByNames
from diffsynth.models.layers import ModuleDict, ModuleList

# Every published size has heads of this width; the files do not say how many heads there are.
HEAD_DIM = 80

# Of the pictures that CLIP was trained on, in [0, 1], by colour.
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


class PictureAttention(nn.Module):
    """Self-attention among the patches of a picture."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, S, dim) to (B, S, dim)."""
        query, key, value = torch.unflatten(self.to_qkv(tokens), -1, (3 * self.num_heads, -1)).chunk(3, dim=2)
        return self.proj(attention(query, key, value).flatten(2))


class PictureBlock(nn.Module):
    """Attention and a feed-forward network, each behind a norm."""

    def __init__(self, dim: int, ffn_dim: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = PictureAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = ModuleDict({"0": nn.Linear(dim, ffn_dim), "2": nn.Linear(ffn_dim, dim)})

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, S, dim) to (B, S, dim)."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp["2"](F.gelu(self.mlp["0"](self.norm2(tokens))))


class WanImageEncoder(nn.Module, ToldByNames):
    """Pictures to the features that a DiT attends to.

    Args:
        dim, ffn_dim: width of the tokens, a multiple of `num_heads`, and within the feed-forward networks.
        num_heads, num_layers: of the blocks that run.
        image_size, patch_size: pixels of the picture that it sees, and of a patch, on each axis.
    """

    telling = ("visual.cls_embedding", "visual.pre_norm.weight", "visual.transformer.0.attn.to_qkv.weight")

    def __init__(
        self, dim: int, ffn_dim: int, num_heads: int, num_layers: int, image_size: int = 224, patch_size: int = 14
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.patch_embedding = nn.Conv2d(3, dim, patch_size, patch_size, bias=False)
        self.cls_embedding = nn.Parameter(torch.randn(1, 1, dim) * dim**-0.5)
        self.pos_embedding = nn.Parameter(torch.randn(1, 1 + (image_size // patch_size) ** 2, dim) * dim**-0.5)
        self.pre_norm = nn.LayerNorm(dim)
        self.transformer = ModuleList(PictureBlock(dim, ffn_dim, num_heads) for _ in range(num_layers))

    def forward(self, pictures: Tensor) -> Tensor:
        """Features (B, 1 + patches, dim), in the weights' type, of pictures (B, 3, H, W) of any size in [-1, 1]."""
        size = (self.image_size, self.image_size)
        pictures = F.interpolate(pictures.float(), size, mode="bicubic", align_corners=False)
        mean, deviation = (torch.tensor(each, device=pictures.device).view(3, 1, 1) for each in (MEAN, DEVIATION))
        pictures = ((pictures + 1) / 2 - mean) / deviation
        patches = self.patch_embedding(pictures.to(self.patch_embedding.weight.dtype)).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_embedding.expand(len(patches), -1, -1), patches], dim=1) + self.pos_embedding
        tokens = self.pre_norm(tokens)
        for block in self.transformer:
            tokens = block(tokens)
        return tokens

    @staticmethod
    def file_key(model_key: str) -> str:
        """The key in the published file of this module's parameter `model_key`."""
        return f"visual.{model_key}"

    @staticmethod
    def kwargs_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """The constructor's sizes, from the shapes in a file.

        Raises:
            ValueError: the width is no multiple of 80, the width of a head in the published size.
        """
        dim, _, patch_size, _ = shapes["visual.patch_embedding.weight"]
        if dim % HEAD_DIM:
            raise ValueError(f"visual.patch_embedding.weight has width {dim}, expected a multiple of {HEAD_DIM}")
        layers = [int(key.split(".")[2]) for key in shapes if key.startswith("visual.transformer.")]
        return {
            "dim": dim,
            "ffn_dim": shapes["visual.transformer.0.mlp.0.weight"][0],
            "num_heads": dim // HEAD_DIM,
            "num_layers": 1 + max(layers),
            "image_size": isqrt(shapes["visual.pos_embedding"][1] - 1) * patch_size,
            "patch_size": patch_size,
        }
