"""Blockwise ControlNet: a picture to follow, mixed into the tokens of a Qwen-Image DiT after each of its blocks.

A block of it is small beside the DiT's: both inputs are normed and added, and go through two linear layers with a GELU
between. The names of the parameters are those of the published files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffsynth.core.loader.detection import ToldByNames
from diffsynth.models.layers import PATCH, ModuleList, patches

_EPS = 1e-6  # of all norms


class ControlBlock(nn.Module):
    """What goes to the tokens behind one block of the DiT."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.x_rms, self.y_rms = (nn.RMSNorm(dim, _EPS) for _ in range(2))
        self.input_proj, self.output_proj = (nn.Linear(dim, dim) for _ in range(2))

    def forward(self, tokens: Tensor, control: Tensor) -> Tensor:
        """Tokens of the DiT and those of the picture to follow, both (B, S, dim), to (B, S, dim)."""
        return self.output_proj(F.gelu(self.input_proj(self.x_rms(tokens) + self.y_rms(control))))


class QwenImageBlockWiseControlNet(nn.Module, ToldByNames):
    """The ControlNet of edges or depths, or with `additional_in_dim` 4 that of inpainting.

    Args:
        num_layers: blocks, as many as the DiT has.
        in_dim: numbers of a patch of 2x2 latents.
        additional_in_dim: of what goes with them: 4 of a mask.
        dim: width of the DiT's tokens.
    """

    telling = ("img_in.weight", "controlnet_blocks.0.x_rms.weight", "controlnet_blocks.0.output_proj.weight")

    def __init__(self, num_layers: int = 60, in_dim: int = 64, additional_in_dim: int = 0, dim: int = 3072) -> None:
        super().__init__()
        self.img_in = nn.Linear(in_dim + additional_in_dim, dim)
        self.controlnet_blocks = ModuleList(ControlBlock(dim) for _ in range(num_layers))

    @property
    def blocks(self) -> ModuleList[ControlBlock]:
        """The repeated part."""
        return self.controlnet_blocks

    @property
    def channels(self) -> int:
        """Of what it is given: latents of the picture to follow, and maybe a mask."""
        return self.img_in.in_features // PATCH**2

    def forward(self, controlled: Callable[[QwenImageBlockWiseControlNet], Tensor]) -> Tensor:
        """What a DiT makes under this ControlNet: `controlled` calls the DiT with it, whose blocks then call those
        here. An engine that trains this network sees one call of it so."""
        return controlled(self)

    def embedded(self, conditioning: Tensor) -> Tensor:
        """Latents (B, C, h, w), and what goes with them, in the type to compute in, as tokens (B, S, dim)."""
        return self.img_in(patches(conditioning))

    def init_weight(self) -> None:
        """Makes it one that changes nothing yet, to be trained."""
        with torch.no_grad():
            for layer in (self.img_in, *(block.output_proj for block in self.controlnet_blocks)):
                layer.weight.zero_()
                layer.bias.zero_()

    @staticmethod
    def kwargs_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """The constructor's sizes, from the shapes in a file; every published one has latents of 16 channels."""
        dim, in_dim = shapes["img_in.weight"]
        return {
            "num_layers": 1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("controlnet_blocks.")),
            "in_dim": 64,
            "additional_in_dim": in_dim - 64,
            "dim": dim,
        }


@dataclass(frozen=True)
class Control:
    """One ControlNet in a generation.

    Attributes:
        network: whose blocks are run behind the DiT's.
        conditioning: latents of the picture to follow, (1 or B, C, h, w), float32; then a mask's, if it takes one.
        scale: of what it adds.
        start, end: where it begins and ends, 1 being the first step of a generation and 0 the last.
    """

    network: QwenImageBlockWiseControlNet
    conditioning: Tensor
    scale: float = 1.0
    start: float = 1.0
    end: float = 0.0


@dataclass(frozen=True)
class Controls:
    """All of a generation; in a forward of the DiT with the tokens of what each follows."""

    each: Sequence[Control]
    embedded: Sequence[Tensor] = ()

    def at(self, left: float) -> Controls:
        """Those that count where so much of the generation is left, from 1 to 0."""
        rounding = 1e-4
        return Controls([one for one in self.each if one.end - rounding <= left <= one.start + rounding])

    def begun(self, tokens: Tensor, own: Callable[[Tensor], Tensor]) -> Controls:
        """In one forward with these tokens of the DiT; `own` has those of the picture that are on this device."""
        embedded = [own(one.network.embedded(one.conditioning.to(tokens.dtype))) for one in self.each]
        return Controls(self.each, [one.expand(len(tokens), -1, -1) for one in embedded])

    def after(self, number: int, tokens: Tensor, made: int) -> Tensor:
        """The tokens (B, S, dim) behind block `number` of the DiT, of which the first `made` are of the picture."""
        if not self.each:
            return tokens
        picture = tokens[:, :made]
        changes = sum(
            control.network.controlnet_blocks[number](picture, embedded) * control.scale
            for control, embedded in zip(self.each, self.embedded, strict=True)
        )
        return torch.cat([picture + changes, tokens[:, made:]], dim=1)


NO_CONTROLS = Controls(())
