"""Diffusion pipelines for NVIDIA, AMD, Ascend and CPU under one API.

Import what you need from where it is: ``diffsynth.pipelines.wan_video`` for the Wan pipelines, ``diffsynth.core`` for
``ModelConfig`` and ``load_state_dict``, ``diffsynth.utils.data`` for videos. This module imports nothing, until one of
the two names that scripts also take from here is asked for.
"""

_OF_CORE = ("ModelConfig", "load_state_dict")


def __getattr__(name: str) -> object:
    if name not in _OF_CORE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from diffsynth import core

    return getattr(core, name)
