"""Trains a Wan2.1 or Wan2.2 model, or either expert of an A14B, whole or by a LoRA.

    accelerate launch [--config_file CONFIG] train.py --task sft ...          encode and train
    accelerate launch [--config_file CONFIG] train.py --task sft:data_process ...  encode the data set once,
    accelerate launch [--config_file CONFIG] train.py --task sft:train ...         then train without the encoders

What a model takes besides a prompt is named by --extra_inputs: columns of the metadata, whose files --data_file_keys names
too. input_image and end_image are the clip's own first and last frame where there is no such column.

Task direct_distill, with the same two stages, teaches a network to end where a teacher's generation ended.
"""

import argparse
import os

import torch

from diffsynth.core.data.frames import FrameSize
from diffsynth.diffusion.flow_match import FlowMatchScheduler
from diffsynth.diffusion.training.arguments import add_training_arguments, check_arguments, checkpointing, names, trained_name
from diffsynth.diffusion.training.files import media_dataset
from diffsynth.diffusion.training.errors import exit_with_message
from diffsynth.diffusion.training.losses import FlowMatchLoss
from diffsynth.diffusion.training.networks import load_pipeline
from diffsynth.diffusion.training.run_task import run_task
from diffsynth.diffusion.training.runner import open_accelerator
from diffsynth.families.wan.training_inputs import BEFORE, EXTRA_INPUTS, call_dit, encoded_extras
from diffsynth.pipelines.wan_video import WanVideoPipeline
from diffsynth.utils.data import save_video
from diffsynth.utils.frames import video_from_frames

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def wan_parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_training_arguments(parser)
    parser.set_defaults(use_gradient_checkpointing=True)
    wan = parser.add_argument_group("Wan")
    wan.add_argument("--num_frames", type=int, default=81, help="4k + 1; of a shorter video as many as it has.")
    wan.add_argument("--tokenizer_path", help="Folder, or Org/Name:folder/; by default that of Wan2.1-T2V-1.3B.")
    wan.add_argument("--audio_processor_path", help=argparse.SUPPRESS)
    wan.add_argument("--min_timestep_boundary", type=float, default=0.0, help="Part of the schedule to train on:")
    wan.add_argument("--max_timestep_boundary", type=float, default=1.0, help="0 to 0.417 and 0.417 to 1 for A14B.")
    wan.add_argument("--initialize_model_on_cpu", action="store_true", help="Load the network that is trained into "
                     "host memory, and let the engine bring over what this device is to hold.")
    wan.add_argument("--framewise_decoding", action="store_true", help="Decode validation videos frame by frame.")
    return parser


def main():
    args = wan_parser().parse_args()
    check_arguments(args, not_offered={"audio_processor_path": "leave it out: this pipeline reads no sound"})
    accelerator = open_accelerator(args)
    run_task(accelerator, Wan(load_pipeline(WanVideoPipeline, args, accelerator), args), args)


class Wan:
    """A clip as latents, its prompt as features, the network's call on the two, and a video to look at."""

    extra_inputs = EXTRA_INPUTS

    def __init__(self, pipe, args):
        self.pipe, self.args = pipe, args
        schedule = FlowMatchScheduler()
        schedule.set_training_timesteps()
        self.flow_match_loss = FlowMatchLoss(schedule, args.min_timestep_boundary, args.max_timestep_boundary)

    def media(self):
        args = self.args
        size = FrameSize(args.height, args.width, args.max_pixels, args.num_frames, multiple=2 * self.pipe.pixels,
                         frames_step=4)
        return media_dataset(args, size)

    def encode(self, sample, cfg_scale=1.0):
        frames = next(sample[key] for key in names(self.args.data_file_keys) if key in sample)
        width, height = frames[0].size
        video = video_from_frames(frames, height=height, width=width, num_frames=len(frames))
        latents = self.pipe.encode_video(video, progress_bar_cmd=iter)
        extras = encoded_extras(self.pipe, sample, frames, names(self.args.extra_inputs))
        if BEFORE in extras:  # a generation makes them too
            latents = torch.cat([extras.pop(BEFORE), latents], dim=2)
        texts = self.pipe.encode_prompts(sample.get("prompt", ""), sample.get("negative_prompt", ""), cfg_scale)
        return {"latents": latents, **extras, **texts}

    def velocity(self, network, latents, timestep, inputs, branch):
        context = inputs[branch].to(self.pipe.torch_dtype)
        return call_dit(self.pipe, network, trained_name(self.args), latents, timestep, inputs, context,
                        **checkpointing(self.args))

    def noise(self, seed, rand_device, latents):
        _, _, frames, height, width = latents.shape
        pixels = self.pipe.pixels
        return self.pipe.draw_noise(seed, rand_device, pixels * height, pixels * width, 4 * (frames - 1) + 1)

    def schedule(self, num_inference_steps, latents):
        schedule = FlowMatchScheduler()
        schedule.set_timesteps(num_inference_steps)
        return schedule

    def render(self, path):
        video = self.pipe(
            self.args.validation_prompt, seed=self.args.seed, height=self.args.height or 480,
            width=self.args.width or 832, num_frames=self.args.num_frames,
            num_inference_steps=self.args.validation_inference_steps,
            framewise_decoding=self.args.framewise_decoding,
        )
        if path is not None:
            save_video(video, path.with_suffix(".mp4"), fps=15, quality=5)


if __name__ == "__main__":
    exit_with_message(main)
