"""Hooks into the pipelines and their training: what they load is made up, what they are asked for is less."""

from __future__ import annotations

import contextlib
import functools
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from torch import nn

from script_trial.adapter import TrialOfAdapter
from script_trial.adapters.diffsynth_port.made_up_checkpoints import Checkpoints
from script_trial.adapters.diffsynth_port.made_up_files import dataset, with_clip
from script_trial.adapters.diffsynth_port.made_up_models import TWO_BLOCKS, Models
from script_trial.adapters.diffsynth_port.smaller import CONDITION_AREA, TEXT_LENGTH, smaller_call
from script_trial.adapters.diffsynth_port.smaller_training import given_in, is_of_training, smaller_arguments
from script_trial.without_device import OF_TORCH, OF_TRANSFORMERS

if TYPE_CHECKING:
    from diffsynth.families.family import Network

_RUNNER = "diffsynth.diffusion.training.runner"

#: Of the library's own, what looks for a device while it is imported.
_WITH_DEVICE = "diffsynth.core.fused.ascend"
#: What all pipelines import only once they are called, and trainings once they begin.
_IN_A_RUN = (
    _WITH_DEVICE,
    "diffsynth.core.fused.plain",
    "diffsynth.utils.data",
    "diffsynth.utils.frames",
    "imageio_ffmpeg.binaries",
    "numpy.ctypeslib",
    "torch.utils.serialization.config",
)
_IN_A_TRAINING = (
    "peft",
    "multiprocessing.popen_fork",
    "multiprocessing.queues",
    _RUNNER,
    "diffsynth.diffusion.training.run_task",
    "transformers.optimization",
)


def without_device() -> list[str]:
    """The library's own modules, and what others have for all networks."""
    _prepare_files()
    own = [module for module in _imported_late() if module.startswith("diffsynth.") and module != _WITH_DEVICE]
    return [*OF_TORCH, *OF_TRANSFORMERS, *own, "script_trial.adapters.diffsynth_port.in_stock"]


def import_what_takes_long() -> None:
    """What scripts of the pipelines import, and those of trainings where their packages are installed."""
    for module in _imported_late():
        if find_spec(module.partition(".")[0]) is not None:
            with contextlib.suppress(ImportError):
                import_module(module)
    import_module("script_trial.adapters.diffsynth_port.in_stock")
    _prepare_files()


def _imported_late() -> list[str]:
    from diffsynth.families import FAMILIES, MODEL_CONFIGS

    late = [module for family in FAMILIES for module in family.imported_late]
    late += [family.conditions.rpartition(".")[0] for family in FAMILIES if family.conditions is not None]
    late += [row["model_class"].rpartition(".")[0] for row in MODEL_CONFIGS]
    late += [family.pipeline.rpartition(".")[0] for family in FAMILIES]
    if all(find_spec(package) is not None for package in ("accelerate", "peft")):
        late += [*_IN_A_TRAINING, *(family.training.rpartition(".")[0] for family in FAMILIES if family.training)]
    return [*_IN_A_RUN, *late]


def _prepare_files() -> None:
    """Readers of pictures and of videos, which their packages look for at first use."""
    from PIL import Image

    Image.init()
    with contextlib.suppress(ImportError, RuntimeError):
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()  # which runs it once, to see whether it does


def install(trial: TrialOfAdapter) -> None:
    from diffsynth import core
    from diffsynth.core.loader.model_config import ModelConfig
    from diffsynth.diffusion.base_pipeline import BasePipeline
    from diffsynth.families.qwen_image import CONTROLNET, conditions
    from diffsynth.models.wan_video_text_encoder import WanTokenizer
    from diffsynth.utils import data
    from script_trial.adapters.diffsynth_port.in_stock import take_from_stock

    conditions.CONDITION_AREA = CONDITION_AREA
    WanTokenizer.__init__ = functools.partialmethod(WanTokenizer.__init__, length=TEXT_LENGTH)  # type: ignore[method-assign,assignment]
    take_from_stock(trial)
    models = Models(trial)
    checkpoints = Checkpoints(trial.started_in, models.suit_network)

    def loaded(pipe: object) -> None:
        checkpoints.watch(pipe)
        _name_networks(pipe, trial)

    for pipeline in pipelines():
        pipeline.from_pretrained = _loading(pipeline.from_pretrained, models, loaded)
        called = functools.partial(_name_networks, trial=trial)
        pipeline.__call__ = smaller_call(pipeline.__call__, called, trial.noise_on_cpu)
    ModelConfig.download_if_necessary = models.for_download(  # type: ignore[method-assign]
        ModelConfig.download_if_necessary
    )
    core.load_state_dict = checkpoints.for_load_state_dict(core.load_state_dict)
    BasePipeline.load_lora = checkpoints.for_load_lora(BasePipeline.load_lora)  # type: ignore[method-assign]
    data.VideoData.__init__ = with_clip(data.VideoData.__init__, trial)  # type: ignore[method-assign]
    for name in ("save_video", "save_frames"):
        setattr(data, name, _kept(getattr(data, name), trial))
    BasePipeline.warm_up = lambda self: None  # type: ignore[method-assign]  # it is no work of the script's
    BasePipeline.room_for_tiles = _room_for_tiles(BasePipeline.room_for_tiles)  # type: ignore[method-assign,assignment]
    fail_on_what_is_no_number()
    _begin_small(CONTROLNET)
    _install_in_training(trial, models)


