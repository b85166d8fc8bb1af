"""A training script from its loaded networks to the end: encode the data set, train on what was encoded, or both."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from diffsynth.core.data.encoded import EncodedDataset, EncodedFolder
from diffsynth.core.data.media_dataset import MediaDataset
from diffsynth.core.fingerprints import of_large_files
from diffsynth.diffusion.base_pipeline import BasePipeline
from diffsynth.diffusion.loaded_model import LoadedModel
from diffsynth.diffusion.training.arguments import DATA_PROCESS, TRAIN, split_task, trained_name
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
        folder = EncodedFolder(args.output_path, {**encoding_settings(args), "encoders": _encoders(model.pipe)})
        encode_once(accelerator, task.encode, model.media(), folder, num_workers=args.dataset_num_workers)
        return
    network = network_to_train(model.pipe, args, lora_dtype(accelerator, model.pipe.torch_dtype))
    encoded = stage == TRAIN
    dataset: EncodedDataset | MediaDataset
    if encoded:
        dataset = EncodedDataset(args.dataset_base_path, task=name, repeat=args.dataset_repeat)
    else:
        dataset = model.media()
    same = {"the data set": dataset.fingerprint(), "the model's files": _files(model.pipe.networks[trained_name(args)])}
    train(accelerator, task, network, dataset, args, same=same, **({} if encoded else {"encode": task.encode}))


def _encoders(pipe: BasePipeline) -> dict[str, str]:
    """A fingerprint of each network that is not trained."""
    return {name: _files(network) for name, network in pipe.networks.items() if not name.startswith("dit")}


def _files(network: LoadedModel) -> str:
    return of_large_files(getattr(network.source, "paths", ()))
