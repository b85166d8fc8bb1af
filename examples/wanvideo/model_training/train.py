"""Trains Wan2.1-T2V and either expert of Wan2.2-T2V-A14B, whole or by a LoRA.

    accelerate launch [--config_file CONFIG] train.py --task sft ...          encode and train
    accelerate launch [--config_file CONFIG] train.py --task sft:data_process ...  encode the data set once,
    accelerate launch [--config_file CONFIG] train.py --task sft:train ...         then train without the encoders

Task direct_distill, with the same two stages, teaches a network to end where a teacher's generation ended.
"""

import argparse
import dataclasses
import os

import torch

from diffsynth.core.data.encoded import EncodedDataset, EncodedFolder
from diffsynth.core.data.frame_size import FrameSize
from diffsynth.core.data.media_dataset import PLACE, MediaDataset
from diffsynth.core.loader.redirect import redirect_common_file
from diffsynth.diffusion.guidance import NEGATIVE, POSITIVE, guided
from diffsynth.diffusion.training.arguments import (
    DATA_PROCESS, TRAIN, add_training_arguments, check_arguments, names, split_task,
)
from diffsynth.diffusion.training.encode_once import encode_once
from diffsynth.diffusion.training.errors import TrainingError, exit_with_message
from diffsynth.diffusion.training.lora import add_lora, start_from
from diffsynth.diffusion.training.losses import FlowMatchLoss, rollout_loss
from diffsynth.diffusion.training.model_flags import model_configs, published_config
from diffsynth.diffusion.training.runner import lora_dtype, open_accelerator, train
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
    check_arguments(args)
    task, stage = split_task(args.task)
    accelerator = open_accelerator(args)
    pipe = load_pipeline(args, accelerator)
    check_encoders(pipe, args)
    wan = (Distillation if task == "direct_distill" else SupervisedFineTuning)(pipe, args)
    if stage == DATA_PROCESS:
        folder = EncodedFolder(args.output_path, encoding_settings(args))
        encode_once(accelerator, wan.encode, media(args), folder, num_workers=args.dataset_num_workers)
        return
    wan.network = network_to_train(pipe, args, lora_dtype(accelerator, pipe.torch_dtype))
    if stage == TRAIN:
        encoded = EncodedDataset(args.dataset_base_path, task=task, repeat=args.dataset_repeat)
        train(accelerator, wan, encoded, args)
    else:
        train(accelerator, wan, media(args), args, encode=wan.encode)


def load_pipeline(args, accelerator):
    """The networks that the command line names, in memory of the device, or of the host until they are prepared."""
    device, tokenizer = accelerator.device, published_config(args.tokenizer_path)
    with accelerator.local_main_process_first():  # it downloads what is not there, for all
        models = [redirect_common_file(config).download_if_necessary() for config in model_configs(args, device)]
        tokenizer = tokenizer and tokenizer.download_if_necessary()
    pipe = WanVideoPipeline.from_pretrained(
        torch_dtype=getattr(torch, args.torch_dtype),
        device="cpu" if args.initialize_model_on_cpu else device,
        model_configs=models,
        tokenizer_config=tokenizer,
    )
    pipe.device = device
    for name in ("text_encoder", "vae"):
        if name in pipe.networks and pipe.networks[name].weights is None:
            pipe.networks[name].module.to(device)
    if args.preset_lora_path is not None:
        add_preset_lora(pipe, args)
    return pipe


def check_encoders(pipe, args):
    if split_task(args.task)[1] == TRAIN and args.validation_prompt is None:
        return
    for name in ("text_encoder", "vae"):
        if name not in pipe.networks:
            purpose = "--validation_prompt" if split_task(args.task)[1] == TRAIN else f"--task {args.task}"
            raise TrainingError(f"{purpose} needs the {name}: name its file in --model_id_with_origin_paths")


def add_preset_lora(pipe, args):
    name = args.preset_lora_model or args.lora_base_model or args.trainable_models
    if name not in pipe.networks:
        raise TrainingError(f"--preset_lora_model {name} was not loaded; there are {', '.join(pipe.networks)}")
    if args.enable_lora_hot_loading:
        pipe.enable_lora_hot_loading(pipe.networks[name].module)
    try:
        pipe.load_lora(pipe.networks[name].module, args.preset_lora_path)
    except (OSError, ValueError) as error:
        raise TrainingError(f"--preset_lora_path: {error}") from error


def network_to_train(pipe, args, dtype_of_lora):
    """The network named on the command line, with gradients for what is trained and for nothing else."""
    name = args.lora_base_model or args.trainable_models
    if name not in pipe.networks:
        raise TrainingError(f"the network to train, {name}, was not loaded; there are {', '.join(pipe.networks)}")
    if pipe.networks[name].weights is not None:
        raise TrainingError(f"{name} is trained: take it out of --fp8_models and --offload_models")
    network = pipe.networks[name].module
    if args.lora_base_model is None:
        return network.requires_grad_(True)
    add_lora(network, targets=names(args.lora_target_modules), rank=args.lora_rank, dtype=dtype_of_lora)
    if args.lora_checkpoint is not None:
        start_from(network, args.lora_checkpoint)
    return network


