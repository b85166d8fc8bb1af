"""What a run saves: the trained weights, as a file that pipelines load; and checkpoints to resume from, bit for bit.

A checkpoint is a folder with what is trained, optimizer, schedule, random states and place in the data. It appears
under its name only when every process has written its part: a run that is killed while it saves leaves the one before.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from diffsynth.core.device.device_types import CPU, device_module
from diffsynth.diffusion.training.errors import TrainingError

if TYPE_CHECKING:
    from accelerate import Accelerator

LATEST = "latest"
_DESCRIPTION = "run.json"
_NAME = re.compile(r"checkpoint-(\d+)")
# What is saved fits no other: an optimizer's state, and a file of random states for each process.
_NEVER_OTHERS = ("--customized_optimizer", "processes")


@dataclass
class Position:
    """How far a run has come: whole epochs, batches of this process in the one begun, and updates in all."""

    epoch: int = 0
    batch: int = 0
    update: int = 0


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they are.
        keep: how many of the newest to keep, at least 1. Those that lie beyond where a run went on from are of another
            branch, and stay.
        run: what has to be the same to go on bit for bit, by the name of the flag; as JSON has it.
        trained: the trained parameters' shapes by name.
        insist: go on although what should be the same is not, where that is possible at all.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        folder: Path,
        *,
        keep: int,
        run: Mapping[str, Any],
        trained: Mapping[str, tuple[int, ...]],
        insist: bool = False,
    ) -> None:
        if keep < 1:
            raise TrainingError(f"--save_total_limit {keep}: expected at least 1")
        self.accelerator, self.folder, self.keep = accelerator, folder, keep
        self.run = {**run, "processes": accelerator.num_processes}
        self.trained = {name: list(shape) for name, shape in trained.items()}
        self.insist = insist
        self._branch: list[str] = []
        accelerator.register_save_state_pre_hook(self._only_trained)

    def whole(self) -> list[Path]:
        """Those that are there, in the order in which they were saved."""
        found = (path for path in self.folder.glob("checkpoint-*") if _NAME.fullmatch(path.name))
        return sorted(found, key=lambda path: (_serial(path), _number(path)))

    def refuse_if_any(self) -> None:
        """For a run that begins anew.

        Raises:
            TrainingError: the folder has checkpoints of an earlier run.
        """
        if self.whole():
            raise TrainingError(
                f"{self.whole()[-1]} is of an earlier run: go on from it with --resume_from_checkpoint {LATEST}, name "
                "another --output_path, or delete it"
            )

    def save(self, position: Position) -> None:
        """Saves the run as it is, and deletes what is too old. Every process takes part."""
        final = self.folder / f"checkpoint-{position.update}"
        unfinished = self.folder / f".{final.name}.unfinished"
        if self.accelerator.is_main_process:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        options = {"exclude_frozen_parameters": True} if self._engine == "DEEPSPEED" else {}
        self.accelerator.save_state(str(unfinished), **options)
        _save_device_generator(self.accelerator, unfinished)
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            self._branch = [*(name for name in self._branch if name != final.name), final.name]
            description = {
                "position": asdict(position),
                "run": self.run,
                "trained": self.trained,
                "serial": 1 + max(map(_serial, self.whole()), default=0),
                "branch": self._branch,
            }
            (unfinished / _DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")
            shutil.rmtree(final, ignore_errors=True)
            unfinished.rename(final)
            for old in self._branch[: -self.keep]:
                shutil.rmtree(self.folder / old, ignore_errors=True)
            self._branch = self._branch[-self.keep :]
        self.accelerator.wait_for_everyone()

    def load(self, where: str) -> Position:
        """Puts the run back to where it was. Every process takes part.

        Args:
            where: a checkpoint's folder, or its name alone in the run's own folder, or "latest"; with none there yet,
                that is the beginning.

        Raises:
            TrainingError: the folder is no whole checkpoint, or one of another run.
        """
        if where == LATEST and not self.whole():
            return Position()
        path = self.whole()[-1] if where == LATEST else Path(where)
        if not path.exists() and (self.folder / path).exists():
            path = self.folder / path
        description = self._checked_description(path)
        if path.resolve().parent == self.folder.resolve():
            self._branch = description.get(
                "branch", [one.name for one in self.whole() if _number(one) <= _number(path)]
            )
        self.accelerator.wait_for_everyone()
        strictness = "load_module_strict" if self._engine == "DEEPSPEED" else "strict"
        self.accelerator.load_state(str(path), **({} if self._engine == "FSDP" else {strictness: False}))
        _load_device_generator(self.accelerator, path)
        self.accelerator.wait_for_everyone()
        return Position(**description["position"])

    @property
    def _engine(self) -> str:
        return str(self.accelerator.distributed_type.value)

    def _only_trained(self, models: list[nn.Module], weights: list[dict[str, Tensor]], folder: str) -> None:
        """What is not trained comes from the model's own files."""
        for state in weights:
            for name in [name for name in state if name.removeprefix("module.") not in self.trained]:
                del state[name]

    def _checked_description(self, path: Path) -> dict[str, Any]:
        try:
            description: dict[str, Any] = json.loads((path / _DESCRIPTION).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            known = ", ".join(map(str, self.whole())) or "none"
            raise TrainingError(
                f"--resume_from_checkpoint {path}: not a whole checkpoint ({_DESCRIPTION} cannot be read); "
                f"those of {self.folder}: {known}"
            ) from error
        for name in {**description["trained"], **self.trained}:
            saved, here = description["trained"].get(name), self.trained.get(name)
            if saved != here:
                raise TrainingError(
                    f"--resume_from_checkpoint {path}: of another model: {name} has shape {saved} there and {here} "
                    "here; give the model and LoRA flags that it was trained with"
                )
        for name in [name for name in self.run if name in description["run"]]:
            saved, here = description["run"][name], self.run[name]
            if saved == here or (self.insist and name not in _NEVER_OTHERS):
                continue
            way_out = "" if name in _NEVER_OTHERS else ", or give --resume_with_other_settings"
            raise TrainingError(
                f"--resume_from_checkpoint {path}: its run had {name} = {saved}, this one has {here}; going on bit for "
                f"bit needs the same{way_out}"
            )
        return description


def _number(path: Path) -> int:
    return int(path.name.partition("-")[2])


def _serial(path: Path) -> int:
    """The how-manieth it was that was saved into its folder; 0 where it does not say."""
    try:
        return int(json.loads((path / _DESCRIPTION).read_text(encoding="utf-8")).get("serial", 0))
    except (OSError, ValueError):
        return 0


def _save_device_generator(accelerator: Accelerator, folder: Path) -> None:
    """accelerate saves the generators of the host and of CUDA, and not those of every other device."""
    if accelerator.device.type != CPU:
        state = device_module(accelerator.device.type).get_rng_state(accelerator.device)
        torch.save(state, folder / f"device_generator_{accelerator.process_index}.pt")


def _load_device_generator(accelerator: Accelerator, folder: Path) -> None:
    file = folder / f"device_generator_{accelerator.process_index}.pt"
    if accelerator.device.type != CPU and file.exists():
        state = torch.load(file, weights_only=True)
        device_module(accelerator.device.type).set_rng_state(state, accelerator.device)


def save_weights(
    accelerator: Accelerator,
    network: nn.Module,
    path: Path,
    *,
    names: Collection[str],
    dtype: torch.dtype,
    remove_prefix: str,
) -> None:
    """Writes the parameters of these names, gathered from all processes. Every process takes part.

    The file appears under its name only when it is whole.

    Args:
        network: as accelerate has prepared it.
        remove_prefix: cut off names in the file, where they have it.
    """
    state = accelerator.get_state_dict(network)
    if accelerator.is_main_process:
        kept = {
            name.removeprefix(remove_prefix): tensor.detach().to("cpu", dtype).contiguous()
            for name, tensor in state.items()
            if name in names
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.unfinished")
        save_file(kept, unfinished, metadata={"format": "pt"})
        unfinished.replace(path)
    accelerator.wait_for_everyone()
