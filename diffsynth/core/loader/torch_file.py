"""A file written by torch.save: which tensors it holds, and where.

torch.load maps the file and makes tensors that touch none of its pages. All storages lie in one mapping, as the records
``data/*`` lie in the archive; so a tensor's address minus the start of the mapping is its place in the file.
"""

from __future__ import annotations

import pickle
import sys
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, UntypedStorage, nn

from diffsynth.core.loader.file_source import ByteSpan, FileSource
from diffsynth.core.loader.weight_source import CheckpointError, DictSource, WeightSource

# Training tools put the weights under one of these names.
WRAPPERS = ("state_dict", "module", "model_state")


def torch_source(path: str) -> WeightSource:
    """The tensors of a file written by torch.save.

    Files in the format from before torch 1.6, compressed ones and those of a machine with the other byte order are
    held in memory; all others are read tensor by tensor.

    Raises:
        CheckpointError: the file is damaged, would run code when loaded, or holds no state dict.
    """
    if zipfile.is_zipfile(path):
        storages: set[tuple[int, int]] = set()

        def note(storage: UntypedStorage, location: str) -> UntypedStorage:
            storages.add((storage.data_ptr(), storage.nbytes()))
            return storage  # wherever it was saved from, it stays in host memory

        tensors = _plain(path, _load(path, mmap=True, map_location=note))
        start = _start_of_mapping(path, storages)
        if start is not None:
            return FileSource(path, {key: _span(tensor, start) for key, tensor in tensors.items()})
    return DictSource(_plain(path, _load(path)), name=path)


def _load(path: str, mmap: bool = False, map_location: Any = "cpu") -> object:
    try:
        return torch.load(path, map_location=map_location, weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refused(path)) from error
    except Exception as error:  # a damaged pickle or archive can raise anything
        reason = str(error).split(". ")[0].splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path} is no whole file of torch.save ({reason}): it is damaged or was not fully downloaded; "
            "delete it and download it again"
        ) from error


def _refused(path: str) -> str:
    """Why torch.load with weights_only refused the file."""
    try:
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # not an archive, or not a pickle
        foreign = []
    if not foreign:
        return f"{path} is no file of torch.save, or is damaged: download it again, or check what it is"
    return (
        f"{path} holds more than tensors ({', '.join(sorted(foreign))}), and loading that may run code, so it is "
        "refused; save the state dict alone, best as .safetensors"
    )


def _state_dict(path: str, content: object) -> Mapping[str, object]:
    """The dict of tensors in what was saved, taken out of a wrapper if that is all that has tensors.

    Raises:
        CheckpointError: there is none, or it is not clear which.
    """
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}: expected a state dict, tensors by name")
    if _has_tensors(content):
        nested = [str(key) for key, value in content.items() if isinstance(value, Mapping) and _has_tensors(value)]
        if nested:
            raise CheckpointError(f"{path} holds tensors and also dicts ({', '.join(nested)}): expected tensors alone")
        return content
    wrapped = [name for name in WRAPPERS if isinstance(content.get(name), Mapping)]
    if len(wrapped) == 1:
        return _state_dict(path, content[wrapped[0]])
    raise CheckpointError(
        f"{path} holds no tensors by name, but {', '.join(map(str, list(content)[:8])) or 'an empty dict'}: "
        f"expected a state dict, or one under {', '.join(WRAPPERS)}"
    )


def _has_tensors(content: Mapping[object, object]) -> bool:
    return any(isinstance(value, Tensor) for value in content.values())


def _plain(path: str, content: object) -> dict[str, Tensor]:
    """The tensors in what was saved, all of which lie in memory as their shape and strides say.

    Raises:
        CheckpointError: one is sparse, quantized, or of a class of its own; or as `_state_dict`.
    """
    tensors = {str(key): value for key, value in _state_dict(path, content).items() if isinstance(value, Tensor)}
    for key, value in tensors.items():
        special = value.layout != torch.strided or value.is_quantized or value.is_conj() or value.is_neg()
        if special or type(value) not in (Tensor, nn.Parameter):
            raise CheckpointError(f"{path}: {key!r} is no plain tensor ({type(value).__name__}, {value.layout})")
    return tensors


def _start_of_mapping(path: str, storages: set[tuple[int, int]]) -> int | None:
    """The address that the file's first byte was mapped to; None if the records do not lie there as they are.

    Args:
        storages: address and bytes of every storage that was loaded.
    """
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        records = [record for record in archive.infolist() if "/data/" in record.filename and record.file_size]
        if any(record.compress_type != zipfile.ZIP_STORED for record in records) or _swapped(archive):
            return None
        places = {(_data_offset(file, record), record.file_size) for record in records}
    storages = {storage for storage in storages if storage[1]}
    if not storages or not places:
        return None if storages or places else 0
    start = min(storages)[0] - min(places)[0]
    return start if {(start + offset, size) for offset, size in places} == storages else None


def _swapped(archive: zipfile.ZipFile) -> bool:
    orders = [archive.read(name).decode() for name in archive.namelist() if name.endswith("/byteorder")]
    return any(order != sys.byteorder for order in orders)


def _data_offset(file: Any, record: zipfile.ZipInfo) -> int:
    """Where a record's bytes start: after its header, which ends in the lengths of a name and of padding."""
    file.seek(record.header_offset + 26)
    name_and_padding = file.read(4)
    return record.header_offset + 30 + sum(int.from_bytes(name_and_padding[i : i + 2], "little") for i in (0, 2))


def _span(tensor: Tensor, start: int) -> ByteSpan:
    offset = tensor.data_ptr() - start if tensor.numel() else 0
    strides = () if tensor.is_contiguous() else tensor.stride()
    return ByteSpan(offset, tuple(tensor.shape), tensor.dtype, strides)
