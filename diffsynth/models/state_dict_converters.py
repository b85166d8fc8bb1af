"""Files whose tensors bear other names than those the model was first published with."""

from __future__ import annotations

from collections.abc import Iterable


def without_model_prefix(keys: Iterable[str]) -> dict[str, str]:
    """Each name in the file, by the same without a leading ``model.``."""
    return {key.removeprefix("model."): key for key in keys}
