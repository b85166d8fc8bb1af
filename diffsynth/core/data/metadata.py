"""Metadata files: one row a sample, as csv, json (a list of objects) or jsonl (an object a line)."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffsynth.core.data import DatasetError

Row = dict[str, Any]


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
        rows = []
        for number, row in enumerate(reader, 1):
            if None in row:
                raise DatasetError(
                    f"{path}: row {number} has more values than the {len(reader.fieldnames or ())} columns; "
                    "put quotes around a value that has a comma in it"
                )
            rows.append({name: value for name, value in row.items() if value})
        return rows


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
