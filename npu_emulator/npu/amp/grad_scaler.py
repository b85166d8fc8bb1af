"""``torch.npu.amp.GradScaler``: torch.amp.GradScaler with the device filled in."""

from __future__ import annotations

from typing import Any

import torch

from npu_emulator.npu import state

__all__ = ["GradScaler"]


class GradScaler(torch.amp.GradScaler):
    """``torch.amp.GradScaler("npu", ...)``; with ``dynamic=False`` the scale stays as it began."""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        dynamic: bool = True,
        enabled: bool = True,
    ) -> None:
        self._dynamic = dynamic
        super().__init__("npu", init_scale, growth_factor, backoff_factor, growth_interval, enabled)

    def scale(self, outputs: Any) -> Any:
        """``outputs`` times the scale."""
        return super().scale(outputs)

    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        """Divides the gradients of the optimizer's parameters by the scale."""
        super().unscale_(optimizer)

    def step(self, optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> float | None:
        """Steps the optimizer unless a gradient is infinite or NaN."""
        return super().step(optimizer, *args, **kwargs)

    def update(self, new_scale: float | torch.Tensor | None = None) -> None:
        """Adapts the scale, or sets it to ``new_scale``."""
        if new_scale is None and not self._dynamic and self.is_enabled():
            new_scale = self.get_scale()
        super().update(new_scale)

    def state_dict(self) -> dict[str, Any]:
        """The scale and how it moves; empty while disabled."""
        saved = super().state_dict()
        return saved | {"dynamic": self._dynamic} if saved else saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a state_dict."""
        self._dynamic = state_dict.get("dynamic", self._dynamic)
        super().load_state_dict(state_dict)

    @staticmethod
    def get_npu_overflow_flag() -> bool:
        """As torch.npu.get_npu_overflow_flag."""
        return state.get_npu_overflow_flag()

    @staticmethod
    def clear_npu_overflow_flag() -> None:
        """As torch.npu.clear_npu_overflow_flag."""
        state.clear_npu_overflow_flag()
