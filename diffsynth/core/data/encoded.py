"""Samples that were encoded once: a folder of safetensors files, a row each, and a description of how they were made.

Encoding that was broken off goes on where it stopped. A row whose content has changed is encoded again; a folder made
another way is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.utils.data import Dataset

from diffsynth.core.data import BadSampleError, DatasetError
from diffsynth.core.fingerprints import of_values

DESCRIPTION = "encoded.json"


class EncodedFolder:
    """Writes encoded samples. A file appears under its name only when it is whole.

    Args:
        folder: made where it is not there.
        made_by: the settings that decide what the files hold, as JSON has it.

    Raises:
        DatasetError: the folder was made by other settings.
    """

    def __init__(self, folder: Path, made_by: Mapping[str, Any]) -> None:
        self.folder, self.made_by = folder, dict(made_by)
        known = _description(folder)
        if known is not None:
            _check_same(folder, known, self.made_by)

    def describe(self) -> None:
        """Writes the description; one process does this before any writes samples."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _put(self.folder / DESCRIPTION, json.dumps(self.made_by, indent=2).encode())

    def has(self, row: int, content: str) -> bool:
        """Whether the sample of that row is there, of the content with that fingerprint."""
        return self._file(row, content).exists()

    def write(self, row: int, content: str, tensors: Mapping[str, Tensor]) -> None:
        """Adds the sample of a row, in the place of what the row was before."""
        _put(self._file(row, content), save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}))

    def forget_other_contents(self, row: int, content: str) -> None:
        """Deletes what was encoded of that row when it had another content."""
        for file in self.folder.glob(f"{row:08d}*.safetensors"):
            if file != self._file(row, content):
                file.unlink()

    def forget_rows_from(self, row: int) -> None:
        """Deletes the samples of that row and all after it."""
        for file in self.folder.glob("*.safetensors"):
            if file.stem[:8].isdigit() and int(file.stem[:8]) >= row:
                file.unlink()

    def _file(self, row: int, content: str) -> Path:
        return self.folder / f"{row:08d}-{content}.safetensors"


class EncodedDataset(Dataset[dict[str, Tensor]]):
    """Reads what `EncodedFolder` wrote, in the order of the rows.

    Args:
        folder: with the files.
        task: what the samples have to be made for.
        repeat: how often each comes in an epoch.

    Raises:
        DatasetError: there are no encoded samples, or they were made for another task.
    """

    def __init__(self, folder: Path, *, task: str, repeat: int = 1) -> None:
        description = _description(folder)
        self.files = sorted(folder.glob("*.safetensors"))
        if description is None or not self.files:
            raise DatasetError(
                f"{folder}: no encoded samples here; make them with --task {task}:data_process --output_path {folder}"
            )
        if description.get("task") != task:
            raise DatasetError(
                f"{folder}: encoded for --task {description.get('task')}, expected {task}; encode the data set again"
            )
        if repeat < 1:
            raise DatasetError(f"--dataset_repeat {repeat}: expected at least 1")
        self.repeat = repeat

    def fingerprint(self) -> str:
        """Of all samples: their files are named by their contents."""
        return of_values([path.name for path in self.files])

    def __len__(self) -> int:
        return len(self.files) * self.repeat

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        path = self.files[index % len(self.files)]
        try:
            return load(path.read_bytes())
        except (OSError, SafetensorError) as error:
            raise BadSampleError(f"{path}: not a whole encoded sample ({error}); delete it and encode again") from error


def _description(folder: Path) -> dict[str, Any] | None:
    path = folder / DESCRIPTION
    if not path.is_file():
        return None
    try:
        description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(f"{path}: not JSON ({error}); delete the folder and encode again") from error
    return description


def _check_same(folder: Path, known: Mapping[str, Any], made_by: Mapping[str, Any]) -> None:
    for name in {**known, **made_by}:
        if known.get(name) != made_by.get(name):
            raise DatasetError(
                f"{folder}: holds samples encoded with {name} = {known.get(name)}, and now it is {made_by.get(name)}; "
                "name another --output_path, or delete this one"
            )


def _put(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)
