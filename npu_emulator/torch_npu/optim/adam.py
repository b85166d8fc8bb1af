"""Adam, its form with decoupled weight decay, and AdamP."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from .base import Betas, Group, NpuFusedOptimizerBase, State, check_rates


def first_moments(param: Tensor) -> State:
    """The state of a parameter that Adam has not moved yet."""
    return {"step": 0, "exp_avg": torch.zeros_like(param), "exp_avg_sq": torch.zeros_like(param)}


def moments(grad: Tensor, state: State, beta1: float, beta2: float) -> tuple[Tensor, Tensor]:
    """Running means of the gradient and of its square, brought up to date."""
    mean: Tensor = state["exp_avg"]
    square: Tensor = state["exp_avg_sq"]
    return mean.lerp_(grad, 1 - beta1), square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)


def _direction(group: Group, grad: Tensor, state: State) -> tuple[Tensor, Tensor]:
    """Running mean and denominator of Adam; the mean is not corrected yet."""
    beta1, beta2 = group["betas"]
    mean, square = moments(grad, state, beta1, beta2)
    if group.get("amsgrad"):
        largest = state["max_exp_avg_sq"]
        square = torch.maximum(largest, square, out=largest)
    return mean, square.sqrt().div_(math.sqrt(1 - beta2 ** state["step"])).add_(group["eps"])


class _Adam(NpuFusedOptimizerBase):
    _group_defaults: ClassVar[dict[str, Any]] = {"amsgrad": False}

    def _new_state(self, group: Group, param: Tensor) -> State:
        largest = {"max_exp_avg_sq": torch.zeros_like(param)} if group["amsgrad"] else {}
        return first_moments(param) | largest

    def _step_along(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        mean, deviation = _direction(group, grad, state)
        rate = group["lr"] / (1 - group["betas"][0] ** state["step"])
        param.addcdiv_(mean, deviation, value=-rate)


class NpuFusedAdam(_Adam):
    """Adam; the weight decay is added to the gradient."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
    ) -> None:
        check_rates({"learning rate": lr, "epsilon value": eps, "weight_decay value": weight_decay}, betas)
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        )

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        if group["weight_decay"]:
            grad = grad.add(param, alpha=group["weight_decay"])
        self._step_along(group, param, grad, state)


class NpuFusedAdamW(_Adam):
    """Adam; the weight decay is taken from the parameter."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        check_rates({"learning rate": lr, "epsilon value": eps, "weight_decay value": weight_decay}, betas)
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        )

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        param.mul_(1 - group["lr"] * group["weight_decay"])
        self._step_along(group, param, grad, state)


class NpuFusedAdamP(NpuFusedOptimizerBase):
    """AdamP: Adam whose step loses its part along the parameter, where gradient and parameter are near orthogonal."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        delta: float = 0.1,
        wd_ratio: float = 0.1,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "delta": delta,
                "wd_ratio": wd_ratio,
                "nesterov": nesterov,
            },
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what ``closure`` does, which is called with gradients."""
        return step_with_gradients(self, closure)

    def _new_state(self, group: Group, param: Tensor) -> State:
        return first_moments(param)

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        beta1 = group["betas"][0]
        mean, deviation = _direction(group, grad, state)
        direction = (beta1 * mean + (1 - beta1) * grad if group["nesterov"] else mean) / deviation
        ratio = 1.0
        if param.dim() > 1:
            direction, ratio = _project(group, param, grad, direction)
        if group["weight_decay"] > 0:
            param.mul_(1 - group["lr"] * group["weight_decay"] * ratio)
        param.add_(direction, alpha=-group["lr"] / (1 - beta1 ** state["step"]))


def step_with_gradients(optimizer: NpuFusedOptimizerBase, closure: Callable[[], Any] | None) -> Any:
    """A step whose closure may call backward; what has a gradient before it is combined before it."""
    optimizer._maybe_init_combined_params_and_grads()
    loss = None
    if closure is not None:
        with torch.enable_grad():
            loss = closure()
    optimizer._step_groups()
    return loss


def _project(group: Group, param: Tensor, grad: Tensor, direction: Tensor) -> tuple[Tensor, float]:
    """The direction without its part along each row of the parameter, or along all of it, and the decay's ratio."""
    for rows in (param.shape[0], 1):
        flat, flat_grad = param.reshape(rows, -1), grad.reshape(rows, -1)
        norms = [torch.linalg.vector_norm(x, dim=1) + group["eps"] for x in (flat, flat_grad)]
        cosine = (flat * flat_grad).sum(1).abs() / norms[0] / norms[1]
        if cosine.max() < group["delta"] / math.sqrt(flat.shape[1]):
            unit = flat / (torch.linalg.vector_norm(flat, dim=1, keepdim=True) + group["eps"])
            along = (unit * direction.reshape(rows, -1)).sum(1, keepdim=True)
            return (direction.reshape(rows, -1) - unit * along).view_as(param), group["wd_ratio"]
    return direction, 1.0
