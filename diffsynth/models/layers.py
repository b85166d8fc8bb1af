"""What several networks are made of: typed containers, patches, the timestep, and a way through many blocks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

PATCH = 2  # latent cells of a picture's token, on each axis

# Feed-forward networks take their tokens in so many parts, which bounds the memory of their wide activations and lets a
# CPU keep them in its caches. Still thousands of rows for each matmul, where memory matters; a prompt is whole.
_FFN_PARTS, FFN_WHOLE = 4, 512

# torch's lists and dicts of modules, with the type of what they hold. When the program runs they are torch's own.
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Generic, TypeVar, overload

    Part = TypeVar("Part", bound=nn.Module)

    class ModuleList(nn.ModuleList, Generic[Part]):
        def __init__(self, modules: Iterable[Part]) -> None: ...

        def __iter__(self) -> Iterator[Part]: ...

        @overload
        def __getitem__(self, idx: slice) -> ModuleList[Part]: ...
        @overload
        def __getitem__(self, idx: int) -> Part: ...
        def __getitem__(self, idx: int | slice) -> Part | ModuleList[Part]: ...

    class ModuleDict(nn.ModuleDict, Generic[Part]):
        def __init__(self, modules: Mapping[str, Part]) -> None: ...

        def __getitem__(self, key: str) -> Part: ...
else:
    ModuleList, ModuleDict = nn.ModuleList, nn.ModuleDict


def grid_of(latents: Tensor, channels: int, patch: Sequence[int]) -> tuple[int, ...]:
    """Tokens along each axis of latents (B, C, ...), of patches of so many cells.

    Raises:
        ValueError: they have other axes or channels, or a size that is no multiple of the patch's.
    """
    if latents.ndim != 2 + len(patch):
        of_picture = ", ".join(("frames", "height", "width")[-len(patch) :])
        raise ValueError(f"latents are of shape {tuple(latents.shape)}: expected (batch, {channels}, {of_picture})")
    _, found, *size = latents.shape
    if found != channels:
        raise ValueError(f"latents have {found} channels, this model takes {channels}")
    if any(length % cells for length, cells in zip(size, patch, strict=True)):
        shown = ["x".join(map(str, each)) for each in (size, patch)]
        raise ValueError(f"latents of size {shown[0]} do not divide into patches of {shown[1]}")
    return tuple(length // cells for length, cells in zip(size, patch, strict=True))


def cut_into_patches(latents: Tensor, patch: Sequence[int]) -> Tensor:
    """Latents (B, C, ...) as (B, C, patches along each axis, cells of a patch along each axis), a view."""
    axes = len(patch)
    for axis, cells in enumerate(patch):
        latents = torch.unflatten(latents, 2 + 2 * axis, (-1, cells))
    return latents.permute(0, 1, *range(2, 2 + 2 * axes, 2), *range(3, 3 + 2 * axes, 2))


def patches(latents: Tensor) -> Tensor:
    """(B, C, H, W) to tokens (B, S, 4 C) of patches of 2x2, the channel slowest."""
    return F.pixel_unshuffle(latents, PATCH).flatten(2).transpose(1, 2)


def unpatched(tokens: Tensor, rows: int, columns: int) -> Tensor:
    """What `patches` was given, of tokens (B, rows * columns, 4 C)."""
    return F.pixel_shuffle(torch.unflatten(tokens.transpose(1, 2), 2, (rows, columns)), PATCH)


def unpatched_from_channels_last(tokens: Tensor, grid: Sequence[int], patch: Sequence[int]) -> Tensor:
    """(B, S, prod(patch) * C) of a grid of patches, the channel fastest, to (B, C, ...)."""
    axes = len(grid)
    cells = torch.unflatten(torch.unflatten(tokens, -1, (*patch, -1)), 1, tuple(grid))
    beside = [axis for of_grid in range(1, axes + 1) for axis in (of_grid, of_grid + axes)]
    size = [rows * length for rows, length in zip(grid, patch, strict=True)]
    return cells.permute(0, -1, *beside).reshape(len(tokens), -1, *size)


def sinusoid(timestep: Tensor, dim: int) -> Tensor:
    """Timesteps (B,) to cosines, then sines, of angles that fall from the timestep itself to its 10000th: (B, dim)."""
    half = dim // 2
    frequencies = 10000.0 ** (torch.arange(half, dtype=torch.float64, device="cpu") / -half)
    angles = torch.outer(timestep.float(), frequencies.float().to(timestep.device))
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class Float32Linear(nn.Linear):
    """A linear layer that computes in float32, whatever type its weights are kept in."""

    def forward(self, features: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features), float32."""
        if self.weight.dtype == torch.float32:
            return super().forward(features)
        # A square piece at a time, so that the whole weight never exists in float32.
        pieces = [F.linear(features, rows.float()) for rows in torch.split(self.weight, self.in_features)]
        return torch.cat(pieces, dim=-1) + self.bias.float()


class HostFrequencies:
    """The frequencies of a rotary embedding of transformers, float32 as the models were trained with, whatever the type
    of the weights: no buffer, which a model that is built on the meta device would have to fill. They are computed when
    a device first asks for them, and not where the model is built."""

    def __init__(self, rotary: nn.Module, dim: int, theta: float) -> None:
        self._rotary, self._dim, self._theta = rotary, dim, theta
        rotary._buffers.clear()

    @functools.cached_property
    def _frequencies(self) -> Tensor:
        with torch.inference_mode(False):  # a training may need them later
            exponents = torch.arange(0, self._dim, 2, dtype=torch.float32, device="cpu") / self._dim
            return 1.0 / self._theta**exponents

    def to(self, device: torch.device) -> None:
        """Has the embedding compute with them on the device."""
        self._rotary.inv_freq = self._frequencies.to(device)


def in_parts(function: Callable[[Tensor], Tensor], tokens: Tensor, whole: int = FFN_WHOLE) -> Tensor:
    """A feed-forward network of tokens (B, S, dim), a part of them at a time, unless there are at most `whole`."""
    if tokens.shape[1] <= whole:
        return function(tokens)
    return torch.cat([function(part) for part in tokens.chunk(_FFN_PARTS, dim=1)], dim=1)


def through(block: Callable[..., Any], *tokens: Any, rest: Sequence[Any] = (), checkpointing: bool) -> Any:
    """What a block makes of tokens and the rest. Checkpointed, it runs again on the way back, and only the tokens are
    saved for that: the rest is alive anyway, and shared by all blocks."""
    if checkpointing and torch.is_grad_enabled():
        return checkpoint(lambda *tokens: block(*tokens, *rest), *tokens, use_reentrant=False)
    return block(*tokens, *rest)
