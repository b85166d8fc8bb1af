"""DeepSpeed in a trial: what it compiles on first use, for minutes, is done by torch instead.

Its optimizers for the host (where an optimizer is offloaded), its fused Adam where the CPU is the device, and how
processes of the CPU reduce through shared memory, for which they have gloo. All else is DeepSpeed's own.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from script_trial.on_import import Then

if TYPE_CHECKING:
    from torch import Tensor

    from script_trial.adapter import TrialOfAdapter

_COMPILED = (
    "DeepSpeed's own {name} was done by torch, since it is compiled on first use for minutes; its states are where "
    "they are asked for"
)
_NORMS = (
    "DeepSpeed asks for the norms of gradients in float64, and torch_npu's cast makes float32 of them on the NPU: they "
    "are made in float32 every way"
)
_ON_HOST = "DeepSpeed's optimizer for the host"


def hooks(trial: TrialOfAdapter) -> dict[str, Then]:
    """By the module to wait for, what is done when it has been imported."""

    def hook(_: object) -> None:
        from deepspeed.accelerator import get_accelerator

        accelerator = get_accelerator()
        operators = {
            "CPUAdamBuilder": AdamOnHost(trial),
            "CPUAdagradBuilder": AdagradOnHost(trial),
            "CPULionBuilder": LionOnHost(trial),
            "FusedAdamBuilder": FusedAdam(trial),  # an NPU has its own, which it does not compile
        }
        for name, operator in operators.items():
            builder = accelerator.create_op_builder(name)
            if builder is not None:
                builder._loaded_ops[builder.name] = operator
        if accelerator.device_name() == "cpu":
            import_module("deepspeed.comm.torch").build_shm_op = lambda: None  # type: ignore[attr-defined]
        _take_norms_as_an_npu(accelerator, trial)
        _leave_to_memory(trial)

    return {"deepspeed": hook}


def _take_norms_as_an_npu(accelerator: Any, trial: TrialOfAdapter) -> None:
    """Norms of gradients in float32 on the CPU too: where an NPU is asked to cast to float64 for them, it casts to
    that."""
    if not hasattr(accelerator, "is_fp64_supported"):
        return
    on_cpu, supported = accelerator.device_name() == "cpu", accelerator.is_fp64_supported

    def is_fp64_supported() -> bool:
        if on_cpu:
            return False
        if is_supported := bool(supported()):  # which DeepSpeed asks where it makes a norm
            trial.note(_NORMS)
        return is_supported

    accelerator.is_fp64_supported = is_fp64_supported


def _leave_to_memory(trial: TrialOfAdapter) -> None:
    """What would be offloaded to a disk is offloaded to the host's memory: reading the disk is compiled too."""
    from deepspeed.runtime.config import DeepSpeedConfig

    start = DeepSpeedConfig.__init__

    @functools.wraps(start)
    def started(config: Any, given: Any, *args: Any, **kwargs: Any) -> None:
        start(config, _without_disk(given, trial), *args, **kwargs)

    DeepSpeedConfig.__init__ = started


def _without_disk(given: Any, trial: TrialOfAdapter) -> Any:
    """A config, as the mapping or the file that it is, or the mapping that is made of it."""
    settings = given
    if isinstance(given, str) and os.path.exists(given):
        import hjson

        with open(given, encoding="utf-8") as file:
            settings = hjson.load(file)
    zero = settings.get("zero_optimization") if isinstance(settings, Mapping) else None
    if not isinstance(zero, Mapping):
        return given
    changed = {
        part: {**asked, "device": "cpu"}
        for part in ("offload_optimizer", "offload_param")
        if isinstance(asked := zero.get(part), Mapping) and asked.get("device") == "nvme"
    }
    if not changed:
        return given
    trial.note(f"{' and '.join(changed)}: cpu instead of nvme, since DeepSpeed compiles what reads a disk for minutes")
    return {**settings, "zero_optimization": {**zero, **changed}}


