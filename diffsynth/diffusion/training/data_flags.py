"""The data set that a training script is told on its command line."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from diffsynth.core.data.frame_size import FrameSize
from diffsynth.core.data.media_dataset import MediaDataset
from diffsynth.diffusion.training.arguments import names, split_task
from diffsynth.diffusion.training.errors import TrainingError

# A model has some of these.
_DECIDE_WHAT_IS_ENCODED = (
    "height", "width", "max_pixels", "num_frames", "torch_dtype", "data_file_keys", "extra_inputs",
)  # fmt: skip


def media_dataset(
    args: argparse.Namespace,
    size: FrameSize,
    *,
    needed: Sequence[str] = (),
    sizes: Mapping[str, FrameSize] | None = None,
    lists: Sequence[str] = (),
) -> MediaDataset:
    """The images and videos of the metadata file.

    Args:
        size: of those that `sizes` says nothing of.
        needed: columns in which every row has to name a file.
        sizes: by column.
        lists: columns that may name several.

    Raises:
        TrainingError: no metadata file is named.
        DatasetError: see `MediaDataset`.
    """
    if args.dataset_metadata_path is None:
        raise TrainingError(f"--task {args.task} needs --dataset_metadata_path")
    return MediaDataset(
        args.dataset_base_path, args.dataset_metadata_path,
        file_keys=tuple(dict.fromkeys([*names(args.data_file_keys), *needed])), size=size, needed=needed, sizes=sizes,
        lists=lists, repeat=args.dataset_repeat, on_bad_sample=args.on_bad_sample,
    )  # fmt: skip


def encoding_settings(args: argparse.Namespace) -> dict[str, Any]:
    """What encoded samples depend on: they are good for another run that has the same."""
    settings = {flag: getattr(args, flag) for flag in _DECIDE_WHAT_IS_ENCODED if hasattr(args, flag)}
    return {"task": split_task(args.task)[0], "metadata": str(args.dataset_metadata_path), **settings}
