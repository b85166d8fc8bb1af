"""``torch.npu._memory_viz``: snapshots as text for flame graphs, by torch's own functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.cuda import _memory_viz

_Format = Callable[[str], str]
_flamegraph: Any = _memory_viz.format_flamegraph


def segments(snapshot: Any, format_flamegraph_func: _Format = _flamegraph) -> str:
    """The blocks of each segment; without a function of one's own, as SVG by a script that torch downloads."""
    text: Any = _memory_viz.segments(snapshot, format_flamegraph_func)  # type: ignore[no-untyped-call]
    return str(text)


def memory(snapshot: Any, format_flamegraph_func: _Format = _flamegraph) -> str:
    """The blocks of each stream; without a function of one's own, as SVG by a script that torch downloads."""
    text: Any = _memory_viz.memory(snapshot, format_flamegraph_func)  # type: ignore[no-untyped-call]
    return str(text)
