"""torch_npu's fused optimizers against torch's, and against the updates in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.npu_emulator.operators.holding import close, made

STEPS = 4


def trained(make: Callable[[list[Tensor]], Any], start: list[Tensor], grads: list[list[Tensor]]) -> list[Tensor]:
    params = [torch.nn.Parameter(x.clone()) for x in start]
    optimizer = make(params)
    for step in grads:
        for param, grad in zip(params, step, strict=True):
            param.grad = grad.to(param).clone()
        optimizer.step()
    return [param.detach() for param in params]


TORCHS: dict[str, tuple[type, dict[str, Any], dict[str, Any]]] = {
    "NpuFusedAdam": (torch.optim.Adam, {"lr": 0.1, "weight_decay": 0.1}, {}),
    "NpuFusedAdam amsgrad": (torch.optim.Adam, {"lr": 0.1, "amsgrad": True}, {}),
    "NpuFusedAdamW": (torch.optim.AdamW, {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3}, {}),
    "NpuFusedSGD": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.1}, {}),
    "NpuFusedSGD nesterov": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}, {}),
    "NpuFusedAdadelta": (torch.optim.Adadelta, {"lr": 0.5, "weight_decay": 0.1}, {}),
    "NpuFusedRMSprop": (torch.optim.RMSprop, {"lr": 0.1, "momentum": 0.5, "centered": True}, {}),
    "NpuFusedRMSprop plain": (torch.optim.RMSprop, {"lr": 0.1, "weight_decay": 0.1}, {}),
}


@pytest.mark.parametrize("case", TORCHS)
def test_as_torchs(case: str) -> None:
    import torch_npu

    theirs, options, _ = TORCHS[case]
    ours = getattr(torch_npu.optim, case.split()[0])
    start = [made(3, 4), made(5)]
    grads = [[made(3, 4), made(5)] for _ in range(STEPS)]
    expected = trained(lambda p: theirs(p, **options), [x.double() for x in start], grads)
    found = trained(lambda p: ours(p, **options), [x.npu() for x in start], grads)
    for a, b in zip(found, expected, strict=True):
        close(a, b)


def moments(grads: list[Tensor], beta1: float, beta2: float) -> tuple[Tensor, Tensor]:
    mean = square = torch.zeros_like(grads[0])
    for grad in grads:
        mean, square = beta1 * mean + (1 - beta1) * grad, beta2 * square + (1 - beta2) * grad * grad
    return mean, square


def lamb(param: Tensor, grads: list[Tensor], number: int, **_: Any) -> Tensor:
    mean, square = moments(grads[:number], 0.9, 0.999)
    step = mean / (square.sqrt() + 1e-6) + 0.1 * param
    trust = min(param.norm().item(), 10) / step.norm().item()
    return param - 0.05 * trust * step


def bert(param: Tensor, grads: list[Tensor], number: int, **_: Any) -> Tensor:
    mean, square = moments(grads[:number], 0.9, 0.999)
    done = (number - 1) / 10
    rate = 0.05 * (done / 0.2 if done < 0.2 else max((done - 1) / (0.2 - 1), 0))
    return param - rate * (mean / (square.sqrt() + 1e-6) + 0.1 * param)


def adam_p(param: Tensor, grads: list[Tensor], number: int, **_: Any) -> Tensor:
    mean, square = moments(grads[:number], 0.9, 0.999)
    step = mean / ((square / (1 - 0.999**number)).sqrt() + 1e-8)
    ratio, grad = 1.0, grads[number - 1]
    if param.dim() > 1:
        for rows in (param.shape[0], 1):
            p, g = param.view(rows, -1), grad.view(rows, -1)
            cosine = (p * g).sum(1).abs() / p.norm(dim=1) / g.norm(dim=1)
            if cosine.max() < 0.9 / math.sqrt(p.shape[1]):
                unit = p / p.norm(dim=1, keepdim=True)
                step = (step.view(rows, -1) - unit * (unit * step.view(rows, -1)).sum(1, keepdim=True)).view_as(param)
                ratio = 0.1
                break
    return param * (1 - 0.05 * 0.1 * ratio) - 0.05 / (1 - 0.9**number) * step


def rmsprop_tf(param: Tensor, grads: list[Tensor], number: int, state: dict[str, Tensor], **_: Any) -> Tensor:
    grad = grads[number - 1] + 0.1 * param
    square = state.get("square", torch.ones_like(param))
    state["square"] = square + 0.1 * (grad * grad - square)
    state["buffer"] = 0.5 * state.get("buffer", 0) + 0.05 * grad / (state["square"] + 1e-10).sqrt()
    return param - state["buffer"]


OWN = {
    "NpuFusedLamb": (lamb, {"lr": 0.05, "weight_decay": 0.1}),
    "NpuFusedBertAdam": (
        bert,
        {"lr": 0.05, "weight_decay": 0.1, "warmup": 0.2, "t_total": 10, "max_grad_norm": -1},
    ),
    "NpuFusedAdamP": (adam_p, {"lr": 0.05, "weight_decay": 0.1, "delta": 0.9}),
    "NpuFusedRMSpropTF": (rmsprop_tf, {"lr": 0.05, "weight_decay": 0.1, "momentum": 0.5}),
}


@pytest.mark.parametrize("name", OWN)
def test_against_the_update(name: str) -> None:
    import torch_npu

    update, options = OWN[name]
    start = [made(3, 4), made(5)]
    grads = [[made(3, 4), made(5)] for _ in range(STEPS)]
    found = trained(lambda p: getattr(torch_npu.optim, name)(p, **options), [x.npu() for x in start], grads)
    for index, param in enumerate(start):
        expected, state = param.double(), {}
        for number in range(1, STEPS + 1):
            expected = update(expected, [step[index].double() for step in grads], number, state=state)
        close(found[index], expected)


def test_gradients_are_clipped_together() -> None:
    import torch_npu

    params = [torch.nn.Parameter(made(3).npu()) for _ in range(2)]
    optimizer = torch_npu.optim.NpuFusedSGD(params, lr=0.1)
    for norm_type in (2, 1, math.inf):
        grads = [made(3), made(3)]
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad.npu()
        total = torch.cat(grads).double().norm(norm_type).item()
        assert optimizer.clip_grad_norm_fused_(0.5, norm_type).item() == pytest.approx(total, rel=1e-5)
        close(params[0].grad, grads[0].double() * min(1, 0.5 / total))
    optimizer.zero_grad()
    assert not params[0].grad.any()
    grads = [torch.full((3,), 100.0), torch.zeros(3)]
    bert = torch_npu.optim.NpuFusedBertAdam(params, lr=0.1)
    for param, grad in zip(params, grads, strict=True):
        param.grad = grad.npu()
    bert.step()
    assert params[0].grad.norm().item() == pytest.approx(1, rel=1e-4)


def test_what_fused_optimizers_do_not_take() -> None:
    import torch_npu

    param = torch.nn.Parameter(torch.ones(2).bfloat16().npu())
    optimizer = torch_npu.optim.NpuFusedAdamW([param])
    param.grad = torch.ones_like(param)
    with pytest.raises(TypeError, match="must be either float32 or float16, but received torch"):
        optimizer.step()
    with pytest.raises(ValueError, match="set_to_none is not supported in fused optimizers"):
        optimizer.zero_grad(set_to_none=True)
    with pytest.raises(ValueError, match="Invalid learning rate: -1"):
        torch_npu.optim.NpuFusedAdam([param], lr=-1)
    with pytest.raises(ValueError, match="Invalid schedule parameter: cosine"):
        torch_npu.optim.NpuFusedBertAdam([param], lr=0.1, schedule="cosine")


def test_parameters_and_gradients_become_one_tensor() -> None:
    import torch_npu

    first, second = (torch.nn.Parameter(made(2, 3).npu()) for _ in range(2))
    half = torch.nn.Parameter(made(5).half().npu())
    start = first.detach().cpu()
    optimizer = torch_npu.optim.NpuFusedAdam([{"params": [first, half]}, {"params": [second]}], lr=0.1)
    assert optimizer.get_combined_params() == optimizer.get_combined_grads() == [None, None]
    (first.sum() + second.square().sum() + half.sum()).backward()
    optimizer.step()
    floats, halves = optimizer.get_combined_params()
    assert (floats.shape, floats.dtype, halves.shape, halves.dtype) == ((12,), torch.float32, (5,), torch.float16)
    assert torch.equal(floats, torch.cat((first.flatten(), second.flatten())))
    assert first.data_ptr() == floats.data_ptr()
    close(first.detach(), start.double() - 0.1)
    assert optimizer.get_combined_grads()[0][:6].tolist() == [1.0] * 6
    of_groups = optimizer.combined_params_indexed_by_group
    assert [[part is not None for part in parts] for parts in of_groups] == [[True, True], [True, False]]
    assert of_groups[1][0].data_ptr() == second.data_ptr()
    mean = optimizer.combined_param_states_indexed_by_group[1][0]["exp_avg"]
    assert mean.data_ptr() == optimizer.state[second]["exp_avg"].data_ptr()
    optimizer.zero_grad()
    assert not first.grad.any()
    floats.fill_(3)
    assert second.detach().eq(3).all()


def test_gradients_out_of_the_combined_tensor_are_named() -> None:
    import torch_npu

    first, second = (torch.nn.Parameter(made(3).npu()) for _ in range(2))
    optimizer = torch_npu.optim.NpuFusedSGD([first, second], lr=1.0)
    first.sum().backward()
    optimizer.step()
    second.sum().backward()
    before = second.detach().clone()
    with pytest.warns(UserWarning, match="NpuFusedSGD: a parameter got its first gradient after"):
        optimizer.step()
    assert torch.equal(second, before)
    second.grad = None
    start, first.grad = first.detach().clone(), torch.full_like(first, 2.0)
    with pytest.warns(UserWarning, match="torch_npu would step with the old one"):
        optimizer.step()
    assert torch.equal(first, start - 2)
    assert optimizer.get_combined_grads()[0].tolist() == [2.0] * 3


@pytest.mark.parametrize("name", ["NpuFusedAdamW", "NpuFusedSGD", "NpuFusedRMSprop", "NpuFusedAdadelta"])
def test_training_goes_on_from_a_checkpoint(name: str) -> None:
    import torch_npu

    kind = getattr(torch_npu.optim, name)
    options = {"lr": 0.1} | ({"momentum": 0.9, "dampening": 0.5} if name == "NpuFusedSGD" else {})
    grads, start = [made(4) for _ in range(STEPS)], made(4)
    expected = trained(lambda p: kind(p, **options), [start.npu()], [[grad] for grad in grads])[0]
    param = torch.nn.Parameter(start.npu())
    optimizer = kind([param], **options)
    for index, grad in enumerate(grads):
        if index == 2:
            saved, param = optimizer.state_dict(), torch.nn.Parameter(param.detach().clone())
            optimizer = kind([param], **options)
            optimizer.load_state_dict(saved)
        param.grad = grad.npu()
        optimizer.step()
    assert torch.equal(param.detach(), expected)


def test_closures() -> None:
    import torch_npu

    param = torch.nn.Parameter(torch.ones(2).npu())

    def closure() -> Tensor:
        loss = param.square().sum()
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="does not require grad"):
        torch_npu.optim.NpuFusedAdam([param]).step(closure)
    assert torch_npu.optim.NpuFusedLamb([param]).step(closure).item() == 2


def test_what_hardware_refuses_of_the_arguments() -> None:
    import torch_npu

    param = torch.nn.Parameter(torch.ones(2).npu())
    with pytest.raises(ValueError, match="required optimization parameter lr"):
        torch_npu.optim.NpuFusedSGD([param])
    with pytest.raises(ValueError, match="no parameter has a gradient"):
        torch_npu.optim.NpuFusedAdam([param]).clip_grad_norm_fused_(1.0)
    param.grad = torch.ones_like(param)
    optimizer = torch_npu.optim.NpuFusedBertAdam([param], lr=0.1, schedule="warmup_cosine", t_total=10, warmup=0.15)
    optimizer.step()
    optimizer.step()
    with pytest.raises(TypeError, match="warmup_cosine ends with the warmup"):
        optimizer.step()
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2).npu())]})
    with pytest.raises(IndexError, match="NpuFusedBertAdam: add_param_group after a step"):
        optimizer.step()
    host = torch.nn.Parameter(torch.ones(2))
    host.grad = torch.ones(2)
    with pytest.raises(RuntimeError, match="must be on NPU, got cpu"):
        torch_npu.optim.NpuFusedAdam([host]).step()


def test_steps_of_their_own() -> None:
    import torch_npu

    var, m, v, grad = made(5), made(5), torch.rand(5), made(5)
    out = [x.npu() for x in (var, m, v)]
    returned = torch_npu.npu_apply_adam_w(
        0.9, 0.999, 0.1, 0.01, 0.9, 0.999, 1e-8, grad.npu(), None, False, False, out=out
    )
    mean, square = 0.9 * m.double() + 0.1 * grad, 0.999 * v.double() + 0.001 * grad.double() ** 2
    step = mean / (1 - 0.81) / ((square / (1 - 0.999**2)).sqrt() + 1e-8)
    for part, formula in zip(out, (var.double() * (1 - 0.1 * 0.01) - 0.1 * step, mean, square), strict=True):
        close(part, formula)
    assert returned[0].data_ptr() == out[0].data_ptr()
    out = [x.npu() for x in (var, m, v)]
    torch_npu.npu_apply_adam(0.9, 0.999, 0.1, 0.9, 0.999, 1e-8, grad.npu(), False, False, out=out)
    step = mean / (square.sqrt() + 1e-8) * math.sqrt(1 - 0.999) / (1 - 0.9)
    close(out[0], var.double() - 0.1 * step)
    out = [x.npu() for x in (var, m, v)]
    torch_npu.npu_bert_apply_adam(0.1, 0.9, 0.999, 1e-8, grad.npu(), 1.0, 0.0, 0.01, out=out)
    close(out[0], var.double() - 0.1 * (mean / (square.sqrt() + 1e-8) + 0.01 * var))
    with pytest.raises(RuntimeError, match="amsgrad is True, expected False"):
        torch_npu.npu_apply_adam_w(0.9, 0.999, 0.1, 0.01, 0.9, 0.999, 1e-8, grad.npu(), out[2], True, False, out=out)
    with pytest.raises(RuntimeError, match=r"out=\(var, m, v\) is missing"):
        torch_npu.npu_apply_adam(0.9, 0.999, 0.1, 0.9, 0.999, 1e-8, grad.npu(), False, False)
