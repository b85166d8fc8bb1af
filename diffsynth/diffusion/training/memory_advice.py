"""What a run could turn on to need less device memory."""

from __future__ import annotations

import argparse

from diffsynth.diffusion.training.arguments import split_task


def memory_advice(args: argparse.Namespace) -> str:
    """The flags that would help and are not on, those that cost least first."""
    smaller = ["a lower --max_pixels" if args.height is None else "a smaller --height and --width"]
    smaller += ["fewer --num_frames"] if hasattr(args, "num_frames") else []
    advice = {
        "--use_gradient_checkpointing": not args.use_gradient_checkpointing
        and not args.use_gradient_checkpointing_offload,
        "--use_gradient_checkpointing_offload": not args.use_gradient_checkpointing_offload,
        f"--batch_size 1 with --gradient_accumulation_steps {args.batch_size}": args.batch_size > 1,
        f"--task {args.task}:data_process and then :train, without the encoders in memory": not split_task(args.task)[
            1
        ],
        "--lora_base_model instead of --trainable_models": args.lora_base_model is None,
        **dict.fromkeys(smaller, True),
        "an accelerate config with FSDP or DeepSpeed ZeRO-3 (with --initialize_model_on_cpu)": True,
    }
    return "turn on " + ", or ".join(text for text, helps in advice.items() if helps)
