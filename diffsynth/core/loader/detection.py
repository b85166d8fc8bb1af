"""Which models a file holds, told from the names and shapes of its tensors."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import nn

from diffsynth.core.loader.weight_source import CheckpointError, WeightSource
from diffsynth.core.loader.weights import weights_of


def model_hash(headers: Mapping[str, Any]) -> str:
    """The md5, in hex, of all names and shapes; the values do not count.

    Each tensor gives two items, ``name:d0_d1_...`` and ``name``, each nested dict one, ``name|`` and its own items. All
    items of a dict are sorted as text and joined by commas.

    Args:
        headers: by name, anything with a ``shape``, or a dict of such; whatever else is left out.
    """
    return hashlib.md5(_text(headers).encode(), usedforsecurity=False).hexdigest()


def _text(headers: Mapping[Any, Any]) -> str:
    items = []
    for name, value in headers.items():
        if not isinstance(name, str):
            continue
        if isinstance(value, Mapping):
            items.append(f"{name}|{_text(value)}")
        elif hasattr(value, "shape"):
            items += [f"{name}:{'_'.join(map(str, value.shape))}", name]
    return ",".join(sorted(items))


@dataclass(frozen=True)
class ModelEntry:
    """One model that a file holds.

    Attributes:
        model_name: its part in a pipeline, such as ``wan_video_dit``.
        model_class: dotted path of its class.
        kwargs: what to make it with.
        names: the name of each tensor in the file, by the name it was published under.
        vram_units: names of submodules, as patterns, that memory control takes as one; see `core.vram.units`.
    """

    model_name: str
    model_class: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    vram_units: tuple[str, ...] = ()

    def key_map(self, model: nn.Module) -> dict[str, str]:
        """The name of each tensor in the file, by its name in the model; that is the published one unless the model has
        a `file_key`.

        Tensors of the file that the model does not have are in it as well, so that they are found to be too many.
        """
        file_key = getattr(model, "file_key", None)
        of_model = {file_key(key): key for weight in weights_of(model) for key in weight.keys} if file_key else {}
        return {of_model.get(name, name): key for name, key in self.names.items()}


def detect(source: WeightSource, table: Sequence[Mapping[str, Any]]) -> list[ModelEntry]:
    """The models that a source holds, at least one.

    A known hash names them. Otherwise each class of the table is asked whether it knows the names. Sizes are read from
    the shapes in either case, so a model of any width or depth is found.

    Args:
        table: rows of model_hash, model_name and model_class (a dotted path); optionally state_dict_converter (a
            function from the names in the file to a dict of the file's name by the published one, or its dotted path),
            extra_kwargs and vram_units. Where several rows fit one file, the converter of each names only the tensors
            of its model.

    Raises:
        CheckpointError: no row fits; or one does, and a tensor that tells the model's size is missing.
    """
    digest = model_hash(source.headers)
    rows = [row for row in table if row["model_hash"] == digest] or _recognised(source, table)
    if not rows:
        names = ", ".join(list(source.headers)[:3])
        raise CheckpointError(
            f"{source.where()} holds no known model: {len(source.headers)} tensors ({names}, ...), model hash "
            f"{digest}. Check that it is a file of a supported model and that no shard is missing; a model of your own "
            "is made known by appending a row to MODEL_CONFIGS"
        )
    return [_entry(source, row) for row in rows]


def load_object(path: Any) -> Any:
    """What a dotted path names, imported; what is no path is it already.

    Raises:
        ImportError: there is no such module, or nothing of that name in it.
    """
    if not isinstance(path, str):
        return path
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImportError(f"{path!r} in the table of models cannot be imported: {error}") from error


def _recognised(source: WeightSource, table: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows whose class knows the names; the first of each model, however many files of it are published."""
    rows: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in table:
        model = (row["model_name"], row["model_class"])
        recognises = getattr(load_object(row["model_class"]), "recognises", None)
        if model not in rows and recognises is not None and recognises(_published_names(source, row).keys()):
            rows[model] = row
    return list(rows.values())


def _published_names(source: WeightSource, row: Mapping[str, Any]) -> Mapping[str, str]:
    """The file's own name of each tensor, by the name it was published under."""
    converter = row.get("state_dict_converter")
    return load_object(converter)(source.headers.keys()) if converter else {key: key for key in source.headers}


def _entry(source: WeightSource, row: Mapping[str, Any]) -> ModelEntry:
    model_class = load_object(row["model_class"])
    names = _published_names(source, row)
    kwargs = {}
    if hasattr(model_class, "kwargs_from_shapes"):
        try:
            kwargs = model_class.kwargs_from_shapes({key: source.headers[name].shape for key, name in names.items()})
        except KeyError as error:
            raise CheckpointError(
                f"{source.where()} lacks {error.args[0]!r}, which the size of {model_class.__name__} is read from: "
                "check that no shard is missing"
            ) from error
    kwargs = {**kwargs, **row.get("extra_kwargs", {})}
    return ModelEntry(row["model_name"], row["model_class"], kwargs, names, row.get("vram_units", ()))


def blocks_below(keys: Iterable[str], prefix: str) -> int:
    """How many blocks have keys that start so, for networks that read their sizes from a file's names and shapes."""
    return len({key.removeprefix(prefix).split(".")[0] for key in keys if key.startswith(prefix)})


class ToldByNames:
    """A network that is told from the names in a file.

    Attributes:
        telling: names that all of its files have.
        words: what all names are made of between their dots, besides numbers, where a file that has others too holds a
            relative of it, or more than it; empty: any.
    """

    telling: ClassVar[tuple[str, ...]]
    words: ClassVar[str] = ""

    @classmethod
    def recognises(cls, keys: AbstractSet[str]) -> bool:
        """Whether a file with these names holds this network."""
        words = set(cls.words.split())
        own = not words or all(word.isdecimal() or word in words for key in keys for word in key.split("."))
        return own and keys >= set(cls.telling)
