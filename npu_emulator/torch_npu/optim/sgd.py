"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor
from torch.optim.optimizer import required

from .base import Group, NpuFusedOptimizerBase, State, check_rates


class NpuFusedSGD(NpuFusedOptimizerBase):
    """Stochastic gradient descent with momentum."""

    _group_defaults: ClassVar[dict[str, Any]] = {"nesterov": False}

    def __init__(
        self,
        params: Iterable[Any],
        lr: Any = required,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        check_rates({"learning rate": lr, "momentum value": momentum, "weight_decay value": weight_decay})
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        self._momentum_buffer_already_in_state = False
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
            },
        )

    def _maybe_init_combined_states(self) -> None:
        self._momentum_buffer_already_in_state = bool(self.state)
        super()._maybe_init_combined_states()

    def _new_state(self, group: Group, param: Tensor) -> State:
        # The first step moves by the gradient itself.
        if not group["momentum"]:
            return {}
        grad = self._combined_grads[param]
        return {"momentum_buffer": grad.add(param, alpha=group["weight_decay"])}

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        if group["weight_decay"]:
            grad = grad.add(param, alpha=group["weight_decay"])
        if group["momentum"]:
            buffer = state["momentum_buffer"]
            if self._momentum_buffer_already_in_state:
                buffer.mul_(group["momentum"]).add_(grad, alpha=1 - group["dampening"])
            grad = grad.add(buffer, alpha=group["momentum"]) if group["nesterov"] else buffer
        param.add_(grad, alpha=-group["lr"])