def adam_step(
    param: Tensor,
    grad: Tensor,
    mean: Tensor,
    square: Tensor,
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    decay: float,
    *,
    decoupled: bool,
    corrects: bool,
) -> None:
    """A step of Adam as Kingma and Ba have it, or with Loshchilov and Hutter's decay of weights, computed in float32.

    Changes `param`, `mean` and `square`; with `corrects` the moments are those without their bias to zero.
    """
    weights, slope = param.float(), grad.float()
    if decoupled:
        weights = weights * (1 - lr * decay)
    else:
        slope = slope + decay * weights
    mean.copy_(mean.float().lerp(slope, 1 - betas[0]))
    square.copy_(square.float() * betas[1] + (1 - betas[1]) * slope * slope)
    first, second = (1 - betas[0] ** step, 1 - betas[1] ** step) if corrects else (1.0, 1.0)
    param.copy_(weights - lr / first * mean.float() / (square.float().sqrt() / math.sqrt(second) + eps))


class OnHost:
    """An optimizer's operators for the host, by the names that DeepSpeed calls them by."""

    kind = ""

    def __init__(self, trial: TrialOfAdapter) -> None:
        self._trial = trial

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """``create_adam`` and ``destroy_adam``: there is nothing to be made or freed."""
        if name not in (f"create_{self.kind}", f"destroy_{self.kind}"):
            raise AttributeError(name)
        return lambda *_: 0

    def _stepped(self, step: Callable[..., None], *args: Any) -> int:
        import torch

        self._trial.note(_COMPILED.format(name=f"{self.kind.capitalize()} for the host"))
        with torch.no_grad(), self._trial.host_work(_ON_HOST):
            step(*args)
        return 0


class AdamOnHost(OnHost):
    kind = "adam"

    def __init__(self, trial: TrialOfAdapter) -> None:
        super().__init__(trial)
        self._decays_weights: dict[int, bool] = {}

    def create_adam(
        self, number: int, lr: float, beta1: float, beta2: float, eps: float, decay: float, decoupled: bool, *_: Any
    ) -> int:
        self._decays_weights[number] = bool(decoupled)
        return 0

    def adam_update(
        self,
        number: int,
        step: int,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        decay: float,
        corrects: bool,
        param: Tensor,
        grad: Tensor,
        mean: Tensor,
        square: Tensor,
    ) -> int:
        def update() -> None:
            decoupled = self._decays_weights[number]
            settings = (step, lr, (beta1, beta2), eps, decay)
            adam_step(param, grad, mean, square, *settings, decoupled=decoupled, corrects=corrects)

        return self._stepped(update)


class AdagradOnHost(OnHost):
    kind = "adagrad"

    def adagrad_update(
        self, number: int, step: int, lr: float, eps: float, decay: float, param: Tensor, grad: Tensor, square: Tensor
    ) -> int:
        def update() -> None:
            slope = grad.float() + decay * param.float()
            square.add_(slope * slope)
            param.copy_(param.float() - lr * slope / (square.float().sqrt() + eps))

        return self._stepped(update)


class LionOnHost(OnHost):
    """Lion as Chen et al. have it."""

    kind = "lion"

    def lion_update(
        self,
        number: int,
        step: int,
        lr: float,
        beta1: float,
        beta2: float,
        decay: float,
        param: Tensor,
        grad: Tensor,
        mean: Tensor,
    ) -> int:
        def update() -> None:
            weights, slope = param.float() * (1 - lr * decay), grad.float()
            param.copy_(weights - lr * mean.float().lerp(slope, 1 - beta1).sign())
            mean.copy_(mean.float().lerp(slope, 1 - beta2))

        return self._stepped(update)


class FusedAdam:
    """Adam of many tensors at once where the CPU is the device, by the operator that DeepSpeed takes on an NPU."""

    def __init__(self, trial: TrialOfAdapter) -> None:
        self._trial = trial

    def multi_tensor_adam(
        self,
        chunk_size: int,
        overflow: Tensor,
        tensors: list[list[Tensor]],
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        step: int,
        decoupled: int,
        corrects: int,
        decay: float,
        *_: Any,
    ) -> None:
        import torch

        self._trial.note(_COMPILED.format(name="fused Adam for the CPU"))
        grads, params, means, squares = tensors
        if not corrects:
            with torch.no_grad():
                for one in zip(params, grads, means, squares, strict=True):
                    adam_step(*one, step, lr, (beta1, beta2), eps, decay, decoupled=bool(decoupled), corrects=False)
            return
        steps = [torch.tensor(float(step), device=param.device) for param in params]
        update = torch._fused_adamw_ if decoupled else torch._fused_adam_
        with torch.no_grad():
            update(
                params, grads, means, squares, [], steps, amsgrad=False, lr=lr, beta1=beta1, beta2=beta2,
                weight_decay=decay, eps=eps, maximize=False,
            )  # fmt: skip
