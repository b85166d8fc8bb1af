"""Graph capture: the operators of a capture are kept, and replay runs them again on the same memory."""

from __future__ import annotations

import gc
import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from npu_emulator.npu.not_emulated import NotEmulated
from npu_emulator.npu.streams import Stream, StreamContext

Pool = tuple[int, int]
_pool_numbers = itertools.count(1)
_capturing: list[NPUGraph] = []
# A capture may not wait for the device, which these do.
_WAITS = ("aten::_local_scalar_dense", "aten::nonzero")

# Collect garbage before each capture.
force_npugraph_gc = os.environ.get("TORCH_NPUGRAPH_GC", "0").lower() in ("1", "true")

_DispatchMode: Any = TorchDispatchMode


class _Recorder(_DispatchMode):  # type: ignore[misc]
    """Keeps every operator with its arguments and results."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        _refuse_to_wait(func, args, options)
        result = func(*args, **options)
        self.calls.append((func, args, options, result))
        return result


def _refuse_to_wait(func: Any, args: Any, options: dict[str, Any]) -> None:
    name = func._schema.name
    on_npu = any(isinstance(leaf, torch.Tensor) and leaf.device.type == "npu" for leaf in tree_leaves(args))
    to_host = name == "aten::_to_copy" and torch.device(options.get("device") or "npu").type == "cpu"
    if on_npu and (name in _WAITS or to_host):
        raise RuntimeError(f"{name.removeprefix('aten::')} waits for the device, which a graph capture does not allow")


def _run_again(func: Any, args: tuple[Any, ...], options: dict[str, Any], result: Any) -> None:
    given = {_memory(leaf) for leaf in tree_leaves((args, options)) if isinstance(leaf, torch.Tensor)}
    for old, new in zip(tree_leaves(result), tree_leaves(func(*args, **options)), strict=True):
        if isinstance(old, torch.Tensor) and _memory(old) not in given:
            old.copy_(new)


def _memory(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def TensorWeakRef(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor over the same memory. It keeps the memory, which costs memory and is never wrong."""
    return tensor.detach()


class NPUGraph:
    """A captured graph: ``with torch.npu.graph(g): ...``, then ``g.replay()``.

    What is captured also runs, once; the hardware leaves results undefined until the first replay. Collectives are not
    captured.
    """

    def __init__(self) -> None:
        self._recorder: _Recorder | None = None
        self._calls: list[Any] = []
        self._pool: Pool = (0, 0)

    def capture_begin(self, pool: Pool | None = None, capture_error_mode: str = "global") -> None:
        """Begins to keep operators.

        Raises:
            RuntimeError: a capture is under way.
        """
        if _capturing:
            raise RuntimeError("a graph is being captured already")
        self._pool = pool or graph_pool_handle()
        self._recorder = _Recorder()
        self._recorder.__enter__()
        _capturing.append(self)

    def capture_end(self) -> None:
        """Ends the capture.

        Raises:
            RuntimeError: none is under way.
        """
        if self._recorder is None:
            raise RuntimeError("capture_end without capture_begin")
        self._recorder.__exit__(None, None, None)
        self._calls, self._recorder = self._recorder.calls, None
        _capturing.remove(self)

    def replay(self) -> None:
        """Runs what was captured again, on the same memory.

        Raises:
            RuntimeError: nothing was captured.
        """
        if not self._calls:
            raise RuntimeError("replay of a graph that holds nothing: capture it first")
        with torch.no_grad():
            for call in self._calls:
                _run_again(*call)

    def reset(self) -> None:
        """Forgets what was captured, and frees its memory."""
        self._calls = []

    def pool(self) -> Pool:
        """Identity of the memory pool of the graph."""
        return self._pool

    def update(self, cpu_update_input: Any) -> None:
        """Changes arguments of captured operators.

        Raises:
            NotEmulated: always; capture again.
        """
        raise NotEmulated("torch.npu.NPUGraph.update: arguments of captured operators are fixed here; capture again")

    def debug_dump(self, debug_path: str) -> None:
        """Writes the captured operators to a file, one a line."""
        with open(debug_path, "w", encoding="utf-8") as file:
            file.writelines(f"{call[0]}\n" for call in self._calls)

    def super_kernel_optimize(self, optimize_options: Any = None, debug_options: Any = None) -> None:
        """Nothing to do: kernels are not fused here."""


