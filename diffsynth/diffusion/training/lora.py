"""LoRA by peft: new low-rank layers in a network, under the names that pipelines load them by."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from diffsynth.core.loader.checkpoint import load_state_dict
from diffsynth.diffusion.lora_file import file_metadata, named_as_in, read_lora
from diffsynth.diffusion.training.errors import TrainingError


def add_lora(network: nn.Module, *, targets: tuple[str, ...], rank: int, dtype: torch.dtype) -> None:
    """Puts a LoRA of ``alpha = rank`` into every linear layer whose name ends in one of `targets`.

    Only the new parameters are trained from then on. They are drawn on the CPU, from its default generator.

    Args:
        dtype: of the new parameters.

    Raises:
        TrainingError: a target is the end of no linear layer's name, or the rank is not above 0.
    """
    from peft import LoraConfig, inject_adapter_in_model

    if rank < 1:
        raise TrainingError(f"--lora_rank {rank}: expected at least 1")
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    for target in targets:
        if not any(f".{name}".endswith(f".{target}") for name in linear):
            raise TrainingError(
                f"--lora_target_modules: {target!r} matches no linear layer of {type(network).__name__}; its layers "
                f"end in {', '.join(_endings(linear))}"
            )
    network.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=list(targets), init_lora_weights=True)
    inject_adapter_in_model(config, network)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)


@torch.no_grad()
def start_from(network: nn.Module, path: Path) -> None:
    """Gives the LoRA in a network the values of a file.

    Raises:
        TrainingError: the file is no LoRA, or not of these layers and this rank.
    """
    if not path.is_file():
        raise TrainingError(f"--lora_checkpoint {path}: there is no such file")
    try:
        pairs = read_lora(load_state_dict(str(path)), alpha=1, source=str(path), metadata=file_metadata(str(path)))
    except ValueError as error:
        raise TrainingError(f"--lora_checkpoint: {error}") from error
    expected = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    pairs = named_as_in(network, {name.rpartition(".lora_")[0] for name in expected}, pairs)
    found = {}
    for layer, pair in pairs.items():
        found[f"{layer}.lora_A.default.weight"] = pair.down
        found[f"{layer}.lora_B.default.weight"] = pair.up * pair.scale
    for name in {**expected, **found}:
        shapes = [tuple(tensors[name].shape) if name in tensors else None for tensors in (found, expected)]
        if shapes[0] != shapes[1]:
            raise TrainingError(
                f"--lora_checkpoint {path}: {name} has shape {shapes[0]} in the file and {shapes[1]} in this run; "
                "give the --lora_rank and --lora_target_modules that it was trained with"
            )
    for name, parameter in expected.items():
        parameter.copy_(found[name])


def _endings(names: Iterable[str]) -> list[str]:
    """The last parts of names, with the part before where that is a number's: q, ffn.0, head."""
    parts = (name.split(".") for name in names)
    return sorted({".".join(part[-2:]) if part[-1].isdigit() else part[-1] for part in parts})
