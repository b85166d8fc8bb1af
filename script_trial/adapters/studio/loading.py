"""Where DiffSynth-Studio looks for weights and tokenizers, it finds made-up ones; it loads them by its own code."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from script_trial.adapter import CannotMakeUp, TrialOfAdapter
from script_trial.adapters.studio.catalogue import Entry, entries_of, name_in
from script_trial.adapters.studio.library import studio
from script_trial.adapters.studio.tokenizer_folders import kind_of, write_tokenizer
from script_trial.adapters.studio.weights import building, small_entry, write_weights


def install_loading(trial: TrialOfAdapter) -> None:
    """Hooks into ModelConfig and ModelPool."""
    config, pool = studio("core.loader.config").ModelConfig, studio("models.model_loader").ModelPool
    made_up = _MadeUpFiles(trial)
    config.download_if_necessary = made_up.instead_of(config.download_if_necessary)
    pool.load_model_file = _with_small_networks(pool.load_model_file)


def _with_small_networks(load: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(load)
    def small(pool: Any, config: Entry, *args: Any, **kwargs: Any) -> Any:
        with building(config):
            return load(pool, config, *args, **kwargs)

    return small


class _MadeUpFiles:
    """Gives each ModelConfig a path, of files that are written when first asked for."""

    def __init__(self, trial: TrialOfAdapter) -> None:
        self._trial = trial
        self._known: set[str] = set()

    def instead_of(self, download: Callable[..., None]) -> Callable[..., None]:
        """`ModelConfig.download_if_necessary`, which downloads nothing."""

        @functools.wraps(download)
        def made(config: Any) -> None:
            if config.path is not None:
                config.path = self._for_path(config.path)
            elif config.model_id is not None:
                config.path = self._for_name(config.model_id, config.origin_file_pattern or "")
            download(config)  # which has nothing left to do, and says what is wrong with a config of nothing

        return made

    def _for_path(self, path: Any) -> Any:
        """The path as it is if the script made what is there, or if nobody can tell what ought to be."""
        first = path[0] if isinstance(path, list) and path else path
        if not isinstance(first, (str, os.PathLike)):
            return path
        if self._trial.folder.resolve() in Path(first).resolve().parents and os.path.exists(first):
            return path
        name = name_in(os.fspath(first))
        return path if name is None else self._for_name(*name)

    def _for_name(self, model_id: str, pattern: str) -> str:
        if pattern in ("", "./") or pattern.endswith("/"):
            kind = kind_of(model_id, pattern)
            folder = self._trial.once(f"tokenizers/{kind.name}", functools.partial(write_tokenizer, kind))
            return str(folder)
        return str(self._weights(model_id, pattern))

    def _weights(self, model_id: str, pattern: str) -> Path:
        entries = entries_of(model_id, pattern)
        if not entries:
            raise CannotMakeUp(
                f"the weights {pattern} of {model_id}, which are not in the table of models of this DiffSynth-Studio"
            )
        name = f"weights/{model_id}/{pattern.replace('*', '-all')}"
        small = [small_entry(entry, model_id) for entry in entries]
        path = self._trial.once(f"{name.rpartition('.')[0]}.safetensors", functools.partial(write_weights, small, name))
        file_hash = studio("core.loader").hash_model_file(str(path))
        if file_hash not in self._known:  # the two experts of Wan2.2 have one
            self._known.add(file_hash)
            studio("configs").MODEL_CONFIGS.extend({"model_hash": file_hash, **entry} for entry in small)
        return path
