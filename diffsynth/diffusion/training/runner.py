"""The training loop, on accelerate: one process or many, whatever the engine and the device.

Order and noise depend on the seed and the number of the batch alone: not on the device, not on what ran before, and not
on how many processes share the batches.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from diffsynth.core.loader.detection import load_object
from diffsynth.diffusion.training.arguments import memory_advice
from diffsynth.diffusion.training.checkpoints import Checkpoints, Position, save_weights
from diffsynth.diffusion.training.errors import DoesNotFitError, TrainingError, is_out_of_memory
from diffsynth.diffusion.training.logs import Log, open_logs

if TYPE_CHECKING:
    from accelerate import Accelerator

Sample = Mapping[str, Any]
Inputs = dict[str, Tensor]


# Flags that decide what a run computes; a model has some of them. Of a LoRA's, the shapes that are trained tell.
_DECIDE_THE_COURSE = (
    "task", "seed", "batch_size", "gradient_accumulation_steps", "torch_dtype", "learning_rate", "weight_decay",
    "lr_scheduler", "lr_warmup_steps", "customized_optimizer", "height", "width", "max_pixels", "num_frames",
    "data_file_keys", "extra_inputs", "max_timestep_boundary", "min_timestep_boundary", "zero_cond_t",
)  # fmt: skip

Encode = Callable[[Sample], Inputs]
"""What a sample is to the network: tensors with a batch axis of 1."""


class Objective(Protocol):
    """What is minimised and shown: everything that the loop does not know."""

    def loss(self, network: nn.Module, inputs: Inputs, generator: Generator) -> Tensor:
        """The scalar to minimise.

        Args:
            network: what is trained, as the engine has wrapped it.
            inputs: those of a batch of samples, joined, on the device.
            generator: for all draws, on the CPU.
        """

    def render(self, network: nn.Module, path: Path | None) -> None:
        """Shows what the network makes now. Every process calls it, the main one with the file to save to, which lacks
        its ending."""


@dataclass(frozen=True)
class _Prepared:
    """What accelerate has made of the network, its optimizer, the learning rate's schedule and the data."""

    network: nn.Module
    optimizer: Any
    schedule: Any
    loader: Any
    sampler: DistributedSampler[Any]
    updates: int  # of the whole run


def open_accelerator(args: argparse.Namespace) -> Accelerator:
    """accelerate, as its launcher and config file say, and seeded.

    The networks' type is --torch_dtype: an accelerate config's mixed_precision changes nothing, since autocast would
    take what the networks keep in float32.
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.utils import set_seed

    deepspeed = os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() == "true"
    # Unless its config says something, accelerate makes DeepSpeed cut gradients to norm 1, which no other engine does.
    os.environ.setdefault("ACCELERATE_GRADIENT_CLIPPING", "inf")
    accelerator = Accelerator(
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        mixed_precision="bf16" if deepspeed and args.torch_dtype == "bfloat16" else "no",
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=args.find_unused_parameters)],
        # Otherwise it would step once for each process.
        step_scheduler_with_optimizer=False,
    )
    set_seed(args.seed)
    return accelerator


def train(
    accelerator: Accelerator,
    objective: Objective,
    network: nn.Module,
    dataset: Dataset[Any],
    args: argparse.Namespace,
    *,
    encode: Encode = dict,
    same: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Trains a network, from the beginning or from a checkpoint, and saves as it goes.

    Args:
        network: those of its parameters that require gradients are trained.
        encode: makes inputs of the data set's samples, without gradients; left out where they are encoded already.
        args: see `diffsynth.diffusion.training.arguments`.
        same: what a run that goes on from a checkpoint must have in common with it, besides what `args` say.

    Raises:
        TrainingError: a setting cannot be used, or a batch does not fit into the device's memory.
    """
    _check(args)
    trained = {name: tuple(p.shape) for name, p in network.named_parameters() if p.requires_grad}
    prepared = _prepare(accelerator, network, dataset, args)
    checkpoints = Checkpoints(
        accelerator, args.output_path, keep=args.save_total_limit, run={**_same_to_resume(args, dataset), **same},
        trained=trained, insist=args.resume_with_other_settings,
    )  # fmt: skip
    if args.resume_from_checkpoint is None:
        checkpoints.refuse_if_any()
        position = Position()
    else:
        position = checkpoints.load(args.resume_from_checkpoint)
        if position.batch >= len(prepared.loader):  # of a larger data set
            position.epoch, position.batch = position.epoch + 1, 0

    saved = position.update

    def save(name: str) -> None:
        nonlocal saved
        save_weights(
            accelerator, prepared.network, args.output_path / f"{name}.safetensors", names=trained,
            dtype=getattr(torch, args.torch_dtype), remove_prefix=args.remove_prefix_in_ckpt,
        )  # fmt: skip
        checkpoints.save(position)
        saved = position.update

    if accelerator.is_main_process:
        _write_arguments(args)
    logs = open_logs(args, is_main=accelerator.is_main_process, update=position.update, updates=prepared.updates)
    for _ in _updates(accelerator, objective, encode, prepared, position, logs, args):
        if args.validation_prompt is not None and position.update % args.validation_steps == 0:
            path = args.output_path / "validation" / f"step-{position.update}"
            objective.render(prepared.network, path if accelerator.is_main_process else None)
        if args.save_steps is not None and position.update % args.save_steps == 0:
            save(f"step-{position.update}")
        elif args.save_steps is None and position.batch == 0:
            save(f"epoch-{position.epoch - 1}")
    if saved != position.update:
        save(f"step-{position.update}")
    for log in logs:
        log.finish()


