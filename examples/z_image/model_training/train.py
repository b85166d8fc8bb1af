"""Trains Z-Image and Z-Image-Turbo, whole or by a LoRA.

    accelerate launch [--config_file CONFIG] train.py --task sft ...          encode and train
    accelerate launch [--config_file CONFIG] train.py --task sft:data_process ...  encode the data set once,
    accelerate launch [--config_file CONFIG] train.py --task sft:train ...         then train without the encoders

Task direct_distill, with the same two stages, teaches a network to end where a teacher's generation ended. On an Ascend
NPU, --enable_npu_patch computes the norms and the rotary embedding by its fused operators.
"""

import argparse
import os

from diffsynth.core.data import BadSampleError
from diffsynth.core.data.frames import FrameSize
from diffsynth.core.data.media_dataset import PLACE
from diffsynth.diffusion.flow_match import FlowMatchScheduler
from diffsynth.diffusion.guidance import branch_prompts
from diffsynth.diffusion.training.arguments import add_training_arguments, check_arguments, checkpointing
from diffsynth.diffusion.training.files import media_dataset
from diffsynth.diffusion.training.errors import exit_with_message
from diffsynth.diffusion.training.losses import FlowMatchLoss
from diffsynth.diffusion.training.networks import load_pipeline
from diffsynth.diffusion.training.run_task import run_task
from diffsynth.diffusion.training.runner import open_accelerator
from diffsynth.families.z_image import FAMILY
from diffsynth.pipelines.z_image import ZImagePipeline, z_image_levels

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

IMAGE = "image"


def z_image_parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_training_arguments(parser)
    parser.set_defaults(lora_target_modules=",".join(FAMILY.lora_targets), validation_inference_steps=8)
    z_image = parser.add_argument_group("Z-Image")
    z_image.add_argument("--tokenizer_path", help="Folder, or Org/Name:folder/; by default that of Z-Image-Turbo.")
    z_image.add_argument("--initialize_model_on_cpu", action="store_true", help="Load the network that is trained into "
                         "host memory, and let the engine bring over what this device is to hold.")
    z_image.add_argument("--enable_npu_patch", action="store_true", help="On an Ascend NPU, take its fused operators.")
    return parser


def main():
    args = z_image_parser().parse_args()
    check_arguments(args, not_offered={})
    accelerator = open_accelerator(args)
    run_task(accelerator, ZImage(load_pipeline(ZImagePipeline, args, accelerator), args), args)


class ZImage:
    """A picture as latents, its prompt as features, and the network's call on both."""

    extra_inputs = ()

    def __init__(self, pipe, args):
        self.pipe, self.args = pipe, args
        pipe.enable_npu_patch(args.enable_npu_patch)
        schedule = FlowMatchScheduler(z_image_levels)
        schedule.set_training_timesteps()
        self.flow_match_loss = FlowMatchLoss(schedule)

    def media(self):
        args = self.args
        size = FrameSize(args.height, args.width, args.max_pixels, num_frames=1, multiple=16)
        return media_dataset(args, size, needed=[IMAGE])

    def encode(self, sample, cfg_scale=1.0):
        prompts = branch_prompts(sample.get("prompt", ""), sample.get("negative_prompt", ""), cfg_scale)
        try:
            texts = self.pipe.encode_prompts(prompts)
        except ValueError as error:
            raise BadSampleError(f"{sample[PLACE]}: {error}") from error
        return {"latents": self.pipe.encode_picture(sample[IMAGE][0]), **texts}

    def velocity(self, network, latents, timestep, inputs, branch):
        context = inputs[branch].to(self.pipe.torch_dtype)
        return network(latents, timestep, context, **checkpointing(self.args))

    def noise(self, seed, rand_device, latents):
        *_, height, width = latents.shape
        return self.pipe.draw_noise(seed, rand_device, 8 * height, 8 * width)

    def schedule(self, num_inference_steps, latents):
        schedule = FlowMatchScheduler(z_image_levels)
        schedule.set_timesteps(num_inference_steps)
        return schedule

    def render(self, path):
        picture = self.pipe(
            self.args.validation_prompt, seed=self.args.seed, height=self.args.height or 1024,
            width=self.args.width or 1024, num_inference_steps=self.args.validation_inference_steps,
        )
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path.with_suffix(".png"))


if __name__ == "__main__":
    exit_with_message(main)
