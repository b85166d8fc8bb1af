"""EliGen: prompts of entities that a Qwen-Image DiT takes besides the prompt, each for its own area of the picture.

Zhang et al., "EliGen: Entity-Level Controlled Image Generation with Regional Attention", 2025. The tokens of a text
attend to one another and to the picture's within its area, and the picture's tokens to the texts whose area they are
in; no text attends to another. The prompt's own area is the whole picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from diffsynth.models.qwen_image_patches import PATCH


@dataclass(frozen=True)
class Entities:
    """What is to be where.

    Attributes:
        masks: where each entity may be, (1 or B, entities, h, w), bool, a value for each latent cell of the picture.
        contexts: features of each entity's prompt, (1 or B, L, text_dim); None: for each entity those of the prompt.
    """

    masks: Tensor
    contexts: tuple[Tensor, ...] | None = None
    _kept: dict[object, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def texts(self, context: Tensor) -> list[Tensor]:
        """Features of all texts, the prompt's own (B, L, text_dim) last."""
        contexts = [context] * self.masks.shape[1] if self.contexts is None else self.contexts
        return [*(one.to(context).expand(len(context), -1, -1) for one in contexts), context]

    def attended(self, lengths: Sequence[int], grids: Sequence[tuple[int, int]], device: torch.device) -> Tensor:
        """Which tokens attend to which, (1 or B, 1, tokens, tokens): of texts that long, then of pictures of so many
        rows and columns of tokens, each of which shows the same areas."""
        key = (tuple(lengths), tuple(grids), device)
        if key not in self._kept:
            self._kept[key] = self._attended(lengths, grids, device)
        return self._kept[key]

    def _attended(self, lengths: Sequence[int], grids: Sequence[tuple[int, int]], device: torch.device) -> Tensor:
        masks = self.masks.to(device).float()
        areas = torch.cat([_tokens(masks, grid) for grid in grids], dim=2)
        areas = torch.cat([areas, torch.ones_like(areas[:, :1])], dim=1)  # the prompt's own
        of_texts = torch.cat([areas[:, text : text + 1].expand(-1, n, -1) for text, n in enumerate(lengths)], dim=1)
        length = sum(lengths)
        attended = torch.ones(len(areas), *[length + areas.shape[2]] * 2, dtype=torch.bool, device=device)
        attended[:, :length, :length] = False
        for end, n in zip(accumulate(lengths), lengths, strict=True):
            attended[:, end - n : end, end - n : end] = True
        attended[:, :length, length:] = of_texts
        attended[:, length:, :length] = of_texts.transpose(1, 2)
        return attended.unsqueeze(1)


def _tokens(masks: Tensor, grid: tuple[int, int]) -> Tensor:
    """Whether any cell of each token is in an area: (1 or B, entities, rows * columns), of masks of 0 and 1."""
    size = tuple(PATCH * length for length in grid)
    if masks.shape[2:] != size:
        masks = F.interpolate(masks, size=size, mode="nearest")
    return F.max_pool2d(masks, PATCH).flatten(2) > 0