def _updates(
    accelerator: Accelerator,
    objective: Objective,
    encode: Encode,
    prepared: _Prepared,
    position: Position,
    logs: Sequence[Log],
    args: argparse.Namespace,
) -> Iterator[None]:
    """Runs the rest of the training, and stops after each update of the weights with `position` being there."""
    network, optimizer = prepared.network, prepared.optimizer
    network.train()
    batches_in_epoch = len(prepared.loader)
    losses: list[Tensor] = []
    while position.epoch < args.num_epochs:
        for samples in _rest_of_epoch(accelerator, prepared, position):
            number = (position.epoch * batches_in_epoch + position.batch) * accelerator.num_processes
            generator = _generator(args.seed, number + accelerator.process_index)
            with accelerator.accumulate(network), _room_for(samples, accelerator, args):
                with torch.no_grad():
                    inputs = _joined([encode(sample) for sample in samples])
                loss = objective.loss(network, inputs, generator)
                accelerator.backward(loss * _share(position.batch, batches_in_epoch, args.gradient_accumulation_steps))
                optimizer.step()
                optimizer.zero_grad()
            losses.append(loss.detach())
            position.batch += 1
            if accelerator.sync_gradients:
                mean = accelerator.reduce(torch.stack(losses).mean(), "mean").item()
                values = {"epoch": position.epoch, "loss": mean, "learning_rate": prepared.schedule.get_last_lr()[0]}
                losses.clear()
                prepared.schedule.step()
                position.update += 1
                if position.batch == batches_in_epoch:
                    position.epoch, position.batch = position.epoch + 1, 0
                for log in logs:
                    log.log(values, position.update)
                yield


def _prepare(
    accelerator: Accelerator, network: nn.Module, dataset: Dataset[Any], args: argparse.Namespace
) -> _Prepared:
    # One replica: accelerate deals the batches out to the processes. The order is that of the seed and the epoch.
    sampler: DistributedSampler[Any] = DistributedSampler(dataset, num_replicas=1, rank=0, seed=args.seed)
    loader = DataLoader(
        dataset, args.batch_size, sampler=sampler, collate_fn=list, num_workers=args.dataset_num_workers,
        persistent_workers=args.dataset_num_workers > 0,
        generator=torch.Generator(),  # else the start of each epoch would draw from the default one
    )  # fmt: skip
    if not _is_sharded(accelerator):
        # Before the optimizer: a move between devices may make new parameters.
        network.to(accelerator.device)
    optimizer = _optimizer([parameter for parameter in network.parameters() if parameter.requires_grad], args)
    batches = math.ceil(len(loader) / accelerator.num_processes)
    updates = args.num_epochs * math.ceil(batches / args.gradient_accumulation_steps)
    schedule = _schedule(optimizer, updates, args)
    network, optimizer, loader, schedule = accelerator.prepare(network, optimizer, loader, schedule)
    return _Prepared(network, optimizer, schedule, loader, sampler, updates)


