"""Names that torch_npu has and that mean nothing without the hardware: each raises when used, and says why."""

from __future__ import annotations

import ast
import inspect
from typing import Any, NoReturn

# Why, and what to do instead, by the longest name that begins the one in question.
REASONS = {
    "torch_npu": "the emulated NPU does not have it",
    "torch_npu.HiFloat8Tensor": "the host has no kernels for HiFloat8; use torch.float8_e4m3fn",
    "torch_npu.contrib.transfer_to_npu": "`import npu_compat` sends torch.cuda calls to the npu, on hardware too",
    "torch_npu.distributed.tensor": "torch.distributed.tensor works on npu tensors as it is",
    "torch_npu.distributed.pipelining": "torch.distributed.pipelining works on npu tensors as it is",
    "torch_npu.distributed.run": "start programs with torchrun",
    "torch_npu.dynamo": "there is no graph compiler here; torch.compile runs npu code eagerly",
    "torch_npu.jit": "there is no graph compiler here",
    "torch_npu.multiprocessing": "torch.multiprocessing carries npu tensors as it is",
    "torch_npu.npu.NPUPluggableAllocator": "there is one allocator, the host's; torch.npu.memory_stats counts it",
    "torch_npu.npu._sanitizer": "streams run one after another here, so there are no races to look for",
    "torch_npu.npu.change_current_allocator": "there is one allocator, the host's; torch.npu.memory_stats counts it",
    "torch_npu.npu.check_uce_in_memory": "emulated memory has no hardware faults",
    "torch_npu.npu.finalize_dump": "operators are not dumped here; a TorchDispatchMode sees each with its tensors",
    "torch_npu.npu.graph_task": "arguments of captured operators are fixed here; capture again",
    "torch_npu.npu.init_dump": "operators are not dumped here; a TorchDispatchMode sees each with its tensors",
    "torch_npu.npu.npugraph_ex": "there is no graph compiler here; torch.compile runs npu code eagerly",
    "torch_npu.npu.obfuscation": "the vendor's service that scrambles weights is not here",
    "torch_npu.npu.restart_device": "emulated devices do not fail; start a new process",
    "torch_npu.npu.set_dump": "operators are not dumped here; a TorchDispatchMode sees each with its tensors",
    "torch_npu.npu.stop_device": "emulated devices do not fail; start a new process",
    "torch_npu.testing": "it is the vendor's own test suite; torch.testing works on npu tensors as it is",
    "torch_npu.utils.collect_hccl_info": "HCCL's own tests need its libraries",
    "torch_npu.utils.cpp_extension": "extensions for the NPU need CANN's compiler",
}


class NotEmulated(NotImplementedError):
    """A part of torch_npu that needs the hardware."""


def refuse(name: str) -> NoReturn:
    """Raises NotEmulated for a full name (``torch_npu.npu.init_dump``), with the reason."""
    by_length = sorted((prefix for prefix in REASONS if name.startswith(prefix)), key=len)
    reason = REASONS[by_length[-1]] if by_length else REASONS["torch_npu"]
    raise NotEmulated(f"{name} works on Ascend hardware, but not on the emulated NPU: {reason}")


def placeholder(name: str, module: str = "torch_npu.npu", entry: dict[str, Any] | None = None) -> Any:
    """A class, function or value of that name with the parameters of ``entry``; raises NotEmulated when used."""
    described = entry or {"kind": "function"}
    full_name = f"{module}.{name}"
    if described["kind"] == "class":
        return _class(name, module, described)
    if described["kind"] == "value":
        return _Value(full_name)
    return _function(name, module, full_name, described.get("parameters"))


def _function(name: str, module: str, full_name: str, parameters: str | None) -> Any:
    def refused(*_: Any, **__: Any) -> NoReturn:
        refuse(full_name)

    refused.__name__ = refused.__qualname__ = name
    refused.__module__ = module
    refused.__doc__ = "Not emulated."
    if parameters is not None:
        refused.__signature__ = signature(parameters)  # type: ignore[attr-defined]
    return refused


def _class(name: str, module: str, entry: dict[str, Any]) -> type:
    full_name = f"{module}.{name}"
    body: dict[str, Any] = {
        member: _refusing_property(f"{full_name}.{member}")
        if parameters in ("property", "value")
        else _function(member, module, f"{full_name}.{member}", _with_self(parameters))
        for member, parameters in entry.get("members", {}).items()
    }
    body |= {
        "__init__": _function("__init__", module, full_name, None),
        "__module__": module,
        "__doc__": "Not emulated.",
    }
    body["__signature__"] = signature(entry.get("parameters", ""))
    return type(name, (), body)


def _refusing_property(full_name: str) -> property:
    def get(_: Any) -> NoReturn:
        refuse(full_name)

    return property(get)


def _with_self(parameters: str) -> str:
    # A static method that calls its first parameter self has it in the table.
    return parameters if parameters.startswith("self") else ", ".join(filter(None, ["self", parameters]))


class _Value:
    """A value that needs the hardware: anything asked of it raises."""

    def __init__(self, full_name: str) -> None:
        self._full_name = full_name

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        refuse(self._full_name)

    def __getattr__(self, attribute: str) -> NoReturn:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        refuse(f"{self._full_name}.{attribute}")


class _Text:
    """A default that is not a literal, such as ``torch.float16``: shown as the source has it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def signature(parameters: str) -> inspect.Signature:
    """The signature whose parameters a table's text lists: ``"stream, cube_num=-1, *, vector_num=-1"``."""
    expression = ast.parse(f"lambda {parameters}: 0", mode="eval").body
    assert isinstance(expression, ast.Lambda)
    arguments, found = expression.args, inspect.Parameter
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    made = [
        found(argument.arg, found.POSITIONAL_OR_KEYWORD, default=_default(default))
        for argument, default in zip(positional, defaults, strict=True)
    ]
    if arguments.vararg:
        made.append(found(arguments.vararg.arg, found.VAR_POSITIONAL))
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        made.append(found(argument.arg, found.KEYWORD_ONLY, default=_default(default)))
    if arguments.kwarg:
        made.append(found(arguments.kwarg.arg, found.VAR_KEYWORD))
    return inspect.Signature(made)


def _default(node: ast.expr | None) -> Any:
    if node is None:
        return inspect.Parameter.empty
    try:
        return ast.literal_eval(node)
    except ValueError:
        return _Text(ast.unparse(node))
