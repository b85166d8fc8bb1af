"""One script, run as it is but small, with everything recorded that tells whether its port is right."""

from __future__ import annotations

import functools
import os
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from diffsynth.trial.made_up import with_clip, with_picture, with_weights
from diffsynth.trial.made_up_checkpoints import Checkpoints
from diffsynth.trial.offline import refuse_network
from diffsynth.trial.operations import Operations, networks_of
from diffsynth.trial.saved import Saved
from diffsynth.trial.smaller import smaller_call
from diffsynth.trial.watched_run import watched_run

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
    operations, saved = Operations(), Saved(script.folder)
    _install(operations, saved, script)
    sys.argv = [script.path]
    sys.path.insert(0, script.beside)
    ending = watched_run(lambda: runpy.run_path(script.path, run_name="__main__"), script.path)
    return {
        **ending.as_json(),
        "saved": saved.results,
        "networks": {name: record.as_json() for name, record in operations.networks.items()},
        "peak_memory": peak_memory(),
    }


def import_pipelines() -> list[Any]:
    """The classes of those pipelines that there are, imported."""
    there = [(module, name) for module, name in PIPELINES.items() if find_spec(module) is not None]
    return [getattr(import_module(module), name) for module, name in there]


def loading(from_pretrained: Callable[..., Any], then: Callable[[Any], None]) -> Any:
    """A pipeline's `from_pretrained`, after which the pipeline is told to `then`."""

    @functools.wraps(from_pretrained)
    def loaded(*args: Any, **kwargs: Any) -> Any:
        pipe = from_pretrained(*args, **kwargs)
        then(pipe)
        return pipe

    return staticmethod(loaded)


def peak_memory() -> int | None:
    """The largest number of bytes that tensors held on the accelerator at once; None where there is none."""
    npu: Any = getattr(torch, "npu", None)
    if npu is None or not npu.is_available():
        return None
    return sum(npu.max_memory_allocated(device) for device in range(npu.device_count()))


def _install(operations: Operations, saved: Saved, script: Script) -> None:
    from PIL import Image

    from diffsynth import core
    from diffsynth.core.loader.model_config import ModelConfig
    from diffsynth.diffusion.base_pipeline import BasePipeline
    from diffsynth.utils import data

    checkpoints = Checkpoints(script.started_in)

    def watch(pipe: object) -> None:
        operations.watch(networks_of(pipe))

    for pipeline in import_pipelines():
        pipeline.from_pretrained = loading(pipeline.from_pretrained, checkpoints.watch)
        pipeline.__call__ = smaller_call(pipeline.__call__, watch, script.noise_on_cpu)
    ModelConfig.download_if_necessary = with_weights(ModelConfig.download_if_necessary)
    core.load_state_dict = checkpoints.for_load_state_dict(core.load_state_dict)
    BasePipeline.load_lora = checkpoints.for_load_lora(BasePipeline.load_lora)  # type: ignore[method-assign]
    data.VideoData.__init__ = with_clip(data.VideoData.__init__, script.started_in)
    Image.open = with_picture(Image.open, script.started_in)
    saved.install(data)
