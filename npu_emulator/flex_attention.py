"""torch's flex_attention on npu tensors: it names the devices it takes, and the vendor's package adds npu."""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch

_NAME = "torch.nn.attention.flex_attention"


def _let_npu_in(module: ModuleType) -> None:
    _cast_under_autocast()
    check: Any = getattr(module, "_validate_device", None)
    if check is None:
        return

    def validate(query: Any, key: Any, value: Any) -> None:
        if query.device.type != "npu":
            check(query, key, value)

    module._validate_device = validate  # type: ignore[attr-defined]


def _cast_under_autocast() -> None:
    """Under autocast, query, key and value are cast to its type, as for other attention; backward follows."""
    from torch._C import DispatchKeySet, _ExcludeDispatchKeyGuard
    from torch._higher_order_ops.flex_attention import flex_attention, flex_attention_backward

    key_of_npu: Any = torch._C._dispatch_key_parse("AutocastPrivateUse1")

    def cast_and_run(query: Any, key: Any, value: Any, *rest: Any, **options: Any) -> Any:
        dtype = torch.get_autocast_dtype("npu")
        with _ExcludeDispatchKeyGuard(DispatchKeySet(key_of_npu)):
            return flex_attention(*(tensor.to(dtype) for tensor in (query, key, value)), *rest, **options)

    def run(*arguments: Any, **options: Any) -> Any:
        with _ExcludeDispatchKeyGuard(DispatchKeySet(key_of_npu)):
            return flex_attention_backward(*arguments, **options)

    operators: list[tuple[Any, Any]] = [(flex_attention, cast_and_run), (flex_attention_backward, run)]
    for operator, kernel in operators:
        operator.py_impl(key_of_npu)(kernel)


class _AfterImport(importlib.abc.MetaPathFinder):
    """Mends the module when it is imported: importing it here would take longer than the emulator does."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != _NAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                _let_npu_in(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Lets npu tensors in, now or when the module is imported; called once."""
    if _NAME in sys.modules:
        _let_npu_in(sys.modules[_NAME])
    else:
        sys.meta_path.insert(0, _AfterImport())
