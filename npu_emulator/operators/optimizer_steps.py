"""One step of an optimizer, on one parameter."""

from __future__ import annotations

import torch
from torch import Tensor

from npu_emulator.operators.limits import FLOATS, limit, require, types
from npu_emulator.operators.precision import wide
from npu_emulator.operators.registry import kernel

Step = tuple[Tensor, Tensor, Tensor]


def _check(operator: str, grad: Tensor, var: Tensor, m: Tensor, v: Tensor) -> None:
    types(operator, FLOATS, grad=grad, var=var, m=m, v=v)
    for name, tensor in (("var", var), ("m", m), ("v", v)):
        require(
            tensor.shape == grad.shape, operator, name, list(tensor.shape), f"the shape of grad, {list(grad.shape)}"
        )


def _without_out(operator: str) -> Step:
    raise RuntimeError(f"{operator}: out=(var, m, v) is missing: the step is taken in place")


@kernel("npu_apply_adam")
def apply_adam(
    beta1_power: float,
    beta2_power: float,
    lr: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    grad: Tensor,
    use_locking: bool | None,
    use_nesterov: bool | None,
) -> Step:
    """Raises: the step needs ``out``."""
    return _without_out("npu_apply_adam")


@kernel("npu_apply_adam.out")
def apply_adam_out(
    beta1_power: float,
    beta2_power: float,
    lr: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    grad: Tensor,
    use_locking: bool | None,
    use_nesterov: bool | None,
    *,
    var: Tensor,
    m: Tensor,
    v: Tensor,
) -> Step:
    """Adam; the powers are those of this step."""
    _check("npu_apply_adam", grad, var, m, v)
    grad = wide(grad)
    m_new = wide(m) + (grad - wide(m)) * (1 - beta1)
    v_new = wide(v) + (grad.square() - wide(v)) * (1 - beta2)
    rate = lr * (1 - beta2_power) ** 0.5 / (1 - beta1_power)
    direction = m_new * beta1 + (1 - beta1) * grad if use_nesterov else m_new
    var.copy_(wide(var) - rate * direction / (v_new.sqrt() + epsilon))
    return var, m.copy_(m_new), v.copy_(v_new)


@kernel("npu_apply_adam_w")
def apply_adam_w(
    beta1_power: float,
    beta2_power: float,
    lr: float,
    weight_decay: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    grad: Tensor,
    max_grad_norm: Tensor | None,
    amsgrad: bool | None,
    maximize: bool | None,
) -> Step:
    """Raises: the step needs ``out``."""
    return _without_out("npu_apply_adam_w")


@kernel("npu_apply_adam_w.out")
def apply_adam_w_out(
    beta1_power: float,
    beta2_power: float,
    lr: float,
    weight_decay: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    grad: Tensor,
    max_grad_norm: Tensor | None,
    amsgrad: bool | None,
    maximize: bool | None,
    *,
    var: Tensor,
    m: Tensor,
    v: Tensor,
) -> Step:
    """AdamW; the powers are those of the step before."""
    operator = "npu_apply_adam_w"
    _check(operator, grad, var, m, v)
    limit(not amsgrad, operator, "amsgrad", amsgrad, "False")
    grad = -wide(grad) if maximize else wide(grad)
    m_new = wide(m) * beta1 + (1 - beta1) * grad
    v_new = wide(v) * beta2 + (1 - beta2) * grad.square()
    largest = v_new
    if amsgrad:
        require(max_grad_norm is not None, operator, "max_grad_norm", None, "a tensor with amsgrad")
        assert max_grad_norm is not None
        largest = torch.maximum(wide(max_grad_norm), v_new)
    deviation = (largest / (1 - beta2_power * beta2)).sqrt() + epsilon
    mean = m_new / (1 - beta1_power * beta1)
    var.copy_(wide(var) * (1 - lr * weight_decay) - lr * mean / deviation)
    return var, m.copy_(m_new), v.copy_(v_new)


@kernel("npu_bert_apply_adam")
def bert_apply_adam(
    lr: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    grad: Tensor,
    max_grad_norm: float,
    global_grad_norm: float,
    weight_decay: float,
    step_size: float | None = None,
    adam_mode: int = 0,
) -> Step:
    """Raises: the step needs ``out``."""
    return _without_out("npu_bert_apply_adam")


@kernel("npu_bert_apply_adam.out")
def bert_apply_adam_out(
    lr: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    grad: Tensor,
    max_grad_norm: float,
    global_grad_norm: float,
    weight_decay: float,
    step_size: float | None = None,
    adam_mode: int = 0,
    *,
    var: Tensor,
    m: Tensor,
    v: Tensor,
) -> Step:
    """Adam as BERT has it: no bias correction, decay beside the update, gradients cut to ``max_grad_norm``."""
    _check("npu_bert_apply_adam", grad, var, m, v)
    grad = wide(grad)
    if global_grad_norm > max_grad_norm > 0:
        grad = grad * (max_grad_norm / global_grad_norm)
    m_new = wide(m) * beta1 + (1 - beta1) * grad
    v_new = wide(v) * beta2 + (1 - beta2) * grad.square()
    update = m_new / (v_new.sqrt() + epsilon)
    if step_size is not None:
        update = update * step_size
    update = update + weight_decay * wide(var)
    var.copy_(wide(var) - lr * update)
    return var, m.copy_(m_new), v.copy_(v_new)
