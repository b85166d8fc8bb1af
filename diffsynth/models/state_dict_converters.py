"""Files whose tensors bear other names than those of their model, or that hold more than it."""

from __future__ import annotations

from collections.abc import Iterable


def without_model_prefix(keys: Iterable[str]) -> dict[str, str]:
    """Each name in the file, by the same without a leading ``model.``."""
    return {key.removeprefix("model."): key for key in keys}


def without_language_head(keys: Iterable[str]) -> dict[str, str]:
    """The names but for that of the layer that predicts the next word: a gigabyte that no picture needs."""
    return {key: key for key in keys if key != "lm_head.weight"}
