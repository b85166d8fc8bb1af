"""What DiffSynth-Studio computes on the host by design, marked as such: tiles of a VAE's result put together there.

Only the putting together is. What a network computes for a tile is counted as ever, or a VAE that runs on the host
altogether would go unnoticed.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any

from script_trial.adapter import TrialOfAdapter

WHY = "tiles of the VAE are put together on the host"

# By module: methods that put tiles together, and the methods of networks that they call for each.
_TILED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "diffsynth.models.wan_video_vae": (
        ("WanVideoVAE.decode", "WanVideoVAE.encode"),
        ("VideoVAE_.decode", "VideoVAE_.encode", "VideoVAE38_.decode", "VideoVAE38_.encode"),
    ),
}


class _Marked:
    """Whether the host is at work, in a context of the trial that is left while a network computes."""

    def __init__(self, trial: TrialOfAdapter) -> None:
        self._trial = trial
        self._open: AbstractContextManager[None] | None = None

    def host_work(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def marked(*args: Any, **kwargs: Any) -> Any:
            if self._open is not None:
                return method(*args, **kwargs)
            self._enter()
            try:
                return method(*args, **kwargs)
            finally:
                self._leave()

        return marked

    def network_work(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def unmarked(*args: Any, **kwargs: Any) -> Any:
            if self._open is None:
                return method(*args, **kwargs)
            self._leave()
            try:
                return method(*args, **kwargs)
            finally:
                self._enter()

        return unmarked

    def _enter(self) -> None:
        self._open = self._trial.host_work(WHY)
        self._open.__enter__()

    def _leave(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.__exit__(None, None, None)


def install_host_work(trial: TrialOfAdapter) -> None:
    """Marks it in all modules of the table."""
    marked = _Marked(trial)
    for module, (tiled, networks) in _TILED.items():
        if importlib.util.find_spec(module) is None:
            continue
        loaded = import_module(module)
        for wrap, names in ((marked.host_work, tiled), (marked.network_work, networks)):
            for owner, method in (name.split(".") for name in names):
                found = getattr(loaded, owner)
                if method in vars(found):
                    setattr(found, method, wrap(vars(found)[method]))
