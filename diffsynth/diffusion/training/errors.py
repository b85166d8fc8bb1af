"""What a user of a training script can put right."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

import torch

from diffsynth.core.data import BadSampleError, DatasetError
from diffsynth.core.device.resolution import UnknownDeviceError
from diffsynth.core.loader.download import ModelNotFoundError
from diffsynth.core.loader.weight_source import CheckpointError


class TrainingError(ValueError):
    """A setting, a file or a folder that this run cannot use; the message says what to do."""


class DoesNotFitError(TrainingError):
    """The device has too little memory for a batch; the message says what to turn on."""


_USER_ERRORS = (
    TrainingError,
    BadSampleError,
    DatasetError,
    CheckpointError,
    ModelNotFoundError,
    UnknownDeviceError,
)


def exit_with_message(main: Callable[[], None]) -> None:
    """Runs a script's `main`; what its user can put right ends it with one sentence and exit status 2."""
    try:
        main()
    except _USER_ERRORS as error:
        _exit(_sentence(error))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        _exit(
            "the networks do not fit into the device's memory: encode the data set first, with the task's "
            ":data_process, or shard the network that is trained, by an accelerate config with FSDP or ZeRO-3 and "
            "--initialize_model_on_cpu; "
            f"torch says: {str(error).splitlines()[0]}"
        )


def _exit(sentence: str) -> NoReturn:
    print(f"error: {sentence}", file=sys.stderr, flush=True)
    sys.exit(2)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device had too little memory, as any backend says it."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "out of memory" in str(error).lower()
    )


def _sentence(error: Exception) -> str:
    """The message, without the trace that a data loader's worker puts before it."""
    text = str(error)
    return text.strip().splitlines()[-1].partition("Error: ")[2] if "Original Traceback" in text else text
