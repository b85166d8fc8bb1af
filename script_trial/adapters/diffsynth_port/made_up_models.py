"""The published models that scripts name, made up: as deep as a script needs.

One block of a DiT has every kind of layer that there is. There are two where something happens between blocks: their
weights come and go, tokens or weights are shared out among devices, another network adds to what goes through them, or
the script itself reaches for them.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffsynth.families.family import ModelFile, Sizes, TokenizerFolder, WeightFile
from script_trial.adapter import CannotMakeUp, TrialOfAdapter
from script_trial.adapters.diffsynth_port.catalogue import MODELS, file_names
from script_trial.adapters.diffsynth_port.weights import make_for_patterns, matching

if TYPE_CHECKING:
    from torch import nn

    from diffsynth.core.loader.model_config import ModelConfig

#: A second block of a text encoder or of a VAE's level computes nothing that its first does not, wherever it is. Heads
#: of half the published width are a quarter of the weights.
SIZES = Sizes(head_dim=64, layers=1, text_layers=1, vae_width=4, vae_blocks=1)
TWO_BLOCKS = replace(SIZES, layers=2)

#: How the names of networks read that add to what goes through the blocks of a DiT.
_BETWEEN_BLOCKS = re.compile("vace|controlnet", re.IGNORECASE)

#: Flags of a training that name models whose weights come and go.
_COME_AND_GO = ("fp8_models", "offload_models")
#: What a launcher says to a process whose weights are shared out.
_SHARDED = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP")

#: The folder for all that is made up for these pipelines, below that for everything that is.
OWN = "diffsynth-port"


class Models:
    """The models of a trial. Until it is known what they are for, they have two blocks.

    Whichever way of running a script knows first says it for all: they are to compute the same, though the script's
    form there asks for other settings.
    """

    def __init__(self, trial: TrialOfAdapter) -> None:
        self._trial = trial
        self._sizes = TWO_BLOCKS
        self._script_names_blocks = _names_blocks(sys.argv[0])
        self._script = _key(trial, *sys.argv)
        self._suited = 0  # how often it was known

    def suit_pipeline(self, configs: Iterable[ModelConfig], shared: bool) -> None:
        """From now on models are as deep as a pipeline of these configs needs; `shared`: among several devices."""
        moved = any(value is not None for config in configs for value in config.vram_config().values())
        self._suit([name for config in configs for name in (config.model_id, config.path)], shared or moved)

    def suit_training(self, given: Mapping[str, str]) -> None:
        """The same for a training with these arguments."""
        moved = any(given.get(name) for name in _COME_AND_GO)
        sharded = any(os.environ.get(name, "").lower() == "true" for name in _SHARDED)
        self._suit([given.get(name) for name in ("model_id_with_origin_paths", "model_paths")], moved or sharded)

    def _suit(self, names: Iterable[Any], several_places: bool) -> None:
        added = any(_BETWEEN_BLOCKS.search(str(name)) for name in names)
        sizes = TWO_BLOCKS if several_places or added or self._script_names_blocks else SIZES
        self._suited += 1
        said = self._trial.once(
            f"{OWN}/depths/{self._script}-{self._suited}", lambda file: file.write_text(str(sizes.layers))
        )
        self._sizes = replace(SIZES, layers=int(said.read_text()))

    def suit_network(self, network: nn.Module) -> None:
        """From now on models, LoRAs above all, are as deep as this network."""
        blocks: Any = getattr(network, "blocks", ())
        self._sizes = replace(SIZES, layers=len(blocks) or SIZES.layers)

    def for_download(self, download: Callable[..., Any]) -> Callable[..., Any]:
        """`ModelConfig.download_if_necessary`, with the model's files written first where they are missing."""

        @functools.wraps(download)
        def made(config: Any, *args: Any, **kwargs: Any) -> Any:
            if config.path is None and config.model_id is not None:
                root = self.root(config.model_id, config.patterns())
                config = replace(config, local_model_path=str(root))
            elif isinstance(config.path, (str, os.PathLike)) and (model_id := _trained_one(str(config.path))):
                copy = functools.partial(_copy_weights, self.root(model_id) / model_id)
                config = replace(config, path=str(self._trial.found_or_made_up(str(config.path), copy)))
            # There is no network in a trial, and the clients would try for a minute.
            return download(replace(config, skip_download=True), *args, **kwargs)

        return made

    def root(self, model_id: str, patterns: Iterable[str] = ("",)) -> Path:
        """The folder below which those files of a model lie that match, made up.

        Raises:
            CannotMakeUp: no such model is known.
        """
        if model_id not in MODELS:
            raise CannotMakeUp(f"the weights of {model_id}, which cannot be made up; those of {', '.join(MODELS)} can")
        try:
            entries = matching(model_id, patterns)
        except ValueError:  # the library says best what is wrong with a pattern
            entries = list(MODELS[model_id])
        sizes = self._sizes if any(map(_has_blocks, entries)) else SIZES
        place = f"{OWN}/models-{sizes.layers}"
        root = self._trial.made_up / place
        for entry in entries:
            make = functools.partial(_make, model_id, file_names(entry)[0], root, sizes)
            self._trial.once(f"{place}/{model_id}/{entry.name}", make)
        return root

    def published_file(self, path: str) -> str:
        """The file at a path such as models/DiffSynth-Studio/Qwen-Image-EliGen/model.safetensors, made up where it is
        missing; the path itself where no such model is known."""
        for file in (Path(path), self._trial.started_in / path):
            if file.exists():
                return str(file)
        model_id = next((model_id for model_id in MODELS if f"/{model_id}/" in f"/{path}"), None)
        if model_id is None:
            return path
        return str(self.root(model_id) / model_id / f"/{path}".partition(f"/{model_id}/")[2])


def _key(trial: TrialOfAdapter, script: str, *arguments: str) -> str:
    """The same for a script's run every way, and for each of its processes."""
    place = os.path.relpath(script, trial.folder)
    told = repr((trial.of_all_ways, place, arguments, os.environ.get("WORLD_SIZE")))
    return hashlib.sha256(told.encode()).hexdigest()


def _names_blocks(script: str) -> bool:
    try:
        return "blocks" in Path(script).read_text("utf-8", errors="ignore")
    except OSError:  # a module, or no file at all
        return False


def _make(model_id: str, file: str, root: Path, sizes: Sizes, _: Path) -> None:
    make_for_patterns(model_id, file, root, sizes=sizes)


def _has_blocks(entry: ModelFile) -> bool:
    """Whether the number of a DiT's blocks changes what is in the file."""
    if isinstance(entry, TokenizerFolder):
        return False
    return entry.network.small(SIZES) != entry.network.small(TWO_BLOCKS)


def _trained_one(path: str) -> str | None:
    """The model of one file that a training has written to a path, which is called after it: of
    models/train/Qwen-Image-Blockwise-ControlNet-Canny_full/epoch-1.safetensors the ControlNet. None: of none."""
    one_file = [model_id for model_id, entries in MODELS.items() if [type(entry) for entry in entries] == [WeightFile]]
    fitting = [model_id for model_id in one_file if f"/{model_id.rpartition('/')[2]}_" in f"/{path}"]
    return max(fitting, key=len, default=None)


def _copy_weights(folder: Path, path: Path) -> None:
    """The one checkpoint of a model's folder."""
    (file,) = folder.glob("*.safetensors")
    shutil.copyfile(file, path)
