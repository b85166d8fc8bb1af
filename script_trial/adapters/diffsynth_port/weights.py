"""Made-up checkpoints: small, random, and otherwise as published, in file names, key names and shapes' proportions.

The networks' own classes say which parameters there are, so the files cannot drift away from what the loader reads.
"""

from __future__ import annotations

import fnmatch
import functools
import importlib
import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diffsynth.families.family import DTYPES, LoraFile, ModelFile, Network, Sizes, TokenizerFolder, WeightFile
from script_trial.adapters.diffsynth_port.catalogue import entries_of, file_names, index_name, shard_names
from script_trial.checkpoint_files import put_file, write_index, write_tensors
from script_trial.random_values import random_weight
from script_trial.small.tokenizer_files import FILES

_DEFAULT_SIZES = Sizes()
RANK = 4  # of a made-up LoRA that is nobody's


def make_weights(
    model_id: str,
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    sizes: Sizes = _DEFAULT_SIZES,
    dtype: str | torch.dtype | None = None,
    force: bool = False,
) -> list[Path]:
    """Writes all files of a model below `folder`/`model_id` and returns their paths.

    `folder` is what DIFFSYNTH_MODEL_BASE_PATH names. `dtype` is one of `DTYPES`; by default each file holds the type
    that the published one holds. Equal arguments give equal bytes. Files that models share (text encoder, VAE,
    tokenizer) depend on the seed and the sizes alone, whatever the model and the file format.

    Raises UnknownModelError, ValueError for an illegal size or type, FileExistsError where a different file is in the
    way and `force` is not set.
    """
    return make_for_patterns(model_id, None, folder, seed=seed, sizes=sizes, dtype=dtype, force=force)


def make_for_patterns(
    model_id: str,
    pattern: str | Sequence[str] | None,
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    sizes: Sizes = _DEFAULT_SIZES,
    dtype: str | torch.dtype | None = None,
    force: bool = False,
) -> list[Path]:
    """Like `make_weights`, but only what a ModelConfig's `origin_file_pattern` asks for.

    A pattern is a glob inside the model's folder; one that ends with "/" is a folder; None, "" and "./" are all there
    is. A checkpoint in shards is written whole when one shard matches.

    Raises ValueError, with the names there are, when a pattern matches none of them; else as `make_weights`.
    """
    if dtype is not None and str(dtype).removeprefix("torch.") not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    wanted = matching(model_id, [pattern] if pattern is None or isinstance(pattern, str) else pattern)
    maker = _Maker(
        Path(folder) / model_id, seed, sizes, str(dtype).removeprefix("torch.") if dtype is not None else None, force
    )
    return [path for entry in wanted for path in maker.make(entry)]


def matching(model_id: str, patterns: Iterable[str | None]) -> list[ModelFile]:
    """The checkpoints, LoRAs and tokenizers of a model that patterns ask for; raises as `make_for_patterns`."""
    return list({entry.name: entry for pattern in patterns for entry in _matching(model_id, pattern)}.values())


def _matching(model_id: str, pattern: str | None) -> list[ModelFile]:
    entries = entries_of(model_id)
    found = [entry for entry in entries if any(_is_match(name, pattern) for name in file_names(entry))]
    if not found:
        names = ", ".join(name for entry in entries for name in file_names(entry))
        raise ValueError(f"{pattern!r} matches no file of {model_id}; it has {names}")
    return found


def _is_match(name: str, pattern: str | None) -> bool:
    if pattern in (None, "", "./"):
        return True
    if pattern.endswith("/"):
        return name.startswith(pattern)
    parts, patterns = name.split("/"), pattern.split("/")  # as in glob, a star stops at a slash
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))


