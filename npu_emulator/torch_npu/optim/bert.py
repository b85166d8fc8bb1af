"""The optimizers that BERT was trained with: its own Adam, and LAMB."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import required

from .adam import first_moments, moments, step_with_gradients
from .base import Betas, Group, NpuFusedOptimizerBase, State, check, check_rates, clip


def _constant(done: float, warmup: float) -> float:
    return done / warmup if done < warmup else 1.0


def _cosine(done: float, warmup: float) -> float:
    if done < warmup:
        return done / warmup
    raise TypeError("warmup_cosine ends with the warmup: torch_npu 2.14 hands torch.cos a float there; use another one")


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
        lr: Any = required,
        warmup: float = -1,
        t_total: int = -1,
        schedule: str = "warmup_linear",
        b1: float = 0.9,
        b2: float = 0.999,
        e: float = 1e-6,
        weight_decay: float = 0.01,
        max_grad_norm: float = 1.0,
    ) -> None:
        check_rates({"learning rate": lr, "epsilon value": e}, (b1, b2))
        check("warmup", warmup, 0 <= warmup < 1 or warmup == -1)
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

    def _new_state(self, group: Group, param: Tensor) -> State:
        return first_moments(param)

    def _group_step(self, group_index: int) -> None:
        if self.max_grad_norm > 0 and self.combined_grads_indexed_by_group is not None:
            for grads in self.combined_grads_indexed_by_group[group_index]:
                clip([grads], self.max_grad_norm, 2.0)
        super()._group_step(group_index)

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        mean, square = moments(grad, state, group["b1"], group["b2"])
        step = mean / square.sqrt().add_(group["e"])
        if group["weight_decay"] > 0:
            step.add_(param, alpha=group["weight_decay"])
        rate = group["lr"]
        if group["t_total"] != -1:
            rate *= _SCHEDULES[group["schedule"]]((state["step"] - 1) / group["t_total"], group["warmup"])
        param.add_(step, alpha=-rate)


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
        check_rates({"learning rate": lr, "epsilon value": eps}, betas)
        self.adam, self.use_global_grad_norm = adam, use_global_grad_norm
        self.global_grad_norm = torch.ones(1, device="npu")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what ``closure`` does, which is called with gradients."""
        return step_with_gradients(self, closure)

    def _step_groups(self) -> None:
        self._maybe_init_combined_params_and_grads()
        grads = [grads for grads in self.grads_all_group_combined if grads is not None]
        if self.use_global_grad_norm and grads:
            norms = torch.stack([torch.linalg.vector_norm(each.float()) for each in grads])
            self.global_grad_norm = torch.linalg.vector_norm(norms)
        super()._step_groups()

    def _new_state(self, group: Group, param: Tensor) -> State:
        return first_moments(param)

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        if self.global_grad_norm > 1:
            grad = grad / self.global_grad_norm
        mean, square = moments(grad, state, *group["betas"])
        step = mean / square.sqrt().add_(group["eps"])
        if group["weight_decay"]:
            step.add_(param, alpha=group["weight_decay"])
        param.add_(step * self._trust(param, step), alpha=-group["lr"])

    def _trust(self, param: Tensor, step: Tensor) -> Tensor | float:
        if self.adam:
            return 1.0
        weight_norm, step_norm = torch.linalg.vector_norm(param).clamp(0, 10), torch.linalg.vector_norm(step)
        return 1.0 if weight_norm == 0 or step_norm == 0 else weight_norm / step_norm
