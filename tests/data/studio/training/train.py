"""Trains a LoRA of Wan2.1-T2V, on DiffSynth-Studio's own training module and loop."""

import os

import accelerate
import torch
from diffsynth.core import UnifiedDataset
from diffsynth.diffusion import (
    DiffusionTrainingModule,
    FlowMatchSFTLoss,
    ModelLogger,
    add_general_config,
    add_video_size_config,
    launch_training_task,
)
from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline

os.environ["TOKENIZERS_PARALLELISM"] = "false"


class WanLoRA(DiffusionTrainingModule):
    def __init__(self, args, device):
        super().__init__()
        self.pipe = WanVideoPipeline.from_pretrained(
            torch_dtype=torch.bfloat16,
            device=device,
            model_configs=self.parse_model_configs(args.model_paths, args.model_id_with_origin_paths, device=device),
            tokenizer_config=ModelConfig(
                model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern="google/umt5-xxl/"
            ),
        )
        self.switch_pipe_to_training_mode(
            self.pipe,
            args.trainable_models,
            args.lora_base_model,
            args.lora_target_modules,
            args.lora_rank,
        )

    def forward(self, data, inputs=None):
        frames = data["video"]
        shared = {
            "input_video": frames,
            "height": frames[0].size[1],
            "width": frames[0].size[0],
            "num_frames": len(frames),
            "cfg_scale": 1,
            "tiled": False,
            "rand_device": self.pipe.device,
            "cfg_merge": False,
            "vace_scale": 1,
            "use_gradient_checkpointing": True,
            "use_gradient_checkpointing_offload": False,
        }
        inputs = shared, {"prompt": data["prompt"]}, {}
        for unit in self.pipe.units:
            inputs = self.pipe.unit_runner(unit, self.pipe, *inputs)
        return FlowMatchSFTLoss(self.pipe, **inputs[0], **inputs[1])


def main():
    import argparse

    args = add_video_size_config(add_general_config(argparse.ArgumentParser())).parse_args()
    accelerator = accelerate.Accelerator(gradient_accumulation_steps=args.gradient_accumulation_steps)
    dataset = UnifiedDataset(
        base_path=args.dataset_base_path,
        metadata_path=args.dataset_metadata_path,
        repeat=args.dataset_repeat,
        data_file_keys=args.data_file_keys.split(","),
        main_data_operator=UnifiedDataset.default_video_operator(
            base_path=args.dataset_base_path,
            max_pixels=args.max_pixels,
            height=args.height,
            width=args.width,
            num_frames=args.num_frames,
        ),
    )
    model = WanLoRA(args, accelerator.device)
    logger = ModelLogger(args.output_path, remove_prefix_in_ckpt=args.remove_prefix_in_ckpt)
    launch_training_task(accelerator, dataset, model, logger, args=args)


if __name__ == "__main__":
    main()
