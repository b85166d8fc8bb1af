"""RMSprop, its form in TensorFlow, and Adadelta, which all divide by a running root mean square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from .base import Group, NpuFusedOptimizerBase, State, check, check_rates


class NpuFusedAdadelta(NpuFusedOptimizerBase):
    """Adadelta."""

    def __init__(
        self, params: Iterable[Any], lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0
    ) -> None:
        check_rates({"learning rate": lr, "epsilon value": eps, "weight_decay value": weight_decay})
        check("rho value", rho, 0 <= rho <= 1)
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay})

    def _new_state(self, group: Group, param: Tensor) -> State:
        return {"step": 0, "square_avg": torch.zeros_like(param), "acc_delta": torch.zeros_like(param)}

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        if group["weight_decay"]:
            grad = grad.add(param, alpha=group["weight_decay"])
        square = state["square_avg"]
        moved = state["acc_delta"]
        rho, eps = group["rho"], group["eps"]
        square.mul_(rho).addcmul_(grad, grad, value=1 - rho)
        delta = (moved + eps).sqrt_().div_((square + eps).sqrt_()).mul_(grad)
        moved.mul_(rho).addcmul_(delta, delta, value=1 - rho)
        param.add_(delta, alpha=-group["lr"])


def _means(group: Group, param: Tensor, square: Tensor) -> State:
    state = {"step": 0, "square_avg": square}
    if group["momentum"] > 0:
        state["momentum_buffer"] = torch.zeros_like(param)
    if group["centered"]:
        state["grad_avg"] = torch.zeros_like(param)
    return state


class NpuFusedRMSprop(NpuFusedOptimizerBase):
    """RMSprop."""

    _group_defaults: ClassVar[dict[str, Any]] = {"momentum": 0, "centered": False}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
    ) -> None:
        check_rates(
            {
                "learning rate": lr,
                "epsilon value": eps,
                "momentum value": momentum,
                "weight_decay value": weight_decay,
                "alpha value": alpha,
            }
        )
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
            },
        )

    def _new_state(self, group: Group, param: Tensor) -> State:
        return _means(group, param, torch.zeros_like(param))

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        if group["weight_decay"]:
            grad = grad.add(param, alpha=group["weight_decay"])
        square = state["square_avg"]
        square.mul_(group["alpha"]).addcmul_(grad, grad, value=1 - group["alpha"])
        variance = square
        if group["centered"]:
            mean = state["grad_avg"]
            mean.mul_(group["alpha"]).add_(grad, alpha=1 - group["alpha"])
            variance = square - mean * mean
        deviation = variance.sqrt().add_(group["eps"])
        if group["momentum"]:
            buffer = state["momentum_buffer"]
            buffer.mul_(group["momentum"]).addcdiv_(grad, deviation)
            param.add_(buffer, alpha=-group["lr"])
        else:
            param.addcdiv_(grad, deviation, value=-group["lr"])


class NpuFusedRMSpropTF(NpuFusedOptimizerBase):
    """RMSprop as TensorFlow has it: epsilon within the root, squares that start at one, the rate in the momentum."""

    _group_defaults: ClassVar[dict[str, Any]] = {"momentum": 0, "centered": False}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.9,
        eps: float = 1e-10,
        weight_decay: float = 0,
        momentum: float = 0.0,
        centered: bool = False,
        decoupled_decay: bool = False,
        lr_in_momentum: bool = True,
    ) -> None:
        check_rates(
            {
                "learning rate": lr,
                "epsilon value": eps,
                "momentum value": momentum,
                "weight_decay value": weight_decay,
                "alpha value": alpha,
            }
        )
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "decoupled_decay": decoupled_decay,
                "lr_in_momentum": lr_in_momentum,
            },
        )

    def _new_state(self, group: Group, param: Tensor) -> State:
        return _means(group, param, torch.ones_like(param))

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        if group["weight_decay"]:
            if group["decoupled_decay"]:
                param.mul_(1 - group["weight_decay"])
            else:
                grad = grad.add(param, alpha=group["weight_decay"])
        rest = 1 - group["alpha"]
        square = state["square_avg"]
        square.add_(grad.square() - square, alpha=rest)
        variance = square
        if group["centered"]:
            mean = state["grad_avg"]
            mean.add_(grad - mean, alpha=rest)
            variance = square - mean * mean
        deviation = (variance + group["eps"]).sqrt_()
        if not group["momentum"]:
            param.addcdiv_(grad, deviation, value=-group["lr"])
            return
        buffer = state["momentum_buffer"].mul_(group["momentum"])
        if group["lr_in_momentum"]:
            param.sub_(buffer.addcdiv_(grad, deviation, value=group["lr"]))
        else:
            param.add_(buffer.addcdiv_(grad, deviation), alpha=-group["lr"])
