"""Every device draws from a generator of its own."""

from __future__ import annotations

import threading

import pytest
import torch
from torch.nn import functional


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


def test_a_thread_that_drops_out_leaves_the_hosts_numbers_alone() -> None:
    x = torch.ones(64, device="npu")
    host = torch.Generator().manual_seed(0)
    expected = torch.rand(4, generator=host)
    stop = threading.Event()

    def drop() -> None:
        while not stop.is_set():
            functional.dropout(x)
            functional.alpha_dropout(x, training=True)
            torch.rand_like(x)

    thread = threading.Thread(target=drop)
    thread.start()
    try:
        for _ in range(500):
            torch.default_generator.manual_seed(0)
            assert torch.equal(torch.rand(4), expected)
    finally:
        stop.set()
        thread.join()


def test_the_state_is_a_seed_and_an_offset() -> None:
    generator, host = torch.Generator("npu").manual_seed(5), torch.Generator().manual_seed(5)
    assert generator.get_state().view(torch.int64).tolist() == [5, 0]
    for count, offset in [(3, 3), (621, 624), (1, 625), (10_000, 10_625)]:  # 624 numbers are a block of the engine
        drawn = torch.rand(count, device="npu", generator=generator)
        assert torch.equal(drawn.cpu(), torch.rand(count, generator=host))
        assert generator.get_offset() == offset
    assert generator.get_state().view(torch.int64).tolist() == [5, 10_625]


def test_a_state_is_found_again_by_another_generator() -> None:
    generator = torch.Generator("npu").manual_seed(5)
    torch.rand(2000, device="npu", generator=generator)
    state = generator.get_state()
    later = torch.rand(2000, device="npu", generator=generator)
    other = torch.Generator("npu")
    other.set_state(state)
    assert torch.equal(torch.rand(2000, device="npu", generator=other), later)
    other.manual_seed(5)
    other.set_offset(1000)
    torch.rand(1000, device="npu", generator=other)
    assert torch.equal(other.get_state(), state)
    assert torch.equal(torch.rand(2000, device="npu", generator=other.clone_state()), later)


def test_a_state_of_the_host_is_refused() -> None:
    with pytest.raises(RuntimeError, match="RNG state is wrong size: an npu generator's is 16 bytes"):
        torch.npu.set_rng_state(torch.get_rng_state())


def test_fork_rng_restores_the_device() -> None:
    state = torch.npu.get_rng_state(1)
    with torch.random.fork_rng(devices=[1], device_type="npu"):
        torch.randn(3, device="npu:1")
    assert torch.equal(torch.npu.get_rng_state(1), state)


@pytest.mark.skipif(not hasattr(torch.accelerator, "random"), reason="torch.accelerator.random came with torch 2.14")
def test_torch_accelerator_has_the_same_generators() -> None:
    torch.npu.manual_seed_all(3)
    torch.rand(5, device="npu:1")
    assert torch.accelerator.random.initial_seed(1) == 3
    assert torch.equal(torch.accelerator.random.get_rng_state(1), torch.npu.get_rng_state(1))
