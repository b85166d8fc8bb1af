"""A training script from its loaded networks to the end: encode the data set, train on what was encoded, or both."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from diffsynth.core.data.encoded import EncodedDataset, EncodedFolder
from diffsynth.diffusion.training.arguments import DATA_PROCESS, TRAIN, split_task
from diffsynth.diffusion.training.data_flags import encoding_settings
from diffsynth.diffusion.training.encode_once import encode_once
from diffsynth.diffusion.training.networks import network_to_train
from diffsynth.diffusion.training.runner import lora_dtype, train
from diffsynth.diffusion.training.tasks import Distillation, Model, SupervisedFineTuning

if TYPE_CHECKING:
    from accelerate import Accelerator

_TASKS = {"sft": SupervisedFineTuning, "direct_distill": Distillation}


def run_task(accelerator: Accelerator, model: Model, args: argparse.Namespace) -> None:
    """Does what --task says.

    Raises:
        TrainingError: a setting cannot be used; and as `encode_once` and `train`.
    """
    name, stage = split_task(args.task)
    task = _TASKS[name](model, args)
    if stage == DATA_PROCESS:
        folder = EncodedFolder(args.output_path, encoding_settings(args))
        encode_once(accelerator, task.encode, model.media(), folder, num_workers=args.dataset_num_workers)
        return
    network = network_to_train(model.pipe, args, lora_dtype(accelerator, model.pipe.torch_dtype))
    if stage == TRAIN:
        encoded = EncodedDataset(args.dataset_base_path, task=name, repeat=args.dataset_repeat)
        train(accelerator, task, network, encoded, args)
    else:
        train(accelerator, task, network, model.media(), args, encode=task.encode)
