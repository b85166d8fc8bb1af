"""DiffSynth-Studio's training scripts on less work: their arguments cut down, their data made up, their losses kept.

They take the flags that the pipelines of diffsynth-port have taken over from them. None of the flags is a seed, so
that two runs of the same script differ: the trial seeds what draws the LoRA, the order of the data and the noise.
"""

from __future__ import annotations

import functools
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from script_trial.adapter import TrialOfAdapter
from script_trial.adapters.diffsynth_port.small_dataset import make_small_dataset
from script_trial.adapters.diffsynth_port.smaller_training import is_of_training, smaller_arguments
from script_trial.adapters.studio.library import studio

SEED = 0
_SEEDED = f"random numbers are seeded with {SEED}, and the noise is drawn on the host: the script has no seed"


def install_training(trial: TrialOfAdapter) -> None:
    """Where the script is a training, by its arguments; hooks into the modules that it is made of."""
    if not is_of_training(sys.argv[1:]):
        return
    sys.argv[1:] = smaller_arguments(sys.argv[1:], trial.folder, functools.partial(_dataset, trial))
    diffusion = studio("diffusion")
    module, logger = diffusion.DiffusionTrainingModule, diffusion.ModelLogger
    numbers = _Numbers()
    module.add_lora_to_model = numbers.seeded(module.add_lora_to_model)
    for holder in (diffusion, studio("diffusion.runner")):
        for name in ("launch_training_task", "launch_data_process_task"):
            setattr(holder, name, numbers.seeded(getattr(holder, name)))
    logger.on_step_end = _with_curve(logger.on_step_end, trial)
    numbers.draw_on_host()
    trial.note(_SEEDED)


def _dataset(trial: TrialOfAdapter, columns: tuple[str, ...], rows: int) -> Path:
    """The folder of a small data set whose metadata has these columns with files."""
    place = f"datasets/{rows}/{'-'.join(columns)}"
    return trial.once(place, lambda folder: make_small_dataset(folder, columns, rows))


class _Numbers:
    """Random numbers that are the same in every run and on every device."""

    def __init__(self) -> None:
        self._own = torch.Generator()

    def seeded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, before which all generators are at their start, whatever has drawn from them until then."""

        @functools.wraps(function)
        def seeded(*args: Any, **kwargs: Any) -> Any:
            torch.manual_seed(SEED)
            random.seed(SEED)
            self._own.manual_seed(SEED)
            return function(*args, **kwargs)

        return seeded

    def draw_on_host(self) -> None:
        """From now on normal numbers that no generator is named for come from one of the host's."""
        randn, own = torch.randn, self._own

        def on_host(*size: Any, generator: Any = None, dtype: Any = None, device: Any = None, **kwargs: Any) -> Tensor:
            if generator is not None:
                return randn(*size, generator=generator, dtype=dtype, device=device, **kwargs)
            return randn(*size, generator=own, dtype=dtype, **kwargs).to(device or "cpu")

        def like(input: Tensor, *, dtype: Any = None, device: Any = None, **kwargs: Any) -> Tensor:
            numbers = randn(input.shape, generator=own)
            return numbers.to(dtype=dtype or input.dtype, device=device or input.device)

        torch.randn, torch.randn_like = on_host, like


def _with_curve(on_step_end: Callable[..., Any], trial: TrialOfAdapter) -> Callable[..., Any]:
    """`ModelLogger.on_step_end`, which is told each loss."""

    @functools.wraps(on_step_end)
    def kept(logger: Any, accelerator: Any, *args: Any, **kwargs: Any) -> Any:
        done = on_step_end(logger, accelerator, *args, **kwargs)
        if accelerator.is_main_process and kwargs.get("loss") is not None:
            trial.log({"loss": kwargs["loss"].detach().item()}, logger.num_steps)
        return done

    return kept
