"""torch_npu's fused optimizers.

On hardware each combines the parameters of a group into one tensor; here each parameter is updated by itself, with the
same numbers. Parameters are float32 or float16, and gradients stay where they are when set to zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = [
    "NpuFusedAdadelta",
    "NpuFusedAdam",
    "NpuFusedAdamP",
    "NpuFusedAdamW",
    "NpuFusedBertAdam",
    "NpuFusedLamb",
    "NpuFusedOptimizerBase",
    "NpuFusedRMSprop",
    "NpuFusedRMSpropTF",
    "NpuFusedSGD",
]

Group = dict[str, Any]
State = dict[str, Any]
Betas = tuple[float, float]


def _check(name: str, value: float, fits: bool) -> None:
    if not fits:
        raise ValueError(f"Invalid {name}: {value}")


def _check_rates(rates: dict[str, float], betas: Betas | None = None) -> None:
    for name, rate in rates.items():
        _check(name, rate, rate >= 0)
    for index, beta in enumerate(betas or ()):
        _check(f"beta parameter at index {index}", beta, 0 <= beta < 1)


class NpuFusedOptimizerBase(Optimizer):
    """What the fused optimizers share: a step over all parameters that have a gradient, and clipping by their norm."""

    def __init__(self, params: Iterable[Any], default: Group) -> None:
        super().__init__(params, default)
        self.is_fused_optimizer = True

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        """Moves one parameter; ``state["step"]`` counts this step already."""
        raise NotImplementedError

    def _before_group(self, group: Group, params: list[Tensor]) -> None:
        """What a step does to all of a group's gradients first."""

    def _with_gradients(self, group: Group) -> list[Tensor]:
        params = [param for param in group["params"] if param.grad is not None]
        for param in params:
            if param.dtype not in (torch.float32, torch.float16):
                raise TypeError(
                    f"Fused optimizer's parameters must be either float32 or float16, but received {param.dtype}"
                )
            if param.grad is not None and param.grad.is_sparse:
                raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
        return params

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what ``closure`` does.

        Raises:
            TypeError: a parameter is neither float32 nor float16.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = self._with_gradients(group)
            self._before_group(group, params)
            for param in params:
                assert param.grad is not None
                state = self.state[param]
                state["step"] = state.get("step", 0) + 1
                self._update(group, param, param.grad, state)
        return loss

    @torch.no_grad()
    def zero_grad(self, set_to_none: bool = False) -> None:
        """Sets the gradients to zero.

        Raises:
            ValueError: they are to be dropped, which would take them out of the combined tensor.
        """
        if set_to_none:
            raise ValueError("set_to_none is not supported in fused optimizers")
        super().zero_grad(set_to_none=False)

    @torch.no_grad()
    def clip_grad_norm_fused_(self, max_norm: float, norm_type: float = 2) -> Tensor:
        """Scales all gradients so that their norm is at most ``max_norm``; returns the norm before."""
        grads = [param.grad for group in self.param_groups for param in self._with_gradients(group)]
        return _clip(grads, float(max_norm), float(norm_type))


def _clip(grads: Iterable[Tensor | None], max_norm: float, norm_type: float) -> Tensor:
    given = [grad for grad in grads if grad is not None]
    if not given:
        return torch.tensor(0.0)
    norms = torch.stack([torch.linalg.vector_norm(grad.float(), norm_type) for grad in given])
    total: Tensor = torch.linalg.vector_norm(norms, norm_type)
    scale = max_norm / (total + 1e-6)
    if scale < 1:
        for grad in given:
            grad.mul_(scale)
    return total


def _moments(grad: Tensor, state: State, beta1: float, beta2: float) -> tuple[Tensor, Tensor]:
    """Running means of the gradient and of its square, brought up to date."""
    if "exp_avg" not in state:
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(grad), torch.zeros_like(grad)
    mean: Tensor = state["exp_avg"]
    square: Tensor = state["exp_avg_sq"]
    return mean.lerp_(grad, 1 - beta1), square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)


def _adam_direction(group: Group, grad: Tensor, state: State) -> tuple[Tensor, Tensor]:
    """Running mean and denominator of Adam; the mean is not corrected yet."""
    beta1, beta2 = group["betas"]
    mean, square = _moments(grad, state, beta1, beta2)
    if group.get("amsgrad"):
        largest = state.setdefault("max_exp_avg_sq", torch.zeros_like(square))
        square = torch.maximum(largest, square, out=largest)
    return mean, square.sqrt().div_(math.sqrt(1 - beta2 ** state["step"])).add_(group["eps"])


