"""A training script from its loaded networks to the end: encode the data set, train on what was encoded, or both."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from diffsynth.core.data import BadSampleError, DatasetError
from diffsynth.core.data.encoded import EncodedDataset, EncodedFolder
from diffsynth.core.data.media_dataset import SKIP, MediaDataset
from diffsynth.core.fingerprints import of_large_files
from diffsynth.core.loader.detection import load_object
from diffsynth.core.progress import progress_bar
from diffsynth.diffusion.base_pipeline import BasePipeline
from diffsynth.diffusion.loaded_model import LoadedModel
from diffsynth.diffusion.training.adapter import TrainingAdapter
from diffsynth.diffusion.training.arguments import (
    DATA_PROCESS,
    TRAIN,
    add_flags,
    add_training_arguments,
    check_arguments,
    split_task,
    trained_name,
)
from diffsynth.diffusion.training.networks import load_pipeline, network_to_train
from diffsynth.diffusion.training.runner import Encode, lora_dtype, open_accelerator, train
from diffsynth.diffusion.training.tasks import Distillation, SupervisedFineTuning
from diffsynth.families.family import Family

if TYPE_CHECKING:
    from accelerate import Accelerator

# A model has some of these.
_DECIDE_WHAT_IS_ENCODED = (
    "height", "width", "max_pixels", "num_frames", "torch_dtype", "data_file_keys", "extra_inputs",
)  # fmt: skip

_TASKS = {"sft": SupervisedFineTuning, "direct_distill": Distillation}


def run_script(family: Family, parser: argparse.ArgumentParser) -> None:
    """What the training script of a family does, on the command line of its `family_parser`.

    Raises:
        TrainingError: a flag has a value that means nothing here; and as `load_pipeline` and `run_task`.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    args = parser.parse_args()
    adapter = load_object(family.training)
    check_arguments(args, adapter.flags)
    accelerator = open_accelerator(args)
    pipe = load_pipeline(load_object(family.pipeline), args, accelerator)
    run_task(accelerator, adapter(pipe, args), args)


def family_parser(family: Family, description: str) -> argparse.ArgumentParser:
    """The command line of a family's training script: the flags of all trainings, and its own."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_training_arguments(parser)
    own = parser.add_argument_group(family.title)
    for folder in family.folders:
        by_default = f"; by default that of {folder.default[0]}" if folder.default is not None else ""
        where = f", for {' and '.join(folder.for_inputs)}" if folder.for_inputs else ""
        own.add_argument(f"--{folder.keyword.replace('_config', '_path')}",
                         help=f"Folder, or Org/Name:folder/{by_default}{where}.")  # fmt: skip
    adapter = load_object(family.training)
    add_flags(own, adapter.flags)
    parser.set_defaults(lora_target_modules=",".join(family.lora_targets), **adapter.defaults)
    return parser


def run_task(accelerator: Accelerator, model: TrainingAdapter[Any], args: argparse.Namespace) -> None:
    """Does what --task says.

    Raises:
        TrainingError: a setting cannot be used; and as `encode_once` and `train`.
    """
    name, stage = split_task(args.task)
    task = _TASKS[name](model, args)
    if stage == DATA_PROCESS:
        folder = EncodedFolder(args.output_path, {**_encoding_settings(args), "encoders": _encoders(model.pipe)})
        encode_once(accelerator, task.encode, model.media(), folder, num_workers=args.dataset_num_workers)
        return
    network = network_to_train(model.pipe, args, lora_dtype(accelerator, model.pipe.torch_dtype))
    dataset: EncodedDataset | MediaDataset
    encode: Encode
    if stage == TRAIN:
        dataset, encode = EncodedDataset(args.dataset_base_path, task=name, repeat=args.dataset_repeat), dict
    else:
        dataset, encode = model.media(), task.encode
    same = {"the data set": dataset.fingerprint(), "the model's files": _files(model.pipe.networks[trained_name(args)])}
    train(accelerator, task, network, dataset, args, encode=encode, same=same)


def _encoding_settings(args: argparse.Namespace) -> dict[str, Any]:
    """What encoded samples depend on: they are good for another run that has the same."""
    settings = {flag: getattr(args, flag) for flag in _DECIDE_WHAT_IS_ENCODED if hasattr(args, flag)}
    return {"task": split_task(args.task)[0], "metadata": str(args.dataset_metadata_path), **settings}


def _encoders(pipe: BasePipeline) -> dict[str, str]:
    """A fingerprint of each network that is not trained."""
    return {name: _files(network) for name, network in pipe.networks.items() if name not in pipe.family.trained}


def _files(network: LoadedModel) -> str:
    return of_large_files(getattr(network.source, "paths", ()))


logger = logging.getLogger(__name__)


def encode_once(
    accelerator: Accelerator,
    encode: Callable[[Mapping[str, Any]], dict[str, Tensor]],
    dataset: MediaDataset,
    folder: EncodedFolder,
    *,
    num_workers: int = 0,
) -> None:
    """Encodes every row into the folder, shared among the processes; rows that are there as they are now stay.

    A bad sample is left out with a warning where the data set says so.

    Args:
        num_workers: processes that read ahead.

    Raises:
        BadSampleError: a sample cannot be read, and the data set stops at that.
        DatasetError: none could be encoded.
    """
    if accelerator.is_main_process:
        folder.describe()
        folder.forget_rows_from(len(dataset.rows))
    accelerator.wait_for_everyone()
    rows = range(accelerator.process_index, len(dataset.rows), accelerator.num_processes)
    contents = {row: dataset.fingerprint_of(row) for row in progress_bar(rows, desc="comparing", unit="sample")}
    for row, content in contents.items():
        folder.forget_other_contents(row, content)
    missing: Any = [row for row, content in contents.items() if not folder.has(row, content)]
    samples = DataLoader(missing, batch_size=None, num_workers=num_workers, collate_fn=partial(_read, dataset))
    for row, sample in progress_bar(samples, desc="encoding", unit="sample"):
        if sample is not None:
            with torch.no_grad():
                folder.write(row, contents[row], encode(sample))
    accelerator.wait_for_everyone()
    if not any(folder.folder.glob("*.safetensors")):
        raise DatasetError(f"{dataset.metadata_path}: none of its {len(dataset.rows)} rows could be encoded")


def _read(dataset: MediaDataset, row: int) -> tuple[int, dict[str, Any] | None]:
    """A row's number with its sample; None for one that is left out."""
    try:
        return row, dataset.read(row)
    except BadSampleError as error:
        if dataset.on_bad_sample != SKIP:
            raise
        logger.warning("left out: %s", error)
        return row, None
