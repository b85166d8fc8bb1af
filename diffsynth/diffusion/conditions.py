"""What a picture, a video or a mask contributes to a generation: small units that a family lists.

A pipeline asks each unit of its family in turn, and has no branch for any of them: a new way of conditioning is a new
unit, and what the network does with what it contributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from diffsynth.core.progress import ProgressBar

if TYPE_CHECKING:
    from diffsynth.diffusion.base_pipeline import BasePipeline
    from diffsynth.diffusion.loaded_model import LoadedModel
    from diffsynth.diffusion.prompts import Prompts


@dataclass(frozen=True)
class Call:
    """A call of a pipeline, as far as its units have to know it.

    Attributes:
        pipe: the pipeline.
        purpose: what it does, for errors: "making a video".
        asked: the keywords that units read, by name.
        prompts: of all results.
        height, width: pixels, of what is made.
        num_frames: of what is made; 1 for a picture.
        tiles: keywords of the VAE.
        progress_bar_cmd: what wraps loops.
    """

    pipe: BasePipeline
    purpose: str
    asked: Mapping[str, Any]
    prompts: Prompts
    height: int
    width: int
    num_frames: int
    tiles: Mapping[str, Any]
    progress_bar_cmd: ProgressBar

    def needs(self, name: str) -> LoadedModel:
        """The network of that name; raises RuntimeError where it was not loaded."""
        return self.pipe.needs(name, self.purpose)


@dataclass(frozen=True)
class Contribution:
    """What a unit adds to a generation.

    Attributes:
        latents: clean, (1, C, ...): the generation starts from these, noised to its first level.
        channels: (1, C', ...), beside the noisy latents in each call of the DiT.
        inputs: keywords of the DiT.
        with_prompt: what the text encoder gets besides each prompt, by the keywords of the pipeline's `_embedding`.
        kept: a mask, (1, 1, ...) of what broadcasts to the latents, and clean latents (1, C, ...): where the mask is 1
            the latents are these, from the start and after each step.
    """

    latents: Tensor | None = None
    channels: Tensor | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    with_prompt: Mapping[str, Any] = field(default_factory=dict)
    kept: tuple[Tensor, Tensor] | None = None

    def start(self, latents: Tensor) -> Tensor:
        """The latents with what is kept of them in its place."""
        if self.kept is None:
            return latents
        mask, clean = self.kept
        return torch.where(mask.bool(), clean, latents)

    def beside(self, latents: Tensor, frames: slice = slice(None)) -> Tensor:
        """The latents (B, C, ...) as the DiT takes them, with the channels beside them; `frames` are those of the
        channels' third axis that belong to them."""
        if self.channels is None:
            return latents
        channels = self.channels[:, :, frames] if frames != slice(None) else self.channels
        return torch.cat([latents, channels.expand(len(latents), *channels.shape[1:]).to(latents)], dim=1)


NOTHING = Contribution()


def of_batch(value: Any, count: int) -> Any:
    """An input of the DiT for so many results: tensors (1, ...), or lists of them, are shared by all."""
    if isinstance(value, Tensor):
        return value.expand(count, *value.shape[1:]) if len(value) == 1 else value
    return [of_batch(one, count) for one in value] if isinstance(value, (list, tuple)) else value


class Condition(Protocol):
    """A unit."""

    def check(self, call: Call) -> None:
        """Before anything runs.

        Raises:
            ValueError: what is asked for does not fit.
            RuntimeError: a network that `prepare` runs was not loaded.
        """

    def prepare(self, call: Call) -> Contribution | None:
        """What it adds, for which it may run networks; None where nothing is asked of it."""


def contributed(conditions: Sequence[Condition], call: Call) -> Contribution:
    """What all units add to a call that each has checked."""
    return combined(filter(None, [condition.prepare(call) for condition in conditions]))


def combined(contributions: Iterable[Contribution]) -> Contribution:
    """All of them as one: channels in their order.

    Raises:
        ValueError: two of them set the same thing.
    """
    contributions = list(contributions)
    channels = [one.channels for one in contributions if one.channels is not None]
    return Contribution(
        latents=_the_only(contributions, "latents"),
        channels=torch.cat(channels, dim=1) if channels else None,
        inputs=_merged(contributions, "inputs"),
        with_prompt=_merged(contributions, "with_prompt"),
        kept=_the_only(contributions, "kept"),
    )


def _the_only(contributions: Sequence[Contribution], name: str) -> Any:
    found = [value for one in contributions if (value := getattr(one, name)) is not None]
    if len(found) > 1:
        raise ValueError(f"{len(found)} of the inputs give the {name} of one generation: leave all but one of them out")
    return found[0] if found else None


def _merged(contributions: Sequence[Contribution], name: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for one in contributions:
        for key, value in getattr(one, name).items():
            if key in merged:
                raise ValueError(f"two of the inputs give {key}: leave one of them out")
            merged[key] = value
    return merged