def media(args):
    size = FrameSize(args.height, args.width, args.max_pixels, args.num_frames, multiple=16, frames_step=4)
    if args.dataset_metadata_path is None:
        raise TrainingError(f"--task {args.task} needs --dataset_metadata_path")
    return MediaDataset(
        args.dataset_base_path, args.dataset_metadata_path, file_keys=names(args.data_file_keys), size=size,
        repeat=args.dataset_repeat, on_bad_sample=args.on_bad_sample,
    )


def encoding_settings(args):
    """What encoded samples depend on: they are good for another run that has the same."""
    flags = ["height", "width", "max_pixels", "num_frames", "torch_dtype", "data_file_keys", "extra_inputs"]
    settings = {flag: getattr(args, flag) for flag in flags}
    return {"task": split_task(args.task)[0], "metadata": str(args.dataset_metadata_path), **settings}


class WanTraining:
    """What both tasks share: a sample as latents and a prompt's features, the network's call, the validation video."""

    extra_inputs = ()

    def __init__(self, pipe, args):
        self.pipe, self.args, self.network = pipe, args, None
        for name in names(args.extra_inputs):
            if name not in self.extra_inputs:
                known = ", ".join(self.extra_inputs) or "none"
                raise TrainingError(f"--extra_inputs {name}: --task {args.task} of a text-to-video model takes {known}")

    def encode(self, sample):
        frames = self.frames(sample)
        width, height = frames[0].size
        video = video_from_frames(frames, height=height, width=width, num_frames=len(frames))
        latents = self.pipe.encode_video(video, progress_bar_cmd=iter)
        return {"latents": latents, "context": self.pipe.encode_prompts(sample.get("prompt", ""), "", 1)[POSITIVE]}

    def frames(self, sample):
        return next(sample[key] for key in names(self.args.data_file_keys) if key in sample)

    def velocity(self, network, latents, timestep, context):
        return network(
            latents, timestep, context.to(self.pipe.torch_dtype),
            use_gradient_checkpointing=self.args.use_gradient_checkpointing,
            use_gradient_checkpointing_offload=self.args.use_gradient_checkpointing_offload,
        )

    def render(self, network, path):
        name = self.args.lora_base_model or self.args.trainable_models
        trained = self.pipe.networks[name]
        network.eval()
        try:
            # Through the engine's wrapper, which knows where the weights are.
            self.pipe.networks[name] = dataclasses.replace(trained, module=network)
            video = self.pipe(
                self.args.validation_prompt, seed=self.args.seed, height=self.args.height or 480,
                width=self.args.width or 832, num_frames=self.args.num_frames,
                num_inference_steps=self.args.validation_inference_steps,
                framewise_decoding=self.args.framewise_decoding,
            )
        finally:
            self.pipe.networks[name] = trained
            network.train()
        if path is not None:
            save_video(video, path, fps=15, quality=5)


class SupervisedFineTuning(WanTraining):
    """Task sft: predict the velocity at random noise levels."""

    def __init__(self, pipe, args):
        super().__init__(pipe, args)
        self.flow_match_loss = FlowMatchLoss(args.min_timestep_boundary, args.max_timestep_boundary)

    def loss(self, network, inputs, generator):
        def velocity(latents, timestep):
            return self.velocity(network, latents, timestep, inputs["context"])

        return self.flow_match_loss(velocity, inputs["latents"], generator)


class Distillation(WanTraining):
    """Task direct_distill: walk from the noise that a row's video was made from, and end where the video is.

    The metadata has a column seed, and may have rand_device, num_inference_steps and cfg_scale: what the network is to
    be called with (the teacher took more steps).
    """

    extra_inputs = ("seed", "rand_device", "num_inference_steps", "cfg_scale")

    def encode(self, sample):
        frames = self.frames(sample)
        width, height = frames[0].size
        seed, steps = number(sample, "seed", int), number(sample, "num_inference_steps", int, default=4)
        scale = number(sample, "cfg_scale", float, default=1.0)
        inputs = {
            **super().encode(sample),
            "noise": self.pipe.draw_noise(seed, sample.get("rand_device", "cpu"), height, width, len(frames)),
            "num_inference_steps": torch.tensor([steps]),
            "cfg_scale": torch.tensor([scale]),
        }
        if scale != 1:
            inputs["negative_context"] = self.pipe.encode_prompts("", sample.get("negative_prompt", ""), scale)[NEGATIVE]
        return inputs

    def loss(self, network, inputs, generator):
        steps, scales = inputs["num_inference_steps"].unique().tolist(), inputs["cfg_scale"].unique().tolist()
        if len(steps) > 1 or len(scales) > 1:
            raise TrainingError("--batch_size: rows of different num_inference_steps or cfg_scale; give --batch_size 1")
        contexts = {POSITIVE: inputs["context"], NEGATIVE: inputs.get("negative_context")}

        def velocity(latents, timestep):
            def predict(latents, branch):
                return self.velocity(network, latents, timestep, contexts[branch])

            return guided(predict, latents, cfg_scale=scales[0], merge=False)

        return rollout_loss(velocity, inputs["latents"], inputs["noise"], num_inference_steps=steps[0])


def number(sample, name, kind, default=None):
    """A column of a metadata row as a number."""
    text = sample.get(name, default)
    try:
        return kind(text)
    except (TypeError, ValueError):
        raise TrainingError(f"{sample[PLACE]}: {name} is {text!r}, expected a number; direct_distill needs it") from None


if __name__ == "__main__":
    exit_with_message(main)