def fail_on_what_is_no_number() -> None:
    """A generation that has come to NaN is no result, whatever its frames are equal to."""
    from diffsynth.diffusion.request import NotFiniteWarning

    warnings.simplefilter("error", NotFiniteWarning)


def pipelines() -> list[Any]:
    """The classes of the pipelines, imported."""
    from diffsynth.families import FAMILIES

    there = [family.pipeline.rpartition(".") for family in FAMILIES]
    return [getattr(import_module(module), name) for module, _, name in there]


def networks_of(pipe: object) -> dict[str, nn.Module]:
    """The networks of a pipeline by the names of its attributes."""
    held = {**vars(pipe), **vars(pipe).get("_modules", {})}
    return {name: value for name, value in held.items() if isinstance(value, nn.Module)}


def _name_networks(pipe: object, trial: TrialOfAdapter) -> None:
    for name, network in networks_of(pipe).items():
        trial.name_network(name, network)


def _loading(from_pretrained: Callable[..., Any], models: Models, then: Callable[[Any], None]) -> Any:
    """A pipeline's `from_pretrained`, for which the models are made, and after which it is told to `then`."""
    from diffsynth.core.loader.model_config import ModelConfig

    @functools.wraps(from_pretrained)
    def loaded(*args: Any, **kwargs: Any) -> Any:
        # What is no such list the pipeline itself refuses.
        given = next((one for one in (kwargs.get("model_configs"), *args) if isinstance(one, (list, tuple))), ())
        configs = [config for config in given if isinstance(config, ModelConfig)]
        models.suit_pipeline(configs, shared=bool(kwargs.get("use_usp")))
        pipe = from_pretrained(*args, **kwargs)
        then(pipe)
        return pipe

    return staticmethod(loaded)


def _room_for_tiles(room: Callable[[Any, str], int]) -> Callable[[Any, str], int]:
    """`BasePipeline.room_for_tiles`, on the host as on the accelerator that it stands for: there all are computed at
    once, and here one after the other."""
    from diffsynth.diffusion.base_pipeline import TILES_AT_ONCE

    @functools.wraps(room)
    def as_there(pipe: Any, name: str) -> int:
        return TILES_AT_ONCE if pipe.device.type == "cpu" else room(pipe, name)

    return as_there


def _begin_small(network: Network) -> None:
    """A network that a script builds to train it from the start has the sizes of made-up weights. Those that are read
    of a file are built with every size named."""
    module, _, name = network.model_class.rpartition(".")
    model_class = getattr(import_module(module), name)
    build, small = model_class.__init__, network.small(TWO_BLOCKS)

    @functools.wraps(build)
    def built(self: nn.Module, *sizes: int, **named: int) -> None:
        build(self, *sizes, **(named if sizes else small | named))

    model_class.__init__ = built


def _kept(save: Callable[..., Any], trial: TrialOfAdapter) -> Callable[..., Any]:
    """`save_video` or `save_frames`, whose frames are a result, (F, H, W, C)."""
    import numpy as np

    @functools.wraps(save)
    def kept(frames: Any, save_path: Any, *args: Any, **kwargs: Any) -> Any:
        frames = list(frames)  # to be read twice
        trial.keep(str(save_path), np.stack([np.asarray(frame) for frame in frames]))
        return save(frames, save_path, *args, **kwargs)

    return kept


def _install_in_training(trial: TrialOfAdapter, models: Models) -> None:
    """Where the script is a training, on its own arguments: less work, and its losses kept."""
    if not is_of_training(sys.argv[1:]):
        return
    models.suit_training(given_in(sys.argv[1:]))
    make_dataset = functools.partial(dataset, trial)
    sys.argv[1:] = smaller_arguments(sys.argv[1:], trial.folder, make_dataset, models.published_file)
    runner: Any = import_module(_RUNNER)
    open_logs = runner.open_logs

    @functools.wraps(open_logs)
    def with_curve(*args: Any, is_main: bool, **kwargs: Any) -> list[Any]:
        return [*open_logs(*args, is_main=is_main, **kwargs), *([_Curve(trial)] if is_main else [])]

    runner.open_logs = with_curve


class _Curve:
    """A log of a training (diffsynth.diffusion.training.logs.Log) that keeps every number."""

    def __init__(self, trial: TrialOfAdapter) -> None:
        self._trial = trial

    def log(self, values: dict[str, float], step: int) -> None:
        self._trial.log(values, step)

    def finish(self) -> None:
        pass