class NpuFusedAdam(NpuFusedOptimizerBase):
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
        _check_rates({"learning rate": lr, "epsilon value": eps, "weight_decay value": weight_decay}, betas)
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        )

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        if group["weight_decay"]:
            grad = grad.add(param, alpha=group["weight_decay"])
        mean, deviation = _adam_direction(group, grad, state)
        rate = group["lr"] / (1 - group["betas"][0] ** state["step"])
        param.addcdiv_(mean, deviation, value=-rate)


class NpuFusedAdamW(NpuFusedOptimizerBase):
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
        _check_rates({"learning rate": lr, "epsilon value": eps, "weight_decay value": weight_decay}, betas)
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        )

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        param.mul_(1 - group["lr"] * group["weight_decay"])
        mean, deviation = _adam_direction(group, grad, state)
        rate = group["lr"] / (1 - group["betas"][0] ** state["step"])
        param.addcdiv_(mean, deviation, value=-rate)


class NpuFusedSGD(NpuFusedOptimizerBase):
    """Stochastic gradient descent with momentum."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
    ) -> None:
        _check_rates({"learning rate": lr, "momentum value": momentum, "weight_decay value": weight_decay})
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
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

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        if group["weight_decay"]:
            grad = grad.add(param, alpha=group["weight_decay"])
        if group["momentum"]:
            if "momentum_buffer" in state:
                state["momentum_buffer"].mul_(group["momentum"]).add_(grad, alpha=1 - group["dampening"])
            else:
                state["momentum_buffer"] = grad.clone()
            buffer = state["momentum_buffer"]
            grad = grad.add(buffer, alpha=group["momentum"]) if group["nesterov"] else buffer
        param.add_(grad, alpha=-group["lr"])


class NpuFusedAdadelta(NpuFusedOptimizerBase):
    """Adadelta."""

    def __init__(
        self, params: Iterable[Any], lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0
    ) -> None:
        _check_rates({"learning rate": lr, "epsilon value": eps, "weight_decay value": weight_decay})
        _check("rho value", rho, 0 <= rho <= 1)
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay})

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        if group["weight_decay"]:
            grad = grad.add(param, alpha=group["weight_decay"])
        square = state.setdefault("square_avg", torch.zeros_like(grad))
        moved = state.setdefault("acc_delta", torch.zeros_like(grad))
        rho, eps = group["rho"], group["eps"]
        square.mul_(rho).addcmul_(grad, grad, value=1 - rho)
        delta = (moved + eps).sqrt_().div_((square + eps).sqrt_()).mul_(grad)
        moved.mul_(rho).addcmul_(delta, delta, value=1 - rho)
        param.add_(delta, alpha=-group["lr"])


class NpuFusedRMSprop(NpuFusedOptimizerBase):
    """RMSprop."""

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
        _check_rates(
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

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        if group["weight_decay"]:
            grad = grad.add(param, alpha=group["weight_decay"])
        square = state.setdefault("square_avg", torch.zeros_like(grad))
        square.mul_(group["alpha"]).addcmul_(grad, grad, value=1 - group["alpha"])
        variance = square
        if group["centered"]:
            mean = state.setdefault("grad_avg", torch.zeros_like(grad))
            mean.mul_(group["alpha"]).add_(grad, alpha=1 - group["alpha"])
            variance = square - mean * mean
        deviation = variance.sqrt().add_(group["eps"])
        if group["momentum"]:
            buffer = state.setdefault("momentum_buffer", torch.zeros_like(grad))
            buffer.mul_(group["momentum"]).addcdiv_(grad, deviation)
            param.add_(buffer, alpha=-group["lr"])
        else:
            param.addcdiv_(grad, deviation, value=-group["lr"])


class NpuFusedRMSpropTF(NpuFusedOptimizerBase):
    """RMSprop as TensorFlow has it: epsilon within the root, squares that start at one, the rate in the momentum."""

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
        _check_rates(
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

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        if group["weight_decay"]:
            if group["decoupled_decay"]:
                param.mul_(1 - group["weight_decay"])
            else:
                grad = grad.add(param, alpha=group["weight_decay"])
        rest = 1 - group["alpha"]
        square = state.setdefault("square_avg", torch.ones_like(grad))
        square.add_(grad.square() - square, alpha=rest)
        variance = square
        if group["centered"]:
            mean = state.setdefault("grad_avg", torch.zeros_like(grad))
            mean.add_(grad - mean, alpha=rest)
            variance = square - mean * mean
        deviation = (variance + group["eps"]).sqrt_()
        if not group["momentum"]:
            param.addcdiv_(grad, deviation, value=-group["lr"])
            return
        buffer = state.setdefault("momentum_buffer", torch.zeros_like(grad)).mul_(group["momentum"])
        if group["lr_in_momentum"]:
            param.sub_(buffer.addcdiv_(grad, deviation, value=group["lr"]))
        else:
            param.add_(buffer.addcdiv_(grad, deviation), alpha=-group["lr"])


class NpuFusedLamb(NpuFusedOptimizerBase):
    """LAMB: Adam without bias correction, its step scaled by the norms of parameter and step."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0,
        adam: bool = False,
        use_global_grad_norm: bool = False,
    ) -> None:
        _check_rates({"learning rate": lr, "epsilon value": eps}, betas)
        self.adam, self.use_global_grad_norm = adam, use_global_grad_norm
        self._global_norm: Tensor | None = None
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what ``closure`` does."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        grads = [param.grad for group in self.param_groups for param in self._with_gradients(group)]
        if self.use_global_grad_norm and grads:
            norms = [torch.linalg.vector_norm(grad) for grad in grads if grad is not None]
            self._global_norm = torch.linalg.vector_norm(torch.stack(norms))
        super().step()
        return loss

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        if self._global_norm is not None and self._global_norm > 1:
            grad = grad / self._global_norm
        mean, square = _moments(grad, state, *group["betas"])
        step = mean / square.sqrt().add_(group["eps"])
        if group["weight_decay"]:
            step.add_(param, alpha=group["weight_decay"])
        param.add_(step * self._trust(param, step), alpha=-group["lr"])

    def _trust(self, param: Tensor, step: Tensor) -> Tensor | float:
        if self.adam:
            return 1.0
        weight_norm, step_norm = torch.linalg.vector_norm(param).clamp(0, 10), torch.linalg.vector_norm(step)
        return 1.0 if weight_norm == 0 or step_norm == 0 else weight_norm / step_norm


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

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        beta1 = group["betas"][0]
        mean, deviation = _adam_direction(group, grad, state)
        direction = (beta1 * mean + (1 - beta1) * grad if group["nesterov"] else mean) / deviation
        ratio = 1.0
        if param.dim() > 1:
            direction, ratio = _project(group, param, grad, direction)
        if group["weight_decay"] > 0:
            param.mul_(1 - group["lr"] * group["weight_decay"] * ratio)
        param.add_(direction, alpha=-group["lr"] / (1 - beta1 ** state["step"]))


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