class graph:
    """Context manager that captures its body into ``npu_graph``."""

    default_capture_stream: Stream | None = None

    def __init__(
        self,
        npu_graph: NPUGraph,
        pool: Pool | None = None,
        stream: Any = None,
        auto_dispatch_capture: bool = False,
        capture_error_mode: str = "global",
    ) -> None:
        if stream is None and graph.default_capture_stream is None:
            graph.default_capture_stream = Stream()
        self.capture_stream = stream or graph.default_capture_stream
        self.npu_graph = npu_graph
        self._options = (pool, capture_error_mode)
        self._on_stream = StreamContext(self.capture_stream)

    def __enter__(self) -> None:
        if force_npugraph_gc:
            gc.collect()
        self._on_stream.__enter__()
        self.npu_graph.capture_begin(*self._options)

    def __exit__(self, *error: Any) -> None:
        self.npu_graph.capture_end()
        self._on_stream.__exit__(*error)


def is_current_stream_capturing() -> bool:
    """Whether a graph is being captured."""
    return bool(_capturing)


def graph_pool_handle() -> Pool:
    """Identity of a new memory pool for graphs."""
    return 0, next(_pool_numbers)


def make_graphed_callables(
    callables: Callable[..., Any] | Sequence[Callable[..., Any]],
    sample_args: Any,
    num_warmup_iters: int = 3,
    allow_unused_input: bool = False,
    pool: Pool | None = None,
) -> Any:
    """Returns ``callables`` as they are: capturing them would change only their speed."""
    return callables


def super_kernel_scope_begin(scope_name: str | None = None) -> None:
    """Nothing to do: kernels are not fused here."""


def super_kernel_scope_end(scope_name: str | None = None) -> None:
    """Nothing to do: kernels are not fused here."""


class NpuGraphOpHandler:
    """How the arguments of an operator are changed in a captured graph; subclasses name them."""

    UPDATE_SPECS: ClassVar[dict[str, Any]] = {}

    @classmethod
    def get_update_specs(cls, op_name: str) -> Any:
        """What may be changed of ``op_name``."""
        return cls.UPDATE_SPECS.get(op_name)

    @classmethod
    def prepare_capture(cls, func: Any, args: Any, kwargs: Any) -> Any:
        """What is called in place of ``func`` while it is captured: itself."""
        return func, args, kwargs

    @classmethod
    def postprocess_result(cls, result: Any, kwargs: Any) -> Any:
        """What the caller gets for ``result``: itself."""
        return result

    @classmethod
    def record_wrap_kwarg(cls, key: str, value: Any, tensor_param_names: Any) -> Any:
        """What is kept of an argument: itself."""
        return value

    @classmethod
    def update_args(cls, dispatch_record: Any, update_input: Any) -> None:
        """Changes arguments of a captured operator.

        Raises:
            NotEmulated: always; capture again.
        """
        raise NotEmulated("torch.npu.NpuGraphOpHandler.update_args: captured arguments are fixed here; capture again")


_handlers: dict[str, type[NpuGraphOpHandler]] = {}


def register_npu_graph_handler(op_names: str | Iterable[str]) -> Callable[[type], type]:
    """Decorator that keeps a handler under the names of its operators; nothing is updated here."""

    def register(handler: type) -> type:
        _handlers.update(dict.fromkeys([op_names] if isinstance(op_names, str) else op_names, handler))
        return handler

    return register
