"""What stands in for DeepSpeed's compiled operators, held against torch's optimizers; DeepSpeed need not be there."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from script_trial.engines.deepspeed import (
    AdagradOnHost,
    AdamOnHost,
    FusedAdam,
    LionOnHost,
    _take_norms_as_an_npu,
    _without_disk,
)
from script_trial.trial import Trial

SETTINGS = {"lr": 0.01, "weight_decay": 0.1}
GRADIENTS = [torch.linspace(-1, 1, 7) * factor for factor in (1.0, -0.5, 2.0)]


def by_torch(optimizer: type[torch.optim.Optimizer], **more: Any) -> Tensor:
    weights = torch.linspace(1, 2, 7).requires_grad_()
    steps = optimizer([weights], **{**SETTINGS, **more})
    for gradient in GRADIENTS:
        weights.grad = gradient.clone()
        steps.step()
    return weights.detach()


@pytest.mark.parametrize(("decoupled", "optimizer"), [(True, torch.optim.AdamW), (False, torch.optim.Adam)])
def test_adam_for_the_host(trial: Trial, decoupled: bool, optimizer: type[torch.optim.Optimizer]) -> None:
    operators = AdamOnHost(trial)
    operators.create_adam(3, 0.01, 0.9, 0.999, 1e-8, 0.1, decoupled, False)
    weights, mean, square = torch.linspace(1, 2, 7), torch.zeros(7), torch.zeros(7)
    for step, gradient in enumerate(GRADIENTS, start=1):
        operators.adam_update(3, step, 0.01, 0.9, 0.999, 1e-8, 0.1, True, weights, gradient, mean, square)
    operators.destroy_adam(3)
    torch.testing.assert_close(weights, by_torch(optimizer))
    assert trial.notes[0].startswith("DeepSpeed's own Adam for the host was done by torch")


def test_adam_for_the_host_keeps_the_types_of_what_it_changes(trial: Trial) -> None:
    operators = AdamOnHost(trial)
    operators.create_adam(0, 0.01, 0.9, 0.999, 1e-8, 0.0, True)
    states = [torch.zeros(7, dtype=torch.bfloat16) for _ in range(2)]
    weights = torch.ones(7, dtype=torch.bfloat16)
    operators.adam_update(0, 1, 0.01, 0.9, 0.999, 1e-8, 0.0, False, weights, GRADIENTS[0], *states)
    assert weights.dtype == torch.bfloat16
    assert not torch.equal(weights, torch.ones(7, dtype=torch.bfloat16))


def test_adagrad_for_the_host(trial: Trial) -> None:
    operators, weights, square = AdagradOnHost(trial), torch.linspace(1, 2, 7), torch.zeros(7)
    operators.create_adagrad(0, 0.01, 1e-10, 0.1, False)
    for step, gradient in enumerate(GRADIENTS, start=1):
        operators.adagrad_update(0, step, 0.01, 1e-10, 0.1, weights, gradient, square)
    torch.testing.assert_close(weights, by_torch(torch.optim.Adagrad))


def test_lion_goes_by_the_sign(trial: Trial) -> None:
    operators, weights, mean = LionOnHost(trial), torch.ones(2), torch.zeros(2)
    operators.lion_update(0, 1, 0.1, 0.9, 0.99, 0.0, weights, torch.tensor([5.0, -0.1]), mean)
    torch.testing.assert_close(weights, torch.tensor([0.9, 1.1]))
    torch.testing.assert_close(mean, torch.tensor([0.05, -0.001]))


def test_fused_adam_of_many_tensors(trial: Trial) -> None:
    operator = FusedAdam(trial)
    weights, mean, square = torch.linspace(1, 2, 7), torch.zeros(7), torch.zeros(7)
    for step, gradient in enumerate(GRADIENTS, start=1):
        lists = [[gradient], [weights], [mean], [square]]
        operator.multi_tensor_adam(65536, torch.zeros(1), lists, 0.01, 0.9, 0.999, 1e-8, step, 1, 1, 0.1)
    torch.testing.assert_close(weights, by_torch(torch.optim.AdamW))


@pytest.mark.parametrize("decoupled", [0, 1])
def test_fused_adam_corrects_no_bias_where_it_is_not_asked_to(trial: Trial, decoupled: int) -> None:
    """As the one for the host does, which is held against torch; an NPU's own corrects it always."""
    by_host, fused = (torch.linspace(1, 2, 7) for _ in range(2))
    states = [torch.zeros(7) for _ in range(4)]
    host = AdamOnHost(trial)
    host.create_adam(0, 0.01, 0.9, 0.999, 1e-8, 0.1, bool(decoupled))
    for step, gradient in enumerate(GRADIENTS, start=1):
        lists = [[gradient], [fused], [states[0]], [states[1]]]
        FusedAdam(trial).multi_tensor_adam(1, torch.zeros(1), lists, 0.01, 0.9, 0.999, 1e-8, step, decoupled, 0, 0.1)
        host.adam_update(0, step, 0.01, 0.9, 0.999, 1e-8, 0.1, False, by_host, gradient, *states[2:])
    torch.testing.assert_close(fused, by_host)
    assert not torch.allclose(fused, by_torch(torch.optim.AdamW), atol=1e-3)


@pytest.mark.parametrize("device", ["cpu", "npu"])
def test_norms_in_float64_are_said_to_be_in_float32(trial: Trial, device: str) -> None:
    accelerator = SimpleNamespace(device_name=lambda: device, is_fp64_supported=lambda: True)
    _take_norms_as_an_npu(accelerator, trial)
    assert trial.notes == []
    assert accelerator.is_fp64_supported() is (device == "npu")
    assert [note[:61] for note in trial.notes] == (
        ["DeepSpeed asks for the norms of gradients in float64, and tor"] if device == "npu" else []
    )


def test_an_operator_that_is_not_known_is_missed(trial: Trial) -> None:
    with pytest.raises(AttributeError, match="adam_rollback"):
        AdamOnHost(trial).adam_rollback(0)


def test_what_would_be_offloaded_to_a_disk_goes_to_memory(trial: Trial) -> None:
    offload = {"device": "nvme", "nvme_path": "/local"}
    asked = {"train_batch_size": 8, "zero_optimization": {"stage": 3, "offload_optimizer": offload}}
    changed = _without_disk(asked, trial)
    assert changed["zero_optimization"] == {"stage": 3, "offload_optimizer": {**offload, "device": "cpu"}}
    assert asked["zero_optimization"]["offload_optimizer"]["device"] == "nvme"
    assert len(trial.notes) == 1
    assert trial.notes[0].startswith("offload_optimizer: cpu instead of nvme")


def test_other_settings_are_left_alone(trial: Trial, tmp_path: Path) -> None:
    asked = {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}
    assert _without_disk(asked, trial) is asked
    assert _without_disk({}, trial) == {}
    file = tmp_path / "zero.json"
    file.write_text(json.dumps(asked))
    pytest.importorskip("hjson")
    assert _without_disk(str(file), trial) == str(file)
    assert trial.notes == []
