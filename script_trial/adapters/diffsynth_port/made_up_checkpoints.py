"""Checkpoints of a training that a script reads and that nobody has trained here, made up: a network, or a LoRA of one.

pipe.dit.load_state_dict(load_state_dict("models/train/full/epoch-1.safetensors"))
pipe.load_lora(pipe.dit, "models/train/lora/epoch-4.safetensors")
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from script_trial.adapters.diffsynth_port.weights import made_up_lora
from script_trial.random_values import random_weight


class Checkpoints:
    """Makes checkpoints up for the pipelines that a script loads. Those of one path are the same each time.

    `suit` is told each network before it is given a LoRA that is published, which has to fit it.
    """

    def __init__(self, started_in: Path, suit: Callable[[nn.Module], None]) -> None:
        self._started_in = started_in
        self._suit = suit
        self._network: nn.Module | None = None

    def watch(self, pipe: Any) -> None:
        """From now on a checkpoint is one of this pipeline's network: the first that its family is trained by."""
        there = [network for name in pipe.family.trained if (network := getattr(pipe, name, None)) is not None]
        self._network = there[0] if there else None

    def for_load_state_dict(self, load: Callable[..., Any]) -> Callable[..., Any]:
        """`diffsynth.core.load_state_dict`, with a whole network made up where its file is missing."""

        @functools.wraps(load)
        def made(file_path: Any, *args: Any, **kwargs: Any) -> Any:
            found = self._found(file_path)
            if found is not None or self._network is None:
                return load(found or file_path, *args, **kwargs)
            state = self._network.state_dict()
            return {
                key: random_weight(key, tuple(tensor.shape), tensor.dtype, Path(file_path).as_posix(), {})
                for key, tensor in state.items()
            }

        return made

    def for_load_lora(self, load: Callable[..., None]) -> Callable[..., None]:
        """`BasePipeline.load_lora`, with a LoRA of the network's layers made up where its file is missing."""

        @functools.wraps(load)
        def made(pipe: Any, module: nn.Module, lora_config: Any = None, *args: Any, **kwargs: Any) -> None:
            found = self._found(lora_config)
            if found is not None:
                self._suit(module)
                load(pipe, module, found, *args, **kwargs)
            else:
                content = made_up_lora(module, Path(lora_config).as_posix())
                load(pipe, module, None, *args, **{**kwargs, "state_dict": content})

        return made

    def _found(self, file: Any) -> Any:
        """The file as the script finds it, else as the user has it; None where it has to be made up."""
        if not isinstance(file, (str, os.PathLike)) or os.path.exists(file):
            return file
        elsewhere = self._started_in / file
        return elsewhere if elsewhere.exists() else None
