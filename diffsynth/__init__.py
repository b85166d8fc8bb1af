"""Diffusion pipelines for NVIDIA, AMD, Ascend and CPU under one API.

Import what you need from where it is: ``diffsynth.pipelines.wan_video`` for the Wan pipelines, ``diffsynth.core`` for
``ModelConfig`` and ``load_state_dict``, ``diffsynth.utils.data`` for videos. This module imports nothing.
"""
