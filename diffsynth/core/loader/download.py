"""Files of a published model: found in the local tree ``<root>/<model_id>/``, or downloaded into it."""

from __future__ import annotations

import glob
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import PurePath

from diffsynth.core.loader import environment

_SHARD = re.compile(r"(?P<stem>.*-)(?P<number>\d+)-of-(?P<count>\d+)(?P<suffix>\.\w+)$")


class ModelNotFoundError(FileNotFoundError):
    """No such file, neither here nor where it would be downloaded from. The message says where it was looked for."""

    def __str__(self) -> str:
        return str(self.args[0])


def find_or_download(
    model_id: str, patterns: Sequence[str], *, root: str, source: str, skip_download: bool
) -> str | list[str]:
    """The files of a model that match the patterns.

    Whatever is not there, or not there whole, is downloaded, unless `skip_download` forbids it. A folder's content
    cannot be told to be whole from here, so the client is asked each time; if it cannot be reached, what is there is
    used, with a warning.

    Args:
        model_id: ``Org/Name``.
        patterns: globs below the model's folder; one that ends in ``/`` names a folder, and an empty one the whole.
        root: of the local tree.
        source: one of `environment.DOWNLOAD_SOURCES`.

    Returns:
        The path of the one file or folder, or a list of several: the patterns in their order, matches sorted by name.

    Raises:
        ModelNotFoundError: a pattern matches nothing, or only some shards of a model are there.
        ValueError: a pattern leads out of the model's folder.
    """
    folder = os.path.join(root, model_id)
    for pattern in patterns:
        if os.path.isabs(pattern) or ".." in PurePath(pattern).parts:
            raise ValueError(
                f"origin_file_pattern {pattern!r} leads out of the folder of {model_id}: for a file elsewhere, "
                "give path="
            )
    found = [_matches(folder, pattern) for pattern in patterns]
    wanted = [pattern for pattern, paths in zip(patterns, found, strict=True) if not _surely_whole(paths)]
    if wanted and not skip_download:
        _download(model_id, wanted, folder, source, have_all=all(found) and not any(map(_missing_shards, found)))
        found = [_matches(folder, pattern) for pattern in patterns]
    for pattern, paths in zip(patterns, found, strict=True):
        if not paths or _missing_shards(paths):
            raise ModelNotFoundError(_not_found(model_id, pattern, paths, folder, source, skip_download))
    paths = list(dict.fromkeys(path for matches in found for path in matches))
    return paths[0] if len(paths) == 1 else paths


def is_local(model_id: str, patterns: Sequence[str], root: str) -> bool:
    """Whether every pattern matches something in the local tree, with no shard missing."""
    found = [_matches(os.path.join(root, model_id), pattern) for pattern in patterns]
    return all(paths and not _missing_shards(paths) for paths in found)


def _matches(folder: str, pattern: str) -> list[str]:
    """The files that match, sorted; or the folder that the pattern names, if there is anything in it."""
    if pattern and not pattern.endswith("/"):
        return sorted(glob.glob(os.path.join(glob.escape(folder), pattern), recursive=True))
    named = folder if pattern in ("", "./") else os.path.join(folder, pattern.rstrip("/"))
    # What download clients keep for themselves is not counted.
    has_content = os.path.isdir(named) and any(not name.startswith(".") for name in os.listdir(named))
    return [named] if has_content else []


def _surely_whole(paths: Sequence[str]) -> bool:
    """Whether nothing of what was asked for can be missing: files appear under their names once they are complete."""
    return bool(paths) and not any(map(os.path.isdir, paths)) and not _missing_shards(paths)


def _missing_shards(paths: Sequence[str]) -> list[str]:
    """The names of those of ``x-00001-of-00006.safetensors`` and its like that are not among the paths."""
    shards = filter(None, map(_SHARD.match, paths))
    names = (
        f"{shard['stem']}{number:0{len(shard['number'])}}-of-{shard['count']}{shard['suffix']}"
        for shard in shards
        for number in range(1, int(shard["count"]) + 1)
    )
    return [name for name in dict.fromkeys(names) if name not in paths]


def _download(model_id: str, patterns: Sequence[str], folder: str, source: str, have_all: bool) -> None:
    """Asks the client of `source` for the files; with `have_all`, being unable to is but a warning."""
    below_folders = [pattern + "*" if pattern.endswith("/") else pattern for pattern in patterns]
    allowed = None if any(pattern in ("", "./") for pattern in patterns) else below_folders
    try:
        if source == "huggingface":
            import huggingface_hub

            huggingface_hub.snapshot_download(model_id, local_dir=folder, allow_patterns=allowed)
        else:
            import modelscope

            modelscope.snapshot_download(model_id, local_dir=folder, allow_patterns=allowed)
    except ImportError as error:
        client = "huggingface_hub" if source == "huggingface" else "modelscope"
        raise ModelNotFoundError(
            f"{model_id} is not whole in {folder}, and downloading it needs {client}: pip install {client}; "
            f"{_other_ways(source)}"
        ) from error
    except Exception as error:  # each client has its own, beside those of its network library
        reason = f"downloading {', '.join(patterns)} of {model_id} from {source} failed: {_first_line(error)}"
        if not have_all:
            raise ModelNotFoundError(f"{reason}; it was looked for in {folder}. {_other_ways(source)}") from error
        warnings.warn(f"{reason}; using what is in {folder}", stacklevel=2)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]


def _not_found(model_id: str, pattern: str, paths: Sequence[str], folder: str, source: str, skip_download: bool) -> str:
    what = f"{pattern!r}" if pattern else "any file"
    if paths:
        names = ", ".join(map(os.path.basename, _missing_shards(paths)))
        problem = f"only some shards of {what} are in {folder}: {names} missing"
    else:
        problem = f"{what} matches nothing in {folder}"
    if skip_download:
        asked = f"and downloading is switched off (skip_download or {environment.SKIP_DOWNLOAD})"
    else:
        asked = f"nor in {model_id} at {source}"
    return f"model {model_id}: {problem}, {asked}. {_other_ways(source)}"


def _other_ways(source: str) -> str:
    other = next(name for name in environment.DOWNLOAD_SOURCES if name != source)
    return (
        f"Put the files there, or name another root with local_model_path or {environment.MODEL_BASE_PATH}, or the "
        f"files themselves with path, or allow downloads from {other} with download_source or "
        f"{environment.DOWNLOAD_SOURCE}; check model_id and origin_file_pattern"
    )
