"""The networks of a run: loaded as the command line says, and one made ready to be trained, whole or by a LoRA."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from diffsynth.core.device.resolution import resolve_device
from diffsynth.core.loader.checkpoint import load_state_dict
from diffsynth.core.loader.model_config import ModelConfig, redirected
from diffsynth.diffusion.base_pipeline import BasePipeline
from diffsynth.diffusion.lora_file import file_metadata, named_as_in, read_lora
from diffsynth.diffusion.training.arguments import TRAIN, names, split_task, trained_name
from diffsynth.diffusion.training.errors import TrainingError
from diffsynth.families.family import Family

if TYPE_CHECKING:
    from accelerate import Accelerator

Pipeline = TypeVar("Pipeline", bound=BasePipeline)

# What a task with :train does without, unless it renders.
ENCODERS = ("text_encoder", "vae")


def load_pipeline(pipeline: type[Pipeline], args: argparse.Namespace, accelerator: Accelerator) -> Pipeline:
    """The networks that the command line names, in memory of the device, or of the host until they are prepared.

    Folders of tokenizers and processors are those of its flags (``--tokenizer_path``), or what the family's record has;
    they are not looked for where the task does without encoders.

    Raises:
        TrainingError: a flag is not written as it has to be, the task needs an encoder that is not among the models, or
            the preset LoRA cannot be used.
    """
    device = resolve_device(accelerator.device)
    needed = ENCODERS if split_task(args.task)[1] != TRAIN or args.validation_prompt is not None else ()
    models = _model_configs(args, accelerator.device)
    folders: dict[str, Any] = _folders(pipeline.family, args) if needed else {}
    if (converted := pipeline.family.converted) is not None:
        models = [redirected(config, converted.model_id, converted.files) for config in models]
    with accelerator.local_main_process_first():  # it downloads what is not there, for all
        models = [config.download_if_necessary() for config in models]
        folders = {name: config and config.download_if_necessary() for name, config in folders.items()}
    pipe = pipeline.from_pretrained(
        torch_dtype=getattr(torch, args.torch_dtype),
        device="cpu" if args.initialize_model_on_cpu else device,
        model_configs=models,
        **folders,
    )
    pipe.device = device
    for name, network in pipe.networks.items():
        if name != trained_name(args) and network.weights is None:
            network.module.to(device)
    for name in needed:
        if name not in pipe.networks:
            purpose = "--validation_prompt" if split_task(args.task)[1] == TRAIN else f"--task {args.task}"
            raise TrainingError(f"{purpose} needs the {name}: name its file in --model_id_with_origin_paths")
    if args.preset_lora_path is not None:
        _add_preset_lora(pipe, args)
    return pipe


def _folders(family: Family, args: argparse.Namespace) -> dict[str, ModelConfig | None]:
    """By keyword of `from_pretrained`."""
    folders = {}
    for folder in family.folders:
        given = getattr(args, folder.keyword.replace("_config", "_path"), None)
        asked = not folder.for_inputs or not set(folder.for_inputs).isdisjoint(names(args.extra_inputs))
        default = ":".join(folder.default) if folder.default is not None and asked else None
        folders[folder.keyword] = _config_of(given or default)
    return folders


def network_to_train(pipe: BasePipeline, args: argparse.Namespace, dtype_of_lora: torch.dtype) -> nn.Module:
    """The network named on the command line, with gradients for what is trained and for nothing else.

    Raises:
        TrainingError: it was not loaded, or its weights are not there to be changed; or as `add_lora` and `start_from`.
    """
    name = trained_name(args)
    if name not in pipe.networks:
        raise TrainingError(f"the network to train, {name}, was not loaded; there are {', '.join(pipe.networks)}")
    if pipe.networks[name].weights is not None:
        raise TrainingError(f"{name} is trained: take it out of --fp8_models and --offload_models")
    network = pipe.networks[name].module
    if args.lora_base_model is None:
        return network.requires_grad_(True)
    add_lora(network, targets=names(args.lora_target_modules), rank=args.lora_rank, dtype=dtype_of_lora)
    if args.lora_checkpoint is not None:
        start_from(network, args.lora_checkpoint)
    return network


def _add_preset_lora(pipe: BasePipeline, args: argparse.Namespace) -> None:
    name = args.preset_lora_model or trained_name(args)
    if name not in pipe.networks:
        raise TrainingError(f"--preset_lora_model {name} was not loaded; there are {', '.join(pipe.networks)}")
    network = pipe.networks[name].module
    if args.enable_lora_hot_loading:
        pipe.enable_lora_hot_loading(network)
    try:
        pipe.load_lora(network, args.preset_lora_path)
    except (OSError, ValueError) as error:
        raise TrainingError(f"--preset_lora_path: {error}") from error


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


def _model_configs(args: argparse.Namespace, device: torch.device) -> list[ModelConfig]:
    """A config for each model of --model_paths and --model_id_with_origin_paths, in their order.

    Those that --fp8_models names are kept in float8, those of --offload_models are read from disk as they run; both
    compute on `device`.

    Raises:
        TrainingError: a flag is not written as it has to be, or names a model that is not among those.
    """
    computed = {"computation_dtype": getattr(torch, args.torch_dtype), "computation_device": device}
    settings = {name: _kept(torch.float8_e4m3fn, device) | computed for name in names(args.fp8_models)}
    settings |= {name: _kept("disk", "disk") | computed for name in names(args.offload_models)}
    paths, published = _paths(args.model_paths), names(args.model_id_with_origin_paths)
    if not paths and not published:
        raise TrainingError("no model is named: give --model_paths or --model_id_with_origin_paths")
    for name in settings:
        if name not in (*paths, *published):
            known = ", ".join((*paths, *published))
            raise TrainingError(f"--fp8_models or --offload_models: {name} is none of the models, {known}")
    of_paths = [ModelConfig(path=path, **settings.get(str(path), {})) for path in paths]
    return of_paths + [_published(name, settings.get(name, {})) for name in published]


def _config_of(name: str | None) -> ModelConfig | None:
    """The config of ``Org/Name:pattern`` or of a path; None for None."""
    if name is None:
        return None
    return _published(name, {}) if ":" in name else ModelConfig(path=name)


def _published(name: str, settings: dict[str, Any]) -> ModelConfig:
    model_id, colon, pattern = name.partition(":")
    if not colon or "/" not in model_id:
        raise TrainingError(
            f"--model_id_with_origin_paths: {name!r} is not written as Org/Name:pattern, such as "
            "Org/Name:model*.safetensors"
        )
    return ModelConfig(model_id=model_id, origin_file_pattern=pattern, **settings)


def _paths(text: str | None) -> list[Any]:
    if text is None:
        return []
    try:
        paths = json.loads(text)
    except ValueError as error:
        raise TrainingError(
            f"--model_paths: not JSON ({error}); expected a list such as '[\"a.safetensors\"]'"
        ) from error
    if not isinstance(paths, list):
        raise TrainingError(f"--model_paths: {text} is no list; expected one such as '[\"a.safetensors\"]'")
    return paths


def _kept(dtype: torch.dtype | str, device: torch.device | str) -> dict[str, Any]:
    states = ("offload", "onload", "preparing")
    return {f"{state}_{key}": value for state in states for key, value in (("dtype", dtype), ("device", device))}
