"""Graph capture: nothing is ever captured here. What would capture stands in not_emulated.py."""

from __future__ import annotations


def is_current_stream_capturing() -> bool:
    """False: graphs are not captured."""
    return False
