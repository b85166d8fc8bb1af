"""A data set of images and videos, named by the rows of a metadata file: one row a sample, as csv, json (a list of
objects) or jsonl (an object a line)."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch.utils.data import Dataset

from diffsynth.core.data import BadSampleError, DatasetError
from diffsynth.core.data.frames import FrameSize, read_frames
from diffsynth.core.fingerprints import of_file, of_values

Row = dict[str, Any]

logger = logging.getLogger(__name__)

STOP, SKIP = "stop", "skip"
PLACE = "__place__"
"""Under this name a sample says where it comes from: the metadata file and the row."""


class MediaDataset(Dataset[Row]):
    """Samples: a metadata row each, in which file names have become lists of frames.

    Args:
        base_path: the folder that file names are relative to.
        metadata_path: a csv, json or jsonl file.
        file_keys: the columns that name files; a row has one of them at least.
        size: what frames are cropped and resized to.
        needed: those columns that every row has.
        sizes: instead of `size`, by column.
        lists: those columns that may hold a list of file names, which becomes a list of lists of frames.
        repeat: how often each row comes in an epoch.
        on_bad_sample: "stop" raises BadSampleError for a sample that cannot be read; "skip" says so in the log and
            takes the next row instead, so that every process has as many samples as before.

    Raises:
        DatasetError: the folder or the metadata cannot be used.
    """

    def __init__(
        self,
        base_path: Path,
        metadata_path: Path,
        *,
        file_keys: tuple[str, ...],
        size: FrameSize,
        needed: Sequence[str] = (),
        sizes: Mapping[str, FrameSize] | None = None,
        lists: Sequence[str] = (),
        repeat: int = 1,
        on_bad_sample: str = STOP,
    ) -> None:
        if not base_path.is_dir():
            raise DatasetError(f"{base_path}: there is no such folder; check --dataset_base_path")
        if repeat < 1:
            raise DatasetError(f"--dataset_repeat {repeat}: expected at least 1")
        self.base_path, self.metadata_path = base_path, metadata_path
        self.rows = read_metadata(metadata_path)
        self.file_keys, self.needed, self.repeat, self.on_bad_sample = file_keys, needed, repeat, on_bad_sample
        self.sizes, self.lists = dict.fromkeys(file_keys, size) | dict(sizes or {}), lists
        if not any(key in row for row in self.rows for key in file_keys):
            raise DatasetError(
                f"{metadata_path}: no row has a column {' or '.join(map(repr, file_keys))}, there are "
                f"{', '.join(self.rows[0])}; --data_file_keys says which columns name files"
            )

    def __len__(self) -> int:
        return len(self.rows) * self.repeat

    def __getitem__(self, index: int) -> Row:
        for offset in range(len(self.rows)):
            try:
                return self.read((index + offset) % len(self.rows))
            except BadSampleError as error:
                if self.on_bad_sample == STOP:
                    raise
                logger.warning("skipped: %s", error)
        raise DatasetError(f"{self.metadata_path}: none of its {len(self.rows)} rows can be read")

    def fingerprint(self) -> str:
        """Of the metadata's rows; the files they name are not looked at."""
        return of_values(self.rows)

    def fingerprint_of(self, row: int) -> str:
        """Of one row and the content of the files it names."""
        content = self.rows[row]
        named = [content[key] for key in self.file_keys if content.get(key)]
        files = [name for names in named for name in (names if isinstance(names, list) else [names])]
        return of_values([content, [of_file(self.base_path / str(name)) for name in files]])

    def read(self, row: int) -> Row:
        """The sample of one row, counted from 0.

        Raises:
            BadSampleError: it cannot be read; rows are counted from 1 in the message, without the heading.
        """
        content = self.rows[row]
        place = f"{self.metadata_path}: row {row + 1}"
        files = {key: content[key] for key in self.file_keys if content.get(key)}
        if not files:
            raise BadSampleError(f"{place} names no file: expected one under {' or '.join(map(repr, self.file_keys))}")
        for key in self.needed:
            if key not in files:
                raise BadSampleError(f"{place} names no file under {key!r}, which this run needs of every row")
        return {PLACE: place, **content, **{key: self._media(name, key, place) for key, name in files.items()}}

    def _media(self, name: Any, key: str, place: str) -> Any:
        if isinstance(name, list) and key in self.lists:
            return [self._frames(one, self.sizes[key], f"{place}, {key}") for one in name]
        return self._frames(name, self.sizes[key], f"{place}, {key}")

    def _frames(self, name: Any, size: FrameSize, place: str) -> list[Image.Image]:
        if not isinstance(name, str):
            raise BadSampleError(f"{place}: {name!r} is a {type(name).__name__}, expected a file name")
        try:
            return read_frames(self.base_path / name, size)
        except (OSError, ValueError) as error:
            raise BadSampleError(f"{place}: {error}") from error


def read_metadata(path: Path) -> list[Row]:
    """The rows of a metadata file. Empty cells of a csv file are left out of their row.

    Raises:
        DatasetError: there is no such file, it is of another kind, it has no rows, or a row is no object.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(f"{path}: expected a metadata file that ends in {', '.join(_READERS)}")
    if not path.is_file():
        raise DatasetError(f"{path}: there is no such metadata file; check --dataset_metadata_path")
    try:
        rows = reader(path)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not UTF-8 text ({error}); save it as UTF-8") from error
    if not rows:
        raise DatasetError(f"{path}: there are no rows in it")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DatasetError(f"{path}: row {number} is a {type(row).__name__}, expected an object with named values")
    return rows


def _read_csv(path: Path) -> list[Row]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        rows = list(reader)
    for number, row in enumerate(rows, 1):
        if None in row:
            raise DatasetError(
                f"{path}: row {number} has more values than the {len(reader.fieldnames or ())} columns; "
                "put quotes around a value that has a comma in it"
            )
    return [{name: value for name, value in row.items() if value} for row in rows]


def _read_json(path: Path) -> list[Row]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}: not JSON ({error})") from error
    if not isinstance(rows, list):
        raise DatasetError(f"{path}: holds a {type(rows).__name__}, expected a list of objects")
    return rows


def _read_jsonl(path: Path) -> list[Row]:
    rows = []
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise DatasetError(f"{path}: line {number} is not JSON ({error})") from error
    return rows


_READERS: dict[str, Callable[[Path], list[Row]]] = {".csv": _read_csv, ".json": _read_json, ".jsonl": _read_jsonl}
