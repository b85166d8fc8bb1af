"""Encoding a data set once, for training that does without the encoders (tasks with :data_process)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from diffsynth.core.data.encoded import EncodedFolder
from diffsynth.core.data.errors import BadSampleError, DatasetError
from diffsynth.core.data.media_dataset import SKIP, MediaDataset
from diffsynth.core.progress import progress_bar

if TYPE_CHECKING:
    from accelerate import Accelerator

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
    missing = _Reading(dataset, [row for row, content in contents.items() if not folder.has(row, content)])
    samples = DataLoader(missing, batch_size=None, num_workers=num_workers)
    for row, sample in progress_bar(samples, desc="encoding", unit="sample"):
        if sample is not None:
            with torch.no_grad():
                folder.write(row, contents[row], encode(sample))
    accelerator.wait_for_everyone()
    if not any(folder.folder.glob("*.safetensors")):
        raise DatasetError(f"{dataset.metadata_path}: none of its {len(dataset.rows)} rows could be encoded")


class _Reading(Dataset):
    """Some rows of a data set with their samples; None for one that is left out."""

    def __init__(self, dataset: MediaDataset, rows: list[int]) -> None:
        self.dataset, self.rows = dataset, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[int, dict[str, Any] | None]:
        row = self.rows[index]
        try:
            return row, self.dataset.read(row)
        except BadSampleError as error:
            if self.dataset.on_bad_sample != SKIP:
                raise
            logger.warning("left out: %s", error)
            return row, None