def _share(batch: int, batches: int, steps: int) -> float:
    """What a batch counts beside the 1 / steps that accelerate gives it: an epoch's last update may be of fewer."""
    return steps / min(steps, batches - batch // steps * steps)


def _is_sharded(accelerator: Accelerator) -> bool:
    return accelerator.distributed_type.value in ("FSDP", "DEEPSPEED")


def lora_dtype(accelerator: Accelerator, torch_dtype: torch.dtype) -> torch.dtype:
    """What new LoRA weights are kept in: float32, which keeps small updates, but where shards need one type."""
    return torch_dtype if _is_sharded(accelerator) else torch.float32


def _optimizer(parameters: list[nn.Parameter], args: argparse.Namespace) -> torch.optim.Optimizer:
    name = args.customized_optimizer or "torch.optim.AdamW"
    try:
        made_by: Callable[..., torch.optim.Optimizer] = load_object(name)
    except ImportError as error:
        raise TrainingError(
            f"--customized_optimizer {name}: cannot be imported ({error.__cause__}); expected a class such as "
            "torch.optim.AdamW"
        ) from error
    return made_by(parameters, lr=args.learning_rate, weight_decay=args.weight_decay)


def _schedule(optimizer: torch.optim.Optimizer, updates: int, args: argparse.Namespace) -> Any:
    from transformers.optimization import get_scheduler

    name = "constant_with_warmup" if args.lr_scheduler == "constant" else args.lr_scheduler
    return get_scheduler(name, optimizer, num_warmup_steps=args.lr_warmup_steps, num_training_steps=updates)


def _rest_of_epoch(accelerator: Accelerator, prepared: _Prepared, position: Position) -> Any:
    """Its batches, lists of samples, from the one that comes next."""
    loader = prepared.loader
    if position.batch:
        loader = accelerator.skip_first_batches(loader, position.batch)
    loader.set_epoch(position.epoch)
    prepared.sampler.set_epoch(position.epoch)
    return loader


def _generator(seed: int, batch: int) -> Generator:
    """Draws that belong to one batch of one run. torch's engine takes 32 bits of seed, which the two have to share."""
    mixed = np.random.SeedSequence([seed, batch]).generate_state(1)[0]
    return torch.Generator().manual_seed(int(mixed))


def _joined(samples: Sequence[Inputs]) -> Inputs:
    """Tensors of several samples as one batch.

    Raises:
        TrainingError: they differ in shape, or in what they hold.
    """
    for name in sorted({name for sample in samples for name in sample}):
        shapes = {tuple(sample[name].shape) if name in sample else () for sample in samples}
        if len(shapes) > 1:
            raise TrainingError(
                f"--batch_size {len(samples)}: {name} of one batch differ in shape, {sorted(shapes)}; give all samples "
                "one size (--height and --width), or train with --batch_size 1 and --gradient_accumulation_steps "
                f"{len(samples)}"
            )
    return {name: torch.cat([sample[name] for sample in samples]) for name in samples[0]}


@contextmanager
def _room_for(samples: Sequence[Sample], accelerator: Accelerator, args: argparse.Namespace) -> Iterator[None]:
    """Says what to turn on where a batch does not fit into the device's memory."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise DoesNotFitError(
            f"a batch of {len(samples)} does not fit into the memory of {accelerator.device}: {memory_advice(args)}; "
            f"torch says: {str(error).splitlines()[0]}"
        ) from error


def _same_to_resume(args: argparse.Namespace, dataset: Dataset[Any]) -> dict[str, Any]:
    """What an interrupted run and the one that goes on from it must have in common."""
    of_scheduler = () if args.lr_scheduler == "constant" else ("num_epochs",)
    same = {f"--{flag}": getattr(args, flag) for flag in (*_DECIDE_THE_COURSE, *of_scheduler) if hasattr(args, flag)}
    return {**same, "samples in the data set": len(dataset)}  # type: ignore[arg-type]


def _write_arguments(args: argparse.Namespace) -> None:
    args.output_path.mkdir(parents=True, exist_ok=True)
    text = json.dumps(vars(args), indent=2, default=str, ensure_ascii=False)
    (args.output_path / "training_args.json").write_text(text, encoding="utf-8")


def _check(args: argparse.Namespace) -> None:
    for flag in ("batch_size", "num_epochs", "gradient_accumulation_steps", "save_steps", "validation_steps"):
        value = getattr(args, flag)
        if value is not None and value < 1:
            raise TrainingError(f"--{flag} {value}: expected at least 1")
    if not args.learning_rate > 0:
        raise TrainingError(f"--learning_rate {args.learning_rate}: expected a number above 0")
