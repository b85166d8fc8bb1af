"""The fingerprint that tells a published model from its tensors' names and shapes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any


def model_hash(headers: Mapping[str, Any]) -> str:
    """The md5, in hex, of all names and shapes; the values do not count.

    Each tensor gives two items, ``name:d0_d1_...`` and ``name``, each nested dict one, ``name|`` and its own items. All
    items of a dict are sorted as text and joined by commas.

    Args:
        headers: by name, anything with a ``shape``, or a dict of such; whatever else is left out.
    """
    return hashlib.md5(_text(headers).encode(), usedforsecurity=False).hexdigest()


def _text(headers: Mapping[Any, Any]) -> str:
    items = []
    for name, value in headers.items():
        if not isinstance(name, str):
            continue
        if isinstance(value, Mapping):
            items.append(f"{name}|{_text(value)}")
        elif hasattr(value, "shape"):
            items += [f"{name}:{'_'.join(map(str, value.shape))}", name]
    return ",".join(sorted(items))
