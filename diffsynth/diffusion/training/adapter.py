"""What training has to know of a model family: its flags, what it encodes of a sample, how its network is called on it.

A family's record names the class; `run_task.run_script` makes a training script of it.
"""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from torch import Tensor, nn

from diffsynth.core.data import BadSampleError
from diffsynth.core.data.frames import FrameSize
from diffsynth.core.data.media_dataset import PLACE, MediaDataset
from diffsynth.core.loader.detection import load_object
from diffsynth.diffusion.flow_match import FlowMatchScheduler
from diffsynth.diffusion.guidance import branch_prompts
from diffsynth.diffusion.training.arguments import Flag, checkpointing, names
from diffsynth.diffusion.training.errors import TrainingError
from diffsynth.diffusion.training.runner import Inputs, Sample

if TYPE_CHECKING:
    from diffsynth.diffusion.base_pipeline import BasePipeline
    from diffsynth.diffusion.picture_pipeline import PicturePipeline

Pipe = TypeVar("Pipe", bound="BasePipeline")
OfPictures = TypeVar("OfPictures", bound="PicturePipeline")


class TrainingAdapter(ABC, Generic[Pipe]):
    """One family, or the way it is trained.

    Args:
        pipe: with the networks of the run.
        args: of the command line.

    Attributes:
        extra_inputs: columns of the metadata that it takes where --extra_inputs names them.
        flags: those that no other family has.
        defaults: of flags that all families have, where this one has others.
    """

    extra_inputs: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()
    defaults: ClassVar[Mapping[str, object]] = {}

    def __init__(self, pipe: Pipe, args: argparse.Namespace) -> None:
        self.pipe, self.args = pipe, args

    @abstractmethod
    def media(self) -> MediaDataset:
        """The samples."""

    @abstractmethod
    def encode(self, sample: Sample, cfg_scale: float = 1.0) -> Inputs:
        """A sample as its network takes it: `latents` (1, C, ...) float32, and what `velocity` needs besides.

        Args:
            cfg_scale: with 1, the negative prompt is not needed.
        """

    def texts(self, sample: Sample, cfg_scale: float, **with_prompt: Any) -> Inputs:
        """The embedded prompts of a sample by branch, which may speak of pictures."""
        prompts = branch_prompts(sample.get("prompt", ""), sample.get("negative_prompt", ""), cfg_scale)
        try:
            return self.pipe.encode_prompts(prompts, **with_prompt)
        except ValueError as error:
            raise BadSampleError(f"{sample.get(PLACE, 'a sample')}: {error}") from error

    def velocity(
        self, network: nn.Module, latents: Tensor, timestep: Tensor, inputs: Inputs, branch: str, **given: Any
    ) -> Tensor:
        """That of noisy latents (B, C, ...) at timesteps (B,), for one branch of the guidance.

        Args:
            network: what is trained, maybe in the wrapper of an engine.
            inputs: of a batch, joined.
            given: what the network is called with besides.
        """
        context = inputs[branch].to(self.pipe.torch_dtype)
        velocity: Tensor = network(latents, timestep, context, **given, **checkpointing(self.args))
        return velocity

    @abstractmethod
    def noise(self, seed: int, rand_device: str, latents: Tensor) -> Tensor:
        """What a generation of these latents starts from."""

    def schedule(self, num_inference_steps: int, latents: Tensor) -> FlowMatchScheduler:
        """The noise levels of a generation of these latents."""
        schedule = FlowMatchScheduler(load_object(self.pipe.family.levels))
        schedule.set_timesteps(num_inference_steps, **self.settings_of_levels(latents))
        return schedule

    def settings_of_levels(self, latents: Tensor) -> dict[str, Any]:
        """What the noise levels depend on in a generation of these latents."""
        return {}

    @abstractmethod
    def render(self, path: Path | None) -> None:
        """Generates from the validation prompt, and saves that under a path that lacks its ending, if one is given."""


class PictureAdapter(TrainingAdapter[OfPictures]):
    """A family that makes pictures, of cells of 8x8 pixels that the network takes in patches of 2x2."""

    def media(self) -> MediaDataset:
        return media_dataset(self.args, self.size(), needed=["image"])

    def size(self) -> FrameSize:
        """Of the pictures that are made."""
        return frame_size(self.args, num_frames=1, multiple=16)

    def noise(self, seed: int, rand_device: str, latents: Tensor) -> Tensor:
        *_, height, width = latents.shape
        return self.pipe.draw_noise(seed, rand_device, 8 * height, 8 * width)

    def render(self, path: Path | None) -> None:
        args = self.args
        picture = self.pipe(
            args.validation_prompt, seed=args.seed, height=args.height or 1024, width=args.width or 1024,
            num_inference_steps=args.validation_inference_steps, **self.validation_inputs(),
        )  # fmt: skip
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path.with_suffix(".png"))

    def validation_inputs(self) -> dict[str, Any]:
        """What the pipeline is called with for a validation, besides a prompt and a size."""
        return {}


def frame_size(args: argparse.Namespace, **of_family: Any) -> FrameSize:
    """Of what is made, as the command line says; the rest as `FrameSize` has it."""
    return FrameSize(args.height, args.width, args.max_pixels, **of_family)


def media_dataset(
    args: argparse.Namespace,
    size: FrameSize,
    *,
    needed: Sequence[str] = (),
    sizes: Mapping[str, FrameSize] | None = None,
    lists: Sequence[str] = (),
) -> MediaDataset:
    """The images and videos of the metadata file.

    Args:
        size: of those that `sizes` says nothing of.
        needed: columns in which every row has to name a file.
        sizes: by column.
        lists: columns that may name several.

    Raises:
        TrainingError: no metadata file is named.
        DatasetError: see `MediaDataset`.
    """
    if args.dataset_metadata_path is None:
        raise TrainingError(f"--task {args.task} needs --dataset_metadata_path")
    return MediaDataset(
        args.dataset_base_path, args.dataset_metadata_path,
        file_keys=tuple(dict.fromkeys([*names(args.data_file_keys), *needed])), size=size, needed=needed, sizes=sizes,
        lists=lists, repeat=args.dataset_repeat, on_bad_sample=args.on_bad_sample,
    )  # fmt: skip
