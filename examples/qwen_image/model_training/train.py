"""Trains Qwen-Image and its kin, whole or by a LoRA, and their ControlNets.

    accelerate launch [--config_file CONFIG] train.py --task sft ...          encode and train
    accelerate launch [--config_file CONFIG] train.py --task sft:data_process ...  encode the data set once,
    accelerate launch [--config_file CONFIG] train.py --task sft:train ...         then train without the encoders

Task direct_distill, with the same two stages, teaches a network to end where a teacher's generation ended. The Edit
models learn from rows that name pictures to edit: --extra_inputs edit_image, with one file for Qwen-Image-Edit and a
list of them, in json or jsonl metadata, for Edit-2509 and,
with --zero_cond_t, for Edit-2511. --extra_inputs names in the same way what else a model takes: context_image,
blockwise_controlnet_image (and blockwise_controlnet_inpaint_mask), eligen_entity_prompts and eligen_entity_masks, both
lists, or layer_num and layer_input_image, where the column image is the list of all layers.
"""

import argparse
import os
from dataclasses import replace

import torch
from PIL import Image

from diffsynth.core.data import BadSampleError
from diffsynth.core.data.frames import AS_STORED, FrameSize
from diffsynth.core.data.media_dataset import PLACE
from diffsynth.diffusion.flow_match import DynamicShiftScheduler
from diffsynth.diffusion.guidance import branch_prompts
from diffsynth.diffusion.training.arguments import (
    add_training_arguments,
    check_arguments,
    checkpointing,
    names,
    trained_name,
)
from diffsynth.diffusion.training.errors import TrainingError, exit_with_message
from diffsynth.diffusion.training.files import media_dataset
from diffsynth.diffusion.training.losses import FlowMatchLoss
from diffsynth.diffusion.training.networks import load_pipeline
from diffsynth.diffusion.training.run_task import run_task
from diffsynth.diffusion.training.runner import open_accelerator
from diffsynth.families.qwen_image import FAMILY
from diffsynth.families.qwen_image.training_inputs import EXTRA_INPUTS, FILES, LAYER_INPUT, call_dit, encoded_extras
from diffsynth.pipelines.qwen_image import QwenImagePipeline, edit_pictures

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

IMAGE, EDIT_IMAGE = "image", "edit_image"
EDIT_LATENTS = "edit_latents_"


def qwen_image_parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_training_arguments(parser)
    parser.set_defaults(lora_target_modules=",".join(FAMILY.lora_targets))
    qwen = parser.add_argument_group("Qwen-Image")
    qwen.add_argument("--tokenizer_path", help="Folder, or Org/Name:folder/; by default that of Qwen-Image.")
    qwen.add_argument("--processor_path", help="Likewise; by default that of Qwen-Image-Edit, where pictures are edited.")
    qwen.add_argument("--initialize_model_on_cpu", action="store_true", help="Load the network that is trained into "
                      "host memory, and let the engine bring over what this device is to hold.")
    qwen.add_argument("--validation_edit_image", help="The picture that --validation_prompt is to edit; with a comma "
                      "after each, a list of them.")
    qwen.add_argument("--zero_cond_t", action="store_true", help="Steer pictures to edit by timestep 0, as "
                      "Qwen-Image-Edit-2511 is.")
    return parser


def main():
    args = qwen_image_parser().parse_args()
    check_arguments(args, not_offered={})
    accelerator = open_accelerator(args)
    run_task(accelerator, QwenImage(load_pipeline(QwenImagePipeline, args, accelerator), args), args)


def edits(args):
    return EDIT_IMAGE in names(args.extra_inputs)