@dataclass(frozen=True)
class _Maker:
    """Writes entries of the catalogue into a model's folder."""

    folder: Path
    seed: int
    sizes: Sizes
    dtype: str | None
    force: bool

    def make(self, entry: ModelFile) -> list[Path]:
        if isinstance(entry, LoraFile):
            return [self._lora(entry)]
        return self._tokenizer(entry) if isinstance(entry, TokenizerFolder) else self._checkpoint(entry)

    def _tokenizer(self, entry: TokenizerFolder) -> list[Path]:
        return [
            self._put(f"{entry.name}/{name}", functools.partial(Path.write_text, data=text(), encoding="utf-8"))
            for name, text in FILES[entry.kind].items()
        ]

    def _checkpoint(self, entry: WeightFile) -> list[Path]:
        shapes = _file_shapes(entry, self.sizes)
        shard_of: dict[str, str] = {}
        total_bytes = 0
        paths: list[Path] = []
        for name, keys in zip(shard_names(entry), _cut(list(shapes), entry.shards), strict=True):
            tensors = {key: self._values(entry, key, shapes[key]) for key in keys}
            paths.append(self._put(name, functools.partial(write_tensors, tensors, suffix=Path(name).suffix)))
            shard_of |= dict.fromkeys(keys, Path(name).name)
            total_bytes += sum(tensor.nbytes for tensor in tensors.values())
        if entry.shards > 1:
            paths.append(self._put(index_name(entry), functools.partial(write_index, shard_of, total_bytes)))
        return paths

    def _lora(self, entry: LoraFile) -> Path:
        dtype = getattr(torch, self.dtype or entry.network.dtype)
        network, seed = _on_meta(entry.network, self.sizes, {}), f"{self.seed}/{entry.identity}"
        tensors = made_up_lora(network, seed, dtype=dtype, rank=entry.rank, targets=entry.targets)
        return self._put(entry.name, functools.partial(write_tensors, tensors, suffix=Path(entry.name).suffix))

    def _values(self, entry: WeightFile, key: str, shape: tuple[int, ...]) -> torch.Tensor:
        dtype = getattr(torch, self.dtype or entry.network.dtype)
        return random_weight(key, shape, dtype, f"{self.seed}/{entry.identity}", entry.network.gains)

    def _put(self, name: str, write: Callable[[Path], object]) -> Path:
        return put_file(self.folder / name, write, force=self.force)


def _file_shapes(entry: WeightFile, sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """The keys of a published file, with their shapes at these sizes."""
    shapes = _network_shapes(entry.network, sizes, entry.kwargs)
    for other in entry.beside:
        shapes |= _network_shapes(other, sizes, {})
    return {f"{entry.prefix}{key}": shape for key, shape in shapes.items()}


def _network_shapes(network: Network, sizes: Sizes, kwargs: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    model = _on_meta(network, sizes, kwargs)
    file_key = getattr(model, "file_key", str)
    used = {file_key(key): tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    return used | network.unused(sizes)


def _on_meta(network: Network, sizes: Sizes, kwargs: Mapping[str, Any]) -> nn.Module:
    module, _, name = network.model_class.rpartition(".")
    model_class = getattr(importlib.import_module(module), name)
    with torch.device("meta"):
        model: nn.Module = model_class(**{**network.small(sizes), **kwargs})
    return model


def made_up_lora(
    network: nn.Module,
    seed: str,
    *,
    dtype: torch.dtype | None = None,
    rank: int = RANK,
    targets: tuple[str, ...] | None = None,
) -> dict[str, torch.Tensor]:
    """A LoRA of linear layers in the network's blocks, in the format that training saves: of those whose names end so,
    or of all; of a layer's own type unless `dtype` says another."""
    blocks: Any = network.blocks
    within = {layer for block in blocks for layer in block.modules()}
    content = {}
    for name, layer in network.named_modules():
        named = targets is None or f".{name}".endswith(tuple(f".{target}" for target in targets))
        if isinstance(layer, nn.Linear) and layer in within and named:
            halves = {"A": (rank, layer.in_features), "B": (layer.out_features, rank)}
            for half, shape in halves.items():
                key = f"{name}.lora_{half}.default.weight"
                content[key] = random_weight(key, shape, dtype or layer.weight.dtype, seed, {})
    return content


def _cut(keys: list[str], pieces: int) -> list[list[str]]:
    """The keys in `pieces` runs, as even in number as can be."""
    bounds = [len(keys) * piece // pieces for piece in range(pieces + 1)]
    return [keys[start:end] for start, end in itertools.pairwise(bounds)]
