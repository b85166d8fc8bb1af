"""What a picture, a video or a mask contributes to a generation: small units that a family lists.

A pipeline asks each unit of its family in turn, and has no branch for any of them: a new way of conditioning is a new
unit, and what the network does with what it contributes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor

from diffsynth.core.progress import ProgressBar

if TYPE_CHECKING:
    from diffsynth.diffusion.base_pipeline import BasePipeline
    from diffsynth.diffusion.loaded_model import LoadedModel
    from diffsynth.diffusion.prompts import Prompts
    from diffsynth.models.tiles import Tiling

Pipe = TypeVar("Pipe", bound="BasePipeline")
Pipe_co = TypeVar("Pipe_co", bound="BasePipeline", covariant=True)
Pipe_contra = TypeVar("Pipe_contra", bound="BasePipeline", contravariant=True)


@dataclass(frozen=True)
class Call(Generic[Pipe_co]):
    """A call of a pipeline, as far as its units have to know it.

    Attributes:
        pipe: the pipeline.
        purpose: what it does, for errors: "making a video".
        asked: the keywords that units read, by name.
        prompts: of all results; None where a data set is encoded for a training.
        height, width: pixels, of what is made.
        num_frames: of what is made; 1 for a picture.
        tiles: keywords of the VAE.
        progress_bar_cmd: what wraps loops.
    """

    pipe: Pipe_co
    purpose: str
    asked: Mapping[str, Any]
    prompts: Prompts | None
    height: int
    width: int
    num_frames: int
    tiles: Tiling
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
        pictures: clean latents (1, C, h, w) of whole pictures that the DiT looks at besides, in the order of the units.
        inputs: keywords of the DiT. One that has a method `at` is asked before each step for what it is then; see `at`.
        of_branch: the same for one text branch alone, by the branch's name.
        with_prompt: what the text encoder gets besides each prompt, by the keywords of the pipeline's `_embedding`.
        kept: a mask, (1, 1, ...) of what broadcasts to the latents, and clean latents (1, C, ...): where the mask is 1
            the latents are these, from the start and after each step.
        before: clean latents (1, C, f, ...) of frames that are made before the video's, and cut off in the end.
        inpainted: a mask (1, 1, ...), and clean latents (1, C, ...): where the mask is 0 the latents go to the clean
            ones whatever the network says, and between 0 and 1 in part.
        with_network: networks that run with each that is named, such as {"dit": ("vace",)}.
    """

    latents: Tensor | None = None
    channels: Tensor | None = None
    pictures: tuple[Tensor, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    of_branch: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    with_prompt: Mapping[str, Any] = field(default_factory=dict)
    kept: tuple[Tensor, Tensor] | None = None
    before: Tensor | None = None
    inpainted: tuple[Tensor, Tensor] | None = None
    with_network: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def frames_before(self) -> int:
        """How many latent frames are made before the video's."""
        return 0 if self.before is None else self.before.shape[2]

    @property
    def clean(self) -> Tensor | None:
        """The latents that the generation starts from, with those before them."""
        if self.latents is None or self.before is None:
            return self.latents
        return torch.cat([self.before, self.latents], dim=2)

    def start(self, latents: Tensor) -> Tensor:
        """The latents with what is kept of them in its place."""
        if self.kept is None:
            return latents
        mask, clean = self.kept
        return torch.where(mask.bool(), clean, latents)

    def at(self, step: int, steps: int) -> Contribution:
        """It in one of so many steps: what changes in time is told how much of the generation is left, from 1 at the
        first step to 0 at the last."""
        left = (steps - 1 - step) / max(steps - 1, 1)
        inputs = {name: value.at(left) if hasattr(value, "at") else value for name, value in self.inputs.items()}
        return replace(self, inputs=inputs)

    def velocity(self, predicted: Tensor, latents: Tensor, sigma: float) -> Tensor:
        """The network's velocity at a noise level, with that to what is kept of a picture in its place."""
        if self.inpainted is None:
            return predicted
        mask, clean = self.inpainted
        return torch.lerp((latents - clean) / sigma, predicted, mask)

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


class Condition(ABC, Generic[Pipe_contra]):
    """A unit, of what kind of pipeline.

    Attributes:
        keywords: of a call, those that ask for it: each is None where it asks for nothing.
    """

    keywords: tuple[str, ...] = ()

    def is_asked(self, call: Call[Pipe_contra]) -> bool:
        """Whether a call asks for it, or the model always takes what it makes."""
        return any(call.asked[name] is not None for name in self.keywords)

    def check_left_out(self, call: Call[Pipe_contra]) -> None:
        """Before anything runs, where it is not asked for.

        Raises:
            ValueError: the model makes nothing without it.
        """

    def check(self, call: Call[Pipe_contra]) -> None:
        """Before anything runs, where it is asked for.

        Raises:
            ValueError: what is asked for does not fit.
            RuntimeError: a network that `prepare` runs was not loaded.
        """

    @abstractmethod
    def prepare(self, call: Call[Pipe_contra]) -> Contribution:
        """What it adds, for which it may run networks; where it is asked for, and the call has been checked."""


class Start(Condition[Pipe_contra]):
    """What a generation starts from, noised as much as `denoising_strength` says. It has one keyword."""

    def check_left_out(self, call: Call[Pipe_contra]) -> None:
        strength, (name,) = call.asked["denoising_strength"], self.keywords
        if strength < 1:
            raise ValueError(f"denoising_strength={strength} keeps part of an {name}, and none was given")

    def check(self, call: Call[Pipe_contra]) -> None:
        call.needs("vae")


def asked_of(conditions: Sequence[Condition[Pipe]], call: Call[Pipe]) -> list[Condition[Pipe]]:
    """The units that a call asks for, in their order, once all have checked it; raises what they raise."""
    asked = []
    for condition in conditions:
        if condition.is_asked(call):
            condition.check(call)
            asked.append(condition)
        else:
            condition.check_left_out(call)
    return asked


def combined(contributions: Sequence[Contribution]) -> Contribution:
    """All of them as one: channels in their order.

    Raises:
        ValueError: two of them set the same thing.
    """
    channels = [one.channels for one in contributions if one.channels is not None]
    return Contribution(
        channels=torch.cat(channels, dim=1) if channels else None,
        pictures=tuple(picture for one in contributions for picture in one.pictures),
        **{name: _the_only(contributions, name) for name in ("latents", "kept", "before", "inpainted")},
        **{name: _merged(contributions, name) for name in ("inputs", "of_branch", "with_prompt", "with_network")},
    )


def _the_only(contributions: Sequence[Contribution], name: str) -> Any:
    found = [value for one in contributions if (value := getattr(one, name)) is not None]
    if len(found) > 1:
        raise ValueError(f"{len(found)} of the inputs give the {name} of one generation: leave all but one of them out")
    return found[0] if found else None


def _merged(contributions: Sequence[Contribution], name: str) -> Any:
    keys = [key for one in contributions for key in getattr(one, name)]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise ValueError(f"two of the inputs give {twice[0]}: leave one of them out")
    return {key: value for one in contributions for key, value in getattr(one, name).items()}
