"""The flags of training scripts, in groups, with their published defaults; a script adds its model's own."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from diffsynth.diffusion.training.errors import TrainingError

TASKS = ("sft", "direct_distill")
DATA_PROCESS, TRAIN = ":data_process", ":train"
_NOT_OFFERED = {
    "enable_model_cpu_offload": "use an accelerate config with FSDP or DeepSpeed ZeRO-3 offloading",
    "enable_optimizer_cpu_offload": "use an accelerate config with DeepSpeed's offload_optimizer_device: cpu",
    "cpu_offload_split_threshold": "use an accelerate config with DeepSpeed",
    "quant_options": "use --fp8_models for networks that are not trained",
    "template_model_id_or_path": "leave it out: this pipeline has no template models",
}


def add_training_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """All groups."""
    for add in (_add_data, _add_models, _add_training, _add_output, _add_lora, _add_memory, _add_logs, _add_validation):
        add(parser)
    return parser


def check_arguments(args: argparse.Namespace, *, not_offered: Mapping[str, str]) -> None:
    """What no group can check on its own.

    Args:
        not_offered: published flags of the model that must stay unset, each with what to do instead.

    Raises:
        TrainingError: a flag has a value that means nothing here.
    """
    task, stage = split_task(args.task)
    for name, instead in {**_NOT_OFFERED, **not_offered}.items():
        if getattr(args, name):
            raise TrainingError(f"--{name} is not offered: {instead}")
    if stage == DATA_PROCESS:
        return
    if args.lora_base_model is None and args.trainable_models is None:
        raise TrainingError(f"--task {task} trains nothing yet: give --trainable_models dit, or --lora_base_model dit")
    if args.lora_base_model is not None and args.trainable_models not in (None, args.lora_base_model):
        raise TrainingError(
            f"--trainable_models {args.trainable_models} and --lora_base_model {args.lora_base_model}: one network is "
            "trained at a time, whole or by a LoRA"
        )


def split_task(task: str) -> tuple[str, str]:
    """``sft:train`` to ``("sft", ":train")``, ``sft`` to ``("sft", "")``.

    Raises:
        TrainingError: there is no such task.
    """
    name, colon, stage = task.partition(":")
    if name not in TASKS or colon + stage not in ("", DATA_PROCESS, TRAIN):
        known = ", ".join(name + stage for name in TASKS for stage in ("", DATA_PROCESS, TRAIN))
        raise TrainingError(f"--task {task}: there is no such task, expected one of {known}")
    return name, colon + stage


def trained_name(args: argparse.Namespace) -> str:
    """The name of the network that is trained, whole or by a LoRA; empty where a task trains none."""
    name: str | None = args.lora_base_model or args.trainable_models
    return name or ""


def checkpointing(args: argparse.Namespace) -> dict[str, bool]:
    """What a network is told about keeping less for the way back."""
    flags = ("use_gradient_checkpointing", "use_gradient_checkpointing_offload")
    return {flag: getattr(args, flag) for flag in flags}


def names(text: str | None) -> tuple[str, ...]:
    """``"a, b"`` to ``("a", "b")``."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _add_data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument("--dataset_base_path", type=Path, required=True,
                       help="Folder of the images and videos; for a :train task, of the encoded samples.")  # fmt: skip
    group.add_argument("--dataset_metadata_path", type=Path, help="A csv, json or jsonl file, one row a sample.")
    group.add_argument("--dataset_repeat", type=int, default=1, help="How often each row comes in an epoch.")
    group.add_argument("--dataset_num_workers", type=int, default=0, help="Processes that read ahead.")
    group.add_argument("--data_file_keys", default="image,video", help="Columns that name files, with commas.")
    group.add_argument("--batch_size", type=int, default=1, help="Samples of one size in a forward pass.")
    group.add_argument("--on_bad_sample", choices=("stop", "skip"), default="stop",
                       help="What to do with a row whose file cannot be read.")  # fmt: skip
    group.add_argument("--height", type=int, help="Of every frame; with --width. Else each sample keeps its shape.")
    group.add_argument("--width", type=int)
    group.add_argument("--max_pixels", type=int, default=1024 * 1024, help="Of a frame, without --height and --width.")


