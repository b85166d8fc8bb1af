"""How Qwen-Image is trained: on pictures with prompts, and on pictures that others were edited to."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from PIL import Image

from diffsynth.core.data.frames import AS_STORED
from diffsynth.core.data.media_dataset import MediaDataset
from diffsynth.diffusion.training.adapter import PictureAdapter
from diffsynth.diffusion.training.arguments import names
from diffsynth.diffusion.training.errors import TrainingError
from diffsynth.diffusion.training.files import media_dataset
from diffsynth.diffusion.training.runner import Inputs, Sample
from diffsynth.families.qwen_image.conditions import edit_pictures

IMAGE, EDIT_IMAGE = "image", "edit_image"
EDIT_LATENTS = "edit_latents_"


class QwenImageTraining(PictureAdapter):
    """A picture as latents, its prompt as features, those it was edited from, and the network's call on all."""

    extra_inputs = (EDIT_IMAGE,)

    def __init__(self, pipe: Any, args: argparse.Namespace) -> None:
        super().__init__(pipe, args)
        self.edits = EDIT_IMAGE in names(args.extra_inputs)
        if EDIT_IMAGE in names(args.data_file_keys) and not self.edits:
            raise TrainingError(f"--data_file_keys {args.data_file_keys}: give --extra_inputs edit_image as well")
        self.to_edit = self._validation_pictures(args.validation_edit_image)

    @staticmethod
    def add_flags(group: argparse._ArgumentGroup) -> None:
        group.add_argument("--validation_edit_image", help="The picture that --validation_prompt is to edit; with a "
                           "comma after each, a list of them.")  # fmt: skip
        group.add_argument("--zero_cond_t", action="store_true", help="Steer pictures to edit by timestep 0, as "
                           "Qwen-Image-Edit-2511 is.")  # fmt: skip

    def media(self) -> MediaDataset:
        # As in a generation, pictures to edit keep their proportions, whatever the size of the result.
        stored = replace(AS_STORED, num_frames=1)
        needed = [IMAGE, EDIT_IMAGE] if EDIT_IMAGE in names(self.args.extra_inputs) else [IMAGE]
        return media_dataset(self.args, self.size(), needed=needed, sizes={EDIT_IMAGE: stored}, lists=[EDIT_IMAGE])

    def encode(self, sample: Sample, cfg_scale: float = 1.0) -> Inputs:
        edited = edit_pictures(_first_frames(sample.get(EDIT_IMAGE)), area=self.args.max_pixels)
        texts = self.texts(sample, cfg_scale, edited.seen, edited.numbered)
        inputs = {"latents": self.pipe.encode_picture(sample[IMAGE][0], progress_bar_cmd=iter), **texts}
        for number, picture in enumerate(edited.shown):
            inputs[f"{EDIT_LATENTS}{number:02d}"] = self.pipe.encode_picture(picture, progress_bar_cmd=iter)
        return inputs

    def inputs_of_dit(self, inputs: Inputs) -> dict[str, Any]:
        edit_latents = [inputs[name] for name in sorted(inputs) if name.startswith(EDIT_LATENTS)]
        return {"edit_latents": edit_latents, "zero_cond_t": self.args.zero_cond_t}

    def settings_of_levels(self, latents: Any) -> dict[str, Any]:
        *_, height, width = latents.shape
        return {"dynamic_shift_len": (height // 2) * (width // 2)}

    def validation_inputs(self) -> dict[str, Any]:
        return {"edit_image": self.to_edit, "zero_cond_t": self.args.zero_cond_t}

    def _validation_pictures(self, given: str | None) -> Image.Image | list[Image.Image] | None:
        """One picture as Qwen-Image-Edit takes it, or a list as Edit-2509 does."""
        if given is None:
            return None
        if not self.edits:
            raise TrainingError(
                "--validation_edit_image: this run does not train on edits; give --extra_inputs edit_image"
            )
        try:
            pictures = [Image.open(name).convert("RGB") for name in names(given)]
        except OSError as error:
            raise TrainingError(f"--validation_edit_image {given}: {error}") from error
        return pictures if "," in given else pictures[0]


def _first_frames(media: Any) -> Any:
    """The picture of a file, or for a list of files a list of theirs; None for none."""
    if media is None:
        return None
    return media[0] if isinstance(media[0], Image.Image) else [frames[0] for frames in media]
