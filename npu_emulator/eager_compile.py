"""torch.compile of npu code: there is no graph compiler here, so that it runs eagerly, with one warning."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves


@functools.cache
def _warn_once() -> None:
    warnings.warn(
        "torch.compile: there is no graph compiler for the emulated NPU; npu code runs eagerly",
        UserWarning,
        stacklevel=2,
    )


def run_eagerly(graph: torch.fx.GraphModule, example_inputs: list[Any], **options: Any) -> Callable[..., Any]:
    """The dynamo backend ``npu``, ``npugraph_ex`` or ``npugraphs``: the traced graph as it is."""
    _warn_once()
    run: Callable[..., Any] = graph.forward
    return run


def _on_npu(graph: Any, inputs: Any) -> bool:
    """Whether a traced graph takes, holds or makes npu tensors."""
    held = [*graph.parameters(), *graph.buffers()] if isinstance(graph, torch.nn.Module) else []
    tensors = [leaf for leaf in [*tree_leaves(inputs), *held] if isinstance(leaf, Tensor)]
    if any(tensor.device.type == "npu" for tensor in tensors):
        return True
    nodes = graph.graph.nodes if isinstance(graph, torch.fx.GraphModule) else ()
    return any(_names_npu(node.kwargs.get("device")) or any(map(_names_npu, node.args)) for node in nodes)


def _names_npu(argument: Any) -> bool:
    if isinstance(argument, torch.device):
        return argument.type == "npu"
    return isinstance(argument, str) and argument.partition(":")[0] == "npu"


def install() -> None:
    """Makes the default backend, whatever its mode, hand npu graphs back; called once."""
    wrapper: Any = torch._TorchCompileInductorWrapper
    compile_graph = wrapper.__call__

    @functools.wraps(compile_graph)
    def call(self: Any, model_: Any, inputs_: Any, **options: Any) -> Any:
        if _on_npu(model_, inputs_):
            return run_eagerly(model_, inputs_)
        return compile_graph(self, model_, inputs_, **options)

    wrapper.__call__ = call
