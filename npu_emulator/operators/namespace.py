"""``torch.ops.npu``: every operator of torch_npu, each defined when it is first asked for; some of ``torch.ops.atb``.

An operator is two in the dispatcher. The one of the vendor's has its schema and takes npu tensors; it calls its
twin in ``npu_host``, whose kernel is registered for the host: so the backend hands the twin host tensors over the same
bytes, charges what it allocates to the device, and hands npu tensors back.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import torch
import torch._ops
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import forward_ad
from torch.autograd.function import _SingleLevelFunction

from npu_emulator.npu.not_emulated import NotEmulated
from npu_emulator.operator_table import read_table
from npu_emulator.operators.registry import DERIVATIVES, KERNELS, Derivative, Kernel

_HOST = torch.device("cpu")
_lock = threading.RLock()
_defined: set[str] = set()
_under_way: set[str] = set()
_libraries: list[Any] = []  # kept, or torch would drop the registrations


# The table of each namespace. "atb" is the Ascend Transformer Boost's, which torch_npu brings along.
_TABLES = {"npu": "npu_operators.json", "atb": "atb_operators.json"}


@functools.cache
def schemas(library: str = "npu") -> dict[str, dict[str, str]]:
    """Schemas by overload name, by operator name: ``{"npu_apply_adam": {"": "...", "out": "..."}}``."""
    by_name: dict[str, dict[str, str]] = {}
    for full_name, known in read_table(_TABLES[library])["operators"].items():
        name, _, overload = full_name.partition(".")
        by_name.setdefault(name, {})[overload] = known["schema"]
    return by_name


def library_of(name: str) -> str | None:
    """The namespace that has an operator of that name, or None."""
    return next((library for library in _TABLES if name in schemas(library)), None)


def define(name: str) -> bool:
    """Defines an operator and its overloads; False where torch_npu has none of that name."""
    if name in _defined:
        return True
    library = library_of(name)
    if library is None:
        return False
    with _lock:
        if name not in _defined and name not in _under_way:  # defining an operator looks for it first
            _under_way.add(name)
            _load_kernels()
            for overload, schema in schemas(library)[name].items():
                _define_overload(library, f"{name}.{overload}" if overload else name, schema)
            _defined.add(name)
    return True


def install() -> None:
    """Makes ``torch.ops.npu`` and ``torch.ops.atb`` namespaces that define their operators on demand."""
    for library in _TABLES:
        setattr(torch.ops, library, _Namespace(library))


class _Namespace(torch._ops._OpNamespace):
    def __getattr__(self, name: str) -> Any:
        define(name)
        return super().__getattr__(name)  # type: ignore[no-untyped-call,unused-ignore]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *schemas(self.name)})

    def __iter__(self) -> Iterator[str]:
        return iter(schemas(self.name))


def _load_kernels() -> None:
    from npu_emulator import operators

    operators.load()


def _library(namespace: str) -> Any:
    make: Any = torch.library.Library
    library = make(namespace, "FRAGMENT")
    _libraries.append(library)
    return library


def _define_overload(namespace: str, name: str, schema: str) -> None:
    if "Dimname" in schema:  # torch has dropped the type
        return
    library = _library(namespace)
    library.define(schema)
    known = KERNELS.get(name)
    if known is None:
        library.impl(name, _refusal(name), "PrivateUse1")
        library.impl(name, _refusal(name), "Meta")
        return
    if known.makes:
        library.impl(name, known.compute, "BackendSelect")
        return
    library.impl(name, _on_host(name, schema, known), "PrivateUse1")
    if known.shapes is not None:
        library.impl(name, known.shapes, "Meta")
    if name in DERIVATIVES:
        library.impl(name, _differentiable(name, DERIVATIVES[name]), "AutogradPrivateUse1")


def _overload(namespace: str, name: str) -> Any:
    name, _, overload = name.partition(".")
    return getattr(getattr(getattr(torch.ops, namespace), name), overload or "default")


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise NotEmulated(f"torch_npu.{name} works on Ascend hardware, but the emulated NPU does not have it")

    return refuse


def _on_host(name: str, schema: str, known: Kernel) -> Callable[..., Any]:
    tags = (torch.Tag.nondeterministic_seeded,) if known.draws else ()
    _library("npu_host").define(schema, tags=tags)
    _library("npu_host").impl(name, known.compute, "CPU")
    # Below the vendor's operator there is nothing to differentiate, and nothing to warn of once more.
    _library("npu_host").impl(name, torch.library.fallthrough_kernel, "AutogradPrivateUse1")
    twin = _overload("npu_host", name)

    def call(*arguments: Any, **keywords: Any) -> Any:
        return twin(*arguments, **keywords)

    def call_with_some_on_the_host(*arguments: Any, **keywords: Any) -> Any:
        bound = _bind(twin._schema, arguments, keywords)
        device = next(
            value.device for value in bound.values() if isinstance(value, torch.Tensor) and value.device != _HOST
        )
        return twin(**bound | {each: bound[each].to(device) for each in known.either})

    return call_with_some_on_the_host if known.either else call


def _differentiable(name: str, derivative: Derivative) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        operator = _overload("npu", name)
        bound = _bind(operator._schema, arguments, keywords)
        wanted = torch.is_grad_enabled() and any(
            isinstance(bound[argument], torch.Tensor) and bound[argument].requires_grad for argument in derivative.of
        )
        if forward_ad._current_level >= 0:
            _refuse_tangents(name, bound)
        if wanted:
            with enable_single_level_autograd_function():
                apply: Any = _Apply.apply  # type: ignore[attr-defined]
                return apply(operator, derivative, tuple(bound), *bound.values())
        with torch._C._AutoDispatchBelowAutograd():
            return operator(*arguments, **keywords)

    return call


def _bind(schema: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    """All arguments by name: the dispatcher leaves out those that equal their defaults."""
    bound = {}
    for index, argument in enumerate(schema.arguments):
        if index < len(arguments):
            bound[argument.name] = arguments[index]
        else:
            bound[argument.name] = keywords.get(argument.name, argument.default_value)
    return bound


def _refuse_tangents(name: str, bound: dict[str, Any]) -> None:
    """torch_npu has no forward derivatives: torch words it so for every operator without one."""
    unpack: Any = forward_ad.unpack_dual
    if any(isinstance(value, torch.Tensor) and unpack(value).tangent is not None for value in bound.values()):
        raise NotImplementedError(
            f"Trying to use forward AD with {name} that does not support it because it has not been implemented yet"
        )


# Of one level: torch.func's transforms have dispatched the call to theirs, as they do to a backend's own kernels, and
# torch.autograd.Function would hand it to the outermost transform once more.
class _Apply(_SingleLevelFunction):
    """One differentiable call."""

    @staticmethod
    def forward(ctx: Any, operator: Any, derivative: Derivative, names: tuple[str, ...], *values: Any) -> Any:
        keyword_only = {argument.name for argument in operator._schema.arguments if argument.kwarg_only}
        bound = dict(zip(names, values, strict=True))
        with torch._C._AutoDispatchBelowAutograd():
            output = operator(
                *(value for name, value in bound.items() if name not in keyword_only),
                **{name: value for name, value in bound.items() if name in keyword_only},
            )
        outputs = output if isinstance(output, tuple) else (output,)
        available = {**bound, **{f"result{index}": result for index, result in enumerate(outputs)}}
        ctx.derivative, ctx.names = derivative, names
        ctx.needed = tuple(ctx.needs_input_grad[3 + names.index(name)] for name in derivative.of)
        kept = {name: available[name] for name in derivative.needs if name in available}
        ctx.tensor_names = [name for name, value in kept.items() if isinstance(value, torch.Tensor)]
        ctx.others = {name: value for name, value in kept.items() if not isinstance(value, torch.Tensor)}
        ctx.save_for_backward(*(kept[name] for name in ctx.tensor_names))
        ctx.mark_non_differentiable(
            *(
                result
                for index, result in enumerate(outputs)
                if index not in derivative.results and isinstance(result, torch.Tensor)
            )
        )
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        available = dict(zip(ctx.tensor_names, ctx.saved_tensors, strict=True)) | ctx.others
        available |= {"grad": grads[0], "needed": ctx.needed}
        available |= {f"grad{index}": grad for index, grad in enumerate(grads)}
        derivative = ctx.derivative
        result = derivative.formula(**{name: available[name] for name in derivative.needs})
        results = result if isinstance(result, tuple) else (result,)
        by_name = {name: grad for name, grad, needed in zip(derivative.of, results, ctx.needed, strict=True) if needed}
        return (None, None, None, *(by_name.get(name) for name in ctx.names))
