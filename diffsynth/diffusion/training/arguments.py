"""The flags of training scripts, in groups, with their published defaults; a family adds its own."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from diffsynth.diffusion.training.errors import TrainingError

TASKS = ("sft", "direct_distill")
DATA_PROCESS, TRAIN = ":data_process", ":train"


class Flag:
    """One flag of a training script.

    Args:
        name: with its dashes.
        instead: of a published flag that is not offered, what to do instead of giving it.
        settings: as argparse's `add_argument` takes them.
    """

    def __init__(self, name: str, *, instead: str | None = None, **settings: Any) -> None:
        self.name, self.instead = name, instead
        self.settings = settings if instead is None else {**settings, "help": argparse.SUPPRESS}


_WITH_CONFIG = "use an accelerate config with"

# fmt: off
FLAGS: Mapping[str, Sequence[Flag]] = {
    "data": (
        Flag("--dataset_base_path", type=Path, required=True,
             help="Folder of the images and videos; for a :train task, of the encoded samples."),
        Flag("--dataset_metadata_path", type=Path, help="A csv, json or jsonl file, one row a sample."),
        Flag("--dataset_repeat", type=int, default=1, help="How often each row comes in an epoch."),
        Flag("--dataset_num_workers", type=int, default=0, help="Processes that read ahead."),
        Flag("--data_file_keys", default="image,video", help="Columns that name files, with commas."),
        Flag("--batch_size", type=int, default=1, help="Samples of one size in a forward pass."),
        Flag("--on_bad_sample", choices=("stop", "skip"), default="stop",
             help="What to do with a row whose file cannot be read."),
        Flag("--height", type=int, help="Of every frame; with --width. Else each sample keeps its shape."),
        Flag("--width", type=int),
        Flag("--max_pixels", type=int, default=1024 * 1024, help="Of a frame, without --height and --width."),
    ),
    "models": (
        Flag("--model_paths", help="Files, as a JSON list; a list in it holds the shards of one model."),
        Flag("--model_id_with_origin_paths", help="With commas: Org/Name:pattern,Org/Name:pattern."),
        Flag("--extra_inputs", help="Columns of the metadata that the pipeline takes too, with commas."),
        Flag("--fp8_models", help="Networks to keep in float8, written as for --model_id_with_origin_paths."),
        Flag("--offload_models", help="Networks to read from disk as they run, written likewise."),
        Flag("--torch_dtype", choices=("bfloat16", "float32"), default="bfloat16",
             help="Of networks and their work. LoRA weights are float32 unless sharded."),
        Flag("--quant_options", instead="use --fp8_models for networks that are not trained"),
        Flag("--template_model_id_or_path", instead="leave it out: this pipeline has no template models"),
    ),
    "training": (
        Flag("--task", default="sft", help="sft or direct_distill; with :data_process it only encodes the data set, "
             "with :train it only trains on what was encoded."),
        Flag("--seed", type=int, default=0, help="Decides order, noise levels, noise and new LoRA weights."),
        Flag("--learning_rate", type=float, default=1e-4),
        Flag("--lr_scheduler", default="constant", choices=("constant", "linear", "cosine", "polynomial"),
             help="From the learning rate down over the run, after the warm-up."),
        Flag("--lr_warmup_steps", type=int, default=0, help="Updates from 0 up to the learning rate."),
        Flag("--num_epochs", type=int, default=1),
        Flag("--trainable_models", help="The network to train whole, such as dit."),
        Flag("--find_unused_parameters", action="store_true", help="As DDP takes it."),
        Flag("--weight_decay", type=float, default=0.01),
        Flag("--customized_optimizer", help="Class instead of torch.optim.AdamW, such as module.Class."),
        Flag("--gradient_accumulation_steps", type=int, default=1, help="Batches to an update."),
    ),
    "output": (
        Flag("--output_path", type=Path, default=Path("./models")),
        Flag("--remove_prefix_in_ckpt", default="pipe.dit.", help="Cut off the names of saved weights."),
        Flag("--save_steps", type=int, help="Updates between two saves; by default one at each epoch's end."),
        Flag("--save_total_limit", type=int, default=1, metavar="N",
             help="Keep the newest N checkpoints to resume from; saved weights all stay."),
        Flag("--resume_from_checkpoint",
             help="A checkpoint folder to go on from bit for bit, or 'latest' in --output_path."),
        Flag("--resume_with_other_settings", action="store_true",
             help="Go on from it although settings, data set or model files are others now."),
    ),
    "LoRA": (
        Flag("--lora_base_model", help="The network to train by a LoRA, such as dit."),
        Flag("--lora_target_modules", help="Ends of layer names, with commas; by default %(default)s."),
        Flag("--lora_rank", type=int, default=32),
        Flag("--lora_checkpoint", type=Path, help="A LoRA to start from."),
        Flag("--preset_lora_path", type=Path, help="A LoRA to fuse into a network before training."),
        Flag("--preset_lora_model", help="The network it is for."),
        Flag("--enable_lora_hot_loading", action="store_true", help="Add the preset LoRA as layers run."),
    ),
    "memory": (
        Flag("--use_gradient_checkpointing", action=argparse.BooleanOptionalAction, default=False,
             help="Run each block again backwards."),
        Flag("--use_gradient_checkpointing_offload", action="store_true",
             help="The same, with what is kept between blocks in host memory."),
        Flag("--initialize_model_on_cpu", action="store_true",
             help="Load the network that is trained into host memory, and let the engine bring over what this device "
             "is to hold."),
        Flag("--enable_model_cpu_offload", action="store_true",
             instead=f"{_WITH_CONFIG} FSDP or DeepSpeed ZeRO-3 offloading"),
        Flag("--enable_optimizer_cpu_offload", action="store_true",
             instead=f"{_WITH_CONFIG} DeepSpeed's offload_optimizer_device: cpu"),
        Flag("--cpu_offload_split_threshold", instead=f"{_WITH_CONFIG} DeepSpeed"),
    ),
    "logs": (
        Flag("--enable_tensorboard_log", action="store_true", help="Loss and learning rate to OUTPUT_PATH/logs."),
        Flag("--enable_swanlab_log", action="store_true", help="Loss and learning rate to SwanLab."),
        Flag("--enable_wandb_log", action="store_true", help="Loss and learning rate to Weights & Biases."),
        Flag("--enable_csv_log", action="store_true", help="Loss and learning rate to OUTPUT_PATH/loss.csv."),
        Flag("--swanlab_project", default="DiffSynth-Studio", help="SWANLAB_PROJECT in the environment wins."),
        Flag("--wandb_project", default="DiffSynth-Studio", help="WANDB_PROJECT in the environment wins."),
    ),
    "validation": (
        Flag("--validation_prompt", help="Rendered as training goes on, into OUTPUT_PATH/validation."),
        Flag("--validation_steps", type=int, default=500, help="Updates between two of these."),
        Flag("--validation_inference_steps", type=int, default=30, help="Denoising steps of each."),
    ),
}
# fmt: on


def add_training_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """All groups of `FLAGS`."""
    for title, flags in FLAGS.items():
        add_flags(parser.add_argument_group(title), flags)
    return parser


def add_flags(group: argparse._ArgumentGroup, flags: Iterable[Flag]) -> None:
    for flag in flags:
        group.add_argument(flag.name, **flag.settings)


def check_arguments(args: argparse.Namespace, own: Iterable[Flag] = ()) -> None:
    """What argparse does not check.

    Args:
        own: flags of the model.

    Raises:
        TrainingError: a flag has a value that means nothing here.
    """
    task, stage = split_task(args.task)
    for flag in (*chain(*FLAGS.values()), *own):
        if flag.instead is not None and getattr(args, flag.name[2:]):
            raise TrainingError(f"{flag.name} is not offered: {flag.instead}")
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
    return str(args.lora_base_model or args.trainable_models or "")


def checkpointing(args: argparse.Namespace) -> dict[str, bool]:
    """What a network is told about keeping less for the way back."""
    flags = ("use_gradient_checkpointing", "use_gradient_checkpointing_offload")
    return {flag: getattr(args, flag) for flag in flags}


def names(text: str | None) -> tuple[str, ...]:
    """``"a, b"`` to ``("a", "b")``."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


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
