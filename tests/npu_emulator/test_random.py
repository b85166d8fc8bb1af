"""Every device draws from a generator of its own."""

from __future__ import annotations

import pytest
import torch


def test_seed_repeats() -> None:
    torch.manual_seed(3)
    first = torch.randn(4, device="npu")
    torch.manual_seed(3)
    assert torch.equal(first, torch.randn(4, device="npu"))
    torch.npu.manual_seed_all(3)
    assert torch.equal(first.cpu(), torch.randn(4, device="npu:1").cpu())


def test_devices_do_not_share_a_sequence() -> None:
    torch.manual_seed(3)
    host = torch.get_rng_state()
    other = torch.npu.get_rng_state(1)
    torch.randn(4, device="npu:0")
    assert torch.equal(torch.get_rng_state(), host)
    assert torch.equal(torch.npu.get_rng_state(1), other)


@pytest.mark.parametrize(
    "draw",
    [
        lambda g: torch.randn(5, device="npu", generator=g),
        lambda g: torch.rand(5, device="npu", generator=g),
        lambda g: torch.randperm(9, device="npu", generator=g),
        lambda g: torch.empty(4, device="npu").normal_(generator=g),
    ],
)
def test_generator_object(draw: object) -> None:
    generator = torch.Generator("npu").manual_seed(11)
    state = generator.get_state()
    first = draw(generator)  # type: ignore[operator]
    generator.set_state(state)
    assert torch.equal(first, draw(generator))  # type: ignore[operator]
    assert generator.device.type == "npu"


def test_generators_of_another_device_are_refused() -> None:
    with pytest.raises(RuntimeError, match="Expected a 'cpu' device type for generator but found 'npu'"):
        torch.empty(3).normal_(generator=torch.Generator("npu"))
    with pytest.raises(RuntimeError, match="Expected a 'npu' device type for generator but found 'cpu'"):
        torch.randn(3, device="npu", generator=torch.Generator())


def test_dropout_draws_from_the_device() -> None:
    x = torch.ones(64, device="npu")
    host = torch.get_rng_state()
    state = torch.npu.get_rng_state()
    first = torch.nn.functional.dropout(x)
    assert not torch.equal(torch.npu.get_rng_state(), state)
    torch.npu.set_rng_state(state)
    assert torch.equal(torch.nn.functional.dropout(x), first)
    assert torch.equal(torch.get_rng_state(), host)


def test_fork_rng_restores_the_device() -> None:
    state = torch.npu.get_rng_state(1)
    with torch.random.fork_rng(devices=[1], device_type="npu"):
        torch.randn(3, device="npu:1")
    assert torch.equal(torch.npu.get_rng_state(1), state)
