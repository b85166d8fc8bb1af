"""One script, run as it is but small, with everything recorded that tells whether its port is right."""

from __future__ import annotations

import os
import runpy
import sys
import time
import traceback
import warnings
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from diffsynth.trial.failure import failure_of
from diffsynth.trial.made_up import with_clip, with_picture, with_weights
from diffsynth.trial.offline import refuse_network
from diffsynth.trial.operations import Operations, networks_of
from diffsynth.trial.refusals import left_to_the_host, refused
from diffsynth.trial.saved import Saved
from diffsynth.trial.smaller import smaller_call

# The pipelines that a trial knows, by module.
PIPELINES = {
    "diffsynth.pipelines.wan_video": "WanVideoPipeline",
    "diffsynth.pipelines.qwen_image": "QwenImagePipeline",
}


@dataclass(frozen=True)
class Script:
    """A script to run.

    Attributes:
        path: the file that is run.
        beside: the folder whose modules it may import, as if it lay there.
        folder: an empty folder to run it in.
        started_in: the folder where input files are looked for before they are made up.
        noise_on_cpu: draw noise on the CPU whatever the script says.
    """

    path: str
    beside: str
    folder: Path
    started_in: Path
    noise_on_cpu: bool = False


def run_script(script: Script) -> dict[str, Any]:
    """Runs it in this process, which should end afterwards: pipelines, savers and warnings stay changed.

    Returns:
        seconds, error (None, or see `failure_of`), saved, networks, refused, on_host, peak_memory in bytes by device.
    """
    os.chdir(script.folder)
    refuse_network()
    operations, saved, notes = Operations(), Saved(script.folder), _Notes()
    _install(operations, saved, script)
    sys.argv = [script.path]
    sys.path.insert(0, script.beside)
    started = time.perf_counter()
    error = None
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = notes.take
        try:
            runpy.run_path(script.path, run_name="__main__")
        except BaseException as raised:
            if not (isinstance(raised, SystemExit) and raised.code in (None, 0)):
                traceback.print_exc()
                error = failure_of(raised, script.path)
                notes.refused += [operator for operator in [refused(str(raised))] if operator]
    return {
        "seconds": time.perf_counter() - started,
        "error": error,
        "saved": saved.results,
        "networks": {name: record.as_json() for name, record in operations.networks.items()},
        "refused": sorted(set(notes.refused)),
        "on_host": sorted(set(notes.on_host)),
        "peak_memory": peak_memory(),
    }


def import_pipelines() -> list[Any]:
    """The classes of those pipelines that there are, imported."""
    there = [(module, name) for module, name in PIPELINES.items() if find_spec(module) is not None]
    return [getattr(import_module(module), name) for module, name in there]


def peak_memory() -> int | None:
    """The largest number of bytes that tensors held on the accelerator at once; None where there is none."""
    npu: Any = getattr(torch, "npu", None)
    if npu is None or not npu.is_available():
        return None
    return sum(npu.max_memory_allocated(device) for device in range(npu.device_count()))


def _install(operations: Operations, saved: Saved, script: Script) -> None:
    from PIL import Image

    from diffsynth.core.loader.model_config import ModelConfig
    from diffsynth.utils import data

    def watch(pipe: object) -> None:
        operations.watch(networks_of(pipe))

    for pipeline in import_pipelines():
        pipeline.__call__ = smaller_call(pipeline.__call__, watch, script.noise_on_cpu)
    ModelConfig.download_if_necessary = with_weights(ModelConfig.download_if_necessary)
    data.VideoData.__init__ = with_clip(data.VideoData.__init__, script.started_in)
    Image.open = with_picture(Image.open, script.started_in)
    saved.install(data)


class _Notes:
    """What warnings say about operators."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.on_host: list[str] = []

    def take(self, message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
        text = str(message)
        self.refused += [operator for operator in [refused(text)] if operator]
        self.on_host += [operator for operator in [left_to_the_host(text)] if operator]
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))