def _add_models(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("models")
    group.add_argument("--model_paths", help="Files, as a JSON list; a list in it holds the shards of one model.")
    group.add_argument("--model_id_with_origin_paths", help="With commas: Org/Name:pattern,Org/Name:pattern.")
    group.add_argument("--extra_inputs", help="Columns of the metadata that the pipeline takes too, with commas.")
    group.add_argument("--fp8_models", help="Networks to keep in float8, written as for --model_id_with_origin_paths.")
    group.add_argument("--offload_models", help="Networks to read from disk as they run, written likewise.")
    group.add_argument("--torch_dtype", choices=("bfloat16", "float32"), default="bfloat16",
                       help="Of networks and their work. LoRA weights are float32 unless sharded.")  # fmt: skip
    group.add_argument("--quant_options", help=argparse.SUPPRESS)
    group.add_argument("--template_model_id_or_path", help=argparse.SUPPRESS)


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument("--task", default="sft", help="sft or direct_distill; with :data_process it only encodes the "
                       "data set, with :train it only trains on what was encoded.")  # fmt: skip
    group.add_argument("--seed", type=int, default=0, help="Decides order, noise levels, noise and new LoRA weights.")
    group.add_argument("--learning_rate", type=float, default=1e-4)
    group.add_argument("--lr_scheduler", default="constant", choices=("constant", "linear", "cosine", "polynomial"),
                       help="From the learning rate down over the run, after the warm-up.")  # fmt: skip
    group.add_argument("--lr_warmup_steps", type=int, default=0, help="Updates from 0 up to the learning rate.")
    group.add_argument("--num_epochs", type=int, default=1)
    group.add_argument("--trainable_models", help="The network to train whole, such as dit.")
    group.add_argument("--find_unused_parameters", action="store_true", help="As DDP takes it.")
    group.add_argument("--weight_decay", type=float, default=0.01)
    group.add_argument("--customized_optimizer", help="Class instead of torch.optim.AdamW, such as module.Class.")
    group.add_argument("--gradient_accumulation_steps", type=int, default=1, help="Batches to an update.")


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--output_path", type=Path, default=Path("./models"))
    group.add_argument("--remove_prefix_in_ckpt", default="pipe.dit.", help="Cut off the names of saved weights.")
    group.add_argument("--save_steps", type=int, help="Updates between two saves; by default one at each epoch's end.")
    group.add_argument("--save_total_limit", type=int, default=1, metavar="N",
                       help="Keep the newest N checkpoints to resume from; saved weights all stay.")  # fmt: skip
    group.add_argument("--resume_from_checkpoint",
                       help="A checkpoint folder to go on from bit for bit, or 'latest' in --output_path.")  # fmt: skip
    group.add_argument("--resume_with_other_settings", action="store_true",
                       help="Go on from it although settings, data set or model files are others now.")  # fmt: skip


def _add_lora(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("LoRA")
    group.add_argument("--lora_base_model", help="The network to train by a LoRA, such as dit.")
    group.add_argument("--lora_target_modules", help="Ends of layer names, with commas; by default %(default)s.")
    group.add_argument("--lora_rank", type=int, default=32)
    group.add_argument("--lora_checkpoint", type=Path, help="A LoRA to start from.")
    group.add_argument("--preset_lora_path", type=Path, help="A LoRA to fuse into a network before training.")
    group.add_argument("--preset_lora_model", help="The network it is for.")
    group.add_argument("--enable_lora_hot_loading", action="store_true", help="Add the preset LoRA as layers run.")


def _add_memory(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("memory")
    group.add_argument("--use_gradient_checkpointing", action=argparse.BooleanOptionalAction, default=False,
                       help="Run each block again backwards.")  # fmt: skip
    group.add_argument("--use_gradient_checkpointing_offload", action="store_true",
                       help="The same, with what is kept between blocks in host memory.")  # fmt: skip
    group.add_argument("--initialize_model_on_cpu", action="store_true",
                       help="Load the network that is trained into host memory, and let the engine bring over what "
                       "this device is to hold.")  # fmt: skip
    for flag in ("enable_model_cpu_offload", "enable_optimizer_cpu_offload"):
        group.add_argument(f"--{flag}", action="store_true", help=argparse.SUPPRESS)
    group.add_argument("--cpu_offload_split_threshold", help=argparse.SUPPRESS)


def _add_logs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("logs")
    for name, place in {"tensorboard": "OUTPUT_PATH/logs", "swanlab": "SwanLab", "wandb": "Weights & Biases",
                        "csv": "OUTPUT_PATH/loss.csv"}.items():  # fmt: skip
        group.add_argument(f"--enable_{name}_log", action="store_true", help=f"Loss and learning rate to {place}.")
    for name in ("swanlab", "wandb"):
        group.add_argument(f"--{name}_project", default="DiffSynth-Studio",
                           help=f"{name.upper()}_PROJECT in the environment wins.")  # fmt: skip


def _add_validation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("validation")
    group.add_argument("--validation_prompt", help="Rendered as training goes on, into OUTPUT_PATH/validation.")
    group.add_argument("--validation_steps", type=int, default=500, help="Updates between two of these.")
    group.add_argument("--validation_inference_steps", type=int, default=30, help="Denoising steps of each.")


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
