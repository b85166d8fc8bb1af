"""Engines beside torch that take a device by the same word, each with what to do where there is no CUDA."""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import NamedTuple

from porter.places import label_of
from porter.unit import Unit
from porter.uses import made_by


class Engine(NamedTuple):
    """`title` is what it is called; `way_out` what to write instead."""

    title: str
    way_out: str


_TREES = 'device="cpu"'
_SPEECH = 'device="cpu", or whisper in torch: transformers runs it'

#: By the package that is imported.
ENGINES = {
    "xgboost": Engine("XGBoost", _TREES),
    "lightgbm": Engine("LightGBM", _TREES),
    "catboost": Engine("CatBoost", 'task_type="CPU"'),
    "jax": Engine("JAX", 'jax.devices("cpu")'),
    "jaxlib": Engine("JAX", 'jax.devices("cpu")'),
    "ctranslate2": Engine("CTranslate2", _TREES),
    "faster_whisper": Engine("faster-whisper", _SPEECH),
    "whisperx": Engine("WhisperX", _SPEECH),
    "open3d": Engine("Open3D", 'o3d.core.Device("CPU:0")'),
    "warp": Engine("Warp", _TREES),
    "taichi": Engine("Taichi", "arch=ti.cpu"),
    "llama_cpp": Engine("llama.cpp", "its build for CANN"),
    "torch_tensorrt": Engine("TensorRT", "torch.compile"),
    "tvm": Engine("TVM", 'tvm.device("cpu")'),
}

#: Names that say it without an import in sight.
BY_NAME = {"WhisperModel": "faster_whisper", "XGBClassifier": "xgboost", "XGBRegressor": "xgboost"}


def engine_of(node: ast.AST, unit: Unit) -> str | None:
    """The engine that gets a value: by the call it is an argument of, or by the dictionary that is handed to one."""
    if not _names_one(unit):
        return None
    child = node
    for parent in unit.source.ancestors(node):
        match parent:
            case ast.Call() if child is not parent.func:
                return _engine_called(parent.func, unit)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict()):
                return _engine_handed(name, unit)
            case ast.stmt():
                return None
        child = parent
    return None


@lru_cache(maxsize=2)  # asked for each device of a file
def _names_one(unit: Unit) -> bool:
    return not unit.source.names.packages.isdisjoint(ENGINES) or any(name in unit.source.text for name in BY_NAME)


def _engine_called(function: ast.expr, unit: Unit) -> str | None:
    package = (unit.dotted(function) or "").partition(".")[0]
    if package in ENGINES:
        return package
    if label_of(function) in BY_NAME:
        return BY_NAME[label_of(function)]
    maker = made_by(function.value, unit) if isinstance(function, ast.Attribute) else None
    package = (unit.dotted(maker) or "").partition(".")[0] if maker is not None else ""
    return package if package in ENGINES else None


def _engine_handed(name: str, unit: Unit) -> str | None:
    """The engine whose function gets the variable as it is, or by `**`."""
    for node in unit.source.walk(unit.source.lines_of({name.encode()})):
        if isinstance(node, ast.Call):
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            if any(isinstance(one, ast.Name) and one.id == name for one in given):
                engine = _engine_called(node.func, unit)
                if engine:
                    return engine
    return None