class QwenImage:
    """A picture as latents, its prompt as features, those it was edited from, and the network's call on all of these."""

    extra_inputs = (EDIT_IMAGE, *EXTRA_INPUTS)

    def __init__(self, pipe, args):
        self.pipe, self.args = pipe, args
        if EDIT_IMAGE in names(args.data_file_keys) and not edits(args):
            raise TrainingError(f"--data_file_keys {args.data_file_keys}: give --extra_inputs edit_image as well")
        more = [name for name in names(args.extra_inputs) if name in EXTRA_INPUTS]
        if args.validation_prompt is not None and more:
            raise TrainingError(
                f"--validation_prompt has nothing to give the model as {more[0]}: leave it out, and look at what was saved"
            )
        self.to_edit = validation_pictures(args)
        schedule = DynamicShiftScheduler()
        schedule.set_training_timesteps()
        self.flow_match_loss = FlowMatchLoss(schedule)

    def media(self):
        args = self.args
        size = FrameSize(args.height, args.width, args.max_pixels, num_frames=1, multiple=16)
        # As in a generation, pictures to edit keep their proportions, whatever the size of the result.
        stored = replace(AS_STORED, num_frames=1)
        asked = names(args.extra_inputs)
        if LAYER_INPUT in asked:
            size = replace(size, mode="RGBA")
        needed = [IMAGE, *(name for name in (EDIT_IMAGE, *FILES) if name in asked)]
        lists = [EDIT_IMAGE, "eligen_entity_masks", *([IMAGE] if LAYER_INPUT in asked else [])]
        return media_dataset(args, size, needed=needed, sizes={EDIT_IMAGE: stored}, lists=lists)

    def encode(self, sample, cfg_scale=1.0):
        prompts = branch_prompts(sample.get("prompt", ""), sample.get("negative_prompt", ""), cfg_scale)
        edited = edit_pictures(first_frames(sample.get(EDIT_IMAGE)), area=self.args.max_pixels)
        try:
            texts = self.pipe.encode_prompts(prompts, edited.seen, edited.numbered)
        except ValueError as error:
            raise BadSampleError(f"{sample[PLACE]}: {error}") from error
        extra = names(self.args.extra_inputs)
        made = first_frames(sample[IMAGE]) if LAYER_INPUT in extra else sample[IMAGE][0]
        inputs = {"latents": self.latents_of(made, sample), **texts}
        size = made[0].size if isinstance(made, list) else made.size
        inputs |= encoded_extras(self.pipe, sample, size, extra)
        for number, picture in enumerate(edited.shown):
            inputs[f"{EDIT_LATENTS}{number:02d}"] = self.pipe.encode_picture(picture, progress_bar_cmd=iter)
        return inputs

    def latents_of(self, made, sample):
        """Those of a picture, or of all layers of one."""
        if not isinstance(made, list):
            return self.pipe.encode_picture(made, progress_bar_cmd=iter)
        if len(made) != int(sample.get("layer_num", -1)) + 1 or len({one.size for one in made}) > 1:
            raise BadSampleError(f"{sample[PLACE]}: image names {len(made)} pictures, expected layer_num + 1 of one size")
        return torch.stack([self.pipe.encode_picture(one, progress_bar_cmd=iter) for one in made], dim=2)

    def velocity(self, network, latents, timestep, inputs, branch):
        edit_latents = [inputs[name] for name in sorted(inputs) if name.startswith(EDIT_LATENTS)]
        context = inputs[branch].to(self.pipe.torch_dtype)
        return call_dit(
            self.pipe, network, trained_name(self.args), latents, timestep, context, inputs, edit_latents,
            zero_cond_t=self.args.zero_cond_t, **checkpointing(self.args),
        )

    def noise(self, seed, rand_device, latents):
        *_, height, width = latents.shape
        layers = latents.shape[2] if latents.ndim == 5 else None
        return self.pipe.draw_noise(seed, rand_device, 8 * height, 8 * width, layers)

    def schedule(self, num_inference_steps, latents):
        *_, height, width = latents.shape
        schedule = DynamicShiftScheduler()
        schedule.set_timesteps(num_inference_steps, dynamic_shift_len=(height // 2) * (width // 2))
        return schedule

    def render(self, path):
        picture = self.pipe(
            self.args.validation_prompt, seed=self.args.seed, height=self.args.height or 1024,
            width=self.args.width or 1024, num_inference_steps=self.args.validation_inference_steps,
            edit_image=self.to_edit, zero_cond_t=self.args.zero_cond_t,
        )
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path.with_suffix(".png"))


def validation_pictures(args):
    """One picture as Qwen-Image-Edit takes it, or a list as Edit-2509 does."""
    given = args.validation_edit_image
    if given is None:
        return None
    if not edits(args):
        raise TrainingError("--validation_edit_image: this run does not train on edits; give --extra_inputs edit_image")
    try:
        pictures = [Image.open(name).convert("RGB") for name in names(given)]
    except OSError as error:
        raise TrainingError(f"--validation_edit_image {given}: {error}") from error
    return pictures if "," in given else pictures[0]


def first_frames(media):
    """The picture of a file, or for a list of files a list of theirs; None for none."""
    if not media:
        return None
    return media[0] if isinstance(media[0], Image.Image) else [frames[0] for frames in media]


if __name__ == "__main__":
    exit_with_message(main)