def _constant(done: float, warmup: float) -> float:
    return done / warmup if done < warmup else 1.0


def _cosine(done: float, warmup: float) -> float:
    return done / warmup if done < warmup else 0.5 * (1 + math.cos(math.pi * done))


def _linear(done: float, warmup: float) -> float:
    return done / warmup if done < warmup else max((done - 1) / (warmup - 1), 0)


def _poly(done: float, warmup: float) -> float:
    return done / warmup if done < warmup else math.sqrt(1 - done)


_SCHEDULES = {
    "warmup_cosine": _cosine,
    "warmup_constant": _constant,
    "warmup_linear": _linear,
    "warmup_poly": _poly,
}


class NpuFusedBertAdam(NpuFusedOptimizerBase):
    """Adam as BERT was trained: no bias correction, a schedule of its own, each group's gradients cut to a norm."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        warmup: float = -1,
        t_total: int = -1,
        schedule: str = "warmup_linear",
        b1: float = 0.9,
        b2: float = 0.999,
        e: float = 1e-6,
        weight_decay: float = 0.01,
        max_grad_norm: float = 1.0,
    ) -> None:
        _check_rates({"learning rate": lr, "epsilon value": e}, (b1, b2))
        _check("warmup", warmup, 0 <= warmup < 1 or warmup == -1)
        if schedule not in _SCHEDULES:
            raise ValueError(f"Invalid schedule parameter: {schedule}; expected {', '.join(_SCHEDULES)}")
        self.max_grad_norm = max_grad_norm
        super().__init__(
            params,
            {
                "lr": lr,
                "schedule": schedule,
                "warmup": warmup,
                "t_total": t_total,
                "b1": b1,
                "b2": b2,
                "e": e,
                "weight_decay": weight_decay,
                "max_grad_norm": max_grad_norm,
            },
        )

    def _before_group(self, group: Group, params: list[Tensor]) -> None:
        if self.max_grad_norm > 0:
            for dtype in (torch.float32, torch.float16):
                _clip([param.grad for param in params if param.dtype == dtype], self.max_grad_norm, 2.0)

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        mean, square = _moments(grad, state, group["b1"], group["b2"])
        step = mean / square.sqrt().add_(group["e"])
        if group["weight_decay"] > 0:
            step.add_(param, alpha=group["weight_decay"])
        rate = group["lr"]
        if group["t_total"] != -1:
            rate *= _SCHEDULES[group["schedule"]]((state["step"] - 1) / group["t_total"], group["warmup"])
        param.add_(step, alpha=-rate)
